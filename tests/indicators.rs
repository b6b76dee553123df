//! Leading indicators from outside: the real binary fed by the real Rust SDK, metrics and spans, and what API, gRPC and
//! `/metrics` say of it.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use burngate::api::proto::budget_service_client::BudgetServiceClient;
use burngate::api::proto::{IndicatorState, ListIndicatorsRequest};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Gauge, MeterProvider as _};
use opentelemetry::trace::{Span as _, SpanKind, Tracer as _, TracerProvider as _};
use opentelemetry_otlp::{MetricExporter, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::SdkTracerProvider;
use serde_json::Value;
use std::sync::LazyLock;
use std::time::Duration;
use support::{Gateway, Setup, block_on, eventually, get, sample};

/// The exporters of the SDK live on it.
static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| tokio::runtime::Runtime::new().unwrap());

/// Slots close every ten seconds, on a machine that may be busy.
const SOON: Duration = Duration::from_mins(2);

const POLICY: &str = r#"
service: shop
environment: production
slos: [ { name: availability, target: 99.9% } ]
indicators:
  - name: pool_hot
    description: the pool of orders is nearly used up
    value: "sum(pool.used) / sum(pool.max)"
    by: [ pool.name ]
    enter: "> 90%"
    leave: "< 50%"
  - { name: errors_a_second, value: "rate(shop_errors_total[30s])", enter: "> 1", unit: "1/s" }
  - { name: slow_half, value: "quantile(0.5, checkout_duration_seconds_bucket[1m])", enter: "> 0.3", unit: s }
  - { name: never_sent, value: "max(nothing.of.the.kind)", enter: "> 1" }
  - { built_in: retry_storm, enter: "> 5%" }
  - { built_in: retry_storm_spans, enter: "> 5%" }
  - { built_in: pool_pending, mode: off }
"#;

/// A service with a meter whose exports the test decides, and a tracer.
struct Shop {
    meters: SdkMeterProvider,
    tracers: SdkTracerProvider,
    used: Gauge<f64>,
    max: Gauge<f64>,
}

impl Shop {
    fn new(gateway: &Gateway) -> Self {
        let _context = RUNTIME.enter();
        let resource = Resource::builder()
            .with_service_name("shop")
            .with_attribute(KeyValue::new("deployment.environment.name", "production"))
            .build();
        let metrics = MetricExporter::builder()
            .with_tonic()
            .with_endpoint(gateway.grpc())
            .build()
            .unwrap();
        let spans = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(gateway.grpc())
            .build()
            .unwrap();
        let reader = PeriodicReader::builder(metrics)
            .with_interval(Duration::from_hours(1))
            .build();
        let meters = SdkMeterProvider::builder()
            .with_resource(resource.clone())
            .with_reader(reader)
            .build();
        let tracers = SdkTracerProvider::builder()
            .with_resource(resource)
            .with_batch_exporter(spans)
            .build();
        let meter = meters.meter("shop");
        Self {
            used: meter.f64_gauge("pool.used").build(),
            max: meter.f64_gauge("pool.max").build(),
            meters,
            tracers,
        }
    }

    fn pool(&self, used: f64) {
        let pool = [KeyValue::new("pool.name", "orders")];
        self.used.record(used, &pool);
        self.max.record(20.0, &pool);
    }

    /// Requests as metrics and as spans, of which `refused` were answered with 503.
    fn serve(&self, good: u32, refused: u32) {
        let meter = self.meters.meter("shop");
        let durations = meter
            .f64_histogram("http.server.request.duration")
            .with_unit("s")
            .build();
        let checkout = meter.f64_histogram("checkout.duration").with_unit("s").build();
        let errors = meter.u64_counter("shop.errors").build();
        let tracer = self.tracers.tracer("shop");
        for nth in 0..good + refused {
            let status = if nth < good { 200 } else { 503 };
            let status = [KeyValue::new("http.response.status_code", status)];
            durations.record(0.01, &status);
            checkout.record(0.7, &[]);
            let builder = tracer.span_builder("POST /buy").with_kind(SpanKind::Server);
            builder.with_attributes(status).start(&tracer).end();
        }
        errors.add(u64::from(refused) * 10, &[]);
    }

    fn flush(&self) {
        self.meters.force_flush().unwrap();
        self.tracers.force_flush().unwrap();
    }
}

fn gateway() -> Gateway {
    let setup = Setup {
        error_budget: "{ policies: [ policies/*.yaml ] }".into(),
        ..Setup::default()
    };
    Gateway::start_with(&setup, &[("policies/shop.yaml", POLICY)])
}

/// One indicator of the shop; null while there is none.
fn indicator(gateway: &Gateway, name: &str) -> Value {
    let all = gateway.api(&format!("/api/v1/indicators?service=shop&name={name}"));
    let found = all["indicators"].as_array().unwrap();
    assert!(found.len() <= 1, "{found:?}");
    found.first().cloned().unwrap_or(Value::Null)
}

fn becomes(gateway: &Gateway, shop: &Shop, name: &str, state: &str) -> Value {
    eventually(&format!("{name} is {state}"), SOON, || {
        // What an SDK with a short interval does.
        shop.flush();
        let now = indicator(gateway, name);
        (now["state"] == state).then_some(now)
    })
}

#[test]
fn metrics_and_spans_of_a_real_sdk_become_states() {
    let gateway = gateway();
    let unseen = eventually("what is declared is there", SOON, || {
        let now = indicator(&gateway, "never_sent");
        (!now.is_null()).then_some(now)
    });
    assert_eq!(
        (&unseen["state"], &unseen["reason"]),
        (&"no_data".into(), &"unseen".into())
    );
    assert_eq!(
        unseen["detail"],
        "no value: nothing has come of nothing.of.the.kind"
    );

    let shop = Shop::new(&gateway);
    shop.pool(5.0);
    shop.serve(60, 0);
    let calm = becomes(&gateway, &shop, "pool_hot", "calm");
    assert_eq!(calm["value"], 0.25);
    assert_eq!(
        (&calm["enter"], &calm["leave"]),
        (&"> 0.9".into(), &"< 0.5".into())
    );

    // The incident.
    shop.pool(19.0);
    shop.serve(60, 40);
    let hot = becomes(&gateway, &shop, "pool_hot", "active");
    assert_eq!((&hot["value"], &hot["reason"]), (&0.95.into(), &"beyond".into()));
    assert_eq!(hot["environment"], "production");
    assert_eq!(hot["groups"][0]["labels"]["pool.name"], "orders");
    for name in ["errors_a_second", "slow_half", "retry_storm", "retry_storm_spans"] {
        let status = becomes(&gateway, &shop, name, "active");
        assert!(status["value"].as_f64().unwrap() > 0.05, "{status}");
    }
    let built_in = indicator(&gateway, "retry_storm");
    assert_eq!(
        built_in["built_in"], false,
        "a policy that tunes a built-in declares it"
    );

    // The same everywhere.
    let active = gateway.api("/api/v1/indicators?active=true&limit=2");
    assert_eq!(
        (
            active["indicators"].as_array().unwrap().len(),
            &active["truncated"]
        ),
        (2, &true.into())
    );
    let page = gateway.metrics();
    let labels = [
        ("service", "shop"),
        ("environment", "production"),
        ("indicator", "pool_hot"),
    ];
    assert_eq!(sample(&page, "burngate_indicator_state", &labels), Some(3.0));
    assert_eq!(sample(&page, "burngate_indicator_value", &labels), Some(0.95));
    assert!(sample(&page, "burngate_indicator_streams", &[]).unwrap() >= 5.0);
    let answer = block_on(async {
        let mut client = BudgetServiceClient::connect(gateway.url("api", ""))
            .await
            .unwrap();
        let request = ListIndicatorsRequest {
            service: "shop".into(),
            name: "pool_hot".into(),
            ..ListIndicatorsRequest::default()
        };
        client.list_indicators(request).await.unwrap().into_inner()
    });
    assert_eq!(answer.indicators.len(), 1);
    assert_eq!(answer.indicators[0].state(), IndicatorState::Active);
    assert_eq!(answer.indicators[0].groups[0].labels["pool.name"], "orders");

    // Between the thresholds nothing changes; below both it ends.
    shop.pool(14.0);
    eventually("the value has come down", SOON, || {
        shop.flush();
        let now = indicator(&gateway, "pool_hot");
        (now["value"] == 0.7).then(|| {
            assert_eq!(
                (&now["state"], &now["reason"]),
                (&"active".into(), &"lingers".into())
            );
        })
    });
    shop.pool(2.0);
    becomes(&gateway, &shop, "pool_hot", "calm");
    // What was turned off is not there, and budgets do not care.
    assert_eq!(indicator(&gateway, "pool_pending"), Value::Null);
    let budgets = gateway.api("/api/v1/budgets/shop");
    assert_eq!(budgets["budgets"].as_array().unwrap().len(), 1);
}

#[test]
fn mistakes_are_answered_with_their_line() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("policies")).unwrap();
    let setup = Setup {
        error_budget: "{ policies: [ policies/*.yaml ] }".into(),
        ..Setup::default()
    };
    std::fs::write(folder.path().join("gateway.yaml"), setup.yaml()).unwrap();
    let policy = "service: shop\nslos: [ { name: availability, target: 99.9% } ]\nindicators:\n  \
                  - { name: a, value: \"rate(x)\", enter: \"> 1\" }\n  \
                  - { name: b, value: \"sum(x)\", enter: \"more than 1\" }\n  \
                  - { built_in: retry_strom }\n  \
                  - { name: c, value: \"sum(x)\", enter: \"> 1\", leave: \"< 2\" }\n  \
                  - { name: pool_use, value: \"sum(x)\", enter: \"> 1\" }\n";
    std::fs::write(folder.path().join("policies/shop.yaml"), policy).unwrap();
    let args = ["run", "--config", "gateway.yaml"];
    let said = Gateway::try_start_in(folder.path(), &args, &[])
        .err()
        .expect("it does not start");
    for line in [
        "shop.yaml:4:23: value: rate needs a window, such as [5m] at column 6",
        "shop.yaml:5:40: enter \"more than 1\": it begins with > or <",
        "shop.yaml:6:17: there is no built-in indicator \"retry_strom\"; did you mean \"retry_storm\"?",
        "shop.yaml:7:54: \"< 2\" would hold where \"> 1\" does",
        "shop.yaml:8:13: \"pool_use\" is a built-in indicator; write built_in: pool_use",
    ] {
        assert!(said.contains(line), "{line}\nnot in\n{said}");
    }
}

#[test]
fn a_question_with_an_unknown_part_is_refused() {
    let gateway = gateway();
    let (status, body) = get(&gateway.url("api", "/api/v1/indicators?colour=red"));
    assert_eq!(status, 400);
    assert!(body.contains("unknown field `colour`"), "{body}");
}
