//! What the walk promises beyond being equal to prost, and each place where it is not.

use super::*;
use crate::wire::{AnyValue, KeyTableBuilder, PrefixId, Slot, Value};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as ProstValue;
use opentelemetry_proto::tonic::common::v1::{AnyValue as ProstAny, ArrayValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event as ProstEvent, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as ProstSpan};
use prost::Message;

const LIMITS: WalkLimits = WalkLimits {
    spans_max: 1000,
    attributes_max: 4,
    events_max: 2,
    nesting_max: 2,
};

/// What the sink was told, in order.
#[derive(Debug, Default)]
struct Told(Vec<String>);

fn told(attributes: &Attributes<'_>) -> String {
    let text = |value: AnyValue<'_>| match value.value() {
        Ok(Value::Str(text)) => String::from_utf8_lossy(text).into_owned(),
        other => format!("{other:?}"),
    };
    let slots = (0..2).filter_map(|slot| {
        attributes
            .get(Slot(slot))
            .map(|value| format!("{slot}={}", text(value)))
    });
    let prefixed = attributes.prefixed().iter().map(|(PrefixId(id), rest, value)| {
        format!("p{id}:{}={}", String::from_utf8_lossy(rest), text(*value))
    });
    slots.chain(prefixed).collect::<Vec<_>>().join(" ")
}

impl<'a> SpanSink<'a> for Told {
    fn forget(&mut self) {
        self.0.clear();
    }

    fn resource(&mut self, attributes: &Attributes<'a>) {
        self.0.push(format!("resource[{}]", told(attributes)));
    }

    fn scope(&mut self, scope: &Scope<'a, '_>) {
        self.0.push(format!(
            "scope {}[{}]",
            String::from_utf8_lossy(scope.name),
            told(scope.attributes)
        ));
    }

    fn span(&mut self, span: &Span<'a>, attributes: &Attributes<'a>, events: &[Event<'a>]) {
        let events: Vec<_> = events
            .iter()
            .map(|event| {
                format!(
                    " {}({})",
                    String::from_utf8_lossy(event.name),
                    told(&event.attributes)
                )
            })
            .collect();
        let name = String::from_utf8_lossy(span.name);
        self.0
            .push(format!("span {name}[{}]{}", told(attributes), events.concat()));
    }
}

/// Slots: `a` and `flag.own`. Prefix 0: `flag.`.
fn walk(request: &[u8]) -> Result<(WalkSummary, Vec<String>), WalkError> {
    let mut keys = KeyTableBuilder::default();
    keys.key("a");
    keys.key("flag.own");
    keys.prefix("flag.");
    let mut sink = Told::default();
    let summary = walk_traces(request, &keys.build(), &LIMITS, &mut sink)?;
    Ok((summary, sink.0))
}

fn text(value: &str) -> ProstAny {
    ProstAny {
        value: Some(ProstValue::StringValue(value.to_owned())),
    }
}

fn array(values: Vec<ProstAny>) -> ProstAny {
    ProstAny {
        value: Some(ProstValue::ArrayValue(ArrayValue { values })),
    }
}

fn pair(key: &str, value: ProstAny) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(value),
        key_strindex: 0,
    }
}

fn named(name: &str) -> ProstSpan {
    ProstSpan {
        name: name.to_owned(),
        ..ProstSpan::default()
    }
}

fn event(name: &str, keys: &[&str]) -> ProstEvent {
    let attributes = keys.iter().map(|key| pair(key, text("v"))).collect();
    ProstEvent {
        name: name.to_owned(),
        attributes,
        ..ProstEvent::default()
    }
}

fn request(spans: Vec<ProstSpan>) -> ExportTraceServiceRequest {
    let scope_spans = vec![ScopeSpans {
        spans,
        ..ScopeSpans::default()
    }];
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            scope_spans,
            ..ResourceSpans::default()
        }],
    }
}

fn walk_spans(spans: Vec<ProstSpan>) -> (WalkSummary, Vec<String>) {
    walk(&request(spans).encode_to_vec()).unwrap()
}

/// A length-delimited field.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    prost::encoding::encode_varint(content.len() as u64, &mut bytes);
    bytes.extend(content);
    bytes
}

/// A request of one span whose fields are `span`.
fn around(span: &[u8]) -> Vec<u8> {
    field(1, &field(2, &field(2, span)))
}

#[allow(clippy::disallowed_methods, reason = "prost is the oracle")]
fn prost_accepts(request: &[u8]) -> bool {
    ExportTraceServiceRequest::decode(request).is_ok()
}

#[test]
fn resource_and_scope_behind_their_spans_come_first() {
    let span = field(2, &field(5, b"s"));
    let scope = field(1, &field(1, b"lib"));
    let resource = field(1, &field(1, &pair("a", text("x")).encode_to_vec()));
    let request = field(1, &[field(2, &[span, scope].concat()), resource].concat());
    assert_eq!(
        walk(&request).unwrap().1,
        ["resource[0=x]", "scope lib[]", "span s[]"]
    );
}

#[test]
fn a_late_scope_makes_the_whole_request_begin_again() {
    let usual = request(vec![named("one")]).encode_to_vec();
    let late = [field(2, &field(5, b"two")), field(1, &field(1, b"lib"))].concat();
    let request = [usual, field(1, &field(2, &late))].concat();
    let (summary, told) = walk(&request).unwrap();
    assert_eq!(summary.spans, 2, "no span counts twice");
    assert_eq!(
        told,
        [
            "resource[]",
            "scope []",
            "span one[]",
            "resource[]",
            "scope lib[]",
            "span two[]"
        ]
    );
}

#[test]
fn resources_without_accepted_spans_are_not_announced() {
    let mut empty = request(vec![]);
    empty.resource_spans.push(ResourceSpans::default());
    let bad = ProstSpan {
        trace_id: vec![1; 15],
        ..named("bad")
    };
    empty.resource_spans.extend(request(vec![bad]).resource_spans);
    let (summary, told) = walk(&empty.encode_to_vec()).unwrap();
    assert_eq!((summary.spans, summary.rejected, told), (1, 1, vec![]));
}

#[test]
fn each_resource_begins_with_its_own_scope_and_attributes() {
    let mut both = request(vec![named("one")]);
    both.resource_spans[0].resource = Some(Resource {
        attributes: vec![pair("a", text("x"))],
        ..Resource::default()
    });
    both.resource_spans
        .extend(request(vec![named("two")]).resource_spans);
    let (_, told) = walk(&both.encode_to_vec()).unwrap();
    assert_eq!(
        told,
        [
            "resource[0=x]",
            "scope []",
            "span one[]",
            "resource[]",
            "scope []",
            "span two[]"
        ]
    );
}

#[test]
fn a_key_asked_for_by_name_and_by_prefix_is_kept_for_both() {
    let attributes = vec![
        pair("flag.own", text("1")),
        pair("flag.x", text("2")),
        pair("flag.", text("3")),
    ];
    let (_, told) = walk_spans(vec![ProstSpan {
        attributes,
        ..named("s")
    }]);
    assert_eq!(told[2], "span s[1=1 p0:own=1 p0:x=2]");
}

#[test]
fn attributes_do_not_leak_into_the_next_span() {
    let attributes = vec![pair("a", text("1")), pair("flag.x", text("2"))];
    let (_, told) = walk_spans(vec![
        ProstSpan {
            attributes,
            ..named("s")
        },
        named("t"),
    ]);
    assert_eq!(told[3], "span t[]");
}

#[test]
fn only_events_that_tell_of_flags_or_exceptions_are_built() {
    let one = ProstSpan {
        events: vec![event("exception", &["a"]), event("feature_flag", &["a"])],
        ..named("s")
    };
    let two = ProstSpan {
        events: vec![event("x", &["a", "feature_flag.key"])],
        ..named("t")
    };
    let three = ProstSpan {
        events: vec![event("x", &["feature_flag.reason"])],
        ..named("u")
    };
    let four = ProstSpan {
        events: vec![event("message", &["a"])],
        ..named("v")
    };
    let (_, told) = walk_spans(vec![one, two, three, four]);
    assert_eq!(
        told[2..],
        [
            "span s[] exception(0=v) feature_flag(0=v)",
            "span t[] x(0=v)",
            "span u[]",
            "span v[]"
        ]
    );
}

#[test]
fn broken_ids_reject_their_span_only() {
    let bad = [
        ProstSpan {
            trace_id: vec![1; 15],
            ..named("b")
        },
        ProstSpan {
            span_id: vec![1; 16],
            ..named("b")
        },
        ProstSpan {
            parent_span_id: vec![1; 1],
            ..named("b")
        },
    ];
    let good = ProstSpan {
        trace_id: vec![1; 16],
        span_id: vec![1; 8],
        parent_span_id: vec![1; 8],
        ..named("g")
    };
    let (summary, told) = walk_spans([&bad[..], &[good, named("absent")]].concat());
    assert_eq!((summary.spans, summary.rejected), (5, 3));
    assert_eq!(told[2..], ["span g[]", "span absent[]"]);
}

#[test]
fn too_many_spans_refuse_the_request() {
    let most = request(vec![ProstSpan::default(); 1000]).encode_to_vec();
    assert_eq!(walk(&most).unwrap().0.spans, 1000);
    let more = request(vec![ProstSpan::default(); 1001]).encode_to_vec();
    assert_eq!(walk(&more).unwrap_err(), WalkError::TooManyItems { limit: 1000 });
    assert!(prost_accepts(&more));
}

#[test]
fn attributes_and_events_beyond_their_caps_are_counted_unread() {
    let attributes = vec![pair("b", text("x")); 4]
        .into_iter()
        .chain([pair("a", text("late"))])
        .collect();
    let mut events = vec![event("message", &["a"]); 2];
    events.push(event("feature_flag", &["a"]));
    let (summary, told) = walk_spans(vec![ProstSpan {
        attributes,
        events,
        ..named("s")
    }]);
    assert_eq!((summary.excess, &*told[2]), (2, "span s[]"));
}

#[test]
fn broken_items_beyond_a_cap_are_let_through() {
    let span = [field(9, &[]).repeat(4), field(9, &[0xff])].concat();
    let request = around(&span);
    assert!(walk(&request).is_ok() && !prost_accepts(&request));
}

#[test]
fn values_that_nest_too_deep_are_counted_unread() {
    let deep = array(vec![array(vec![array(vec![])])]);
    let fine = array(vec![array(vec![text("x")])]);
    let attributes = vec![pair("a", deep), pair("flag.own", fine)];
    let (summary, told) = walk_spans(vec![ProstSpan {
        attributes,
        ..named("s")
    }]);
    assert_eq!(summary.excess, 1);
    assert!(told[2].starts_with("span s[1=Ok(Array("), "{}", told[2]);
}

#[test]
fn invalid_utf8_is_let_through() {
    let request = around(&field(5, &[0xff, 0xfe]));
    assert!(walk(&request).is_ok() && !prost_accepts(&request));
}

#[test]
fn insides_of_what_is_hopped_over_are_let_through() {
    let links = around(&field(13, &[0xff]));
    let value = around(&field(9, &[field(1, b"unwanted"), field(2, &[0xff])].concat()));
    let entities = field(1, &field(1, &field(3, &[0xff])));
    for request in [links, value, entities] {
        assert!(
            walk(&request).is_ok() && !prost_accepts(&request),
            "{request:02x?}"
        );
    }
}

#[test]
fn broken_value_of_a_wanted_key_is_malformed_to_its_reader() {
    let request = around(&field(9, &[field(1, b"a"), field(2, &[0xff])].concat()));
    assert_eq!(walk(&request).unwrap().1[2], "span [0=Err(Malformed)]");
    assert!(!prost_accepts(&request));
}

#[test]
fn groups_in_a_span_nest_deeper_than_prost_lets_them() {
    let groups = |levels: usize| around(&[[0x9b, 0x06].repeat(levels), [0x9c, 0x06].repeat(levels)].concat());
    assert!(prost_accepts(&groups(97)) && !prost_accepts(&groups(98)));
    assert!(walk(&groups(100)).is_ok() && walk(&groups(101)).is_err());
}

#[test]
fn values_nest_deeper_than_prost_lets_them() {
    let value = (0..200).fold(Vec::new(), |inner, _| field(5, &field(1, &inner)));
    let request = around(&field(9, &[field(1, b"a"), field(2, &value)].concat()));
    assert!(!prost_accepts(&request));
    assert_eq!(walk(&request).unwrap().0.excess, 1);
}

#[test]
fn wrong_wire_types_are_refused_in_every_message() {
    let requests = [
        vec![0x08, 1],
        field(1, &[0x08, 1]),
        field(1, &[0x18, 1]),
        field(1, &field(1, &[0x08, 1])),
        field(1, &field(2, &[0x18, 1])),
        field(1, &field(2, &field(1, &[0x20 | 2, 0]))),
        around(&[0x30 | 5, 0, 0, 0, 0]),
        around(&field(10, b"")),
        around(&field(11, &field(1, b""))),
        around(&field(15, &field(3, b""))),
        around(&field(9, &[0x08, 1])),
    ];
    for request in requests {
        assert!(
            walk(&request).is_err() && !prost_accepts(&request),
            "{request:02x?}"
        );
    }
}

#[test]
fn link_ids_do_not_reject_a_span() {
    let links = vec![Link {
        trace_id: vec![1; 3],
        ..Link::default()
    }];
    assert_eq!(walk_spans(vec![ProstSpan { links, ..named("s") }]).0.rejected, 0);
}

#[test]
fn empty_request_has_no_spans() {
    assert_eq!(walk(&[]).unwrap(), (WalkSummary::default(), vec![]));
}
