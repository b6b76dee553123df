//! `dependencies:`: one SLO of client spans for each service that is called.

use super::compile::Findings;
use super::model::{Budgeting, Dependency, LowTraffic, Plans, Slo};
use super::raw::RawDependency;
use crate::sli::SliSpec;
use crate::sli::expr::Expr;
use crate::sli::spec::{Source, SpanSelector};
use serde_saphyr::Spanned;
use std::sync::Arc;

/// Services that one policy may name as called; each is one series more.
const CALLEES_MAX: usize = 32;
/// Where client spans say whom they call.
const CALLEE_KEYS: [&str; 5] = [
    "service.peer.name",
    "peer.service",
    "server.address",
    "net.peer.name",
    "rpc.service",
];
/// What a dependency's SLO is called, before the callee's name.
pub(super) const PREFIX: &str = "dependency:";

/// Compiles the list and adds the SLOs to `slos`. Their period and target are the first SLO's unless they say
/// otherwise; an alert on a callee's failures is the callee's own business, so they have none.
pub(super) fn dependencies(
    raw: &[Spanned<RawDependency>],
    slos: &mut Vec<Arc<Slo>>,
    findings: &mut Findings,
) -> Vec<Dependency> {
    let mut found: Vec<Dependency> = Vec::new();
    if let Some(beyond) = raw.get(CALLEES_MAX) {
        findings.problem(
            beyond.referenced,
            format!("a policy names at most {CALLEES_MAX} dependencies"),
        );
    }
    let Some(first) = slos.first().cloned() else {
        return found;
    };
    for entry in raw {
        let Some(callee) = findings.name("callee", &entry.value.callee) else {
            continue;
        };
        if found.iter().any(|d| d.callee == callee) {
            let message = format!("the dependency \"{callee}\" is named twice; keep one");
            findings.problem(entry.value.callee.referenced, message);
            continue;
        }
        let target = match &entry.value.target {
            Some(text) => findings.parsed(text),
            None => Some(first.target),
        };
        let sli = match (&entry.value.sli, calls(&callee)) {
            (Some(own), _) => own.clone(),
            (None, Ok(sli)) => sli,
            (None, Err(problem)) => {
                findings.problem(entry.value.callee.referenced, problem);
                continue;
            }
        };
        let Some(target) = target else { continue };
        let name: Arc<str> = format!("{PREFIX}{callee}").into();
        slos.push(Arc::new(Slo {
            name: Arc::clone(&name),
            target,
            period: first.period.clone(),
            period_secs: first.period_secs,
            budgeting: Budgeting::occurrences(target),
            targets: Vec::new(),
            low_traffic: LowTraffic::default(),
            alerts: Vec::new(),
            sli,
            top_routes: None,
            plans: Arc::new(Plans::default()),
        }));
        found.push(Dependency { callee, slo: name });
    }
    found
}

/// Client and producer spans that name `callee` as their peer.
fn calls(callee: &str) -> Result<SliSpec, String> {
    let operator = if callee.contains(['*', '?']) { "glob" } else { "==" };
    let quoted = callee.replace('\\', "\\\\").replace('"', "\\\"");
    let tests: Vec<String> = CALLEE_KEYS
        .iter()
        .map(|key| format!("{key} {operator} \"{quoted}\""))
        .collect();
    let peer: Expr = tests
        .join(" or ")
        .parse()
        .map_err(|e| format!("callee \"{callee}\": {e}"))?;
    let mut spans: SpanSelector = serde_saphyr::from_str("kind: [ client, producer ]")
        .map_err(|e| format!("callee \"{callee}\": {e}"))?;
    spans.conditions.push(peer);
    Ok(SliSpec {
        source: Source::Spans(spans),
        ..SliSpec::default()
    })
}
