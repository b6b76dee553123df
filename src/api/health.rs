//! Liveness and readiness, as the Collector's `health_check` extension answers them, and how each component
//! is.
//!
//! The probe says whether the gateway serves. That a component is in trouble is told at `status?verbose` and
//! does not make the probe fail unless the configuration asks for it: an orchestrator that restarts a gateway
//! because its backend is down loses what waits in memory, and gains nothing.

use crate::config::{ComponentHealth, HealthCheck};
use crate::pipeline::{Component, ComponentStatus, Components, Status};
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use tokio::time::Instant;

/// What the gateway says of itself; set by the gateway, read by probes.
#[derive(Debug, Default)]
pub struct Health {
    phase: AtomicU8,
    last_tick_ns: AtomicU64,
    components: Components,
}

const STARTING: u8 = 0;
const SERVING: u8 = 1;
const STOPPING: u8 = 2;

impl Health {
    /// Everything listens.
    pub fn serving(&self) {
        self.phase.store(SERVING, Ordering::Relaxed);
    }

    /// Shutdown has begun; load balancers should look elsewhere.
    pub fn stopping(&self) {
        self.phase.store(STOPPING, Ordering::Relaxed);
    }

    /// The tick has evaluated at `now`.
    pub fn ticked(&self, now: crate::time::UnixNanos) {
        self.last_tick_ns.store(now.0, Ordering::Relaxed);
    }

    /// The line of one component, such as `exporter otlp_grpc/apm`; it says itself how it is.
    pub fn component(&self, name: &str) -> Component {
        self.components.component(name)
    }

    /// Every component, for whoever hands lines out or shows them.
    pub fn components(&self) -> &Components {
        &self.components
    }

    /// Whether it serves, and in a word why not.
    fn phase(&self) -> (bool, &'static str) {
        match self.phase.load(Ordering::Relaxed) {
            STARTING => (false, "starting"),
            SERVING => (true, "Server available"),
            _ => (false, "stopping"),
        }
    }

    fn evaluated_at(&self) -> Option<String> {
        let evaluated = crate::time::UnixNanos(self.last_tick_ns.load(Ordering::Relaxed));
        (evaluated.0 > 0).then(|| evaluated.to_string())
    }
}

/// One probe's view.
#[derive(Debug)]
struct Probe {
    health: Arc<Health>,
    rules: ComponentHealth,
    healthy_body: Option<String>,
    unhealthy_body: Option<String>,
}

impl Probe {
    /// The component that makes the whole unhealthy, if one does.
    fn culprit<'a>(&self, components: &'a [ComponentStatus], now: Instant) -> Option<&'a ComponentStatus> {
        components.iter().find(|it| match &it.status {
            Status::Permanent(_) => self.rules.include_permanent_errors,
            Status::Recoverable(_) => {
                self.rules.include_recoverable_errors
                    && now.saturating_duration_since(it.since) >= self.rules.recovery_duration
            }
            Status::Starting | Status::Ok | Status::Stopped => false,
        })
    }
}

fn answer(healthy: bool, body: impl IntoResponse) -> Response {
    let code = if healthy {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (code, body).into_response()
}

/// `GET path`: 200 while serving, 503 while starting or stopping. `GET {path}status`: the same as JSON, with
/// `?verbose` each component.
pub fn health_router(config: &HealthCheck, health: Arc<Health>) -> Router {
    let probe = Probe {
        health,
        rules: config.component_health,
        healthy_body: config.healthy_body.clone(),
        unhealthy_body: config.unhealthy_body.clone(),
    };
    let status_path = format!("{}/status", config.path.trim_end_matches('/'));
    let router = Router::new().route(&config.path, get(probed));
    let router = if status_path == config.path {
        router
    } else {
        router.route(&status_path, get(status))
    };
    router.with_state(Arc::new(probe))
}

async fn probed(State(probe): State<Arc<Probe>>) -> Response {
    let (serving, said) = probe.health.phase();
    let components = probe.health.components.list();
    let culprit = probe.culprit(&components, Instant::now());
    let healthy = serving && culprit.is_none();
    let body = if healthy {
        &probe.healthy_body
    } else {
        &probe.unhealthy_body
    };
    if let Some(body) = body {
        let text = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
        return answer(healthy, (text, body.clone()));
    }
    let said = culprit.filter(|_| serving).map_or_else(
        || said.to_owned(),
        |it| format!("{}: {}", it.name, it.status.as_str()),
    );
    let evaluated = probe.health.evaluated_at();
    answer(
        healthy,
        Json(json!({ "status": said, "evaluated_at": evaluated })),
    )
}

async fn status(State(probe): State<Arc<Probe>>, RawQuery(query): RawQuery) -> Response {
    let verbose = query.is_some_and(|query| {
        let mut pairs = query.split('&');
        pairs.any(|pair| matches!(pair, "verbose" | "verbose=" | "verbose=true" | "verbose=1"))
    });
    let now = Instant::now();
    let (serving, said) = probe.health.phase();
    let components = probe.health.components.list();
    let culprit = probe.culprit(&components, now);
    let healthy = serving && culprit.is_none();
    let mut body = json!({
        "healthy": healthy,
        "status": if serving { worst(&components).as_str() } else { Status::Starting.as_str() },
    });
    if !serving {
        body["error"] = Value::from(said);
        if said == "stopping" {
            body["status"] = Value::from("StatusStopping");
        }
    } else if let Some(culprit) = culprit {
        body["error"] = Value::from(format!("{} is unhealthy", culprit.name));
    }
    if verbose {
        let line = |it: &ComponentStatus| {
            let alone = std::slice::from_ref(it);
            let mut line = json!({
                "healthy": probe.culprit(alone, now).is_none(),
                "status": it.status.as_str(),
                "since_secs": now.saturating_duration_since(it.since).as_secs(),
            });
            if let Some(message) = it.status.message() {
                line["error"] = Value::from(message);
            }
            (it.name.clone(), line)
        };
        body["components"] = Value::Object(components.iter().map(line).collect());
    }
    answer(healthy, Json(body))
}

/// The worst state among the components; without any all is well.
fn worst(components: &[ComponentStatus]) -> Status {
    let rank = |status: &Status| match status {
        Status::Permanent(_) => 3,
        Status::Recoverable(_) => 2,
        Status::Starting => 1,
        Status::Ok | Status::Stopped => 0,
    };
    let worst = components.iter().map(|it| &it.status).max_by_key(|it| rank(it));
    worst.filter(|it| rank(it) > 0).cloned().unwrap_or(Status::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::http::Request;
    use std::time::Duration;
    use tower::ServiceExt as _;

    async fn get(router: &Router, path: &str) -> (u16, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let answer = router.clone().oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    fn json(body: &str) -> Value {
        serde_json::from_str(body).unwrap()
    }

    #[tokio::test]
    async fn the_phase_decides_and_bodies_replace_the_answer() {
        let health = Arc::new(Health::default());
        let plain = health_router(&HealthCheck::default(), health.clone());
        let worded = HealthCheck {
            path: "/healthz".to_owned(),
            healthy_body: Some("fine".to_owned()),
            unhealthy_body: Some("not fine".to_owned()),
            ..HealthCheck::default()
        };
        let worded = health_router(&worded, health.clone());
        assert_eq!(
            get(&plain, "/").await,
            (503, r#"{"status":"starting","evaluated_at":null}"#.to_owned())
        );
        assert_eq!(get(&worded, "/healthz").await, (503, "not fine".to_owned()));
        health.serving();
        assert_eq!(json(&get(&plain, "/").await.1)["status"], "Server available");
        assert_eq!(get(&worded, "/healthz").await, (200, "fine".to_owned()));
        assert_eq!(get(&worded, "/healthz/status").await.0, 200);
        health.stopping();
        let (code, body) = get(&plain, "/status").await;
        assert_eq!(
            (code, &json(&body)["status"]),
            (503, &Value::from("StatusStopping"))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_component_in_trouble_is_told_and_fails_the_probe_only_where_asked() {
        let health = Arc::new(Health::default());
        health.serving();
        let strict = HealthCheck {
            component_health: ComponentHealth {
                include_recoverable_errors: true,
                include_permanent_errors: true,
                recovery_duration: Duration::from_mins(1),
            },
            ..HealthCheck::default()
        };
        let strict = health_router(&strict, health.clone());
        let lenient = health_router(&HealthCheck::default(), health.clone());
        let exporter = health.component("exporter otlp_grpc/apm");
        exporter.set(Status::Recoverable("connection refused".into()));
        let (code, body) = get(&lenient, "/status?verbose").await;
        let line = &json(&body)["components"]["exporter otlp_grpc/apm"];
        assert_eq!((code, &line["error"]), (200, &Value::from("connection refused")));
        assert_eq!(json(&body)["status"], "StatusRecoverableError");
        assert_eq!(json(&get(&lenient, "/status").await.1).get("components"), None);
        assert_eq!(get(&strict, "/").await.0, 200, "it has a minute");
        tokio::time::advance(Duration::from_mins(1)).await;
        let (code, body) = get(&strict, "/").await;
        assert_eq!(code, 503);
        assert_eq!(
            json(&body)["status"],
            "exporter otlp_grpc/apm: StatusRecoverableError"
        );
        assert_eq!(get(&lenient, "/").await.0, 200);
        exporter.set(Status::Permanent("no such token".into()));
        assert_eq!(get(&strict, "/status?verbose").await.0, 503, "at once");
        drop(exporter);
        assert_eq!(get(&strict, "/").await.0, 200, "a reload took it out");
    }
}
