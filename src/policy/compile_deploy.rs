//! A policy's `deployments:` list: what is done about a version that is to blame.

use super::compile::Findings;
use super::compile_guards::guards;
use super::compile_kill::{known_slo, optional_mode, rule};
use super::model::{DeploySwitch, Slo};
use super::raw::{RawDeploySwitch, Text};
use super::safe_state::DeployAction;
use serde_saphyr::Spanned;
use std::sync::Arc;

/// Compiles the list; what is wrong is in `findings`.
pub(super) fn switches(
    raw: &[Spanned<RawDeploySwitch>],
    environment: Option<&Arc<str>>,
    slos: &[Arc<Slo>],
    findings: &mut Findings,
) -> Vec<Arc<DeploySwitch>> {
    let mut switches: Vec<Arc<DeploySwitch>> = Vec::new();
    for entry in raw {
        let Some(environment) = environment else {
            let message = "a deployment is rolled back in one environment only: give the policy an \
                           environment, such as production";
            findings.problem(entry.referenced, message);
            return switches;
        };
        let Some(switch) = switch(entry, environment, slos, findings) else {
            continue;
        };
        if switches
            .iter()
            .any(|s| s.exporter == switch.exporter && s.slo == switch.slo)
        {
            let message = format!(
                "deployments have two rules for the exporter \"{}\" and the same SLO; keep one",
                switch.exporter
            );
            findings.problem(entry.value.exporter.referenced, message);
        }
        switches.push(Arc::new(switch));
    }
    switches
}

fn switch(
    entry: &Spanned<RawDeploySwitch>,
    environment: &Arc<str>,
    slos: &[Arc<Slo>],
    findings: &mut Findings,
) -> Option<DeploySwitch> {
    let raw = &entry.value;
    let exporter = findings.name("exporter", &raw.exporter);
    let slo = match &raw.slo {
        Some(text) => Some(known_slo(text, slos, findings)?),
        None => None,
    };
    let action = match &raw.action {
        Some(text) => action(text, findings),
        None => Some(DeployAction::default()),
    };
    let when = rule(&raw.when, findings);
    if let Some(text) = &raw.when.contrast {
        let message = "a deployment is blamed by evidence, which compares all the time; remove contrast";
        findings.problem(text.referenced, message);
    }
    let guards = guards(&raw.guards, findings);
    let mode = optional_mode(raw.mode.as_ref(), findings);
    Some(DeploySwitch {
        exporter: exporter?,
        environment: Arc::clone(environment),
        slo,
        action: action?,
        when: when?,
        guards: guards?,
        mode: mode?,
        place: findings.place(entry.referenced),
    })
}

fn action(text: &Text, findings: &mut Findings) -> Option<DeployAction> {
    let found = [DeployAction::Rollback, DeployAction::Pause]
        .into_iter()
        .find(|a| a.as_str() == text.value);
    if found.is_none() {
        let message = format!("unknown action \"{}\"; expected rollback or pause", text.value);
        findings.problem(text.referenced, message);
    }
    found
}
