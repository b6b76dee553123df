//! The gRPC side of the API: `burngate.v1.BudgetService`.

use super::answers::{ApiState, CohortFilter, DecisionFilter};
use super::corrections::{self, Door, Refused};
use super::proto::budget_service_server::{BudgetService, BudgetServiceServer};
use super::proto::{self, DESCRIPTORS};
use tonic::service::Routes;
use tonic::{Request, Response, Status};

/// The service and server reflection (v1 and v1alpha, for older clients).
pub(super) fn routes(state: Api) -> Result<Routes, tonic_reflection::server::Error> {
    let reflection =
        || tonic_reflection::server::Builder::configure().register_encoded_file_descriptor_set(DESCRIPTORS);
    Ok(Routes::new(BudgetServiceServer::new(state))
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?))
}

/// What the service answers from, and who may change something.
#[derive(Clone, Debug)]
pub(super) struct Api {
    state: ApiState,
    door: Door,
}

impl Api {
    pub(super) const fn new(state: ApiState, door: Door) -> Self {
        Self { state, door }
    }

    fn admit<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let shown = request
            .metadata()
            .get("authorization")
            .and_then(|v| v.to_str().ok());
        self.door.admit(shown).map_err(Refused::status)
    }
}

#[tonic::async_trait]
impl BudgetService for Api {
    async fn list_budgets(
        &self,
        _: Request<proto::ListBudgetsRequest>,
    ) -> Result<Response<proto::ListBudgetsResponse>, Status> {
        Ok(Response::new(self.state.budgets(None)))
    }

    async fn get_budgets(
        &self,
        request: Request<proto::GetBudgetsRequest>,
    ) -> Result<Response<proto::ListBudgetsResponse>, Status> {
        let service = request.into_inner().service;
        if service.is_empty() {
            return Err(Status::invalid_argument(
                "service is empty; ListBudgets lists all",
            ));
        }
        let answer = self.state.budgets(Some(&service));
        if answer.budgets.is_empty() {
            return Err(Status::not_found(format!(
                "nothing was counted for service {service:?}"
            )));
        }
        Ok(Response::new(answer))
    }

    async fn list_cohorts(
        &self,
        request: Request<proto::ListCohortsRequest>,
    ) -> Result<Response<proto::ListCohortsResponse>, Status> {
        let proto::ListCohortsRequest {
            service,
            sha,
            flag,
            limit,
        } = request.into_inner();
        Ok(Response::new(self.state.cohorts(&CohortFilter {
            service,
            sha,
            flag,
            limit,
        })))
    }

    async fn list_decisions(
        &self,
        request: Request<proto::ListDecisionsRequest>,
    ) -> Result<Response<proto::ListDecisionsResponse>, Status> {
        let proto::ListDecisionsRequest { service, limit } = request.into_inner();
        Ok(Response::new(
            self.state.decisions(&DecisionFilter { service, limit }),
        ))
    }

    async fn list_corrections(
        &self,
        request: Request<proto::ListCorrectionsRequest>,
    ) -> Result<Response<proto::ListCorrectionsResponse>, Status> {
        let service = request.into_inner().service;
        Ok(Response::new(corrections::list(&self.state, &service)))
    }

    async fn create_correction(
        &self,
        request: Request<proto::CreateCorrectionRequest>,
    ) -> Result<Response<proto::Correction>, Status> {
        self.admit(&request)?;
        let new = corrections::of_message(request.into_inner());
        let made = corrections::create(&self.state, new).await;
        made.map(Response::new).map_err(Refused::status)
    }

    async fn withdraw_correction(
        &self,
        request: Request<proto::WithdrawCorrectionRequest>,
    ) -> Result<Response<proto::Correction>, Status> {
        self.admit(&request)?;
        let proto::WithdrawCorrectionRequest { id, author, reason } = request.into_inner();
        let made = corrections::withdraw(&self.state, id, author, reason).await;
        made.map(Response::new).map_err(Refused::status)
    }
}
