//! docker-compose.yml and the Dockerfile, checked without Docker: what they mount, copy and name is there, the configurations
//! load, the tokens and addresses agree, and the dashboard asks for metrics that exist. The emitter's own proof is in
//! kill_unleash.rs.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod kill_support;
mod support;

use kill_support::double::Double;
use kill_support::shop::{bad, good, send};
use kill_support::{House, decided};
use regex::Regex;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use support::{Setup, has};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&text(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().map_or_else(Vec::new, |l| {
        l.iter().map(|v| v.as_str().unwrap().to_owned()).collect()
    })
}

/// A service's `volumes`: (source, target).
fn volumes(service: &Value) -> Vec<(String, String)> {
    let split = |v: String| {
        let mut parts = v.split(':');
        (parts.next().unwrap().to_owned(), parts.next().unwrap().to_owned())
    };
    strings(&service["volumes"]).into_iter().map(split).collect()
}

/// Where a path inside a service's container comes from in this repository.
fn mounted(service: &Value, path: &str) -> PathBuf {
    let of = |(source, target): &(String, String)| {
        Some(
            root()
                .join(source)
                .join(path.strip_prefix(target)?.trim_start_matches('/')),
        )
    };
    let found = volumes(service)
        .iter()
        .filter(|(source, _)| source.starts_with('.'))
        .find_map(of);
    found.unwrap_or_else(|| panic!("{path} is not mounted"))
}

fn validate(config: &Path, env: &[(&str, &str)]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_burngate"));
    command
        .args(["validate", "--config"])
        .arg(config)
        .envs(env.iter().copied());
    let said = command.output().unwrap();
    let err = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.status.success(), "{}: {err}", config.display());
    String::from_utf8(said.stdout).unwrap()
}

#[test]
fn everything_that_is_mounted_or_depended_on_is_there() {
    let compose = yaml("docker-compose.yml");
    let services = compose["services"].as_object().unwrap();
    for (name, service) in services {
        for (source, _) in volumes(service) {
            let there = if source.starts_with('.') {
                root().join(&source).exists()
            } else {
                compose["volumes"].get(&source).is_some()
            };
            assert!(there, "{name} mounts {source}");
        }
        let needs = match &service["depends_on"] {
            Value::Object(map) => map.keys().cloned().collect(),
            list => strings(list),
        };
        for needed in needs {
            assert!(services.contains_key(&needed), "{name} depends on {needed}");
        }
        assert!(
            service.get("image").is_some() != service.get("build").is_some(),
            "{name}"
        );
        if let Some(image) = service["image"].as_str() {
            let (_, tag) = image.split_once(':').expect("a tag");
            assert_ne!(tag, "latest", "{name}: the same tomorrow");
        }
    }
}

#[test]
fn the_configuration_loads_and_everybody_means_the_same_ports_and_tokens() {
    let compose = yaml("docker-compose.yml");
    let services = &compose["services"];
    let burngate = &services["burngate"];
    let command = strings(&burngate["command"]);
    assert_eq!(command[..2], ["run", "--config"]);
    let path = mounted(burngate, &command[2]);
    let token = burngate["environment"]["UNLEASH_TOKEN"].as_str().unwrap();
    let summary = validate(&path, &[("UNLEASH_TOKEN", token)]);
    assert!(
        summary.contains("kill switches: 2") && summary.contains("decides     unleash"),
        "{summary}"
    );

    let config = yaml(path.strip_prefix(root()).unwrap().to_str().unwrap());
    let (emitter, unleash) = (
        &services["emitter"]["environment"],
        &services["unleash"]["environment"],
    );
    assert_eq!(unleash["INIT_ADMIN_API_TOKENS"], token);
    assert_eq!(emitter["UNLEASH_ADMIN_TOKEN"], token);
    assert!(token.starts_with("*:*."), "an admin token");
    assert_eq!(
        unleash["INIT_BACKEND_API_TOKENS"],
        emitter["UNLEASH_BACKEND_TOKEN"]
    );
    assert!(
        emitter["UNLEASH_BACKEND_TOKEN"]
            .as_str()
            .unwrap()
            .starts_with("default:production.")
    );
    let port = |endpoint: &Value| {
        endpoint["endpoint"]
            .as_str()
            .unwrap()
            .rsplit_once(':')
            .unwrap()
            .1
            .to_owned()
    };
    let grpc = port(&config["receivers"]["otlp"]["protocols"]["grpc"]);
    assert_eq!(emitter["OTLP_ENDPOINT"], format!("http://burngate:{grpc}"));
    assert_eq!(config["exporters"]["unleash"]["endpoint"], emitter["UNLEASH_URL"]);
    assert_eq!(emitter["UNLEASH_URL"], "http://unleash:4242");
    let metrics = port(&config["exporters"]["prometheus"]);
    let prometheus = yaml("config/compose/prometheus.yml");
    assert_eq!(
        prometheus["scrape_configs"][0]["static_configs"][0]["targets"][0],
        format!("burngate:{metrics}")
    );
    let extensions = &config["extensions"];
    let listeners = [
        grpc,
        port(&config["receivers"]["otlp"]["protocols"]["http"]),
        port(&extensions["api"]),
        metrics,
        port(&extensions["health_check"]),
    ];
    assert_eq!(
        strings(&burngate["ports"]),
        listeners.map(|p| format!("{p}:{p}")),
        "published as they listen"
    );
    let data = extensions["file_storage"]["directory"].as_str().unwrap();
    assert!(
        volumes(burngate)
            .iter()
            .any(|(source, target)| source == "burngate-data" && target == data)
    );
    assert!(
        text("Dockerfile").contains(&format!("VOLUME {data}\n")),
        "owned by the image's user"
    );

    let source = text("config/compose/emitter/emitter.py");
    for name in emitter.as_object().unwrap().keys() {
        assert!(
            source.contains(&format!("ENV(\"{name}\"")),
            "the emitter does not read {name}"
        );
    }
    let policy = yaml("config/compose/policies/checkout.yaml");
    for switch in policy["kill_switches"].as_array().unwrap() {
        assert!(
            source.contains(&format!("\"{}\"", switch["flag"].as_str().unwrap())),
            "{switch}"
        );
    }
}

#[test]
fn prometheus_takes_its_configuration() {
    if has("promtool") {
        let path = root().join("config/compose/prometheus.yml");
        let said = Command::new("promtool")
            .args(["check", "config"])
            .arg(path)
            .output()
            .unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    }
}

#[test]
fn grafana_finds_its_datasource_and_its_dashboards() {
    let compose = yaml("docker-compose.yml");
    let grafana = &compose["services"]["grafana"];
    let source = yaml("config/compose/grafana/provisioning/datasources/prometheus.yaml");
    assert_eq!(source["datasources"][0]["url"], "http://prometheus:9090");
    let provider = yaml("config/compose/grafana/provisioning/dashboards/burngate.yaml");
    let folder = provider["providers"][0]["options"]["path"].as_str().unwrap();
    let home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
        .as_str()
        .unwrap();
    assert_eq!(Path::new(home).parent().unwrap(), Path::new(folder));
    assert!(
        mounted(grafana, home).is_file()
            && mounted(grafana, "/etc/grafana/provisioning/datasources").is_dir()
    );
    let used: BTreeSet<String> = everywhere(&dashboard(), "uid").into_iter().collect();
    let known = [
        "burngate".to_owned(),
        source["datasources"][0]["uid"].as_str().unwrap().to_owned(),
    ];
    assert_eq!(used, known.into(), "no panel asks a datasource that is not there");
}

fn dashboard() -> Value {
    serde_json::from_str(&text("config/compose/grafana/dashboards/burngate.json")).unwrap()
}

/// All text values of a key, at any depth.
fn everywhere(value: &Value, key: &str) -> Vec<String> {
    let mut found = Vec::new();
    match value {
        Value::Object(map) => {
            for (name, inner) in map {
                match inner {
                    Value::String(text) if name == key => found.push(text.clone()),
                    other => found.extend(everywhere(other, key)),
                }
            }
        }
        Value::Array(list) => found.extend(list.iter().flat_map(|inner| everywhere(inner, key))),
        _ => {}
    }
    found
}

/// What a page offers: for each metric its labels, and each label's values.
type Offer = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

fn offer(page: &str) -> Offer {
    let label = Regex::new(r#"([a-zA-Z_]+)="((?:[^"\\]|\\.)*)""#).unwrap();
    let mut offer = Offer::new();
    for line in page.lines().filter(|l| !l.starts_with('#') && !l.is_empty()) {
        let (series, _) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let of = offer.entry(name.to_owned()).or_default();
        for found in label.captures_iter(labels) {
            of.entry(found[1].to_owned())
                .or_default()
                .insert(found[2].to_owned());
        }
    }
    offer
}

/// What a PromQL expression names is on the page: the metric, its labels, and the values that it is compared with.
fn assert_answers(offer: &Offer, expr: &str, legend: &str) {
    let selector =
        Regex::new(r"\b((?:slo|burngate|error_budget|burn_rate)_[a-z0-9_]+)(?:\{([^}]*)\})?").unwrap();
    let matcher = Regex::new(r#"([a-z_]+)(=~|!~|!=|=)"([^"]*)""#).unwrap();
    let shown = Regex::new(r"\{\{([a-z_]+)\}\}").unwrap();
    let grouped = Regex::new(r"by \(([^)]*)\)").unwrap();
    let group: Vec<&str> = grouped.captures(expr).map_or_else(Vec::new, |g| {
        g.get(1).unwrap().as_str().split(',').map(str::trim).collect()
    });
    let mut selectors = 0;
    for found in selector.captures_iter(expr) {
        selectors += 1;
        let labels = offer
            .get(&found[1])
            .unwrap_or_else(|| panic!("no metric {} for {expr}", &found[1]));
        for matched in matcher.captures_iter(found.get(2).map_or("", |m| m.as_str())) {
            let values = labels
                .get(&matched[1])
                .unwrap_or_else(|| panic!("no label {} for {expr}", &matched[1]));
            let chosen = matched[3].split('|').filter(|value| !value.starts_with('$'));
            for value in chosen {
                let partial_or_unused = &matched[2] == "!~" && value == "partial";
                assert!(
                    partial_or_unused || values.contains(value),
                    "no {}={value:?} for {expr}: {values:?}",
                    &matched[1]
                );
            }
        }
        for name in group
            .iter()
            .copied()
            .chain(shown.captures_iter(legend).map(|l| l.get(1).unwrap().as_str()))
        {
            assert!(
                labels.contains_key(name),
                "no label {name} for {expr} shown as {legend}"
            );
            assert!(
                group.is_empty() || group.contains(&name),
                "{name} is summed away in {expr}"
            );
        }
    }
    assert!(selectors > 0, "{expr}");
}

#[test]
fn every_expression_of_the_dashboard_finds_its_metrics() {
    let double = Double::content();
    let setup = Setup {
        error_budget: "{ policies: [ policies/*.yaml ] }".into(),
        exporters: format!("  webhook: {{ url: \"{}\" }}", double.url("/off")),
        decisions: vec!["webhook".into()],
        ..Setup::default()
    };
    let policy = text("config/compose/policies/checkout.yaml")
        .replace(
            "exporter: unleash, mode",
            "exporter: webhook, attribution: off, mode",
        )
        .replace("30s", "1s");
    let gateway = House::new(&setup, &policy).start(&[]);
    send(
        &gateway,
        &[
            good(300, &[]),
            good(75, &["new-checkout"]),
            bad(25, &["new-checkout"]),
        ],
    );
    decided(&gateway, "new-checkout", "confirmed", Duration::from_secs(30));
    let offer = offer(&gateway.metrics());
    for labels in offer
        .get("burngate_decisions_total")
        .iter()
        .flat_map(|l| l.keys())
    {
        assert!(
            ["exporter", "state"].contains(&labels.as_str()),
            "one set of labels, or sums count twice: {labels}"
        );
    }

    let dashboard = dashboard();
    let mut asked = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            asked.push((
                target["expr"].as_str().unwrap(),
                target["legendFormat"].as_str().unwrap(),
            ));
        }
    }
    for annotation in dashboard["annotations"]["list"].as_array().unwrap() {
        asked.push((annotation["expr"].as_str().unwrap(), ""));
    }
    assert!(asked.len() > 10);
    for (expr, legend) in &asked {
        assert_answers(&offer, expr, legend);
    }
    for query in everywhere(&dashboard["templating"], "query") {
        let inner = query
            .strip_prefix("label_values(")
            .and_then(|q| q.strip_suffix(')'));
        if let Some((metric, label)) = inner.and_then(|q| q.split_once(", ")) {
            assert!(offer[metric].contains_key(label), "{query}");
        }
    }
    parses(&asked);
}

/// Prometheus itself reads the expressions, as rules.
fn parses(asked: &[(&str, &str)]) {
    if !has("promtool") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rules.yaml");
    let rules = asked.iter().enumerate().map(|(index, (expr, _))| {
        let expr = expr.replace("$service", ".*").replace("$slo", ".*");
        format!("  - record: panel:{index}\n    expr: '{expr}'\n")
    });
    let rules = format!(
        "groups:\n- name: dashboard\n  rules:\n{}",
        rules.collect::<String>()
    );
    std::fs::write(&path, rules).unwrap();
    let said = Command::new("promtool")
        .args(["check", "rules"])
        .arg(path)
        .output()
        .unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
}

/// One COPY of the Dockerfile: sources and target, and whether it takes from an earlier stage.
struct Copied {
    sources: Vec<String>,
    target: String,
    from: Option<String>,
}

fn copies() -> Vec<Copied> {
    let file = text("Dockerfile");
    let lines = file.lines().filter_map(|line| line.strip_prefix("COPY "));
    lines
        .map(|line| {
            let (options, mut paths): (Vec<&str>, Vec<&str>) =
                line.split_whitespace().partition(|w| w.starts_with("--"));
            let target = paths.pop().unwrap().to_owned();
            let from = options
                .iter()
                .find_map(|o| o.strip_prefix("--from="))
                .map(str::to_owned);
            Copied {
                sources: paths.into_iter().map(str::to_owned).collect(),
                target,
                from,
            }
        })
        .collect()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    let done = Command::new("cp").arg("-r").args([from, to]).status().unwrap();
    assert!(done.success(), "{}", from.display());
}

#[test]
fn the_image_is_built_from_all_that_cargo_needs() {
    let context = tempfile::tempdir().unwrap();
    for copied in copies().into_iter().filter(|c| c.from.is_none()) {
        for source in &copied.sources {
            let target = if copied.target == "./" {
                source
            } else {
                &copied.target
            };
            copy(&root().join(source), &context.path().join(target));
        }
    }
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args([
            "metadata",
            "--locked",
            "--offline",
            "--no-deps",
            "--format-version",
            "1",
        ])
        .current_dir(&context);
    let said = cargo.output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let metadata: Value = serde_json::from_slice(&said.stdout).unwrap();
    for target in metadata["packages"][0]["targets"].as_array().unwrap() {
        let path = target["src_path"].as_str().unwrap();
        assert!(Path::new(path).is_file(), "{path} is not copied");
    }
    // What the sources take in while they are compiled.
    let inside = Regex::new(r#"include_(?:str|bytes)!\("([^"]+)"\)"#).unwrap();
    let mut folders = vec![context.path().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            for taken in inside.captures_iter(&std::fs::read_to_string(&path).unwrap()) {
                assert!(
                    folder.join(&taken[1]).is_file(),
                    "{} takes in {}",
                    path.display(),
                    &taken[1]
                );
            }
        }
    }
}

#[test]
fn the_image_starts_with_the_configuration_that_it_holds() {
    let image = tempfile::tempdir().unwrap();
    for copied in copies().iter().filter(|c| c.from.is_some()) {
        for source in copied.sources.iter().filter_map(|s| s.strip_prefix("/src/")) {
            copy(
                &root().join(source),
                &image.path().join(copied.target.trim_start_matches('/')),
            );
        }
    }
    let file = text("Dockerfile");
    let command = file.lines().find_map(|line| line.strip_prefix("CMD ")).unwrap();
    let command: Vec<String> = serde_json::from_str(command).unwrap();
    assert_eq!(command[..2], ["run", "--config"]);
    let config = image.path().join(command[2].trim_start_matches('/'));
    let summary = validate(&config, &[]);
    for port in file
        .lines()
        .find_map(|line| line.strip_prefix("EXPOSE "))
        .unwrap()
        .split(' ')
    {
        assert!(
            summary.contains(&format!("0.0.0.0:{port}")),
            "{port} cannot be reached from outside: {summary}"
        );
    }
}
