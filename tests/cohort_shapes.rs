//! Every shape in which telemetry names its deployment and its flags, through the tap, against what it must
//! count as.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::enum_variant_names,
    clippy::type_complexity,
    clippy::too_many_lines,
    clippy::float_cmp,
    reason = "tables and generators of tests: small whole numbers, long lists"
)]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod cohort_support;

use burngate::cohort::Level;
use burngate::config::{Absent, Cohorts};
use cohort_support::{NOW, array, by_cohort, kv, map, request, s, tap};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};

/// What one span is sent with.
#[derive(Clone, Default)]
struct Sent {
    name: &'static str,
    span: Vec<KeyValue>,
    events: Vec<(&'static str, Vec<KeyValue>)>,
    scope: Vec<KeyValue>,
    resource: Vec<KeyValue>,
}

impl Sent {
    fn bytes(&self) -> Vec<u8> {
        let event = |(name, attributes): &(&str, Vec<KeyValue>)| Event {
            name: (*name).into(),
            time_unix_nano: NOW.0,
            attributes: attributes.clone(),
            ..Event::default()
        };
        let span = Span {
            trace_id: vec![1; 16],
            span_id: vec![2; 8],
            name: if self.name.is_empty() {
                "GET /".into()
            } else {
                self.name.into()
            },
            kind: 2,
            start_time_unix_nano: NOW.0 - 1_000_000,
            end_time_unix_nano: NOW.0,
            attributes: self.span.clone(),
            events: self.events.iter().map(event).collect(),
            status: Some(Status {
                code: 2,
                message: String::new(),
            }),
            ..Span::default()
        };
        let mut resource = vec![kv("service.name", s("checkout"))];
        resource.extend(self.resource.clone());
        request(resource, self.scope.clone(), vec![span])
    }
}

/// `flag=variant` of every flag cohort, sorted.
fn flags_with(cohorts: &Cohorts, named: &[&str], sent: &Sent) -> Vec<String> {
    let tap = tap(cohorts, named);
    let outcome = tap.process(&sent.bytes(), None, NOW).unwrap();
    let flags = by_cohort(&tap, &outcome).into_iter().filter_map(|(key, counts)| {
        assert_eq!(
            (counts.good, counts.bad),
            (0, 1),
            "each cohort counts the span once: {key:?}"
        );
        match key.level {
            Level::Flag { flag, variant, .. } => Some(format!("{flag}={variant}")),
            _ => None,
        }
    });
    flags.collect()
}

fn flags(sent: &Sent) -> Vec<String> {
    flags_with(&Cohorts::default(), &[], sent)
}

fn on_span(key: &str, value: Value) -> Sent {
    Sent {
        span: vec![kv(key, value)],
        ..Sent::default()
    }
}

fn evaluated(name: &'static str, attributes: &[(&str, Value)]) -> Sent {
    let attributes = attributes
        .iter()
        .map(|(key, value)| kv(key, value.clone()))
        .collect();
    Sent {
        events: vec![(name, attributes)],
        ..Sent::default()
    }
}

fn check(cases: &[(&str, Sent, &[&str])]) {
    for (case, sent, expected) in cases {
        assert_eq!(flags(sent), *expected, "{case}");
    }
}

/// Shape A, and the rows of the emitters: OpenFeature and LaunchDarkly, old and new names.
#[test]
fn span_events_of_every_hook_are_read() {
    let key = || ("feature_flag.key", s("checkout-v2"));
    let context = || ("feature_flag.context.id", s("user-4711"));
    let new = "feature_flag.evaluation";
    check(&[
        (
            "OpenFeature JS",
            evaluated(
                new,
                &[
                    key(),
                    ("feature_flag.provider.name", s("in-memory")),
                    ("feature_flag.result.reason", s("targeting_match")),
                    ("feature_flag.result.variant", s("Green")),
                    ("feature_flag.result.value", Value::BoolValue(true)),
                    context(),
                ],
            ),
            &["checkout-v2=Green"],
        ),
        (
            "OpenFeature Python sends the value as text",
            evaluated(new, &[key(), ("feature_flag.result.value", s("true"))]),
            &["checkout-v2=on"],
        ),
        (
            ".NET: a null variant, upper-case reason",
            evaluated(
                new,
                &[
                    key(),
                    ("feature_flag.result.reason", s("STATIC")),
                    ("feature_flag.result.value", s("False")),
                ],
            ),
            &["checkout-v2=off"],
        ),
        (
            "OpenFeature Java",
            evaluated(
                "feature_flag",
                &[
                    key(),
                    ("feature_flag.provider_name", s("x")),
                    ("feature_flag.variant", s("blue")),
                ],
            ),
            &["checkout-v2=blue"],
        ),
        (
            "LaunchDarkly: only an index",
            evaluated(
                "feature_flag",
                &[
                    key(),
                    ("feature_flag.provider.name", s("LaunchDarkly")),
                    context(),
                    ("feature_flag.result.variationIndex", Value::IntValue(1)),
                ],
            ),
            &["checkout-v2=#1"],
        ),
        (
            "LaunchDarkly includeValue: JSON-encoded",
            evaluated(
                "feature_flag",
                &[
                    key(),
                    ("feature_flag.result.value", s("\"green\"")),
                    ("feature_flag.result.variationIndex", Value::IntValue(1)),
                ],
            ),
            &["checkout-v2=green"],
        ),
        (
            "LaunchDarkly, index as text",
            evaluated(
                "feature_flag",
                &[key(), ("feature_flag.result.variationIndex", s("2"))],
            ),
            &["checkout-v2=#2"],
        ),
        (
            "an unknown LaunchDarkly flag: key only",
            evaluated("feature_flag", &[key(), context()]),
            &[],
        ),
        (
            "any event with a key, semconv 1.28 names",
            evaluated(
                "something",
                &[
                    ("feature_flag.flag_key", s("f")),
                    ("feature_flag.evaluated.variant", s("a")),
                ],
            ),
            &["f=a"],
        ),
        (
            "evaluated.value",
            evaluated(
                new,
                &[key(), ("feature_flag.evaluated.value", Value::DoubleValue(0.5))],
            ),
            &["checkout-v2=0.5"],
        ),
        (
            "disabled in the service, without a result",
            evaluated(new, &[key(), ("feature_flag.result.reason", s("disabled"))]),
            &["checkout-v2=off"],
        ),
    ]);
    // OpenFeature Go sends arrays.
    let hashed = flags(&evaluated(
        new,
        &[key(), ("feature_flag.result.value", array([s("secret")]))],
    ));
    assert!(
        hashed.len() == 1 && hashed[0].starts_with("checkout-v2=hash:"),
        "{hashed:?}"
    );
}

#[test]
fn failed_default_and_stale_evaluations_have_buckets_of_their_own() {
    let key = || ("feature_flag.key", s("f"));
    let variant = || ("feature_flag.result.variant", s("on"));
    for (reason, bucket) in [
        ("error", "(error)"),
        ("ERROR", "(error)"),
        ("Default", "(default)"),
        ("stale", "(stale)"),
        ("split", "on"),
    ] {
        for name in ["feature_flag.result.reason", "feature_flag.evaluation.reason"] {
            let sent = evaluated("feature_flag.evaluation", &[key(), variant(), (name, s(reason))]);
            assert_eq!(flags(&sent), [format!("f={bucket}")], "{reason}");
        }
    }
    let failed = evaluated(
        "feature_flag.evaluation",
        &[key(), variant(), ("error.type", s("flag_not_found"))],
    );
    assert_eq!(flags(&failed), ["f=(error)"]);
    let own = Sent {
        span: vec![
            kv("feature_flag.key", s("f")),
            kv("feature_flag.result.variant", s("b")),
            kv("error.type", s("500")),
        ],
        ..Sent::default()
    };
    assert_eq!(flags(&own), ["f=b"], "on a span, error.type is the request's");
}

#[test]
fn of_two_evaluations_of_a_flag_the_last_counts_and_each_flag_counts_once() {
    let event = |flag: &str, variant: &str| {
        let attributes = vec![
            kv("feature_flag.key", s(flag)),
            kv("feature_flag.result.variant", s(variant)),
        ];
        ("feature_flag.evaluation", attributes)
    };
    let sent = Sent {
        events: vec![event("a", "1x"), event("b", "x"), event("a", "2x")],
        ..Sent::default()
    };
    assert_eq!(flags(&sent), ["a=2x", "b=x"]);
}

/// Shape D.
#[test]
fn attributes_of_one_flag_are_read_and_convention_names_are_not_flags() {
    check(&[
        (
            "Sentry",
            on_span("flag.evaluation.new-ui", Value::BoolValue(true)),
            &["new-ui=on"],
        ),
        (
            "feature_flags.",
            on_span("feature_flags.new-ui", s("b")),
            &["new-ui=b"],
        ),
        (
            "feature.flags.",
            on_span("feature.flags.new-ui", Value::BoolValue(false)),
            &["new-ui=off"],
        ),
        (
            "feature_flag.",
            on_span("feature_flag.new-ui", Value::IntValue(3)),
            &["new-ui=3"],
        ),
        (
            "double",
            on_span("feature_flag.new-ui", Value::DoubleValue(1.0)),
            &["new-ui=on"],
        ),
        ("context", on_span("feature_flag.context.id", s("user-1")), &[]),
        (
            "old context",
            on_span("feature_flag.context.key", s("user-1")),
            &[],
        ),
        ("provider", on_span("feature_flag.provider.name", s("x")), &[]),
        ("set", on_span("feature_flag.set.id", s("x")), &[]),
        (
            "experiment",
            on_span("feature_flag.result.reason.inExperiment", Value::BoolValue(true)),
            &[],
        ),
        ("message", on_span("feature_flag.error.message", s("x")), &[]),
        ("version", on_span("feature_flag.version", s("1")), &[]),
        ("empty", on_span("feature_flag.new-ui", s("")), &[]),
    ]);
    let direct = Sent {
        span: vec![
            kv("feature_flag.key", s("f")),
            kv("feature_flag.result.value", Value::BoolValue(true)),
        ],
        ..Sent::default()
    };
    assert_eq!(flags(&direct), ["f=on"]);
    let own_prefix = Cohorts {
        flag_prefixes: vec!["app.feature_flag.".into()],
        ..Cohorts::default()
    };
    assert_eq!(
        flags_with(&own_prefix, &[], &on_span("app.feature_flag.x", s("b"))),
        ["x=b"]
    );
}

/// Shape C: such a span is no request.
#[test]
fn spans_that_are_evaluations_are_not_requests() {
    for name in ["feature_flag.evaluation", "LDClient.variationDetail", "variation"] {
        let sent = Sent {
            name,
            span: vec![kv("feature_flag.key", s("f"))],
            ..Sent::default()
        };
        let outcome = tap(&Cohorts::default(), &[])
            .process(&sent.bytes(), None, NOW)
            .unwrap();
        assert_eq!(
            (outcome.series.len(), outcome.stats.evaluation_spans),
            (0, 1),
            "{name}"
        );
    }
}

/// Shape E, in all its forms.
#[test]
fn one_list_attribute_is_read_in_every_form() {
    let list = |value| on_span("feature.flags", value);
    check(&[
        (
            "1 array",
            list(array([s("express-pay"), s("upsell-banner")])),
            &["express-pay=on", "upsell-banner=on"],
        ),
        (
            "1 array items",
            list(array([s("a=b1"), s("c:d1"), s("!e"), s("-f"), s(" g "), s("")])),
            &["a=b1", "c=d1", "e=off", "f=off", "g=on"],
        ),
        (
            "2 array of objects",
            list(array([
                map([("key", s("a")), ("variant", s("x"))]),
                map([("name", s("b")), ("value", Value::BoolValue(false))]),
                map([("flag", s("c")), ("enabled", Value::BoolValue(true))]),
                map([("key", s("d"))]),
            ])),
            &["a=x", "b=off", "c=on", "d=on"],
        ),
        (
            "3 map",
            list(map([
                ("a", Value::BoolValue(true)),
                ("b", s("x")),
                ("c", Value::IntValue(7)),
                ("d", map([("variant", s("y"))])),
            ])),
            &["a=on", "b=x", "c=7", "d=y"],
        ),
        ("4 empty", list(s("")), &[]),
        (
            "4 csv",
            list(s("new_ui,advanced_search")),
            &["advanced_search=on", "new_ui=on"],
        ),
        (
            "4 spaces",
            list(s("checkout=on, search=off")),
            &["checkout=on", "search=off"],
        ),
        (
            "4 separators",
            list(s("a;b|c d\te")),
            &["a=on", "b=on", "c=on", "d=on", "e=on"],
        ),
        (
            "4 spaces around =",
            list(s("a = x , b : y,c= z")),
            &["a=x", "b=y", "c=z"],
        ),
        ("4 colon", list(s("a:on b:off")), &["a=on", "b=off"]),
        ("4 first = splits", list(s("team:a=b=c")), &["team:a=b=c"]),
        ("4 negation", list(s("!a,-b")), &["a=off", "b=off"]),
        ("4 last wins", list(s("a=x,a=y")), &["a=y"]),
        (
            "5 object",
            list(s("{\"new_dashboard\": true, \"beta\": false}")),
            &["beta=off", "new_dashboard=on"],
        ),
        (
            "5 strings",
            list(s(" [\"a\", \"!b\", \"c=x\"]")),
            &["a=on", "b=off", "c=x"],
        ),
        (
            "5 objects",
            list(s(
                "[{\"key\":\"a\",\"variant\":\"x\"},{\"name\":\"b\",\"enabled\":false},{\"flag\":\"c\"}]",
            )),
            &["a=x", "b=off", "c=on"],
        ),
        ("5 broken", list(s("{\"a\": true")), &[]),
        ("5 scalar items", list(s("[1, null, \"a\"]")), &["a=on"]),
        ("6 bool", list(Value::BoolValue(true)), &[]),
        ("6 number", list(Value::IntValue(3)), &[]),
        ("6 bool as text", list(s("true")), &[]),
        ("7 bytes", list(Value::BytesValue(b"a".to_vec())), &[]),
        ("feature_flags", on_span("feature_flags", s("a")), &["a=on"]),
        ("featureFlags", on_span("featureFlags", s("a")), &["a=on"]),
        (
            "feature_flag.enabled",
            on_span("feature_flag.enabled", array([s("a")])),
            &["a=on"],
        ),
    ]);
    let plain = Cohorts {
        flag_list_negation: false,
        ..Cohorts::default()
    };
    assert_eq!(flags_with(&plain, &[], &list(s("!a,-b"))), ["!a=on", "-b=on"]);
}

#[test]
fn rejected_evidence_is_counted_by_what_was_wrong() {
    let problems = |sent: &Sent| {
        tap(&Cohorts::default(), &[])
            .process(&sent.bytes(), None, NOW)
            .unwrap()
            .problems
    };
    let list = |value| on_span("feature.flags", value);
    for (sent, kind, times) in [
        (list(Value::BoolValue(true)), "rejected_list", 1),
        (list(s("{broken")), "rejected_list", 1),
        (list(s("a=\u{1},b\u{2},,c")), "invalid_item", 2),
        (list(s(&"long-flag-name,".repeat(400))), "truncated_list", 1),
        (
            evaluated("feature_flag", &[("feature_flag.key", s("f"))]),
            "without_result",
            1,
        ),
        (on_span("deployment.sha", s("a\nb")), "invalid_deployment", 1),
    ] {
        assert_eq!(problems(&sent).get(kind), Some(&times), "{kind}");
    }
}

/// Caveat 4.
#[test]
fn a_list_without_a_named_flag_is_its_control() {
    let named = &["new-checkout", "other"][..];
    let default = Cohorts::default();
    let off = ["new-checkout=off", "other=off"];
    for empty in [s(""), array([]), map([]), s("[]"), s("{}")] {
        assert_eq!(
            flags_with(&default, named, &on_span("feature.flags", empty.clone())),
            off,
            "{empty:?}"
        );
    }
    let partly = on_span("feature.flags", array([s("new-checkout"), s("x")]));
    assert_eq!(
        flags_with(&default, named, &partly),
        ["new-checkout=on", "other=off", "x=on"]
    );
    assert_eq!(
        flags_with(&default, named, &Sent::default()),
        [""; 0],
        "no list, no arm"
    );
    let ignore = Cohorts {
        absent: Absent::Ignore,
        ..Cohorts::default()
    };
    assert_eq!(flags_with(&ignore, named, &partly), ["new-checkout=on", "x=on"]);
    let event = evaluated(
        "feature_flag",
        &[
            ("feature_flag.key", s("x")),
            ("feature_flag.result.variant", s("b")),
        ],
    );
    assert_eq!(
        flags_with(&default, named, &event),
        ["x=b"],
        "events imply no absence"
    );
    let resource = Sent {
        resource: vec![kv("feature.flags", s("other"))],
        ..Sent::default()
    };
    assert_eq!(
        flags_with(&default, named, &resource),
        ["new-checkout=off", "other=on"],
        "shape F"
    );
    let unusable = on_span("feature.flags", s("new-checkout=\u{1}"));
    assert_eq!(
        flags_with(&default, named, &unusable),
        ["other=off"],
        "mentioned is not absent"
    );
    for unknown in [s("{broken"), s(&"long-flag-name,".repeat(400))] {
        let flags = flags_with(&default, &["new-checkout"], &on_span("feature.flags", unknown));
        assert!(!flags.contains(&"new-checkout=off".to_owned()), "{flags:?}");
    }
}

#[test]
fn evidence_is_ranked_for_each_flag_by_itself() {
    let event = |variant: &str| {
        vec![(
            "feature_flag",
            vec![
                kv("feature_flag.key", s("f")),
                kv("feature_flag.result.variant", s(variant)),
            ],
        )]
    };
    let mut sent = Sent {
        resource: vec![
            kv("feature.flags", s("f=resource-list,g=resource-list")),
            kv("feature_flag.f", s("resource")),
        ],
        ..Sent::default()
    };
    assert_eq!(flags(&sent), ["f=resource", "g=resource-list"]);
    sent.scope = vec![kv("feature.flags", s("f=scope-list"))];
    assert_eq!(flags(&sent), ["f=scope-list", "g=resource-list"]);
    sent.span = vec![kv("feature.flags", s("f=list"))];
    assert_eq!(flags(&sent), ["f=list", "g=resource-list"]);
    sent.scope.push(kv("feature_flag.f", s("scope")));
    assert_eq!(flags(&sent), ["f=scope", "g=resource-list"]);
    sent.span.push(kv("flag.evaluation.f", s("span")));
    assert_eq!(flags(&sent), ["f=span", "g=resource-list"]);
    sent.events = event("event");
    assert_eq!(flags(&sent), ["f=event", "g=resource-list"]);
    sent.events = vec![("feature_flag", vec![kv("feature_flag.key", s("f"))])];
    assert_eq!(
        flags(&sent),
        ["f=span", "g=resource-list"],
        "an event without a result does not hide it"
    );
}

#[test]
fn named_flags_come_first_when_there_are_too_many() {
    let two = Cohorts {
        max_flags: 2,
        ..Cohorts::default()
    };
    let sent = on_span("feature.flags", s("a,b,c,z"));
    assert_eq!(flags_with(&two, &["z"], &sent), ["a=on", "z=on"]);
}

/// Shape G.
#[test]
fn the_best_deployment_attribute_wins_wherever_it_stands() {
    let sha = |sent: &Sent| {
        let tap = tap(&Cohorts::default(), &[]);
        let outcome = tap.process(&sent.bytes(), None, NOW).unwrap();
        let mut shas = by_cohort(&tap, &outcome)
            .into_keys()
            .filter_map(|key| match key.level {
                Level::Deployment { sha } => Some(sha.to_string()),
                _ => None,
            });
        shas.next()
    };
    let mut sent = Sent::default();
    assert_eq!(sha(&sent), None);
    sent.span = vec![kv("service.version", s("1.2.3"))];
    assert_eq!(sha(&sent).as_deref(), Some("1.2.3"));
    sent.resource = vec![kv("git.commit.sha", s("resource"))];
    assert_eq!(
        sha(&sent).as_deref(),
        Some("resource"),
        "the order of attributes comes first"
    );
    sent.scope = vec![kv("git.commit.sha", s("scope"))];
    assert_eq!(sha(&sent).as_deref(), Some("scope"));
    sent.span.push(kv("git.commit.sha", s("span")));
    assert_eq!(sha(&sent).as_deref(), Some("span"));
    sent.resource.push(kv("deployment.sha", s("best")));
    assert_eq!(sha(&sent).as_deref(), Some("best"));
    sent.span.push(kv("deployment.sha", s("")));
    assert_eq!(sha(&sent).as_deref(), Some("best"), "empty is absent");
    sent.span
        .push(kv("deployment.sha", array([s("tag-1"), s("tag-2")])));
    assert_eq!(sha(&sent).as_deref(), Some("tag-1"));
    let long = on_span("deployment.sha", s(&"x".repeat(500)));
    assert_eq!(sha(&long).map(|sha| sha.len()), Some(128));
    assert_eq!(sha(&on_span("deployment.sha", s("a\u{7}"))), None);
    assert_eq!(sha(&on_span("service.instance.id", s("pod-1"))), None);
}

#[test]
fn no_context_id_is_ever_kept() {
    let sent = evaluated(
        "feature_flag.evaluation",
        &[
            ("feature_flag.key", s("f")),
            ("feature_flag.result.variant", s("on")),
            ("feature_flag.context.id", s("alice@example.com")),
            ("feature_flag.context.key", s("alice@example.com")),
        ],
    );
    let tap = tap(&Cohorts::default(), &["f"]);
    let outcome = tap.process(&sent.bytes(), None, NOW).unwrap();
    assert!(!format!("{:?} {:?}", tap.registry(), outcome).contains("alice"));
    assert_eq!(by_cohort(&tap, &outcome).len(), 2);
}
