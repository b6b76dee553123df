//! Row J7: payloads of the official projects, beside what the official structs make of them.

use super::LIMIT;
use crate::receive::Signal;
use crate::receive::json::decode;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use serde::de::DeserializeOwned;
use std::fs;
use std::path::{Path, PathBuf};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data/otlp");

fn json_files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            json_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "json") {
            found.push(path);
        }
    }
}

/// Ours must take what the official structs take, with equal values. Returns whether they took it.
fn compare<M>(signal: Signal, text: &str, path: &Path) -> bool
where
    M: Message + Default + PartialEq + DeserializeOwned,
{
    let ours = decode(signal, text.as_bytes(), LIMIT);
    let Ok(theirs) = serde_json::from_str::<M>(text) else {
        return false;
    };
    let ours = ours.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    // Encoded again, because NaN does not equal itself.
    let ours = M::decode(&ours[..]).unwrap().encode_to_vec();
    assert!(ours == theirs.encode_to_vec(), "{}", path.display());
    true
}

/// Some files hold one resource's part of a request.
fn whole(text: String) -> String {
    for signal in ["Spans", "Metrics", "Logs"] {
        if text.contains(&format!("scope{signal}")) && !text.contains(&format!("resource{signal}")) {
            return format!(r#"{{"resource{signal}":[{text}]}}"#);
        }
    }
    text
}

#[test]
fn j7_golden_payloads_have_the_values_that_the_official_structs_read() {
    let mut files = Vec::new();
    if !Path::new(DATA).is_dir() {
        println!("skipped: {DATA} is missing");
        return;
    }
    json_files(Path::new(DATA), &mut files);
    let mut compared = 0;
    for path in &files {
        let text = whole(fs::read_to_string(path).unwrap());
        let took = if text.contains("resourceSpans") {
            compare::<ExportTraceServiceRequest>(Signal::Traces, &text, path)
        } else if text.contains("resourceMetrics") {
            compare::<ExportMetricsServiceRequest>(Signal::Metrics, &text, path)
        } else if text.contains("resourceLogs") {
            compare::<ExportLogsServiceRequest>(Signal::Logs, &text, path)
        } else {
            println!("no request: {}", path.display());
            continue;
        };
        if took {
            compared += 1;
        } else {
            println!("the official structs refuse {}", path.display());
        }
    }
    assert!(compared >= 30, "{compared} of {} files compared", files.len());
}
