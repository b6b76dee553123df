//! The gateway's own metrics, `burngate_*`: one recorder for the process, because the macros of `metrics`
//! speak to one.
//!
//! What they mean stands in `described`, so that `/metrics` explains itself; the receivers describe theirs.

use super::described::{COUNTERS, GAUGES};
use metrics::{describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::sync::OnceLock;

static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();

/// Installs the recorder at the first call; the handle renders what was recorded.
pub fn metrics_handle() -> PrometheusHandle {
    let install = || {
        let recorder = super::collector::buckets(PrometheusBuilder::new()).build_recorder();
        let handle = recorder.handle();
        // Another recorder is there only in a test that brought its own: what we record then goes to that
        // one.
        let _ = metrics::set_global_recorder(recorder);
        describe();
        metrics::gauge!("burngate_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        handle
    };
    HANDLE.get_or_init(install).clone()
}

fn describe() {
    super::collector::describe();
    for &(name, help) in COUNTERS {
        describe_counter!(name, help);
    }
    for &(name, help) in GAUGES {
        describe_gauge!(name, help);
    }
    describe_gauge!(
        "burngate_publish_otlp_omitted",
        "Series beyond cardinality_limit: not in the last push."
    );
    describe_gauge!(
        "burngate_publish_cohorts_omitted",
        "Cohorts beyond max_cohort_series: not on this page."
    );
    describe_histogram!(
        "burngate_decision_seconds",
        "Seconds from a decision to its confirmation, by exporter."
    );
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    fn sources(folder: &Path, out: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, out);
            } else {
                out.push(std::fs::read_to_string(path).unwrap());
            }
        }
    }

    /// Also those that no test makes a component record.
    #[test]
    fn every_metric_under_the_collectors_names_is_described() {
        let mut files = Vec::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
        let name = regex::Regex::new(r#""(otelcol_[a-z_]*[a-z])""#).unwrap();
        let known = super::super::collector::names();
        for found in files.iter().flat_map(|text| name.captures_iter(text)) {
            let name = found.get(1).unwrap().as_str();
            let own = name.starts_with("otelcol_process_") || name == "otelcol_sizes";
            assert!(own || known.contains(name), "telemetry/collector.rs lacks {name}");
        }
    }

    /// Also those that a quiet gateway never shows, so that no test of a page would miss them.
    #[test]
    fn every_metric_of_ours_is_described() {
        let mut files = Vec::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
        let name = regex::Regex::new(r#""(burngate_[a-z_]+)""#).unwrap();
        let mut mentions = std::collections::BTreeMap::<&str, usize>::new();
        for found in files.iter().flat_map(|text| name.captures_iter(text)) {
            *mentions.entry(found.get(1).unwrap().as_str()).or_default() += 1;
        }
        // Where it is recorded, and where it is described.
        let once: BTreeSet<&str> = mentions
            .iter()
            .filter(|(_, times)| **times < 2)
            .map(|(name, _)| *name)
            .collect();
        assert_eq!(
            once,
            BTreeSet::new(),
            "described and not recorded, or recorded and not described"
        );
    }
}
