//! `count`: how many spans, span events, metrics, data points and log records pass, or match.
//!
//! Each batch becomes the deltas of its counts at once, by resource: there is no state that a restart could
//! lose, and a refusal of the pipelines behind is the sender's to know. Deltas follow each other without a
//! gap: one leaves after the other, each from the time of the one before.

use super::key::{self, Parts};
use super::{ConnectError, proto};
use crate::config::{CountAttribute, CountConnector, CountMetric, Scalar};
use crate::pipeline::{Accepted, Batch, Consume, Consumed, Refusal, Signal};
use crate::process::{About, Found, Questions};
use crate::time::Clock;
use crate::wire::edit::{Level, Levels};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Sets of attributes of one batch and metric; more count in one set, which says so.
const SERIES_MAX: usize = 10_000;

/// One connector.
pub(super) struct Count {
    id: Arc<str>,
    /// Questions and metrics by signal, in the order of [`Signal::ALL`].
    by_signal: [(Questions, Vec<Counted>); 3],
    clock: Arc<dyn Clock>,
    downstream: Arc<dyn Consume>,
    /// Time of the last deltas; held while they leave.
    last: tokio::sync::Mutex<u64>,
}

/// A metric, and where its attributes are looked for.
struct Counted {
    metric: CountMetric,
    level: Level,
}

/// Counts of one resource: by metric, by attributes.
type Counts = Vec<BTreeMap<Vec<u8>, u64>>;

/// A resource and its counts.
struct OfResource {
    /// Its attributes, as keys and values.
    attributes: Vec<u8>,
    counts: Counts,
}

impl Count {
    pub(super) fn new(
        id: &str,
        config: &CountConnector,
        downstream: Arc<dyn Consume>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ConnectError> {
        let mut by_signal = Signal::ALL.map(|signal| (Questions::new(signal), Vec::new()));
        for (at, about, level, name, metrics) in [
            (0, About::Span, Level::Item, "spans", &config.spans),
            (
                0,
                About::SpanEvent,
                Level::Part,
                "spanevents",
                &config.span_events,
            ),
            (1, About::Metric, Level::Item, "metrics", &config.metrics),
            (1, About::DataPoint, Level::Part, "datapoints", &config.datapoints),
            (2, About::Log, Level::Item, "logs", &config.logs),
        ] {
            let Some((questions, counted)) = by_signal.get_mut(at) else {
                continue;
            };
            for metric in metrics {
                let asked = questions.ask(about, &metric.conditions);
                asked.map_err(|reason| ConnectError::Condition {
                    id: id.to_owned(),
                    place: format!("{name}.{}.conditions", metric.name),
                    reason,
                })?;
                counted.push(Counted {
                    metric: metric.clone(),
                    level,
                });
            }
        }
        Ok(Self {
            id: id.into(),
            by_signal,
            clock,
            downstream,
            last: tokio::sync::Mutex::default(),
        })
    }

    fn of(&self, signal: Signal) -> Option<&(Questions, Vec<Counted>)> {
        self.by_signal.get(signal as usize)
    }

    /// What a batch holds, by resource.
    fn count(&self, batch: &Batch) -> Result<Vec<OfResource>, Refusal> {
        let mut all: Vec<OfResource> = Vec::new();
        let Some((questions, counted)) = self
            .of(batch.signal)
            .filter(|(questions, _)| !questions.is_empty())
        else {
            return Ok(all);
        };
        questions.answer(&self.id, &batch.bytes, |found| match found {
            Found::Resource => all.push(OfResource {
                attributes: Vec::new(),
                counts: vec![BTreeMap::new(); counted.len()],
            }),
            Found::Match(number, at) => {
                let (Some(it), Some(counted)) = (all.last_mut(), counted.get(number)) else {
                    return;
                };
                let Some(attributes) = attributes(&counted.metric.attributes, counted.level, at) else {
                    return;
                };
                if it.attributes.is_empty() {
                    for (name, value) in at.resource.attributes().iter() {
                        key::put_name(&mut it.attributes, name);
                        key::put_value(&mut it.attributes, value);
                    }
                }
                if let Some(counts) = it.counts.get_mut(number) {
                    let full = counts.len() >= SERIES_MAX && !counts.contains_key(&attributes);
                    *counts
                        .entry(if full { overflow() } else { attributes })
                        .or_default() += 1;
                }
            }
        })?;
        all.retain(|it| it.counts.iter().any(|counts| !counts.is_empty()));
        Ok(all)
    }

    /// The counts as metrics, and their points.
    fn encode(&self, signal: Signal, all: &[OfResource], start: u64, time: u64) -> (Vec<u8>, u64) {
        let (mut out, mut points) = (Vec::new(), 0);
        let Some((_, counted)) = self.of(signal) else {
            return (out, points);
        };
        for it in all {
            proto::message(&mut out, 1, |out| {
                proto::message(out, 1, |out| put_attributes(out, 1, &it.attributes));
                proto::message(out, 2, |out| {
                    proto::message(out, 1, |out| proto::bytes(out, 1, b"otelcol/countconnector"));
                    for (counted, counts) in counted.iter().zip(&it.counts).filter(|(_, it)| !it.is_empty()) {
                        points += counts.len() as u64;
                        proto::message(out, 2, |out| {
                            proto::bytes(out, 1, counted.metric.name.as_bytes());
                            proto::bytes(out, 2, counted.metric.description.as_bytes());
                            proto::message(out, 7, |out| {
                                for (attributes, count) in counts {
                                    proto::message(out, 1, |out| {
                                        proto::fixed64(out, 2, start);
                                        proto::fixed64(out, 3, time);
                                        proto::fixed64(out, 6, *count);
                                        put_attributes(out, 7, attributes);
                                    });
                                }
                                proto::varint(out, 2, 1);
                                proto::varint(out, 3, 1);
                            });
                        });
                    }
                });
            });
        }
        (out, points)
    }

    async fn take(&self, batch: Batch) -> Result<Accepted, Refusal> {
        let items = batch.items.unwrap_or(0);
        let all = self.count(&batch)?;
        if all.is_empty() {
            return Ok(Accepted::all(items));
        }
        let mut last = self.last.lock().await;
        let time = self.clock.now().0.max(*last + 1);
        let start = if *last == 0 { time } else { *last };
        let (bytes, points) = self.encode(batch.signal, &all, start, time);
        let metrics = Batch {
            items: Some(points),
            metadata: batch.metadata,
            peer: batch.peer,
            ..Batch::new(Signal::Metrics, bytes.into())
        };
        self.downstream.consume(metrics).await?;
        *last = time;
        Ok(Accepted::all(items))
    }
}

/// What is beyond [`SERIES_MAX`].
fn overflow() -> Vec<u8> {
    let mut key = Vec::new();
    key::put_name(&mut key, b"otel.metric.overflow");
    key::put_bool(&mut key, true);
    key
}

/// The attributes that an item counts under; `None` when it lacks one without a default.
fn attributes(wanted: &[CountAttribute], level: Level, at: &Levels<'_>) -> Option<Vec<u8>> {
    let own = if level == Level::Part { &at.part } else { &at.item };
    let mut key = Vec::new();
    for CountAttribute {
        key: name,
        default_value,
    } in wanted
    {
        let found = [own, &at.scope, &at.resource]
            .into_iter()
            .find_map(|message| message.attributes().get(name.as_bytes()));
        key::put_name(&mut key, name.as_bytes());
        match (found, default_value) {
            (Some(value), _) => key::put_value(&mut key, value),
            (None, Some(Scalar::Text(text))) => key::put_text(&mut key, text.as_bytes()),
            (None, Some(Scalar::Bool(yes))) => key::put_bool(&mut key, *yes),
            (None, Some(Scalar::Int(number))) => key::put_int(&mut key, *number),
            (None, Some(Scalar::Double(number))) => key::put_double(&mut key, *number),
            (None, None) => return None,
        }
    }
    Some(key)
}

/// Names and values as attributes in field `number`.
fn put_attributes(out: &mut Vec<u8>, number: u32, key: &[u8]) {
    let (mut parts, mut any) = (Parts(key), Vec::new());
    while let Some(name) = parts.text() {
        if parts.any(&mut any) == Some(true) {
            proto::attribute(out, number, name, &any);
        }
    }
}

impl Consume for Count {
    fn consume(&self, batch: Batch) -> Consumed<'_> {
        Box::pin(self.take(batch))
    }
}
