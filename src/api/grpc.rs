//! The gRPC side of the API: `burngate.v1.BudgetService` and `EventService`.

use super::answers::{ApiState, CohortFilter, DecisionFilter, IndicatorParameters, RouteFilter};
use super::corrections::{self, Door};
use super::events::{BODY_MAX, Events, Peer, Refused};
use super::explain::{ShapeFilter, SignatureFilter};
use super::proto::budget_service_server::{BudgetService, BudgetServiceServer};
use super::proto::event_service_server::{EventService, EventServiceServer};
use super::proto::{self, DESCRIPTORS};
use super::why::WhyFilter;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

/// The services and server reflection (v1 and v1alpha, for older clients).
pub(super) fn routes(state: Api, events: Events) -> Result<Routes, tonic_reflection::server::Error> {
    let reflection =
        || tonic_reflection::server::Builder::configure().register_encoded_file_descriptor_set(DESCRIPTORS);
    Ok(Routes::new(BudgetServiceServer::new(state))
        .add_service(EventServiceServer::new(events).max_decoding_message_size(BODY_MAX))
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
        self.door.admit(shown).map_err(corrections::Refused::status)
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

    async fn list_routes(
        &self,
        request: Request<proto::ListRoutesRequest>,
    ) -> Result<Response<proto::ListRoutesResponse>, Status> {
        let proto::ListRoutesRequest {
            service,
            slo,
            by,
            limit,
            window_secs,
        } = request.into_inner();
        let filter = RouteFilter {
            service,
            slo,
            by,
            limit,
            window_secs,
        };
        let answer = self.state.routes(&filter);
        answer.map(Response::new).map_err(Status::invalid_argument)
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
        made.map(Response::new).map_err(corrections::Refused::status)
    }

    async fn withdraw_correction(
        &self,
        request: Request<proto::WithdrawCorrectionRequest>,
    ) -> Result<Response<proto::Correction>, Status> {
        self.admit(&request)?;
        let proto::WithdrawCorrectionRequest { id, author, reason } = request.into_inner();
        let made = corrections::withdraw(&self.state, id, author, reason).await;
        made.map(Response::new).map_err(corrections::Refused::status)
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
        Ok(Response::new(self.state.indicators(&IndicatorParameters {
            service,
            name,
            active,
            limit,
        })))
    }

    async fn list_signatures(
        &self,
        request: Request<proto::ListSignaturesRequest>,
    ) -> Result<Response<proto::ListSignaturesResponse>, Status> {
        let proto::ListSignaturesRequest {
            service,
            slo,
            sha,
            flag,
            variant,
            limit,
        } = request.into_inner();
        Ok(Response::new(self.state.signatures(&SignatureFilter {
            service,
            slo,
            sha,
            flag,
            variant,
            limit,
        })))
    }

    async fn why(&self, request: Request<proto::WhyRequest>) -> Result<Response<proto::WhyResponse>, Status> {
        let proto::WhyRequest {
            flag,
            service,
            environment,
        } = request.into_inner();
        Ok(Response::new(self.state.why(&WhyFilter {
            flag,
            service,
            environment,
        })))
    }

    async fn list_shapes(
        &self,
        request: Request<proto::ListShapesRequest>,
    ) -> Result<Response<proto::ListShapesResponse>, Status> {
        let proto::ListShapesRequest { service, limit } = request.into_inner();
        Ok(Response::new(self.state.shapes(&ShapeFilter { service, limit })))
    }
}

#[tonic::async_trait]
impl EventService for Events {
    async fn record_events(
        &self,
        request: Request<proto::RecordEventsRequest>,
    ) -> Result<Response<proto::RecordEventsResponse>, Status> {
        let peer = request.extensions().get::<Peer>().map(|peer| peer.0);
        let authorization = request
            .metadata()
            .get("authorization")
            .and_then(|value| value.to_str().ok());
        self.admit(peer, authorization).map_err(status)?;
        self.record(request.into_inner())
            .await
            .map(Response::new)
            .map_err(status)
    }
}

fn status(refused: Refused) -> Status {
    match refused {
        Refused::Unauthenticated(told) => Status::unauthenticated(told),
        Refused::Forbidden(told) => Status::permission_denied(told),
        Refused::Invalid(told) => Status::invalid_argument(told),
        Refused::Conflict(told) => Status::already_exists(told),
        Refused::Stopping => Status::unavailable("the gateway is ending; send it again"),
    }
}
