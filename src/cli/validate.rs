//! `burngate validate`: everything that can be known without binding a port.

use super::{ConfigArgs, EXIT_USAGE, complain, complain_of_config};
use crate::act::Exporters;
use crate::config::{Config, PipelineConfig, Signals, format_duration};
use crate::policy::PolicySet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

/// Checks, and prints what the configuration comes to on stdout, warnings and mistakes on stderr.
pub(super) fn validate(args: &ConfigArgs) -> ExitCode {
    let config = match args.load() {
        Ok(config) => config,
        Err(error) => return complain_of_config(&error),
    };
    for warning in &config.warnings {
        complain(&format!("warning: {warning}"));
    }
    for path in &config.dropped {
        complain(&format!("left out: {path}"));
    }
    let policies = match check(&config) {
        Ok(policies) => policies,
        Err(mistakes) => {
            for mistake in &mistakes {
                complain(mistake);
            }
            return ExitCode::from(EXIT_USAGE);
        }
    };
    for warning in policies.warnings().iter().filter(|_| config.counts()) {
        complain(&format!("warning: {warning}"));
    }
    for warning in crate::gateway::cautions(&config, &policies) {
        complain(&format!("warning: {warning}"));
    }
    let _ = write!(std::io::stdout().lock(), "{}", summary(&config, &policies));
    ExitCode::SUCCESS
}

/// Policies and decision exporters, as a start would build them, and all that is wrong with both.
fn check(config: &Config) -> Result<PolicySet, Vec<String>> {
    let mut mistakes = Vec::new();
    if let Err(error) = Exporters::build(&config.decision_exporters) {
        mistakes.push(format!("{}: {error}", config.source()));
    }
    let known: Vec<&str> = config.decision_exporters.ids().collect();
    let loaded = crate::policy::load(&config.error_budget.policies, config.policy_base());
    let checked = loaded.and_then(|policies| policies.check_exporters(&known).map(|()| policies));
    match checked {
        Ok(policies) if mistakes.is_empty() => match crate::gateway::check(config.clone()) {
            Ok(()) => Ok(policies),
            Err(error) => Err(vec![format!("{}: {error}", config.source())]),
        },
        Ok(_) => Err(mistakes),
        Err(error) => {
            mistakes.push(error.to_string());
            Err(mistakes)
        }
    }
}

/// What a configuration comes to, for people.
fn summary(config: &Config, policies: &PolicySet) -> String {
    let mut out = format!("{}: ok\n", config.source());
    let mut line = |name: &str, what: String| {
        let _ = writeln!(out, "  {name:<11} {what}");
    };
    let doors: Vec<String> = config
        .receivers
        .iter()
        .flat_map(|it| {
            let grpc = it
                .config
                .grpc
                .as_ref()
                .map(|it| format!("gRPC on {}", it.endpoint));
            let http = it
                .config
                .http
                .as_ref()
                .map(|it| format!("HTTP on {}", it.endpoint));
            grpc.into_iter().chain(http)
        })
        .collect();
    line(
        "receives",
        format!("{} over {}", signals(config.signals), doors.join(" and ")),
    );
    for pipeline in &config.graph.pipelines {
        line("pipeline", way(pipeline));
    }
    line("policies", counted(policies));
    line("default", default_objective(config));
    let prometheus = config
        .prometheus
        .iter()
        .map(|it| format!("prometheus on {}", it.endpoint));
    let pushed = config
        .otlp_metrics
        .iter()
        .map(|it| format!("{} every {}", it.id, format_duration(it.interval)));
    line("publishes", listed(prometheus.chain(pushed), "nothing"));
    let decides = config.decision_exporters.ids().map(ToOwned::to_owned);
    line(
        "decides",
        listed(
            decides,
            "nothing: no decisions pipeline, so kill switches have no exporter",
        ),
    );
    line(
        "stores",
        config.storage.as_ref().map_or("in memory only".to_owned(), |it| {
            it.directory.display().to_string()
        }),
    );
    line(
        "API",
        config
            .api
            .as_ref()
            .map_or("off".to_owned(), |it| it.endpoint.to_string()),
    );
    line(
        "health",
        config
            .health
            .as_ref()
            .map_or("off".to_owned(), |it| format!("{}{}", it.endpoint, it.path)),
    );
    out
}

/// `traces/x: otlp -> memory_limiter, batch -> otlp_grpc`.
fn way(pipeline: &PipelineConfig) -> String {
    let stages = [&pipeline.receivers, &pipeline.processors, &pipeline.exporters];
    let stages = stages.into_iter().filter(|stage| !stage.is_empty());
    let stages: Vec<String> = stages.map(|stage| stage.join(", ")).collect();
    format!("{}: {}", pipeline.id, stages.join(" -> "))
}

fn signals(signals: Signals) -> String {
    let all = [
        (signals.traces, "traces"),
        (signals.metrics, "metrics"),
        (signals.logs, "logs"),
    ];
    listed(
        all.into_iter()
            .filter(|(on, _)| *on)
            .map(|(_, name)| name.to_owned()),
        "nothing",
    )
}

fn counted(policies: &PolicySet) -> String {
    let (files, slos) = (policies.policies().len(), policies.objectives().len());
    let switches = policies.kill_switches().count();
    let journeys = match policies.journeys().len() {
        0 => String::new(),
        some => format!(", journeys: {some}"),
    };
    format!("{files} (objectives: {slos}, kill switches: {switches}{journeys})")
}

fn default_objective(config: &Config) -> String {
    if !config.counts() {
        return "nothing is counted: no pipeline hands telemetry to error_budget".to_owned();
    }
    let budget = &config.error_budget;
    let default = budget
        .default_slo
        .as_ref()
        .map_or("no objective without a policy".to_owned(), |slo| {
            let target = percent(1_000_000_000_u64.saturating_sub(slo.budget_ppb));
            format!(
                "{target} over {} for every service without a policy",
                format_duration(slo.window)
            )
        });
    format!(
        "{default}, looked at every {}",
        format_duration(budget.evaluation_interval)
    )
}

/// Parts per billion as a percentage, exact.
fn percent(ppb: u64) -> String {
    let digits = format!("{}.{:07}", ppb / 10_000_000, ppb % 10_000_000);
    format!("{}%", digits.trim_end_matches('0').trim_end_matches('.'))
}

fn listed(names: impl Iterator<Item = String>, none: &str) -> String {
    let names: Vec<String> = names.collect();
    if names.is_empty() {
        none.to_owned()
    } else {
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ConfigSource;

    #[test]
    fn a_share_is_written_exactly() {
        for (ppb, text) in [
            (999_000_000, "99.9%"),
            (999_500_000, "99.95%"),
            (990_000_000, "99%"),
            (1, "0.0000001%"),
        ] {
            assert_eq!(percent(ppb), text);
        }
    }

    #[test]
    fn the_summary_tells_ports_objectives_and_exporters() {
        let text = summary(
            &Config::load(&ConfigSource::Embedded).unwrap(),
            &PolicySet::default(),
        );
        for expected in [
            "traces, metrics, logs over gRPC on 0.0.0.0:4317 and HTTP on 0.0.0.0:4318",
            "99.9% over 30d for every service without a policy, looked at every 1s",
            "prometheus on 0.0.0.0:9464",
            "no decisions pipeline",
            "127.0.0.1:8055",
        ] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
    }
}
