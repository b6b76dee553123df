//! `config/gateway.yaml` holds every key, and an example of every component. The tables below are what the
//! components share and what is left out of the file on purpose; whoever adds a key adds it there.

use super::tests::{VARIABLES, everything, from_text};
use super::types::{CONNECTORS, EXPORTERS, EXTENSIONS, PROCESSORS, RECEIVERS, Type};
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};

/// Keys that stand for the same: what is shown at one place need not be shown at the others.
const SAME: [(&str, &str); 12] = [
    (
        r"^(receivers|processors|exporters|connectors|extensions)\.([a-z_]+)/[^.]*",
        "$1.$2",
    ),
    (
        r"^exporters\.http\.actions\.(on|rollout|serve)",
        "exporters.http.actions.off",
    ),
    (r"^service\.pipelines\.[^.]+", "service.pipelines.*"),
    (
        r"^connectors\.count\.[a-z]+\..*\.(description|conditions|attributes)",
        "connectors.count.*.$1",
    ),
    (
        r"^connectors\.count\.[a-z]+\..*\.default_value",
        "connectors.count.*.attributes[].default_value",
    ),
    (
        r"^connectors\.span_metrics\.events\.dimensions",
        "connectors.span_metrics.dimensions",
    ),
    (
        r"^exporters\.(otlp_http|prometheus_remote_write)\.tls",
        "exporters.otlp_grpc.tls",
    ),
    (
        r"^processors\.attributes\.actions",
        "processors.resource.attributes",
    ),
    (
        r"^processors\.attributes\.exclude",
        "processors.attributes.include",
    ),
    (
        r"^receivers\.otlp\.protocols\.http\.tls",
        "receivers.otlp.protocols.grpc.tls",
    ),
    (
        r"^service\.telemetry\.metrics\.readers\[\]\.periodic\.exporter\.otlp",
        "service.telemetry.otlp",
    ),
    (
        r"^service\.telemetry\.traces\.processors\[\]\.batch\.exporter\.otlp",
        "service.telemetry.otlp",
    ),
];

/// Keys that are left out on purpose.
const LEFT_OUT: [(&str, &str); 6] = [
    (
        r"^receivers\.otlp\.protocols\.grpc\.tls\.(cert|key|client_ca)_pem$",
        "the files are shown",
    ),
    (
        r"^receivers\.otlp\.protocols\.grpc\.tls\.(ca_file|ca_pem|include_system_ca_certs_pool)$",
        "read, and without a use for a server",
    ),
    (
        r"^extensions\.bearertokenauth\.(tokens|filename)$",
        "`token` is shown, the others are told",
    ),
    (
        r"^exporters\.otlp_http\.endpoint$",
        "the endpoints of the signals are shown",
    ),
    (
        r"^processors\.memory_limiter\.min_gc_interval_",
        "there is no garbage collector to ask",
    ),
    (
        r"^service\.telemetry\.traces\.sampler\.",
        "another sampler is shown",
    ),
];

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).unwrap()
}

/// Keys as the table names them.
fn canonical(keys: &BTreeMap<String, bool>) -> Vec<(String, bool)> {
    let item = regex(r"\[\d+\]");
    let same: Vec<(Regex, &str)> = SAME.iter().map(|(from, to)| (regex(from), *to)).collect();
    let one = |key: &String| {
        let key = item.replace_all(key, "[]").into_owned();
        same.iter()
            .fold(key, |key, (from, to)| from.replace(&key, *to).into_owned())
    };
    keys.iter().map(|(key, there)| (one(key), *there)).collect()
}

#[test]
fn no_key_is_missing_in_the_file() {
    let (_, found) = from_text(&everything(), VARIABLES.to_vec()).unwrap();
    let keys = canonical(&found.keys);
    let there: BTreeSet<&str> = keys
        .iter()
        .filter(|(_, there)| *there)
        .map(|(key, _)| key.as_str())
        .collect();
    let absent: BTreeSet<&str> = keys
        .iter()
        .map(|(key, _)| key.as_str())
        .filter(|key| !there.contains(key))
        .collect();
    let left_out: Vec<Regex> = LEFT_OUT.iter().map(|(pattern, _)| regex(pattern)).collect();
    let is_left_out = |key: &&&str| left_out.iter().any(|pattern| pattern.is_match(key));
    let missing: Vec<_> = absent.iter().filter(|key| !is_left_out(key)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
    for pattern in &left_out {
        let meant = absent.iter().any(|key| pattern.is_match(key));
        assert!(meant, "{pattern} is left out no more");
    }
}

#[test]
fn every_component_has_an_example_in_the_file() {
    fn check<T>(kind: &str, types: &[Type<T>], there: &BTreeSet<String>) {
        for it in types {
            let used = there.iter().any(|id| it.is(id.split('/').next().unwrap()));
            assert!(used, "config/gateway.yaml has no example of {kind}.{}", it.name);
        }
    }
    let (config, _) = from_text(&everything(), VARIABLES.to_vec()).unwrap();
    assert_eq!(config.warnings, Vec::<String>::new());
    let ids = |ids: Vec<&String>| ids.into_iter().cloned().collect::<BTreeSet<_>>();
    check(
        "receivers",
        RECEIVERS,
        &ids(config.receivers.iter().map(|it| &it.id).collect()),
    );
    check(
        "processors",
        PROCESSORS,
        &ids(config.graph.processors.iter().map(|it| &it.id).collect()),
    );
    check(
        "connectors",
        CONNECTORS,
        &ids(config.graph.connectors.iter().map(|it| &it.id).collect()),
    );
    check(
        "extensions",
        EXTENSIONS,
        &ids(config.extensions.iter().map(|it| &it.id).collect()),
    );
    let mut exporters = ids(config.graph.forwarders.iter().map(|it| &it.id).collect());
    exporters.extend(config.decision_exporters.ids().map(ToOwned::to_owned));
    exporters.extend(config.prometheus.iter().map(|_| "prometheus".to_owned()));
    check("exporters", EXPORTERS, &exporters);
}
