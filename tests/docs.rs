//! The documentation cannot rot: what it says of metrics, routes, policies, keys and files is compared with the code.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use burngate::config::{Config, ConfigSource};
use regex::Regex;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Files below `folder` with this ending, as (path from the root, text).
fn files(folder: &str, ending: &str) -> Vec<(String, String)> {
    let (mut found, mut folders) = (Vec::new(), vec![root().join(folder)]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                let name = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "{folder} has no {ending}");
    found
}

/// Every page that people read.
fn pages() -> Vec<(String, String)> {
    let mut pages = files("docs", ".md");
    for name in ["README.md", "CHANGELOG.md", "CONTRIBUTING.md"] {
        pages.push((name.to_owned(), read(name)));
    }
    pages
}

/// Fenced blocks of a page whose info string is `info`.
fn blocks(text: &str, info: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in text.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(info)) => open = Some((info.trim().to_owned(), String::new())),
            (Some((of, body)), Some("")) => {
                if of == info {
                    found.push(std::mem::take(body));
                }
                open = None;
            }
            (Some((_, body)), _) => {
                body.push_str(line);
                body.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block that does not end");
    found
}

fn all_matches(regex: &str, text: &str) -> BTreeSet<String> {
    let regex = Regex::new(regex).unwrap();
    regex.captures_iter(text).map(|c| c[1].to_owned()).collect()
}

/// The names of metrics in the source: literals of `burngate_*`, and the definitions of budget metrics.
fn metrics_in_source() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (_, text) in files("src", ".rs") {
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        names.extend(all_matches(r#""((?:burngate|slo)_[a-z0-9_]*[a-z0-9])""#, code));
    }
    let samples = read("src/publish/samples.rs");
    names.extend(all_matches(
        r#"Metric = (?:gauge|counter)\(\s*"([a-z0-9_]+)""#,
        &samples,
    ));
    names
}

/// The names of metrics that have a row in docs/metrics.md.
fn metrics_in_docs() -> BTreeSet<String> {
    let page = read("docs/metrics.md");
    let behind_labels = page.split_once("## Budgets").unwrap().1;
    let mut names = all_matches(r"(?m)^\| `([a-z0-9_]+)` \|", behind_labels);
    // Those under the Collector's names have a test of their own.
    names.retain(|name| !name.starts_with("otelcol_"));
    names
}

#[test]
fn every_metric_is_documented_and_every_documented_metric_exists() {
    let (source, docs) = (metrics_in_source(), metrics_in_docs());
    assert!(
        source.len() > 40 && source.contains("slo_burn_rate"),
        "{source:?}"
    );
    let missing: Vec<_> = source.difference(&docs).collect();
    assert!(missing.is_empty(), "docs/metrics.md lacks {missing:?}");
    let invented: Vec<_> = docs.difference(&source).collect();
    assert!(
        invented.is_empty(),
        "docs/metrics.md tells of {invented:?}, which nobody publishes"
    );
}

/// The metrics that burngate has under the Collector's names, as the code describes them.
fn collector_metrics_in_source() -> BTreeSet<String> {
    let described = read("src/telemetry/collector.rs");
    let code = read("src/telemetry/process.rs");
    let code = code.split("#[cfg(test)]").next().unwrap();
    let mut names = all_matches(r#""(otelcol_[a-z_]*[a-z])""#, &(described.clone() + code));
    for prefix in all_matches(r#""(otelcol_[a-z_]+_)""#, &described) {
        names.extend(["spans", "metric_points", "log_records"].map(|items| format!("{prefix}{items}")));
    }
    names
}

#[test]
fn every_metric_under_the_collectors_names_is_documented() {
    let page = read("docs/metrics.md");
    let documented = all_matches(r"`(otelcol_[a-z_]*[a-z])`", &page);
    let source = collector_metrics_in_source();
    assert!(source.len() > 30, "{source:?}");
    assert_eq!(documented, source);
    for (name, text) in pages() {
        for metric in all_matches(r"\b(otelcol_[a-z_]*[a-z])\b", &text) {
            assert!(
                source.contains(&metric),
                "{name} names {metric}, which nobody publishes"
            );
        }
    }
}

#[test]
fn every_mention_of_a_metric_is_a_metric() {
    let known = metrics_in_source();
    let mut texts = pages();
    texts.extend(files("config/compose/grafana", ".json"));
    for (name, text) in texts {
        for metric in all_matches(r"\b((?:burngate|slo)_[a-z0-9_]*[a-z0-9])\b", &text) {
            let base = metric
                .strip_suffix("_sum")
                .or_else(|| metric.strip_suffix("_count"));
            let is_known = known.contains(&metric) || base.is_some_and(|base| known.contains(base));
            assert!(is_known, "{name} names {metric}, which nobody publishes");
        }
    }
}

#[test]
fn every_policy_on_a_page_loads_and_can_act() {
    let mut counted = 0;
    for (name, text) in pages() {
        for block in blocks(&text, "yaml policy") {
            let set =
                burngate::policy::from_text(&name, &block).unwrap_or_else(|e| panic!("{e}\nin\n{block}"));
            let says_something = !set.policies().is_empty() || !set.journeys().is_empty();
            assert!(says_something, "{name}:\n{block}");
            set.check_exporters(&["unleash", "webhook"])
                .unwrap_or_else(|e| panic!("{e}\nin\n{block}"));
            counted += 1;
        }
    }
    assert!(counted >= 7, "only {counted} policies are marked");
}

#[test]
fn the_readme_has_a_policy_of_ten_lines_with_a_kill_switch() {
    let readme = blocks(&read("README.md"), "yaml policy");
    let [policy] = readme.as_slice() else {
        panic!("{} policies", readme.len())
    };
    assert!(policy.lines().count() <= 10, "{policy}");
    let set = burngate::policy::from_text("README.md", policy).unwrap();
    assert_eq!(set.kill_switches().count(), 1);
    let handed_out =
        burngate::policy::from_text("checkout.yaml", &read("config/policies/checkout.yaml")).unwrap();
    let flags: Vec<_> = handed_out
        .kill_switches()
        .map(|(_, k)| k.flag.to_string())
        .collect();
    assert!(flags.contains(&"new-checkout".to_owned()), "{flags:?}");
}

#[test]
fn every_exporter_on_a_page_is_a_configuration_that_holds() {
    let secret = Regex::new(r"\$\{env:[A-Z_]+\}").unwrap();
    let mut counted = 0;
    for (name, text) in pages() {
        for block in blocks(&text, "yaml exporters") {
            let kinds = all_matches(r"(?m)^  ([a-z_/]+):$", &block);
            let kind = kinds
                .first()
                .unwrap_or_else(|| panic!("{name}: no exporter in\n{block}"));
            let rest = format!(
                "receivers: {{ otlp: {{ protocols: {{ grpc: }} }} }}\nconnectors: {{ error_budget: }}\nservice:\n  \
                 pipelines:\n    traces: {{ receivers: [otlp], exporters: [error_budget] }}\n    decisions: {{ \
                 receivers: [error_budget], exporters: [{kind}] }}\n"
            );
            let filled = secret.replace_all(&block, "t0ken").into_owned();
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("gateway.yaml");
            fs::write(&file, filled + &rest).unwrap();
            let config = Config::load(&ConfigSource::File(file)).unwrap_or_else(|e| panic!("{name}:\n{e}"));
            assert_eq!(config.warnings, Vec::<String>::new(), "{name}:\n{block}");
            burngate::act::Exporters::build(&config.decision_exporters).unwrap();
            counted += 1;
        }
    }
    assert!(counted >= 2, "only {counted} exporters are marked");
}

#[test]
fn every_placeholder_of_a_webhook_is_documented() {
    let page = read("docs/providers.md");
    for (name, _) in burngate::act::PLACEHOLDERS {
        assert!(
            page.contains(&format!("`{name}`")),
            "docs/providers.md lacks the placeholder {name}"
        );
    }
}

#[test]
fn the_routes_on_the_page_are_the_routes_of_the_api() {
    let page = read("docs/api.md");
    let source = read("src/api/http.rs")
        + &read("src/api/corrections.rs")
        + &read("src/api/hands.rs")
        + &read("src/api/flag_changes/mod.rs");
    let routes = all_matches(r#"\.route\("([^"]+)""#, &source);
    assert!(routes.len() >= 4, "{routes:?}");
    assert_eq!(all_matches(r"(?m)^\| `(?:GET|POST) ([^`]+)` \|", &page), routes);
    let proto = read("proto/burngate/v1/budget.proto") + &read("proto/burngate/v1/events.proto");
    let calls = all_matches(r"(?m)^  rpc (\w+)\(", &proto);
    assert_eq!(
        all_matches(r"(?m)^\| `(?:GET|POST) [^`]+` \| `(\w+)` \|", &page),
        calls
    );
}

#[test]
fn every_field_of_an_answer_is_on_a_page() {
    let pages = read("docs/api.md") + &read("docs/kill-switch.md");
    let proto = read("proto/burngate/v1/budget.proto") + &read("proto/burngate/v1/events.proto");
    let fields = all_matches(r"(?m)^  (?:optional |repeated )?[\w.]+ (\w+) = \d+;", &proto);
    assert!(fields.len() > 40, "{fields:?}");
    let lacking: Vec<_> = fields
        .iter()
        .filter(|f| !pages.contains(&format!("`{f}`")) && !pages.contains(&format!("\"{f}\"")))
        .collect();
    assert!(
        lacking.is_empty(),
        "docs/api.md and docs/kill-switch.md lack {lacking:?}"
    );
}

/// The anchor that a heading gets.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept: String = kept
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .collect();
    kept.replace(' ', "-")
}

#[test]
fn every_relative_link_leads_somewhere() {
    let mut counted = 0;
    for (name, text) in pages() {
        let folder = root().join(&name).parent().unwrap().to_owned();
        for link in all_matches(r"\]\(([^)\s]+)\)", &text) {
            if link.contains("://") {
                continue;
            }
            let (path, place) = link.split_once('#').unwrap_or((&link, ""));
            let target = if path.is_empty() {
                root().join(&name)
            } else {
                folder.join(path)
            };
            assert!(target.exists(), "{name} links to {link}, which is not there");
            if !place.is_empty() {
                let text = fs::read_to_string(&target).unwrap();
                let anchors: Vec<_> = all_matches(r"(?m)^#+ (.+)$", &text)
                    .iter()
                    .map(|h| anchor(h))
                    .collect();
                assert!(
                    anchors.contains(&place.to_owned()),
                    "{name} links to {link}; there are {anchors:?}"
                );
            }
            counted += 1;
        }
    }
    assert!(counted > 30, "only {counted} links");
}

#[test]
fn every_page_is_linked_from_the_readme() {
    let readme = read("README.md");
    for (name, _) in files("docs", ".md") {
        assert!(
            readme.contains(&format!("]({name})")),
            "README.md does not link {name}"
        );
    }
}

/// The keys of the block `name:` of config/gateway.yaml, with all below it.
fn keys_of_block(name: &str) -> BTreeSet<String> {
    let text = read("config/gateway.yaml");
    let mut lines = text.lines().skip_while(|line| line.trim() != format!("{name}:"));
    let depth = |line: &str| line.len() - line.trim_start().len();
    let outer = depth(lines.next().unwrap());
    let inner = lines.take_while(|line| line.trim().is_empty() || depth(line) > outer);
    let key = Regex::new(r"^\s+([a-z_]+):").unwrap();
    inner
        .filter_map(|line| Some(key.captures(line)?[1].to_owned()))
        .collect()
}

#[test]
fn every_key_of_the_connector_is_explained() {
    let keys = keys_of_block("error_budget");
    assert!(keys.len() > 15, "{keys:?}");
    let pages = read("docs/configuration.md") + &read("docs/cohorts.md") + &read("docs/indicators.md");
    for key in &keys {
        let said = pages.contains(&format!("`{key}")) || pages.contains(&format!(".{key}`"));
        assert!(
            said,
            "docs/configuration.md, docs/cohorts.md and docs/indicators.md lack the key {key}"
        );
    }
    // What the code reads is what the file shows.
    let code = ["error_budget", "cohorts", "indicators"].map(|it| read(&format!("src/config/{it}.rs")));
    let code = code.concat();
    let read_keys = all_matches(
        r#"section\.(?:field|ranged|node|section|section_or_empty)\(\s*"([a-z_]+)""#,
        &code,
    );
    let lacking: Vec<_> = read_keys.difference(&keys).collect();
    assert!(lacking.is_empty(), "config/gateway.yaml lacks {lacking:?}");
}

#[test]
fn the_changelog_speaks_of_what_is_unreleased() {
    let text = read("CHANGELOG.md");
    let unreleased = text.split_once("## Unreleased").unwrap().1;
    assert!(unreleased.contains("- **added:** "));
}
