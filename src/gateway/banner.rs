//! What a start prints: one line a listener, and where to look first.

use super::listeners::Addresses;
use crate::config::{Config, Endpoint};
use crate::policy::PolicySet;
use crate::publish::window_name;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// The lines for standard output, in the order in which a reader needs them. The last begins with `ready`.
pub(super) fn lines(config: &Config, addresses: &Addresses, policies: &PolicySet) -> Vec<String> {
    let from = if config.is_embedded() {
        "built-in configuration".to_owned()
    } else {
        config.source()
    };
    let mut lines = vec![format!("burngate {} ({from})", env!("CARGO_PKG_VERSION"))];
    let others = [
        ("prometheus", "/metrics"),
        ("health", config.health.as_ref().map_or("/", |h| h.path.as_str())),
        (
            "api",
            "/api/v1/budgets, /cohorts, /decisions, and gRPC burngate.v1.BudgetService",
        ),
        ("pprof", "/debug/pprof/"),
        ("zpages", "/debug/servicez, /debug/pipelinez, /debug/tracez"),
        ("telemetry", "/metrics of burngate itself, as a Collector's"),
    ];
    for (name, endpoint, what) in
        doors(config).chain(others.map(|(name, what)| (name.to_owned(), None, what)))
    {
        let place = addresses.get(&name).map(ToString::to_string);
        let socket = endpoint
            .filter(|it| it.address().is_none())
            .map(Endpoint::to_string);
        if let Some(place) = place.or(socket) {
            // Padding stands behind the name, so that "NAME listening on ADDRESS" can be read by a script.
            lines.push(format!("{name:<10} listening on {place}  {what}"));
        }
    }
    match &config.storage {
        Some(storage) => lines.push(format!("store      {}", storage.directory.display())),
        None => lines.push("store      memory only: a restart forgets everything".to_owned()),
    }
    if !config.counts() {
        lines.push("objectives none: no pipeline hands telemetry to error_budget".to_owned());
        lines.push("ready".to_owned());
        return lines;
    }
    lines.push(objectives(policies));
    let mut ready = "ready".to_owned();
    let page = addresses
        .get("prometheus")
        .map(|a| format!("http://{}/metrics", reachable(*a)));
    let api = addresses
        .get("api")
        .map(|a| format!("http://{}/api/v1/budgets", reachable(*a)));
    let places: Vec<String> = page.into_iter().chain(api).collect();
    if !places.is_empty() {
        let _ = write!(
            ready,
            "      send spans; their budgets are at {}",
            places.join(" and ")
        );
    }
    lines.push(ready);
    lines
}

/// The listeners of receivers: name, where the configuration wants it, and what is there.
fn doors(config: &Config) -> impl Iterator<Item = (String, Option<&Endpoint>, &str)> {
    config.receivers.iter().flat_map(|it| {
        let grpc = it.config.grpc.as_ref().map(|grpc| &grpc.endpoint);
        let http = it.config.http.as_ref().map(|http| &http.endpoint);
        [
            (
                format!("{}/grpc", it.id),
                grpc,
                "OTLP over gRPC: traces, metrics, logs",
            ),
            (
                format!("{}/http", it.id),
                http,
                "OTLP over HTTP: /v1/traces, /v1/metrics, /v1/logs",
            ),
        ]
    })
}

/// An address that a browser on this machine can open: "any" is not one.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() {
            Ipv4Addr::LOCALHOST.into()
        } else {
            Ipv6Addr::LOCALHOST.into()
        });
    }
    address
}

fn objectives(policies: &PolicySet) -> String {
    let count: usize = policies.policies().iter().map(|p| p.slos.len()).sum();
    let kills = policies.kill_switches().count();
    let mut line = "objectives ".to_owned();
    if count > 0 {
        let of = |number: usize, one: &str, many: &str| {
            format!("{number} {}", if number == 1 { one } else { many })
        };
        let files = of(policies.policies().len(), "policy", "policies");
        let _ = write!(
            line,
            "{count} from {files}, {}; ",
            of(kills, "kill switch", "kill switches")
        );
    }
    match policies.default_slo() {
        Some(slo) => {
            let whom = if count == 0 {
                "every service"
            } else {
                "every other service"
            };
            let _ = write!(
                line,
                "{whom} that sends spans gets {} {} % over {}",
                slo.name,
                slo.target.ratio() * 100.0,
                window_name(slo.period_secs)
            );
        }
        None if count == 0 => line.push_str("none: no policy, and default_slo is null"),
        None => line.push_str("other services are not counted (default_slo is null)"),
    }
    line
}
