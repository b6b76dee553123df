//! The walk reads real telemetry as prost does.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests; prost is the oracle"
)]

mod wire_support;

use burngate::wire::{ItemSummary, count_log_records, count_metric_points};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use prost::Message;
use serde::de::DeserializeOwned;
use std::fs;
use std::path::{Path, PathBuf};
use wire_support::logs::{same_logs_as_prost, walked_logs, wanted_in};
use wire_support::points::{same_points_as_prost, walked_points};
use wire_support::{NO_CAPS, same_as_prost, shared, walked};

/// Every file below `directory` whose content is of one signal.
fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// The files as wire bytes: those whose JSON has `member` at the top, and the .pb files with `word` in their
/// name.
fn requests<M: Message + DeserializeOwned + Default>(member: &str, word: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let Some(root) = shared("otlp") else {
        return Vec::new();
    };
    let mut paths = Vec::new();
    files(&root, &mut paths);
    paths.sort();
    let mut requests = Vec::new();
    for path in paths {
        let content = fs::read(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("pb") if name.contains(word) => requests.push((path, content)),
            Some("json") => {
                let json: serde_json::Value = serde_json::from_slice(&content).unwrap();
                if json.get(member).is_none() {
                    continue;
                }
                match serde_json::from_value::<M>(json) {
                    Ok(message) => requests.push((path, message.encode_to_vec())),
                    Err(error) => eprintln!("skipped: {name}: the oracle's JSON decoder says {error}"),
                }
            }
            _ => {}
        }
    }
    eprintln!("{} files of {member}", requests.len());
    requests
}

#[test]
fn every_traces_file_reads_as_prost_reads_it() {
    let requests = requests::<ExportTraceServiceRequest>("resourceSpans", "traces");
    let mut spans = 0;
    for (path, bytes) in &requests {
        let accepted = same_as_prost(bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(accepted, "{}", path.display());
        spans += walked(bytes).unwrap().0.spans;
    }
    assert!(requests.is_empty() || spans > 100, "{spans} spans compared");
}

#[test]
fn every_metrics_file_reads_as_prost_reads_it() {
    let requests = requests::<ExportMetricsServiceRequest>("resourceMetrics", "metrics");
    let mut points = 0;
    for (path, bytes) in &requests {
        let accepted =
            same_points_as_prost(bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(accepted, "{}", path.display());
        let walked = walked_points(bytes).unwrap().0.spans;
        let decoded = ExportMetricsServiceRequest::decode(&bytes[..]).unwrap();
        assert_eq!(walked, self::points(&decoded) as u64, "{}", path.display());
        points += walked;
    }
    assert!(requests.is_empty() || points > 30, "{points} points compared");
}

#[test]
fn every_truncation_of_a_recorded_file_reads_as_prost_reads_it() {
    for (path, bytes) in requests::<ExportTraceServiceRequest>("resourceSpans", "traces") {
        let step = bytes.len() / 500 + 1;
        for length in (0..bytes.len()).step_by(step) {
            if let Err(error) = same_as_prost(&bytes[..length]) {
                panic!("{} cut to {length} bytes: {error}", path.display());
            }
        }
    }
}

fn points(request: &ExportMetricsServiceRequest) -> usize {
    request
        .resource_metrics
        .iter()
        .flat_map(|resource| &resource.scope_metrics)
        .flat_map(|scope| &scope.metrics)
        .map(|metric| match &metric.data {
            None => 0,
            Some(Data::Gauge(data)) => data.data_points.len(),
            Some(Data::Sum(data)) => data.data_points.len(),
            Some(Data::Histogram(data)) => data.data_points.len(),
            Some(Data::ExponentialHistogram(data)) => data.data_points.len(),
            Some(Data::Summary(data)) => data.data_points.len(),
        })
        .sum()
}

#[test]
fn every_metrics_file_has_as_many_points_as_prost_finds() {
    let mut all = 0;
    let requests = requests::<ExportMetricsServiceRequest>("resourceMetrics", "metrics");
    for (path, bytes) in &requests {
        let expected = points(&ExportMetricsServiceRequest::decode(&bytes[..]).unwrap()) as u64;
        let summary = count_metric_points(bytes, &NO_CAPS);
        assert_eq!(
            summary,
            Ok(ItemSummary {
                items: expected,
                rejected: 0
            }),
            "{}",
            path.display()
        );
        all += expected;
    }
    assert!(requests.is_empty() || all > 20, "{all} points compared");
}

#[test]
fn every_logs_file_has_as_many_records_as_prost_finds() {
    let mut all = 0;
    let requests = requests::<ExportLogsServiceRequest>("resourceLogs", "logs");
    for (path, bytes) in &requests {
        let message = ExportLogsServiceRequest::decode(&bytes[..]).unwrap();
        let scopes = message
            .resource_logs
            .iter()
            .flat_map(|resource| &resource.scope_logs);
        let records: Vec<_> = scopes.flat_map(|scope| &scope.log_records).collect();
        let valid = |id: &[u8], length: usize| id.is_empty() || id.len() == length;
        let bad = records
            .iter()
            .filter(|r| !valid(&r.trace_id, 16) || !valid(&r.span_id, 8))
            .count();
        let expected = ItemSummary {
            items: records.len() as u64,
            rejected: bad as u64,
        };
        assert_eq!(
            count_log_records(bytes, &NO_CAPS),
            Ok(expected),
            "{}",
            path.display()
        );
        all += records.len();
    }
    assert!(requests.is_empty() || all > 5, "{all} records compared");
}

#[test]
fn every_logs_file_reads_as_prost_reads_it() {
    let requests = requests::<ExportLogsServiceRequest>("resourceLogs", "logs");
    let (mut records, mut wanted) = (0, 0);
    for (path, bytes) in &requests {
        let accepted =
            same_logs_as_prost(bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(accepted, "{}", path.display());
        let (summary, views) = walked_logs(bytes).unwrap();
        records += summary.spans;
        wanted += wanted_in(&views);
        let step = bytes.len() / 500 + 1;
        for length in (0..bytes.len()).step_by(step) {
            if let Err(error) = same_logs_as_prost(&bytes[..length]) {
                panic!("{} cut to {length} bytes: {error}", path.display());
            }
        }
    }
    assert!(requests.is_empty() || records > 5, "{records} records compared");
    assert!(
        requests.is_empty() || wanted > 0,
        "no record carries a wanted attribute"
    );
}

#[test]
fn two_hundred_thousand_spans_of_an_incident_read_as_prost_reads_them() {
    let Some(root) = shared("incidents") else { return };
    let mut paths = Vec::new();
    files(&root, &mut paths);
    let mut spans = 0;
    for path in paths
        .iter()
        .filter(|path| path.to_string_lossy().ends_with(".pbs.zst"))
    {
        let stream = zstd::stream::decode_all(fs::File::open(path).unwrap()).unwrap();
        let mut rest = &stream[..];
        while let Some((length, tail)) = rest.split_first_chunk::<4>() {
            let (request, tail) = tail.split_at(u32::from_be_bytes(*length) as usize);
            rest = tail;
            let accepted = same_as_prost(request).unwrap_or_else(|error| panic!("{error}"));
            assert!(accepted);
            spans += walked(request).unwrap().0.spans;
        }
        assert!(rest.is_empty());
    }
    assert!(spans > 200_000, "{spans} spans compared");
}
