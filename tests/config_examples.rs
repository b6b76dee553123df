//! The files that we hand out hold, and say what their comments promise.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use burngate::config::{Config, ConfigSource, DecisionExporter, GrpcReceiver};
use std::path::Path;

fn example(name: &str) -> Config {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name);
    // A token from the environment would need the environment of this process; a copy with the token in it does not.
    let text = std::fs::read_to_string(&path)
        .unwrap()
        .replace("${env:UNLEASH_TOKEN}", "t0ken");
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("gateway.yaml");
    std::fs::write(&copy, text).unwrap();
    let config = Config::load(&ConfigSource::File(copy)).unwrap_or_else(|error| panic!("{name}:\n{error}"));
    assert_eq!(config.warnings, Vec::<String>::new(), "{name}");
    config
}

#[test]
fn the_central_gateway_is_open_to_all_and_decides_through_unleash() {
    let config = example("examples/central-gateway.yaml");
    assert!(config.receivers[0].config.grpc.as_ref().is_some_and(|grpc| {
        grpc.endpoint.address().unwrap().ip().is_unspecified() && grpc.max_connections == 4096
    }));
    assert_eq!(config.receivers[0].config.limits.max_in_flight_mib, 1024);
    let decides: Vec<_> = config.decision_exporters.iter().collect();
    let [DecisionExporter::Unleash(unleash)] = &decides[..] else {
        panic!("one unleash")
    };
    assert_eq!(unleash.token.expose(), "t0ken");
    assert!(
        config
            .storage
            .is_some_and(|storage| storage.directory.is_absolute())
    );
}

#[test]
fn the_sidecar_takes_telemetry_from_loopback_only_and_stays_small() {
    let config = example("examples/sidecar.yaml");
    let grpc = config.receivers[0].config.grpc.clone().unwrap();
    assert!(grpc.endpoint.address().unwrap().ip().is_loopback());
    assert!(grpc.max_connections < GrpcReceiver::default().max_connections);
    assert!(
        config.receivers[0]
            .config
            .http
            .as_ref()
            .unwrap()
            .endpoint
            .address()
            .unwrap()
            .ip()
            .is_loopback()
    );
    assert!(config.api.unwrap().endpoint.ip().is_loopback());
    assert_eq!(config.receivers[0].config.limits.max_in_flight_mib, 32);
    assert_eq!(config.error_budget.cohorts.max_total, 1000);
    assert!(config.error_budget.policies.is_empty() && config.decision_exporters.is_empty());
}

#[test]
fn the_compose_file_of_the_repository_holds() {
    let config = example("compose/gateway.yaml");
    assert_eq!(config.decision_exporters.ids().collect::<Vec<_>>(), ["unleash"]);
    assert!(config.signals.traces && config.signals.metrics && config.signals.logs);
}
