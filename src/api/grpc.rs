//! The gRPC side of the API: `burngate.v1.BudgetService`.

use super::answers::{ApiState, CohortFilter, DecisionFilter, IndicatorParameters};
use super::proto::budget_service_server::{BudgetService, BudgetServiceServer};
use super::proto::{self, DESCRIPTORS};
use tonic::service::Routes;
use tonic::{Request, Response, Status};

/// The service and server reflection (v1 and v1alpha, for older clients).
pub(super) fn routes(state: ApiState) -> Result<Routes, tonic_reflection::server::Error> {
    let reflection =
        || tonic_reflection::server::Builder::configure().register_encoded_file_descriptor_set(DESCRIPTORS);
    Ok(Routes::new(BudgetServiceServer::new(state))
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?))
}

#[tonic::async_trait]
impl BudgetService for ApiState {
    async fn list_budgets(
        &self,
        _: Request<proto::ListBudgetsRequest>,
    ) -> Result<Response<proto::ListBudgetsResponse>, Status> {
        Ok(Response::new(self.budgets(None)))
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
        let answer = self.budgets(Some(&service));
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
        Ok(Response::new(self.cohorts(&CohortFilter {
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
        Ok(Response::new(self.decisions(&DecisionFilter { service, limit })))
    }

    async fn list_indicators(
        &self,
        request: Request<proto::ListIndicatorsRequest>,
    ) -> Result<Response<proto::ListIndicatorsResponse>, Status> {
        let proto::ListIndicatorsRequest {
            service,
            name,
            active,
            limit,
        } = request.into_inner();
        Ok(Response::new(self.indicators(&IndicatorParameters {
            service,
            name,
            active,
            limit,
        })))
    }
}
