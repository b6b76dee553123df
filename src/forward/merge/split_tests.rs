//! Merging and splitting as bytes gives what prost gives.

#![allow(clippy::disallowed_methods, reason = "prost is the oracle")]

use super::Split;
use crate::pipeline::Signal;
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use proptest::prelude::*;
use prost::Message;

/// Items a scope, scopes a resource, resources a request.
type Shape = Vec<Vec<Vec<u8>>>;

fn shape() -> impl Strategy<Value = Shape> {
    prop::collection::vec(
        prop::collection::vec(prop::collection::vec(0_u8..4, 0..5), 0..4),
        0..4,
    )
}

fn resource(n: usize) -> Option<Resource> {
    let attributes = (0..n).map(|i| KeyValue {
        key: format!("r{i}"),
        ..KeyValue::default()
    });
    (n > 0).then(|| Resource {
        attributes: attributes.collect(),
        ..Resource::default()
    })
}

fn scope(n: usize) -> Option<InstrumentationScope> {
    (n > 0).then(|| InstrumentationScope {
        name: format!("scope{n}"),
        ..InstrumentationScope::default()
    })
}

fn traces(shape: &Shape) -> ExportTraceServiceRequest {
    let mut next = 0;
    let mut span = |len: u8| {
        next += 1;
        Span {
            name: format!("{next}{}", "x".repeat(usize::from(len) * 50)),
            ..Span::default()
        }
    };
    let resource_spans = shape.iter().enumerate().map(|(r, scopes)| ResourceSpans {
        resource: resource(r),
        scope_spans: (scopes.iter().enumerate())
            .map(|(s, spans)| ScopeSpans {
                scope: scope(s),
                spans: spans.iter().map(|len| span(*len)).collect(),
                schema_url: format!("url{s}"),
            })
            .collect(),
        schema_url: String::new(),
    });
    ExportTraceServiceRequest {
        resource_spans: resource_spans.collect(),
    }
}

fn logs(shape: &Shape) -> ExportLogsServiceRequest {
    let resource_logs = traces(shape).resource_spans.into_iter().map(|it| ResourceLogs {
        resource: it.resource,
        scope_logs: (it.scope_spans.into_iter())
            .map(|it| ScopeLogs {
                scope: it.scope,
                log_records: (it.spans.into_iter())
                    .map(|span| LogRecord {
                        severity_text: span.name,
                        ..LogRecord::default()
                    })
                    .collect(),
                schema_url: it.schema_url,
            })
            .collect(),
        schema_url: it.schema_url,
    });
    ExportLogsServiceRequest {
        resource_logs: resource_logs.collect(),
    }
}

/// One metric a number of the shape, with as many points.
fn metrics(shape: &Shape) -> ExportMetricsServiceRequest {
    let point = |n: u8| NumberDataPoint {
        time_unix_nano: u64::from(n) + 1,
        ..NumberDataPoint::default()
    };
    let metric = |points: u8| Metric {
        name: format!("m{points}"),
        data: match points % 3 {
            0 => Some(Data::Gauge(Gauge {
                data_points: (0..points).map(point).collect(),
            })),
            1 => Some(Data::Sum(Sum {
                data_points: (0..points).map(point).collect(),
                aggregation_temporality: 2,
                is_monotonic: true,
            })),
            _ => Some(Data::Histogram(Histogram {
                data_points: (0..points)
                    .map(|n| HistogramDataPoint {
                        count: u64::from(n) + 7,
                        ..HistogramDataPoint::default()
                    })
                    .collect(),
                aggregation_temporality: 1,
            })),
        },
        ..Metric::default()
    };
    let resource_metrics = shape.iter().enumerate().map(|(r, scopes)| ResourceMetrics {
        resource: resource(r),
        scope_metrics: (scopes.iter().enumerate())
            .map(|(s, counts)| ScopeMetrics {
                scope: scope(s),
                metrics: counts.iter().map(|n| metric(*n)).collect(),
                schema_url: String::new(),
            })
            .collect(),
        schema_url: format!("url{r}"),
    });
    ExportMetricsServiceRequest {
        resource_metrics: resource_metrics.collect(),
    }
}

/// Every item with what is around it, as text.
fn spans_of(bytes: &[u8]) -> Vec<String> {
    let request = ExportTraceServiceRequest::decode(bytes).unwrap();
    let mut all = Vec::new();
    for r in &request.resource_spans {
        for s in &r.scope_spans {
            let around = format!("{:?}{}{:?}{}", r.resource, r.schema_url, s.scope, s.schema_url);
            all.extend(s.spans.iter().map(|span| format!("{around}{span:?}")));
        }
    }
    all
}

fn records_of(bytes: &[u8]) -> Vec<String> {
    let request = ExportLogsServiceRequest::decode(bytes).unwrap();
    let mut all = Vec::new();
    for r in &request.resource_logs {
        for s in &r.scope_logs {
            let around = format!("{:?}{}{:?}{}", r.resource, r.schema_url, s.scope, s.schema_url);
            all.extend(s.log_records.iter().map(|it| format!("{around}{it:?}")));
        }
    }
    all
}

fn points_of(bytes: &[u8]) -> Vec<String> {
    let request = ExportMetricsServiceRequest::decode(bytes).unwrap();
    let mut all = Vec::new();
    for r in &request.resource_metrics {
        for (s, m) in r
            .scope_metrics
            .iter()
            .flat_map(|s| s.metrics.iter().map(move |m| (s, m)))
        {
            let around = format!("{:?}{}{:?}{}", r.resource, r.schema_url, s.scope, m.name);
            match &m.data {
                Some(Data::Gauge(it)) => {
                    all.extend(it.data_points.iter().map(|p| format!("{around}gauge{p:?}")));
                }
                Some(Data::Sum(it)) => {
                    let how = (it.aggregation_temporality, it.is_monotonic);
                    all.extend(it.data_points.iter().map(|p| format!("{around}{how:?}{p:?}")));
                }
                Some(Data::Histogram(it)) => {
                    let how = it.aggregation_temporality;
                    all.extend(it.data_points.iter().map(|p| format!("{around}{how:?}{p:?}")));
                }
                _ => {}
            }
        }
    }
    all
}

/// Cuts the request at every `width` items and checks what comes out.
fn cut(
    request: Vec<u8>,
    signal: Signal,
    width: u64,
    items_of: fn(&[u8]) -> Vec<String>,
) -> Result<(), TestCaseError> {
    let expected = items_of(&request);
    let split = Split::new(request.into(), signal).unwrap();
    prop_assert_eq!(split.items(), expected.len() as u64);
    let mut got = Vec::new();
    let mut from = 0;
    while from < split.items() {
        let to = (from + width).min(split.items());
        let items = items_of(&split.slice(from, to).concat());
        prop_assert_eq!(items.len() as u64, to - from);
        got.extend(items);
        from = to;
    }
    prop_assert_eq!(got, expected);
    Ok(())
}

proptest! {
    #[test]
    fn spans_cut_anywhere_are_the_same_spans(shape in shape(), width in 1_u64..9) {
        cut(traces(&shape).encode_to_vec(), Signal::Traces, width, spans_of)?;
    }

    #[test]
    fn records_cut_anywhere_are_the_same_records(shape in shape(), width in 1_u64..9) {
        cut(logs(&shape).encode_to_vec(), Signal::Logs, width, records_of)?;
    }

    #[test]
    fn points_cut_anywhere_are_the_same_points(shape in shape(), width in 1_u64..9) {
        cut(metrics(&shape).encode_to_vec(), Signal::Metrics, width, points_of)?;
    }

    #[test]
    fn one_after_the_other_is_the_merge(a in shape(), b in shape()) {
        let both = [traces(&a).encode_to_vec(), traces(&b).encode_to_vec()].concat();
        let mut expected = traces(&a);
        expected.resource_spans.extend(traces(&b).resource_spans);
        prop_assert_eq!(ExportTraceServiceRequest::decode(&both[..]).unwrap(), expected);
    }

    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..60), from in 0_u64..9, width in 1_u64..9) {
        for signal in Signal::ALL {
            if let Ok(split) = Split::new(Bytes::from(bytes.clone()), signal) {
                let _ = split.slice(from, from + width);
            }
        }
    }
}

#[test]
fn whole_request_is_the_buffer_that_came_in() {
    let request = Bytes::from(traces(&vec![vec![vec![1, 2]]]).encode_to_vec());
    let split = Split::new(request.clone(), Signal::Traces).unwrap();
    let [only] = &split.slice(0, 2)[..] else {
        panic!("one piece")
    };
    assert_eq!(only.as_ptr(), request.as_ptr());
}

#[test]
fn items_are_slices_of_the_buffer_that_came_in() {
    let request = Bytes::from(traces(&vec![vec![vec![3; 20]]]).encode_to_vec());
    let split = Split::new(request.clone(), Signal::Traces).unwrap();
    let within = request.as_ptr_range();
    let copied: usize = (split.slice(5, 15).iter())
        .filter(|piece| !within.contains(&piece.as_ptr()))
        .map(Bytes::len)
        .sum();
    assert!(copied < 16, "{copied} bytes were copied");
}

#[test]
fn metric_with_two_kinds_of_data_stays_whole() {
    let gauge = Metric {
        data: Some(Data::Gauge(Gauge {
            data_points: vec![NumberDataPoint::default(); 3],
        })),
        ..Metric::default()
    };
    let sum = Metric {
        data: Some(Data::Sum(Sum {
            data_points: vec![NumberDataPoint::default(); 2],
            ..Sum::default()
        })),
        ..Metric::default()
    };
    let metric = [gauge.encode_to_vec(), sum.encode_to_vec()].concat();
    let field = |number: u8, content: &[u8]| {
        [
            &[number << 3 | 2, u8::try_from(content.len()).unwrap()][..],
            content,
        ]
        .concat()
    };
    let request = field(1, &field(2, &field(2, &metric)));
    let split = Split::new(request.clone().into(), Signal::Metrics).unwrap();
    assert_eq!(split.items(), 2);
    assert_eq!(points_of(&split.slice(0, 1).concat()).len(), 2);
    assert_eq!(points_of(&split.slice(1, 2).concat()).len(), 0);
}
