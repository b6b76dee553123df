//! Edits twice: on the wire's bytes by a visitor, and on prost's structs by a model.
#![allow(dead_code, unreachable_pub, reason = "each test crate uses its part")]
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "test support: a failed unwrap is a failed test; prost is the oracle"
)]

use burngate::wire::Malformed;
use burngate::wire::edit::{Field, Held, Keep, Kind, Level, Levels, Message as Wired, Visit, Wants};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use std::borrow::Cow;

/// One change to a message, or its end.
#[derive(Clone, Debug)]
pub enum Op {
    SetInt(&'static str, i64),
    SetText(&'static str, String),
    Remove(&'static str),
    /// The name of a scope, span, event or metric; the severity text of a record.
    Name(String),
    /// The kind of a span; the severity number of a record.
    Number(i32),
    StatusCode(i32),
    StatusMessage(String),
    Time(u64),
    Body(i64),
    DropWith(&'static str),
    DropNamed(String),
}

/// Changes in order, each of one level.
#[derive(Clone, Debug, Default)]
pub struct Program(pub Vec<(Level, Op)>);

impl Program {
    fn at(&self, level: Level) -> impl Iterator<Item = &Op> {
        self.0
            .iter()
            .filter(move |(at, _)| *at == level)
            .map(|(_, op)| op)
    }

    fn keys(&self) -> Vec<&'static str> {
        self.0
            .iter()
            .filter_map(|(_, op)| match op {
                Op::SetInt(key, _) | Op::SetText(key, _) => Some(*key),
                _ => None,
            })
            .collect()
    }
}

const fn level_of(kind: Kind) -> Level {
    match kind {
        Kind::Resource => Level::Resource,
        Kind::Scope => Level::Scope,
        Kind::Span | Kind::Metric | Kind::Record => Level::Item,
        _ => Level::Part,
    }
}

/// The program as a visitor of bytes.
pub struct Editor<'p>(pub &'p Program);

impl<'a, 'p: 'a> Visit<'a> for Editor<'p> {
    type Error = Malformed;

    fn wants(&self, kind: Kind) -> Wants {
        match self.0.at(level_of(kind)).next() {
            Some(_) => Wants::Attributes,
            None => Wants::Nothing,
        }
    }

    fn visit(&mut self, level: Level, at: &mut Levels<'a>) -> Result<Keep, Malformed> {
        let message = match level {
            Level::Resource => &mut at.resource,
            Level::Scope => &mut at.scope,
            Level::Item => &mut at.item,
            Level::Part => &mut at.part,
        };
        for op in self.0.at(level) {
            if on_wire(message, op) == Keep::Drop {
                return Ok(Keep::Drop);
            }
        }
        Ok(Keep::Stay)
    }
}

fn on_wire<'a>(message: &mut Wired<'a>, op: &'a Op) -> Keep {
    let kind = message.kind();
    let name = if kind == Kind::Record {
        Field::SeverityText
    } else {
        Field::Name
    };
    match op {
        Op::SetInt(key, number) if kind != Kind::Metric => {
            message.attributes_mut().set(key.as_bytes(), Held::int(*number));
        }
        Op::SetText(key, text) if kind != Kind::Metric => {
            message
                .attributes_mut()
                .set(key.as_bytes(), Held::text(text.as_bytes()));
        }
        Op::Remove(key) => drop(message.attributes_mut().remove(key.as_bytes())),
        Op::Name(text) if kind.has(name) => message.set_bytes(name, Cow::Borrowed(text.as_bytes())),
        Op::Number(number) if matches!(kind, Kind::Span | Kind::Record) => {
            let field = if kind == Kind::Span {
                Field::SpanKind
            } else {
                Field::SeverityNumber
            };
            message.set_number(field, i64::from(*number).cast_unsigned());
        }
        Op::StatusCode(code) if kind == Kind::Span => {
            message.set_number(Field::StatusCode, i64::from(*code).cast_unsigned());
        }
        Op::StatusMessage(text) if kind == Kind::Span => {
            message.set_bytes(Field::StatusMessage, Cow::Borrowed(text.as_bytes()));
        }
        Op::Time(time) if kind.has(Field::Time) => message.set_number(Field::Time, *time),
        Op::Time(time) if kind == Kind::Span => message.set_number(Field::EndTime, *time),
        Op::Body(number) if kind == Kind::Record => message.set_body(&Held::int(*number)),
        Op::DropWith(key) if message.attributes().get(key.as_bytes()).is_some() => return Keep::Drop,
        Op::DropNamed(text) if kind.has(name) && message.bytes(name) == text.as_bytes() => {
            return Keep::Drop;
        }
        _ => {}
    }
    Keep::Stay
}

/// What the model knows of a prost message.
#[derive(Default)]
struct Parts<'m> {
    attributes: Option<&'m mut Vec<KeyValue>>,
    name: Option<&'m mut String>,
    number: Option<&'m mut i32>,
    time: Option<&'m mut u64>,
    status: Option<&'m mut Option<Status>>,
    body: Option<&'m mut Option<AnyValue>>,
}

#[allow(clippy::unnecessary_wraps, reason = "as the field wants it")]
fn any(value: Value) -> Option<AnyValue> {
    Some(AnyValue { value: Some(value) })
}

fn set(attributes: &mut Vec<KeyValue>, key: &str, value: Value) {
    let fresh = KeyValue {
        key: key.to_owned(),
        value: any(value),
        ..KeyValue::default()
    };
    let Some(last) = attributes.iter().rposition(|attribute| attribute.key == key) else {
        attributes.push(fresh);
        return;
    };
    if attributes[last].value != fresh.value {
        attributes[last] = fresh;
    }
    let mut index = 0;
    attributes.retain(|attribute| {
        index += 1;
        attribute.key != key || index - 1 == last
    });
}

impl Parts<'_> {
    /// Whether the message stays.
    fn stays_after(&mut self, op: &Op) -> bool {
        match op {
            Op::SetInt(key, number) => {
                if let Some(attributes) = &mut self.attributes {
                    set(attributes, key, Value::IntValue(*number));
                }
            }
            Op::SetText(key, text) => {
                if let Some(attributes) = &mut self.attributes {
                    set(attributes, key, Value::StringValue(text.clone()));
                }
            }
            Op::Remove(key) => {
                if let Some(attributes) = &mut self.attributes {
                    attributes.retain(|attribute| attribute.key != *key);
                }
            }
            Op::Name(text) => {
                if let Some(name) = &mut self.name {
                    name.clone_from(text);
                }
            }
            Op::Number(number) => {
                if let Some(slot) = &mut self.number {
                    **slot = *number;
                }
            }
            Op::Time(time) => {
                if let Some(slot) = &mut self.time {
                    **slot = *time;
                }
            }
            Op::StatusCode(code) => {
                if let Some(status) = &mut self.status
                    && status.as_ref().map_or(0, |status| status.code) != *code
                {
                    status.get_or_insert_default().code = *code;
                }
            }
            Op::StatusMessage(text) => {
                if let Some(status) = &mut self.status
                    && status.as_ref().map_or("", |status| &status.message) != text
                {
                    status.get_or_insert_default().message.clone_from(text);
                }
            }
            Op::Body(number) => {
                if let Some(body) = &mut self.body {
                    **body = any(Value::IntValue(*number));
                }
            }
            Op::DropWith(key) => {
                let has = |all: &&mut Vec<KeyValue>| all.iter().any(|attribute| attribute.key == *key);
                return !self.attributes.as_ref().is_some_and(has);
            }
            Op::DropNamed(text) => return self.name.as_ref().is_none_or(|name| *name != text),
        }
        true
    }

    fn run(mut self, program: &Program, level: Level) -> bool {
        program.at(level).all(|op| self.stays_after(op))
    }
}

/// Keeps what `keep` says; `false` when that emptied the list.
fn sift<T>(list: &mut Vec<T>, keep: impl FnMut(&mut T) -> bool) -> bool {
    let before = list.len();
    list.retain_mut(keep);
    !(list.is_empty() && before > 0)
}

/// A request that the model can edit.
pub trait Model: prost::Message + Default {
    /// Edits it; the items that were cut out.
    fn edit(&mut self, program: &Program) -> u64;
    /// Its items.
    fn items(&self) -> u64;
}

type Resource = opentelemetry_proto::tonic::resource::v1::Resource;
type Scope = opentelemetry_proto::tonic::common::v1::InstrumentationScope;

/// A resource that is not there is one without anything; it comes into being when something is put in.
fn resource(resource: &mut Option<Resource>, program: &Program) -> bool {
    let mut own = resource.clone().unwrap_or_default();
    let stays = Parts {
        attributes: Some(&mut own.attributes),
        ..Parts::default()
    }
    .run(program, Level::Resource);
    if resource.is_some() || own != Resource::default() {
        *resource = Some(own);
    }
    stays
}

fn scope(scope: &mut Option<Scope>, program: &Program) -> bool {
    let mut own = scope.clone().unwrap_or_default();
    let stays = Parts {
        attributes: Some(&mut own.attributes),
        name: Some(&mut own.name),
        ..Parts::default()
    }
    .run(program, Level::Scope);
    if scope.is_some() || own != Scope::default() {
        *scope = Some(own);
    }
    stays
}

/// A status that is not there is one without anything, like a resource: one that was put in and emptied again
/// is not put in.
fn span(span: &mut Span, program: &Program) -> bool {
    let had_status = span.status.is_some();
    let stays = Parts {
        attributes: Some(&mut span.attributes),
        name: Some(&mut span.name),
        number: Some(&mut span.kind),
        time: Some(&mut span.end_time_unix_nano),
        status: Some(&mut span.status),
        body: None,
    }
    .run(program, Level::Item);
    if !had_status {
        span.status = span.status.take().filter(|own| *own != Status::default());
    }
    stays
}

impl Model for ExportTraceServiceRequest {
    fn edit(&mut self, program: &Program) -> u64 {
        let before = self.items();
        self.resource_spans.retain_mut(|it| {
            resource(&mut it.resource, program)
                && sift(&mut it.scope_spans, |it| {
                    scope(&mut it.scope, program)
                        && sift(&mut it.spans, |span| {
                            let stays = self::span(span, program);
                            span.events.retain_mut(|event| {
                                Parts {
                                    attributes: Some(&mut event.attributes),
                                    name: Some(&mut event.name),
                                    time: Some(&mut event.time_unix_nano),
                                    ..Parts::default()
                                }
                                .run(program, Level::Part)
                            });
                            span.links.retain_mut(|link| {
                                Parts {
                                    attributes: Some(&mut link.attributes),
                                    ..Parts::default()
                                }
                                .run(program, Level::Part)
                            });
                            stays
                        })
                })
        });
        before - self.items()
    }

    fn items(&self) -> u64 {
        let scopes = self.resource_spans.iter().flat_map(|it| &it.scope_spans);
        scopes.map(|it| it.spans.len() as u64).sum()
    }
}

impl Model for ExportLogsServiceRequest {
    fn edit(&mut self, program: &Program) -> u64 {
        let before = self.items();
        self.resource_logs.retain_mut(|it| {
            resource(&mut it.resource, program)
                && sift(&mut it.scope_logs, |it| {
                    scope(&mut it.scope, program)
                        && sift(&mut it.log_records, |record| {
                            Parts {
                                attributes: Some(&mut record.attributes),
                                name: Some(&mut record.severity_text),
                                number: Some(&mut record.severity_number),
                                time: Some(&mut record.time_unix_nano),
                                status: None,
                                body: Some(&mut record.body),
                            }
                            .run(program, Level::Item)
                        })
                })
        });
        before - self.items()
    }

    fn items(&self) -> u64 {
        let scopes = self.resource_logs.iter().flat_map(|it| &it.scope_logs);
        scopes.map(|it| it.log_records.len() as u64).sum()
    }
}

fn points_of(metric: &Metric) -> usize {
    match &metric.data {
        None => 0,
        Some(Data::Gauge(data)) => data.data_points.len(),
        Some(Data::Sum(data)) => data.data_points.len(),
        Some(Data::Histogram(data)) => data.data_points.len(),
        Some(Data::ExponentialHistogram(data)) => data.data_points.len(),
        Some(Data::Summary(data)) => data.data_points.len(),
    }
}

fn point(attributes: &mut Vec<KeyValue>, time: &mut u64, program: &Program) -> bool {
    Parts {
        attributes: Some(attributes),
        time: Some(time),
        ..Parts::default()
    }
    .run(program, Level::Part)
}

fn points(data: &mut Option<Data>, program: &Program) -> bool {
    match data {
        None => true,
        Some(Data::Gauge(data)) => sift(&mut data.data_points, |it| {
            point(&mut it.attributes, &mut it.time_unix_nano, program)
        }),
        Some(Data::Sum(data)) => sift(&mut data.data_points, |it| {
            point(&mut it.attributes, &mut it.time_unix_nano, program)
        }),
        Some(Data::Histogram(data)) => sift(&mut data.data_points, |it| {
            point(&mut it.attributes, &mut it.time_unix_nano, program)
        }),
        Some(Data::ExponentialHistogram(data)) => sift(&mut data.data_points, |it| {
            point(&mut it.attributes, &mut it.time_unix_nano, program)
        }),
        Some(Data::Summary(data)) => sift(&mut data.data_points, |it| {
            point(&mut it.attributes, &mut it.time_unix_nano, program)
        }),
    }
}

impl Model for ExportMetricsServiceRequest {
    fn edit(&mut self, program: &Program) -> u64 {
        let before = self.items();
        self.resource_metrics.retain_mut(|it| {
            resource(&mut it.resource, program)
                && sift(&mut it.scope_metrics, |it| {
                    scope(&mut it.scope, program)
                        && sift(&mut it.metrics, |metric| {
                            Parts {
                                name: Some(&mut metric.name),
                                ..Parts::default()
                            }
                            .run(program, Level::Item)
                                && points(&mut metric.data, program)
                        })
                })
        });
        before - self.items()
    }

    fn items(&self) -> u64 {
        let scopes = self.resource_metrics.iter().flat_map(|it| &it.scope_metrics);
        scopes
            .flat_map(|it| &it.metrics)
            .map(|it| points_of(it) as u64)
            .sum()
    }
}
