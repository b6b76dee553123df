//! The actions of `resource` and `attributes`.

use crate::config::{
    Action, ActionKind, AttributeMatch, AttributesProcessor, ConvertTo, LibraryMatch, Matching, Origin,
    Place, PlainValue, ResourceProcessor, SeverityMatch,
};
use crate::pipeline::{Batch, ClientMetadata, Process, Signal};
use crate::process::attributes::AttributeEdits;
use crate::process::resource::ResourceEdits;
use crate::process::testing::{
    IntoValue, attribute, batch_of_metrics, batch_of_records, batch_of_spans, metrics, records, spans, traces,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{Gauge, Metric, NumberDataPoint};
use opentelemetry_proto::tonic::trace::v1::Span;
use std::sync::Arc;

fn action(kind: ActionKind) -> Action {
    Action {
        kind,
        at: Place::default(),
    }
}

fn text(text: &str) -> Origin {
    Origin::Value(PlainValue::Text(text.to_owned()))
}

fn edits(actions: Vec<ActionKind>) -> AttributesProcessor {
    AttributesProcessor {
        actions: actions.into_iter().map(action).collect(),
        ..AttributesProcessor::default()
    }
}

fn with(attributes: Vec<KeyValue>) -> Span {
    Span {
        attributes,
        ..Span::default()
    }
}

/// The attributes of a span after the actions.
fn after(attributes: Vec<KeyValue>, actions: Vec<ActionKind>) -> Vec<KeyValue> {
    let edits = AttributeEdits::new("attributes", &edits(actions)).unwrap();
    let processed = edits.process(batch_of_spans(vec![with(attributes)])).unwrap();
    spans(&processed.batch.unwrap()).remove(0).attributes
}

fn key(key: &str) -> String {
    key.to_owned()
}

#[test]
fn insert_update_and_upsert_differ_in_what_must_be_there() {
    let make = |which: &str, at: &str| {
        let (key, from) = (key(at), text("new"));
        match which {
            "insert" => ActionKind::Insert { key, from },
            "update" => ActionKind::Update { key, from },
            _ => ActionKind::Upsert { key, from },
        }
    };
    let old = || vec![attribute("old", 1)];
    for (which, at, expected) in [
        ("insert", "old", old()),
        ("insert", "k", vec![attribute("old", 1), attribute("k", "new")]),
        ("update", "old", vec![attribute("old", "new")]),
        ("update", "k", old()),
        ("upsert", "old", vec![attribute("old", "new")]),
        ("upsert", "k", vec![attribute("old", 1), attribute("k", "new")]),
    ] {
        assert_eq!(after(old(), vec![make(which, at)]), expected, "{which} {at}");
    }
}

#[test]
fn values_come_from_the_configuration_an_attribute_or_the_client() {
    let upsert = |at: &str, from| ActionKind::Upsert { key: key(at), from };
    let list = PlainValue::List(vec![PlainValue::Int(1), PlainValue::Bool(true)]);
    let actions = vec![
        upsert("a", Origin::Value(PlainValue::Int(-3))),
        upsert("b", Origin::Value(PlainValue::Double(0.5))),
        upsert("c", Origin::Value(PlainValue::Bool(true))),
        upsert("d", Origin::Attribute(key("a"))),
        upsert("e", Origin::Attribute(key("nope"))),
        upsert("f", Origin::Context(key("metadata.x-tenant"))),
        upsert("g", Origin::Context(key("client.address"))),
        upsert("h", Origin::Context(key("auth.subject"))),
        upsert("i", Origin::Context(key("metadata.nope"))),
        upsert("j", Origin::Value(list)),
    ];
    let edits = AttributeEdits::new("attributes", &edits(actions)).unwrap();
    let mut batch = batch_of_spans(vec![with(Vec::new())]);
    batch.peer = Some("10.1.2.3:99".parse().unwrap());
    batch.metadata = Some(Arc::new(ClientMetadata {
        headers: vec![("x-tenant".into(), "t1".into())],
        identity: Some("me".into()),
    }));
    let processed = edits.process(batch).unwrap();
    let mut found = spans(&processed.batch.unwrap()).remove(0).attributes;
    assert_eq!(found.pop().unwrap().key, "j");
    assert_eq!(
        found,
        [
            attribute("a", -3),
            attribute("b", 0.5),
            attribute("c", true),
            attribute("d", -3),
            attribute("f", "t1"),
            attribute("g", "10.1.2.3"),
            attribute("h", "me"),
        ]
    );
}

#[test]
fn delete_and_hash_go_by_key_and_by_pattern() {
    let all = || {
        vec![
            attribute("user.id", 1),
            attribute("user.name", "ann"),
            attribute("other", true),
        ]
    };
    let delete = |key: Option<&str>, pattern: Option<&str>| ActionKind::Delete {
        key: key.map(str::to_owned),
        pattern: pattern.map(str::to_owned),
    };
    assert_eq!(
        after(all(), vec![delete(Some("other"), None)]),
        [attribute("user.id", 1), attribute("user.name", "ann")]
    );
    assert_eq!(
        after(all(), vec![delete(None, Some("^user\\."))]),
        [attribute("other", true)]
    );
    assert_eq!(
        after(all(), vec![delete(Some("other"), Some("id$"))]),
        [attribute("user.name", "ann")]
    );
    let hash = ActionKind::Hash {
        key: Some(key("other")),
        pattern: Some(key("^user")),
    };
    // SHA-256 of 01 00 00 00 00 00 00 00, of "ann", of 01.
    assert_eq!(
        after(all(), vec![hash]),
        [
            attribute(
                "user.id",
                "7c9fa136d4413fa6173637e883b6998d32e1d675f88cddff9dcbcf331820f4b8"
            ),
            attribute(
                "user.name",
                "49915e0d7d4b402e3017d010bc1c0e83cac6c797d6c16e66340fe3268693a6a1"
            ),
            attribute(
                "other",
                "4bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a"
            ),
        ]
    );
}

#[test]
fn extract_takes_the_named_groups_of_a_text() {
    let extract = || ActionKind::Extract {
        key: key("url"),
        pattern: key("^(?P<scheme>[a-z]+)://(?P<host>[^/]+)(?P<port>:[0-9]+)?"),
    };
    assert_eq!(
        after(
            vec![attribute("url", "https://a.b/c"), attribute("host", "old")],
            vec![extract()]
        ),
        [
            attribute("url", "https://a.b/c"),
            attribute("host", "a.b"),
            attribute("scheme", "https"),
            attribute("port", ""),
        ]
    );
    for untouched in [
        attribute("url", "nonsense"),
        attribute("url", 5),
        attribute("other", "x://y"),
    ] {
        assert_eq!(after(vec![untouched.clone()], vec![extract()]), [untouched]);
    }
}

#[test]
fn convert_changes_the_type_where_it_can() {
    fn converted(value: impl IntoValue, to: ConvertTo) -> KeyValue {
        let convert = ActionKind::Convert { key: key("k"), to };
        after(vec![attribute("k", value)], vec![convert]).remove(0)
    }
    assert_eq!(converted("12", ConvertTo::Int), attribute("k", 12));
    assert_eq!(converted(1.9, ConvertTo::Int), attribute("k", 1));
    assert_eq!(converted(true, ConvertTo::Int), attribute("k", 1));
    assert_eq!(converted("x", ConvertTo::Int), attribute("k", "x"));
    assert_eq!(converted("1.5", ConvertTo::Double), attribute("k", 1.5));
    assert_eq!(converted(2, ConvertTo::Double), attribute("k", 2.0));
    assert_eq!(converted(2.5, ConvertTo::Text), attribute("k", "2.5"));
    assert_eq!(converted(true, ConvertTo::Text), attribute("k", "true"));
    assert_eq!(converted("same", ConvertTo::Text), attribute("k", "same"));
}

#[test]
fn a_key_that_is_there_twice_is_one_after_it_was_written() {
    let twice = vec![attribute("k", 1), attribute("other", 2), attribute("k", 3)];
    let update = ActionKind::Update {
        key: key("k"),
        from: text("x"),
    };
    assert_eq!(
        after(twice, vec![update]),
        [attribute("other", 2), attribute("k", "x")]
    );
}

#[test]
fn a_resource_is_edited_and_made_where_there_is_none() {
    let config = ResourceProcessor {
        actions: vec![action(ActionKind::Upsert {
            key: key("deployment.sha"),
            from: text("4f2a"),
        })],
    };
    let edits = ResourceEdits::new("resource", &config).unwrap();
    let processed = edits.process(batch_of_spans(vec![with(Vec::new())])).unwrap();
    let request = traces(&processed.batch.unwrap());
    assert_eq!(
        request.resource_spans[0].resource.as_ref().unwrap().attributes,
        [
            attribute("service.name", "checkout"),
            attribute("deployment.sha", "4f2a")
        ]
    );
    let bare = Batch::new(
        Signal::Traces,
        bytes::Bytes::from_static(&[0x0a, 4, 0x12, 2, 0x12, 0]),
    );
    let request = traces(&edits.process(bare).unwrap().batch.unwrap());
    let made = request.resource_spans[0].resource.as_ref().unwrap();
    assert_eq!(made.attributes, [attribute("deployment.sha", "4f2a")]);
    assert_eq!(request.resource_spans[0].scope_spans[0].spans.len(), 1);
    let batch = processed_once(&edits);
    assert!(
        edits
            .process(batch.clone())
            .unwrap()
            .batch
            .unwrap()
            .same_bytes(&batch)
    );
}

fn processed_once(edits: &ResourceEdits) -> Batch {
    let batch = batch_of_spans(vec![with(Vec::new())]);
    edits.process(batch).unwrap().batch.unwrap()
}

/// Whether a span of this matching is edited.
fn edited(include: Option<Matching>, exclude: Option<Matching>, span: Span) -> bool {
    let upsert = ActionKind::Upsert {
        key: key("edited"),
        from: text("yes"),
    };
    let config = AttributesProcessor {
        include: include.map(Box::new),
        exclude: exclude.map(Box::new),
        ..edits(vec![upsert])
    };
    let edits = AttributeEdits::new("attributes", &config).unwrap();
    let batch = batch_of_spans(vec![span]);
    let processed = edits.process(batch.clone()).unwrap();
    !processed.batch.unwrap().same_bytes(&batch)
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn all_properties_must_match_and_one_of_each_list() {
    let span = || Span {
        name: "GET /cart".to_owned(),
        kind: 2,
        attributes: vec![attribute("code", 503), attribute("route", "/cart")],
        ..Span::default()
    };
    let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let has = |key: &str, value: Option<PlainValue>| {
        vec![AttributeMatch {
            key: key.to_owned(),
            value,
        }]
    };
    let none = Matching::default;
    for (matching, expected) in [
        (
            Matching {
                services: list(&["x", "checkout"]),
                ..none()
            },
            true,
        ),
        (
            Matching {
                services: list(&["check"]),
                ..none()
            },
            false,
        ),
        (
            Matching {
                services: list(&["^check"]),
                regexp: true,
                ..none()
            },
            true,
        ),
        (
            Matching {
                span_names: list(&["GET /cart"]),
                services: list(&["x"]),
                ..none()
            },
            false,
        ),
        (
            Matching {
                span_kinds: list(&["SPAN_KIND_SERVER"]),
                ..none()
            },
            true,
        ),
        (
            Matching {
                span_kinds: list(&["SPAN_KIND_CLIENT"]),
                ..none()
            },
            false,
        ),
        (
            Matching {
                attributes: has("code", Some(PlainValue::Int(503))),
                ..none()
            },
            true,
        ),
        (
            Matching {
                attributes: has("code", Some(PlainValue::Text("503".into()))),
                ..none()
            },
            false,
        ),
        (
            Matching {
                attributes: has("code", Some(PlainValue::Text("^5".into()))),
                regexp: true,
                ..none()
            },
            true,
        ),
        (
            Matching {
                attributes: has("code", None),
                ..none()
            },
            true,
        ),
        (
            Matching {
                attributes: has("nope", None),
                ..none()
            },
            false,
        ),
        (
            Matching {
                resources: has("service.name", Some(PlainValue::Text("checkout".into()))),
                ..none()
            },
            true,
        ),
        (
            Matching {
                libraries: vec![LibraryMatch {
                    name: String::new(),
                    version: None,
                }],
                ..none()
            },
            true,
        ),
        (
            Matching {
                metric_names: list(&["x"]),
                ..none()
            },
            false,
        ),
        (
            Matching {
                log_bodies: list(&["x"]),
                ..none()
            },
            false,
        ),
    ] {
        assert_eq!(
            edited(Some(matching.clone()), None, span()),
            expected,
            "{matching:?}"
        );
        assert_eq!(
            edited(None, Some(matching.clone()), span()),
            !expected,
            "{matching:?}"
        );
    }
}

#[test]
fn records_and_points_are_matched_by_what_they_have() {
    let upsert = || ActionKind::Upsert {
        key: key("edited"),
        from: text("yes"),
    };
    let config = |include| AttributesProcessor {
        include: Some(Box::new(include)),
        ..edits(vec![upsert()])
    };
    let severe = Matching {
        log_severity_number: Some(SeverityMatch {
            min: 17,
            match_undefined: false,
        }),
        ..Matching::default()
    };
    let record = |severity_number| LogRecord {
        severity_number,
        ..LogRecord::default()
    };
    let edits = AttributeEdits::new("attributes", &config(severe)).unwrap();
    let processed = edits
        .process(batch_of_records(vec![record(0), record(16), record(17)]))
        .unwrap();
    let counts: Vec<usize> = records(&processed.batch.unwrap())
        .iter()
        .map(|it| it.attributes.len())
        .collect();
    assert_eq!(counts, [0, 0, 1]);

    let named = Matching {
        metric_names: vec![key("^b")],
        regexp: true,
        ..Matching::default()
    };
    let metric = |name: &str| Metric {
        name: name.to_owned(),
        data: Some(Data::Gauge(Gauge {
            data_points: vec![NumberDataPoint::default(), NumberDataPoint::default()],
        })),
        ..Metric::default()
    };
    let edits = AttributeEdits::new("attributes", &config(named)).unwrap();
    let processed = edits
        .process(batch_of_metrics(vec![metric("a"), metric("b")]))
        .unwrap();
    let edited = metrics(&processed.batch.unwrap());
    for (metric, expected) in edited.iter().zip([0, 1]) {
        let Some(Data::Gauge(gauge)) = &metric.data else {
            panic!("{metric:?}")
        };
        assert!(
            gauge
                .data_points
                .iter()
                .all(|point| point.attributes.len() == expected)
        );
    }
}
