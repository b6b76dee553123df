//! The real binary: flag evaluations that come apart from their request, log records as SLIs, what bad requests have in
//! common, and requests that are sent twice.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    missing_docs
)]

mod support;

use burngate::api::proto::budget_service_client::BudgetServiceClient;
use burngate::api::proto::{ListShapesRequest, ListSignaturesRequest};
use serde_json::{Value, json};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use support::{Gateway, Setup, block_on, eventually, post, python, sample};

const WITHIN: Duration = Duration::from_secs(20);

fn now_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_nanos()).unwrap()
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn resource(service: &str) -> Value {
    json!({ "attributes": [text("service.name", service), text("deployment.sha", "abc")] })
}

/// A span: trace, id, parent (0 for none), kind; the rest may be changed.
fn span(trace: u64, id: u64, parent: u64, kind: u64) -> Value {
    let now = now_nanos();
    let parent = if parent == 0 {
        String::new()
    } else {
        format!("{parent:016x}")
    };
    json!({
        "traceId": format!("{trace:032x}"), "spanId": format!("{id:016x}"), "parentSpanId": parent,
        "name": "POST /pay", "kind": kind,
        "startTimeUnixNano": (now - 5_000_000).to_string(), "endTimeUnixNano": now.to_string(),
        "attributes": [text("http.route", "/pay")],
    })
}

fn evaluation(variant: &str) -> Value {
    json!([
        text("feature_flag.key", "new-checkout"),
        text("feature_flag.result.variant", variant),
        text("feature_flag.provider.name", "LaunchDarkly"),
        text("feature_flag.set.id", "5f1d"),
    ])
}

fn failed(mut span: Value) -> Value {
    span["status"] = json!({ "code": 2 });
    span["events"] = json!([{ "name": "exception", "attributes": [text("exception.type", "TimeoutError")] }]);
    span
}

fn traces(service: &str, spans: &[Value]) -> Vec<u8> {
    let body =
        json!({ "resourceSpans": [{ "resource": resource(service), "scopeSpans": [{ "spans": spans }] }] });
    serde_json::to_vec(&body).unwrap()
}

fn logs(service: &str, records: &[Value]) -> Vec<u8> {
    let body = json!({ "resourceLogs": [{ "resource": resource(service), "scopeLogs": [{ "logRecords": records }] }] });
    serde_json::to_vec(&body).unwrap()
}

fn send(gateway: &Gateway, path: &str, body: Vec<u8>) {
    let (status, answer) = post(&format!("{}{path}", gateway.http()), "application/json", body);
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&answer));
}

/// Good and bad of the cohorts of one flag variant.
fn variant(gateway: &Gateway, service: &str, variant: &str) -> (u64, u64) {
    let cohorts = gateway.api(&format!("/api/v1/cohorts?service={service}&flag=new-checkout"));
    counts(&cohorts["cohorts"], |c| {
        c["variant"] == variant && c["sha"] == "abc"
    })
}

fn counts(list: &Value, pick: impl Fn(&Value) -> bool) -> (u64, u64) {
    let picked = list.as_array().unwrap().iter().filter(|c| pick(c));
    picked.fold((0, 0), |(good, bad), c| {
        (
            good + c["good_total"].as_u64().unwrap(),
            bad + c["bad_total"].as_u64().unwrap(),
        )
    })
}

/// A metric that counts things.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it counts things"
)]
fn metric(gateway: &Gateway, name: &str, labels: &[(&str, &str)]) -> u64 {
    sample(&gateway.metrics(), name, labels).unwrap_or(0.0) as u64
}

#[test]
fn evaluations_of_child_spans_and_log_records_count_for_their_requests_and_are_explained() {
    let gateway = Gateway::start(&Setup::default());
    let event = |variant| json!([{ "name": "feature_flag.evaluation", "attributes": evaluation(variant) }]);
    // The children end, and come, first: forty requests that saw `on` and fail, forty that saw `off`.
    for (base, variant) in [(100u64, "on"), (200, "off")] {
        let children: Vec<_> = (base..base + 40)
            .map(|trace| {
                let mut child = span(trace, 2, 1, 1);
                child["events"] = event(variant);
                child
            })
            .collect();
        send(&gateway, "/v1/traces", traces("checkout", &children));
        let roots = (base..base + 40).map(|trace| span(trace, 1, 0, 2));
        let roots: Vec<_> = roots
            .map(|root| if variant == "on" { failed(root) } else { root })
            .collect();
        send(&gateway, "/v1/traces", traces("checkout", &roots));
    }
    // The others tell of it afterwards, in records.
    let roots: Vec<_> = (300..310).map(|trace| span(trace, 1, 0, 2)).collect();
    send(&gateway, "/v1/traces", traces("checkout", &roots));
    let records: Vec<_> = (300..310u64)
        .map(|trace| {
            json!({
                "timeUnixNano": now_nanos().to_string(), "eventName": "feature_flag.evaluation",
                "traceId": format!("{trace:032x}"), "spanId": format!("{:016x}", 1), "attributes": evaluation("beta"),
            })
        })
        .collect();
    send(&gateway, "/v1/logs", logs("checkout", &records));
    eventually("every variant", WITHIN, || {
        let seen = ["on", "off", "beta"].map(|name| variant(&gateway, "checkout", name));
        (seen == [(0, 40), (40, 0), (10, 0)]).then_some(())
    });
    let total = counts(&gateway.api("/api/v1/budgets")["budgets"], |b| {
        b["service"] == "checkout"
    });
    assert_eq!(total, (50, 40), "nobody counts twice");
    assert_eq!(
        metric(&gateway, "burngate_join_evidence_total", &[("outcome", "joined")]),
        90
    );
    assert!(metric(&gateway, "burngate_join_spans", &[]) >= 130);

    let shapes = gateway.api("/api/v1/shapes?service=checkout");
    let count = |place: &str| {
        let rows = shapes["shapes"].as_array().unwrap().iter();
        rows.filter(|row| row["place"] == place && row["form"] == "evaluation" && row["refused"].is_null())
            .map(|row| row["count"].as_u64().unwrap())
            .sum::<u64>()
    };
    assert_eq!((count("child_span"), count("log_record")), (80, 10), "{shapes}");
    let told = &shapes["evaluations"][0];
    assert_eq!(
        (
            &told["flag"],
            &told["provider"],
            &told["provider_environment"],
            &told["count"]
        ),
        (
            &json!("new-checkout"),
            &json!("LaunchDarkly"),
            &json!("5f1d"),
            &json!(90)
        )
    );

    // What the bad ones have in common, for the cohort that was known only through the join.
    let signatures = gateway.api("/api/v1/signatures?service=checkout&flag=new-checkout");
    let series = &signatures["series"].as_array().unwrap()[..];
    assert_eq!(series.len(), 1, "{signatures}");
    assert_eq!(series[0]["variant"], "on");
    let top = &series[0]["signatures"][0];
    assert_eq!(
        (&top["what"], &top["route"], &top["count"], &top["error"]),
        (&json!("TimeoutError"), &json!("/pay"), &json!(40), &json!(0))
    );
    assert_eq!(top["traces"].as_array().unwrap().len(), 3);
    let api = gateway.url("api", "");
    block_on(async {
        let mut client = BudgetServiceClient::connect(api).await.unwrap();
        let request = ListSignaturesRequest {
            variant: "on".to_owned(),
            ..ListSignaturesRequest::default()
        };
        let same = client.list_signatures(request).await.unwrap().into_inner();
        assert_eq!(same.series[0].signatures[0].count, 40);
        let shapes = client
            .list_shapes(ListShapesRequest::default())
            .await
            .unwrap()
            .into_inner();
        assert_eq!(shapes.evaluations[0].count, 90);
    });
}

#[test]
fn refused_shapes_are_shown_with_the_reason() {
    let gateway = Gateway::start(&Setup::default());
    let mut switch = span(1, 1, 0, 2);
    switch["attributes"] = json!([{ "key": "feature.flags", "value": { "boolValue": true } }]);
    let mut broken = span(2, 1, 0, 2);
    broken["attributes"] = json!([text("feature_flags", "{\"a\": ")]);
    let mut silent = span(3, 1, 0, 2);
    silent["events"] = json!([{ "name": "feature_flag", "attributes": [text("feature_flag.key", "a")] }]);
    send(&gateway, "/v1/traces", traces("cart", &[switch, broken, silent]));
    let shapes = gateway.api("/api/v1/shapes?service=cart");
    let rows = shapes["shapes"].as_array().unwrap();
    for (attribute, place, form, refused) in [
        ("feature.flags", "item", "scalar", "not_a_list"),
        ("feature_flags", "item", "list_json", "unreadable"),
        ("feature_flag.key", "span_event", "evaluation", "without_result"),
    ] {
        let is = |row: &&Value| {
            row["attribute"] == attribute
                && row["place"] == place
                && row["form"] == form
                && row["refused"] == refused
        };
        assert_eq!(rows.iter().filter(is).count(), 1, "{attribute}: {shapes}");
    }
    let (status, _) = support::get(&gateway.url("api", "/api/v1/shapes?colour=red"));
    assert_eq!(status, 400);
}

const ORDERS: &str = "
service: orders
slos:
  - name: placed
    target: 99%
    sli: { logs: { event: order.placed, match: { order.kind: [ retail, b2b ] } }, bad: \"order.outcome != accepted\" }
  - { name: quiet, target: 99.5%, sli: { logs: { severity: info } } }
  - { name: import, target: 95%, sli: { logs: { body: 'import of *' }, good: 'severity < 13' } }
  - { name: rows, target: 95%, sli: { logs: { match: { body.step: load } }, bad: 'body.rows == 0' } }
";

#[test]
fn log_records_are_events_of_slis_and_count_for_their_flags() {
    let setup = Setup {
        error_budget: "{ policies: [ policies/*.yaml ] }".into(),
        ..Setup::default()
    };
    let gateway = Gateway::start_with(&setup, &[("policies/orders.yaml", ORDERS)]);
    let record = |severity: u64, more: Value| {
        let mut record = json!({ "timeUnixNano": now_nanos().to_string(), "severityNumber": severity });
        for (key, value) in more.as_object().unwrap() {
            record[key] = value.clone();
        }
        record
    };
    let order = |kind: &str, outcome: &str| {
        let attributes = json!([
            text("order.kind", kind),
            text("order.outcome", outcome),
            text("feature.flags", "new-checkout")
        ]);
        record(
            5,
            json!({ "eventName": "order.placed", "attributes": attributes }),
        )
    };
    let step = |rows: u64| {
        let members =
            json!([text("step", "load"), { "key": "rows", "value": { "intValue": rows.to_string() } }]);
        record(5, json!({ "body": { "kvlistValue": { "values": members } } }))
    };
    // As SDKs named events before a record had a field for it, and severities as some libraries write them.
    let mut early = order("retail", "accepted");
    let name = early["eventName"].take();
    let attributes = early["attributes"].as_array_mut().unwrap();
    attributes.push(text("event.name", name.as_str().unwrap()));
    early["eventName"] = json!("");
    let worded = |text: &str| {
        record(
            0,
            json!({ "severityText": text, "body": { "stringValue": "worded" } }),
        )
    };
    let mut records = vec![
        early,
        worded("Information"),
        worded("INFO"),
        worded("error"),
        order("retail", "accepted"),
        order("b2b", "lost"),
        order("gift", "lost"),
        step(7),
        step(0),
    ];
    records.extend(
        [9, 12, 16, 17, 21].map(|severity| record(severity, json!({ "body": { "stringValue": "served" } }))),
    );
    records.extend(
        [5, 13].map(|severity| record(severity, json!({ "body": { "stringValue": "import of shoes" } }))),
    );
    send(&gateway, "/v1/logs", logs("orders", &records));
    let of = |slo: &str| {
        let budgets = gateway.api("/api/v1/budgets");
        counts(&budgets["budgets"], |b| {
            b["service"] == "orders" && b["slo"] == slo
        })
    };
    eventually("all four", WITHIN, || {
        // quiet: 9, INFO, 12, 13, 16 good; 17, error and 21 bad.
        let seen = ["placed", "quiet", "import", "rows"].map(of);
        (seen == [(2, 1), (5, 3), (1, 1), (1, 1)]).then_some(())
    });
    let cohorts = gateway.api("/api/v1/cohorts?service=orders&flag=new-checkout");
    let on = counts(&cohorts["cohorts"], |c| {
        c["slo"] == "placed" && c["variant"] == "on" && c["sha"] == "abc"
    });
    assert_eq!(on, (2, 1));
    // Each once, however many SLOs it is of; the gift and what has no severity that anybody knows are of none.
    assert_eq!(metric(&gateway, "burngate_log_records_judged_total", &[]), 14);
    assert_eq!(
        metric(
            &gateway,
            "burngate_receiver_accepted_items_total",
            &[("transport", "http"), ("signal", "logs")]
        ),
        16
    );
}

#[test]
fn a_request_that_comes_again_is_answered_and_counts_once() {
    let gateway = Gateway::start(&Setup::default());
    let body = traces("checkout", &[span(1, 1, 0, 2), failed(span(2, 1, 0, 2))]);
    for _ in 0..3 {
        send(&gateway, "/v1/traces", body.clone());
    }
    let other = traces("checkout", &[span(3, 1, 0, 2)]);
    send(&gateway, "/v1/traces", other);
    let total = || {
        counts(&gateway.api("/api/v1/budgets")["budgets"], |b| {
            b["service"] == "checkout"
        })
    };
    eventually("three requests", WITHIN, || (total() == (2, 1)).then_some(()));
    let repeated = metric(
        &gateway,
        "burngate_dedup_repeated_requests_total",
        &[("signal", "traces")],
    );
    assert_eq!((repeated, metric(&gateway, "burngate_dedup_bodies", &[])), (2, 2));
    let accepted = metric(
        &gateway,
        "burngate_receiver_accepted_items_total",
        &[("transport", "http"), ("signal", "traces")],
    );
    assert_eq!(accepted, 7, "each was answered as any other");
    // A body that is refused is not remembered.
    for _ in 0..2 {
        let (status, _) = post(
            &format!("{}/v1/traces", gateway.http()),
            "application/x-protobuf",
            vec![0xff; 9],
        );
        assert_eq!(status, 400);
    }
    assert_eq!(metric(&gateway, "burngate_dedup_bodies", &[]), 2);
}

#[test]
fn switched_off_every_request_counts_and_spans_can_be_told_apart_instead() {
    let setup = Setup {
        error_budget: "{ dedup: { bodies: false } }".into(),
        ..Setup::default()
    };
    let gateway = Gateway::start(&setup);
    let body = traces("checkout", &[span(1, 1, 0, 2)]);
    send(&gateway, "/v1/traces", body.clone());
    send(&gateway, "/v1/traces", body);
    let total = |gateway: &Gateway| {
        counts(&gateway.api("/api/v1/budgets")["budgets"], |b| {
            b["service"] == "checkout"
        })
    };
    eventually("both", WITHIN, || (total(&gateway) == (2, 0)).then_some(()));

    let setup = Setup {
        error_budget: "{ dedup: { bodies: false, spans: true } }".into(),
        ..Setup::default()
    };
    let gateway = Gateway::start(&setup);
    let spans: Vec<_> = (1..=5).map(|trace| span(trace, 1, 0, 2)).collect();
    send(&gateway, "/v1/traces", traces("checkout", &spans[..3]));
    send(&gateway, "/v1/traces", traces("checkout", &spans));
    eventually("each span once", WITHIN, || {
        (total(&gateway) == (5, 0)).then_some(())
    });
    assert_eq!(metric(&gateway, "burngate_dedup_repeated_spans_total", &[]), 3);
}

/// The official Python SDK: a flag is evaluated (OpenFeature, its OpenTelemetry hook) in a child span, and in another service
/// a log record tells of it, as the JavaScript hook writes them. Batches leave as the SDK likes.
const EMITTER: &str = r"
import json, sys, time
from openfeature import api
from openfeature.provider.in_memory_provider import InMemoryProvider, InMemoryFlag
from openfeature.evaluation_context import EvaluationContext
from openfeature.flag_evaluation import FlagResolutionDetails, Reason
from openfeature.contrib.hook.opentelemetry import TracingHook
from opentelemetry import trace
from opentelemetry._logs import LogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
endpoint, n = sys.argv[1], int(sys.argv[2])
resource = Resource.create({'service.name': sys.argv[3], 'deployment.sha': 'abc'})
tp = TracerProvider(resource=resource)
tp.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, insecure=True), max_export_batch_size=7, schedule_delay_millis=20))
lp = LoggerProvider(resource=resource)
lp.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(endpoint=endpoint, insecure=True), schedule_delay_millis=300))
trace.set_tracer_provider(tp)
tr, lg = tp.get_tracer('t'), lp.get_logger('t')
def pick(flag, ctx):
    v = 'on' if int(ctx.targeting_key) % 3 == 0 else 'off'
    return FlagResolutionDetails(value=flag.variants[v], variant=v, reason=Reason.TARGETING_MATCH)
api.set_provider(InMemoryProvider({'new-checkout': InMemoryFlag(default_variant='off', variants={'on': True, 'off': False}, context_evaluator=pick)}))
api.add_hooks([TracingHook()])
client, records = api.get_client(), sys.argv[4] == 'records'
count = dict(on=0, off=0, on_bad=0)
for i in range(n):
    with tr.start_as_current_span('POST /pay', kind=SpanKind.SERVER) as root:
        with tr.start_as_current_span('handle') as handler:
            with tr.start_as_current_span('decide'):
                if records:
                    on = i % 3 == 0
                    lg.emit(LogRecord(timestamp=time.time_ns(), context=set_span_in_context(trace.get_current_span()), event_name='feature_flag.evaluation',
                        attributes={'feature_flag.key': 'new-checkout', 'feature_flag.result.variant': 'on' if on else 'off', 'feature_flag.result.reason': 'targeting_match', 'feature_flag.provider.name': 'in-memory'}))
                else:
                    on = client.get_boolean_value('new-checkout', False, EvaluationContext(targeting_key=str(i)))
        count['on' if on else 'off'] += 1
        if on and i % 2 == 0:
            count['on_bad'] += 1
            root.set_status(Status(StatusCode.ERROR)); root.record_exception(TimeoutError('slow'))
print(json.dumps(dict(flushed=tp.force_flush(20000) and lp.force_flush(20000), **count)))
tp.shutdown(); lp.shutdown()
";

#[test]
fn openfeature_in_a_child_span_and_records_of_the_sdk_count_for_the_request() {
    let Some(python) = python() else { return };
    let gateway = Gateway::start(&Setup::default());
    for (service, kind) in [("events", "events"), ("records", "records")] {
        // A first evaluation, so that the service is watched from its first request on.
        let watch = json!({ "eventName": "feature_flag.evaluation", "traceId": format!("{:032x}", 7), "spanId": format!("{:016x}", 7),
            "attributes": evaluation("on") });
        send(&gateway, "/v1/logs", logs(service, &[watch]));
        let output = Command::new(&python)
            .args(["-c", EMITTER, &gateway.grpc(), "300", service, kind])
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let receipt: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(receipt["flushed"], true, "{receipt}");
        let number = |key: &str| receipt[key].as_u64().unwrap();
        let want = [
            (number("on") - number("on_bad"), number("on_bad")),
            (number("off"), 0),
        ];
        eventually("both variants", WITHIN, || {
            let seen = ["on", "off"].map(|name| variant(&gateway, service, name));
            (seen == want).then_some(())
        });
        let signatures = gateway.api(&format!("/api/v1/signatures?service={service}&variant=on"));
        let top = &signatures["series"][0]["signatures"][0];
        assert_eq!(
            (&top["what"], top["count"].as_u64()),
            (&json!("TimeoutError"), Some(number("on_bad"))),
            "{signatures}"
        );
    }
}
