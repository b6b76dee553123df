//! Spans for tests: encoded by opentelemetry-proto, walked by `wire`, so that judgements are tested on real
//! bytes.

use super::{ObjectiveIndex, ObjectiveName, ObjectiveSet, ObjectiveSpec, SliSpec, SpanContext};
use crate::sli::Judgement;
use crate::wire::{
    Attributes, Event, KeyTable, KeyTableBuilder, Scope, Span, SpanSink, WalkLimits, walk_traces,
};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value::Value,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as ProtoSpan, Status};
use prost::Message;
use std::sync::Arc;

pub(super) const INTERNAL: i32 = 1;
pub(super) const SERVER: i32 = 2;
pub(super) const CLIENT: i32 = 3;
pub(super) const PRODUCER: i32 = 4;
pub(super) const CONSUMER: i32 = 5;

/// One span with its scope and resource. By default a server span of 100 ms.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) span: ProtoSpan,
    pub(super) scope: InstrumentationScope,
    pub(super) resource: Vec<KeyValue>,
}

pub(super) fn sample() -> Sample {
    let start = 1_700_000_000_000_000_000;
    let span = ProtoSpan {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        name: "GET /checkout".to_owned(),
        kind: SERVER,
        start_time_unix_nano: start,
        end_time_unix_nano: start + 100_000_000,
        ..ProtoSpan::default()
    };
    Sample {
        span,
        scope: InstrumentationScope::default(),
        resource: Vec::new(),
    }
}

pub(super) fn text(text: &str) -> Value {
    Value::StringValue(text.to_owned())
}

pub(super) fn int(number: i64) -> Value {
    Value::IntValue(number)
}

pub(super) fn array(values: Vec<Value>) -> Value {
    let values = values
        .into_iter()
        .map(|value| AnyValue { value: Some(value) })
        .collect();
    Value::ArrayValue(ArrayValue { values })
}

pub(super) fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

impl Sample {
    pub(super) fn kind(mut self, kind: i32) -> Self {
        self.span.kind = kind;
        self
    }

    pub(super) fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.span.name);
        self
    }

    pub(super) fn status(mut self, code: i32) -> Self {
        self.span.status = Some(Status {
            code,
            message: String::new(),
        });
        self
    }

    pub(super) fn lasting_nanos(mut self, nanos: i64) -> Self {
        self.span.end_time_unix_nano = self.span.start_time_unix_nano.saturating_add_signed(nanos);
        self
    }

    pub(super) fn attr(mut self, key: &str, value: Value) -> Self {
        self.span.attributes.push(pair(key, value));
        self
    }

    pub(super) fn scope_attr(mut self, key: &str, value: Value) -> Self {
        self.scope.attributes.push(pair(key, value));
        self
    }

    pub(super) fn resource_attr(mut self, key: &str, value: Value) -> Self {
        self.resource.push(pair(key, value));
        self
    }

    fn encode(&self) -> Vec<u8> {
        let scope_spans = ScopeSpans {
            scope: Some(self.scope.clone()),
            spans: vec![self.span.clone()],
            ..ScopeSpans::default()
        };
        let resource = Resource {
            attributes: self.resource.clone(),
            ..Resource::default()
        };
        let resource_spans = ResourceSpans {
            resource: Some(resource),
            scope_spans: vec![scope_spans],
            ..ResourceSpans::default()
        };
        ExportTraceServiceRequest {
            resource_spans: vec![resource_spans],
        }
        .encode_to_vec()
    }

    /// Walks the encoded span and hands its context to `look`.
    pub(super) fn with_context<T>(&self, keys: &KeyTable, look: impl FnMut(&SpanContext<'_, '_>) -> T) -> T {
        let bytes = self.encode();
        let mut sink = Sink {
            resource: Attributes::default(),
            scope: None,
            look,
            seen: None,
        };
        let limits = WalkLimits {
            spans_max: 10,
            attributes_max: 256,
            events_max: 16,
            nesting_max: 16,
        };
        walk_traces(&bytes, keys, &limits, &mut sink).expect("the request is valid");
        sink.seen.expect("the request holds one span")
    }

    /// What the `sli:` block says of this span.
    pub(super) fn judged_by(&self, yaml: &str) -> Judgement {
        let sli: SliSpec = serde_saphyr::from_str(yaml).expect(yaml);
        let name = ObjectiveName {
            service: Arc::from("shop"),
            slo: Arc::from("slo"),
        };
        let mut keys = KeyTableBuilder::default();
        let spec = ObjectiveSpec {
            name,
            environment: None,
            sli,
        };
        let set = ObjectiveSet::compile(&[spec], None, &mut keys).expect(yaml);
        self.with_context(&keys.build(), |context| set.judge(ObjectiveIndex(0), context))
    }
}

struct Sink<'a, F, T> {
    resource: Attributes<'a>,
    scope: Option<(&'a [u8], &'a [u8], Attributes<'a>)>,
    look: F,
    seen: Option<T>,
}

impl<'a, T, F: FnMut(&SpanContext<'_, '_>) -> T> SpanSink<'a> for Sink<'a, F, T> {
    fn forget(&mut self) {
        self.seen = None;
    }

    fn resource(&mut self, attributes: &Attributes<'a>) {
        self.resource.clone_from(attributes);
    }

    fn scope(&mut self, scope: &Scope<'a, '_>) {
        self.scope = Some((scope.name, scope.version, scope.attributes.clone()));
    }

    fn span(&mut self, span: &Span<'a>, attributes: &Attributes<'a>, _events: &[Event<'a>]) {
        let (name, version, scope_attributes) = self.scope.as_ref().expect("a scope comes before its spans");
        let scope = Scope {
            name,
            version,
            attributes: scope_attributes,
        };
        let context = SpanContext {
            span,
            attributes,
            scope: &scope,
            resource: &self.resource,
        };
        self.seen = Some((self.look)(&context));
    }
}
