//! When the items of a request happened, and the request cut by that.
//!
//! A span happened when it ended, a data point at its time, a log record at its time or else when it was
//! observed. Live requests are never looked at like this: they happen when they arrive.

use super::Malformed;
use super::edit::{Field, Keep, Kind, Level, Levels, Message, Request, Visit, Wants, edit};
use bytes::Bytes;
use std::ops::Range;

/// When the items of one request happened, in Unix nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Spans, data points or log records.
    pub items: u64,
    /// Those among them that do not say when.
    pub timeless: u64,
    /// The earliest of the others; 0 without any.
    pub earliest: u64,
    /// The latest of the others; 0 without any.
    pub latest: u64,
}

/// Reads the times of every item of `bytes`.
pub fn times(request: Request, bytes: &Bytes) -> Result<Times, Malformed> {
    let mut times = Times::default();
    let mut look = Look {
        request,
        each: |at| {
            times.items += 1;
            if at == 0 {
                times.timeless += 1;
            } else {
                times.latest = times.latest.max(at);
                times.earliest = if times.earliest == 0 {
                    at
                } else {
                    times.earliest.min(at)
                };
            }
            Keep::Stay
        },
    };
    edit(request, bytes, &mut look)?;
    Ok(times)
}

/// The items of `bytes` that happened in `range`, each under its resource and scope.
pub fn within(request: Request, bytes: &Bytes, range: &Range<u64>) -> Result<Bytes, Malformed> {
    let mut look = Look {
        request,
        each: |at| {
            if range.contains(&at) {
                Keep::Stay
            } else {
                Keep::Drop
            }
        },
    };
    edit(request, bytes, &mut look).map(|edited| edited.bytes)
}

/// Calls `each` with the time of every item.
struct Look<F> {
    request: Request,
    each: F,
}

impl<'a, F: FnMut(u64) -> Keep> Visit<'a> for Look<F> {
    type Error = Malformed;

    fn wants(&self, kind: Kind) -> Wants {
        match (self.request, kind) {
            (Request::Traces, Kind::Span) | (Request::Logs, Kind::Record) => Wants::Fields,
            (Request::Metrics, Kind::NumberPoint | Kind::HistogramPoint) => Wants::Fields,
            (Request::Metrics, Kind::ExponentialPoint | Kind::SummaryPoint) => Wants::Fields,
            _ => Wants::Nothing,
        }
    }

    fn visit(&mut self, level: Level, at: &mut Levels<'a>) -> Result<Keep, Malformed> {
        let message = match (self.request, level) {
            (Request::Traces | Request::Logs, Level::Item) => &at.item,
            (Request::Metrics, Level::Part) => &at.part,
            _ => return Ok(Keep::Stay),
        };
        Ok((self.each)(time_of(message)))
    }
}

/// 0 where the item does not say.
fn time_of(message: &Message<'_>) -> u64 {
    let (first, second) = match message.kind() {
        Kind::Span => (Field::EndTime, Field::StartTime),
        Kind::Record => (Field::Time, Field::ObservedTime),
        _ => (Field::Time, Field::Time),
    };
    let known = |field| message.number(field).filter(|&at| at > 0);
    known(first).or_else(|| known(second)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::edit::count_items;
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
    use opentelemetry_proto::tonic::metrics::v1::{
        Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Summary, SummaryDataPoint,
        metric::Data,
    };
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
    use prost::Message as _;

    fn spans(ends: &[u64]) -> Bytes {
        let spans = ends.iter().map(|&end_time_unix_nano| Span {
            start_time_unix_nano: 3,
            end_time_unix_nano,
            ..Span::default()
        });
        let scope_spans = vec![ScopeSpans {
            spans: spans.collect(),
            ..ScopeSpans::default()
        }];
        let resource_spans = vec![ResourceSpans {
            scope_spans,
            ..ResourceSpans::default()
        }];
        ExportTraceServiceRequest { resource_spans }
            .encode_to_vec()
            .into()
    }

    fn records(times: &[(u64, u64)]) -> Bytes {
        let log_records = times
            .iter()
            .map(|&(time_unix_nano, observed_time_unix_nano)| LogRecord {
                time_unix_nano,
                observed_time_unix_nano,
                ..LogRecord::default()
            });
        let scope_logs = vec![ScopeLogs {
            log_records: log_records.collect(),
            ..ScopeLogs::default()
        }];
        let resource_logs = vec![ResourceLogs {
            scope_logs,
            ..ResourceLogs::default()
        }];
        ExportLogsServiceRequest { resource_logs }.encode_to_vec().into()
    }

    fn points(gauge: &[u64], summary: &[u64]) -> Bytes {
        let number = |&time_unix_nano: &u64| NumberDataPoint {
            time_unix_nano,
            ..NumberDataPoint::default()
        };
        let quantiles = |&time_unix_nano: &u64| SummaryDataPoint {
            time_unix_nano,
            ..SummaryDataPoint::default()
        };
        let metric = |data| Metric {
            name: "m".to_owned(),
            data: Some(data),
            ..Metric::default()
        };
        let metrics = vec![
            metric(Data::Gauge(Gauge {
                data_points: gauge.iter().map(number).collect(),
            })),
            metric(Data::Summary(Summary {
                data_points: summary.iter().map(quantiles).collect(),
            })),
        ];
        let scope_metrics = vec![ScopeMetrics {
            metrics,
            ..ScopeMetrics::default()
        }];
        let resource_metrics = vec![ResourceMetrics {
            scope_metrics,
            ..ResourceMetrics::default()
        }];
        ExportMetricsServiceRequest { resource_metrics }
            .encode_to_vec()
            .into()
    }

    fn of(items: u64, timeless: u64, earliest: u64, latest: u64) -> Times {
        Times {
            items,
            timeless,
            earliest,
            latest,
        }
    }

    #[test]
    fn each_signal_says_when_its_items_happened() {
        assert_eq!(
            times(Request::Traces, &spans(&[70, 50, 0])),
            Ok(of(3, 0, 3, 70)),
            "a start for want of an end"
        );
        assert_eq!(
            times(Request::Logs, &records(&[(5, 9), (0, 7), (0, 0)])),
            Ok(of(3, 1, 5, 7))
        );
        assert_eq!(
            times(Request::Metrics, &points(&[4, 0], &[8])),
            Ok(of(3, 1, 4, 8))
        );
        assert_eq!(times(Request::Traces, &Bytes::new()), Ok(Times::default()));
        assert_eq!(
            times(Request::Traces, &Bytes::from_static(&[0x0a, 9])),
            Err(Malformed)
        );
    }

    #[test]
    fn a_request_cut_by_time_loses_nothing_and_doubles_nothing() {
        let cases = [
            (Request::Traces, spans(&[10, 20, 30, 40])),
            (Request::Logs, records(&[(10, 0), (20, 0), (0, 30), (40, 1)])),
            (Request::Metrics, points(&[10, 20], &[30, 40])),
        ];
        for (request, bytes) in cases {
            let cut = |range| count_items(request, &within(request, &bytes, &range).unwrap()).unwrap();
            assert_eq!(
                (cut(0..20), cut(20..40), cut(40..41), cut(41..99)),
                (1, 2, 1, 0),
                "{request:?}"
            );
            assert_eq!(
                within(request, &bytes, &(10..41)).unwrap(),
                bytes,
                "the very bytes: {request:?}"
            );
        }
    }
}
