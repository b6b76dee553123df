//! The walk and prost side by side: both read the same bytes into the same plain structs.
#![allow(dead_code, unreachable_pub, reason = "each test crate uses its part")]
#![allow(
    clippy::unwrap_used,
    reason = "test support: a failed unwrap is a failed test"
)]

pub mod generate;
pub mod logs;
pub mod mutate;
pub mod points;

use burngate::wire::{
    AnyValue, Attributes, Event, KeyTable, KeyTableBuilder, PrefixId, Scope, Slot, Span, SpanSink, Value,
    WalkError, WalkLimits, WalkSummary, walk_traces,
};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as ProstValue;
use opentelemetry_proto::tonic::common::v1::{AnyValue as ProstAny, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::Event as ProstEvent;
use prost::Message;
use std::path::PathBuf;
use std::rc::Rc;

/// Keys with a slot, in slot order.
pub const KEYS: [&str; 8] = [
    "service.name",
    "deployment.sha",
    "http.response.status_code",
    "http.route",
    "feature.flags",
    "feature_flag.key",
    "feature_flag.result.variant",
    "k",
];

/// Prefixes, in id order; they overlap on purpose.
pub const PREFIXES: [&str; 3] = ["feature_flag", "feature_flag.", "http."];

/// No cap bites.
pub const NO_CAPS: WalkLimits = WalkLimits {
    spans_max: u32::MAX,
    attributes_max: u32::MAX,
    events_max: u32::MAX,
    nesting_max: u32::MAX,
};

pub fn table() -> KeyTable {
    let mut builder = KeyTableBuilder::default();
    for key in KEYS {
        builder.key(key);
    }
    for prefix in PREFIXES {
        builder.prefix(prefix);
    }
    builder.build()
}

/// An AnyValue, owned; doubles as bits, so that a NaN equals itself.
#[derive(Clone, Debug, PartialEq)]
pub enum Owned {
    Empty,
    Str(Vec<u8>),
    Bool(bool),
    Int(i64),
    Double(u64),
    Array(Vec<Owned>),
    KvList(Vec<(Vec<u8>, Owned)>),
    Bytes(Vec<u8>),
    Malformed,
}

/// Wanted attributes: by slot, and by prefix with the rest of the key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    pub slots: [Option<Owned>; KEYS.len()],
    pub prefixed: Vec<(u8, Vec<u8>, Owned)>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SpanView {
    pub resource: Rc<Wanted>,
    pub scope: Rc<(Vec<u8>, Vec<u8>, Wanted)>,
    pub ids: [Vec<u8>; 3],
    pub trace_state: Vec<u8>,
    pub flags: u32,
    pub name: Vec<u8>,
    pub kind: i32,
    pub times: (u64, u64),
    pub status: (i32, Vec<u8>),
    pub attributes: Wanted,
    pub events: Vec<(Vec<u8>, u64, Wanted)>,
}

impl SpanView {
    fn ids_are_valid(&self) -> bool {
        let [trace, span, parent] = &self.ids;
        [0, 16].contains(&trace.len()) && [0, 8].contains(&span.len()) && [0, 8].contains(&parent.len())
    }
}

pub fn owned(value: AnyValue<'_>) -> Owned {
    match value.value() {
        Err(_) => Owned::Malformed,
        Ok(Value::Empty) => Owned::Empty,
        Ok(Value::Str(text)) => Owned::Str(text.to_vec()),
        Ok(Value::Bool(yes)) => Owned::Bool(yes),
        Ok(Value::Int(number)) => Owned::Int(number),
        Ok(Value::Double(number)) => Owned::Double(number.to_bits()),
        Ok(Value::Bytes(bytes)) => Owned::Bytes(bytes.to_vec()),
        Ok(Value::Array(array)) => Owned::Array(
            AnyValue::array_items(array)
                .map(|item| item.map_or(Owned::Malformed, owned))
                .collect(),
        ),
        Ok(Value::KvList(list)) => Owned::KvList(
            AnyValue::kvlist_items(list)
                .map(|item| {
                    item.map_or((vec![], Owned::Malformed), |(key, value)| {
                        (key.to_vec(), owned(value))
                    })
                })
                .collect(),
        ),
    }
}

fn wanted(attributes: &Attributes<'_>) -> Wanted {
    Wanted {
        slots: std::array::from_fn(|slot| attributes.get(Slot(u16::try_from(slot).unwrap())).map(owned)),
        prefixed: attributes
            .prefixed()
            .iter()
            .map(|(PrefixId(id), rest, value)| (*id, rest.to_vec(), owned(*value)))
            .collect(),
    }
}

#[derive(Default)]
struct Collect {
    resource: Rc<Wanted>,
    scope: Rc<(Vec<u8>, Vec<u8>, Wanted)>,
    spans: Vec<SpanView>,
}

impl<'a> SpanSink<'a> for Collect {
    fn forget(&mut self) {
        *self = Self::default();
    }

    fn resource(&mut self, attributes: &Attributes<'a>) {
        self.resource = Rc::new(wanted(attributes));
    }

    fn scope(&mut self, scope: &Scope<'a, '_>) {
        self.scope = Rc::new((
            scope.name.to_vec(),
            scope.version.to_vec(),
            wanted(scope.attributes),
        ));
    }

    fn span(&mut self, span: &Span<'a>, attributes: &Attributes<'a>, events: &[Event<'a>]) {
        self.spans.push(SpanView {
            resource: Rc::clone(&self.resource),
            scope: Rc::clone(&self.scope),
            ids: [
                span.trace_id.to_vec(),
                span.span_id.to_vec(),
                span.parent_span_id.to_vec(),
            ],
            trace_state: span.trace_state.to_vec(),
            flags: span.flags,
            name: span.name.to_vec(),
            kind: span.kind,
            times: (span.start_time_unix_nano, span.end_time_unix_nano),
            status: (span.status_code, span.status_message.to_vec()),
            attributes: wanted(attributes),
            events: events
                .iter()
                .map(|event| {
                    (
                        event.name.to_vec(),
                        event.time_unix_nano,
                        wanted(&event.attributes),
                    )
                })
                .collect(),
        });
    }
}

/// What the walk says of the request.
pub fn walked_within(request: &[u8], limits: &WalkLimits) -> Result<(WalkSummary, Vec<SpanView>), WalkError> {
    let mut sink = Collect::default();
    let summary = walk_traces(request, &table(), limits, &mut sink)?;
    Ok((summary, sink.spans))
}

pub fn walked(request: &[u8]) -> Result<(WalkSummary, Vec<SpanView>), WalkError> {
    walked_within(request, &NO_CAPS)
}

fn prost_owned(value: Option<&ProstAny>) -> Owned {
    match value.and_then(|any| any.value.as_ref()) {
        None | Some(ProstValue::StringValueStrindex(_)) => Owned::Empty,
        Some(ProstValue::StringValue(text)) => Owned::Str(text.clone().into_bytes()),
        Some(ProstValue::BoolValue(yes)) => Owned::Bool(*yes),
        Some(ProstValue::IntValue(number)) => Owned::Int(*number),
        Some(ProstValue::DoubleValue(number)) => Owned::Double(number.to_bits()),
        Some(ProstValue::BytesValue(bytes)) => Owned::Bytes(bytes.clone()),
        Some(ProstValue::ArrayValue(array)) => {
            Owned::Array(array.values.iter().map(|item| prost_owned(Some(item))).collect())
        }
        Some(ProstValue::KvlistValue(list)) => Owned::KvList(
            list.values
                .iter()
                .map(|pair| (pair.key.clone().into_bytes(), prost_owned(pair.value.as_ref())))
                .collect(),
        ),
    }
}

fn prost_wanted(attributes: &[KeyValue]) -> Wanted {
    let mut wanted = Wanted::default();
    for attribute in attributes {
        let value = prost_owned(attribute.value.as_ref());
        if let Some(slot) = KEYS.iter().position(|key| *key == attribute.key) {
            wanted.slots[slot] = Some(value.clone());
        }
        for (id, prefix) in (0..).zip(PREFIXES) {
            if let Some(rest) = attribute.key.strip_prefix(prefix).filter(|rest| !rest.is_empty()) {
                wanted
                    .prefixed
                    .push((id, rest.as_bytes().to_vec(), value.clone()));
            }
        }
    }
    wanted
}

fn tells_of_a_flag(event: &ProstEvent) -> bool {
    ["feature_flag.evaluation", "feature_flag", "exception"].contains(&event.name.as_str())
        || event.attributes.iter().any(|attribute| {
            attribute.key.starts_with("feature_flag.key")
                || attribute.key.starts_with("feature_flag.flag_key")
        })
}

/// What prost says of a request, rejected spans left out and counted.
pub fn from_prost(request: &ExportTraceServiceRequest) -> (u64, Vec<SpanView>) {
    let mut spans = Vec::new();
    for resource_spans in &request.resource_spans {
        let resource = resource_spans
            .resource
            .as_ref()
            .map(|resource| prost_wanted(&resource.attributes));
        let resource = Rc::new(resource.unwrap_or_default());
        for scope_spans in &resource_spans.scope_spans {
            let scope = scope_spans.scope.clone().unwrap_or_default();
            let scope = (
                scope.name.into_bytes(),
                scope.version.into_bytes(),
                prost_wanted(&scope.attributes),
            );
            let scope = Rc::new(scope);
            for span in &scope_spans.spans {
                let status = span.status.clone().unwrap_or_default();
                spans.push(SpanView {
                    resource: Rc::clone(&resource),
                    scope: Rc::clone(&scope),
                    ids: [
                        span.trace_id.clone(),
                        span.span_id.clone(),
                        span.parent_span_id.clone(),
                    ],
                    trace_state: span.trace_state.clone().into_bytes(),
                    flags: span.flags,
                    name: span.name.clone().into_bytes(),
                    kind: span.kind,
                    times: (span.start_time_unix_nano, span.end_time_unix_nano),
                    status: (status.code, status.message.into_bytes()),
                    attributes: prost_wanted(&span.attributes),
                    events: span
                        .events
                        .iter()
                        .filter(|event| tells_of_a_flag(event))
                        .map(|event| {
                            let name = event.name.clone().into_bytes();
                            (name, event.time_unix_nano, prost_wanted(&event.attributes))
                        })
                        .collect(),
                });
            }
        }
    }
    let all = spans.len();
    spans.retain(SpanView::ids_are_valid);
    (u64::try_from(all - spans.len()).unwrap(), spans)
}

/// Whether the walker may accept what prost refused for this reason: the list in the docs of `wire`.
pub fn may_be_let_through(refusal: &prost::DecodeError) -> bool {
    let text = refusal.to_string();
    let invalid_utf8 = text.contains("not UTF-8");
    let too_deep = text.contains("recursion limit");
    let hopped = [
        "AnyValue.",
        "ArrayValue.",
        "KeyValueList.",
        "Span.links",
        "Resource.entity_refs",
    ];
    let inside = hopped.iter().any(|field| text.contains(field));
    // An AnyValue without even a tag: the field that could be blamed is the one around it.
    let value = text.contains("KeyValue.value:") && !text.contains("expected LengthDelimited");
    invalid_utf8 || too_deep || inside || value
}

/// Compares the two readings of `request`. Says whether prost accepted.
#[allow(clippy::disallowed_methods, reason = "prost is the oracle")]
pub fn same_as_prost(request: &[u8]) -> Result<bool, String> {
    match (ExportTraceServiceRequest::decode(request), walked(request)) {
        (Ok(message), Ok((summary, spans))) => {
            let (rejected, expected) = from_prost(&message);
            let seen = rejected + u64::try_from(expected.len()).unwrap();
            if spans != expected {
                return Err(format!("the walk reads {spans:#?}\nprost reads {expected:#?}"));
            }
            if (summary.spans, summary.rejected, summary.excess) != (seen, rejected, 0) {
                return Err(format!(
                    "the walk counts {summary:?}, prost {rejected} rejected of {seen}"
                ));
            }
            Ok(true)
        }
        (Ok(_), Err(refusal)) => Err(format!("prost accepts, the walk refuses: {refusal}")),
        (Err(refusal), Ok(_)) if !may_be_let_through(&refusal) => {
            Err(format!("the walk accepts, prost refuses: {refusal}"))
        }
        (Err(_), _) => Ok(false),
    }
}

/// A directory of the shared data; says so when it is missing.
pub fn shared(directory: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/data")
        .join(directory);
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("skipped: {} is missing", path.display());
    None
}
