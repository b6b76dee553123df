//! `journey:`: SLOs made of other services' SLOs.

use super::compile::{self, Common, Findings};
use super::compile_plans;
use super::model::{Composite, Journey, Member};
use super::raw::{RawMember, RawPolicy, RawSlo, Text};
use crate::budget::{Part, Target};
use serde_saphyr::{Location, Spanned};
use std::sync::Arc;

/// Parts of one composite.
const MEMBERS_MAX: usize = 30;

/// Compiles a document that names a journey; `None` when something is wrong, which `findings` then says.
pub(super) fn journey(
    at: Location,
    name: &Text,
    raw: &RawPolicy,
    findings: &mut Findings,
) -> Option<Journey> {
    let before = findings.problems.len();
    let journey = findings.name("journey", name);
    for switch in &raw.kill_switches {
        let message = "a journey has no flags; kill switches stand in the policies of its services";
        findings.problem(switch.referenced, message);
    }
    for switch in &raw.deployments {
        let message = "a journey has no deployments; they stand in the policies of its services";
        findings.problem(switch.referenced, message);
    }
    for dependency in &raw.dependencies {
        findings.problem(
            dependency.referenced,
            "a journey has no client spans; write it in a service's policy",
        );
    }
    let environment = match &raw.environment {
        Some(text) => Some(findings.name("environment", text)?),
        None => None,
    };
    let common = compile::common(raw, name.value.trim(), findings);
    let mut slos: Vec<Composite> = Vec::new();
    for entry in &raw.slos.value {
        let Some(composite) = composite(&entry.value, &common, environment.as_ref(), findings) else {
            continue;
        };
        if slos.iter().any(|s| s.slo.name == composite.slo.name) {
            let message = format!(
                "the SLO \"{}\" is defined twice in this policy; rename one",
                composite.slo.name
            );
            findings.problem(entry.value.name.referenced, message);
        }
        slos.push(composite);
    }
    if findings.problems.len() > before {
        return None;
    }
    Some(Journey {
        name: journey?,
        environment,
        tier: raw.tier,
        owner: raw.owner.clone(),
        slos,
        place: findings.place(at),
    })
}

fn composite(
    raw: &RawSlo,
    common: &Common<'_>,
    environment: Option<&Arc<str>>,
    findings: &mut Findings,
) -> Option<Composite> {
    if raw.sli.is_some() {
        let message =
            "a journey's SLO is made of others and counts no spans itself; remove sli, or write service";
        findings.problem(raw.name.referenced, message);
    }
    if raw.low_traffic.is_some() {
        let message =
            "a composite has no events of its own; write low_traffic for the SLOs that it is made of";
        findings.problem(raw.name.referenced, message);
    }
    let slo = compile::slo(raw, common, findings)?;
    if slo.sli.latency.is_some() || slo.top_routes.is_some() {
        let message = "a journey's SLO is made of others; write p99_below, its kin and top_routes in theirs";
        findings.problem(raw.name.referenced, message);
    }
    let Some(of) = raw
        .of
        .as_ref()
        .filter(|of| (1..=MEMBERS_MAX).contains(&of.value.len()))
    else {
        let message = format!(
            "a journey's SLO needs of: 1 to {MEMBERS_MAX} entries such as {{ service: checkout, slo: availability }}"
        );
        findings.problem(raw.name.referenced, message);
        return None;
    };
    let mut members: Vec<Member> = Vec::new();
    for entry in &of.value {
        let member = member(entry, slo.budgeting.slice_target, environment, findings)?;
        let same = |m: &Member| {
            m.service == member.service && m.slo == member.slo && m.environment == member.environment
        };
        if members.iter().any(same) {
            findings.problem(
                entry.referenced,
                "is part of it already; give it more weight instead",
            );
        }
        members.push(member);
    }
    Some(Composite {
        slo: Arc::new(slo),
        members,
    })
}

fn member(
    entry: &Spanned<RawMember>,
    slice_target: Target,
    environment: Option<&Arc<str>>,
    findings: &mut Findings,
) -> Option<Member> {
    let raw = &entry.value;
    let service = findings.name("service", &raw.service)?;
    if service.contains(['*', '?']) {
        findings.problem(
            raw.service.referenced,
            "a part of a composite is one service; write its exact name",
        );
        return None;
    }
    let weight = match &raw.weight {
        Some(text) => findings.whole("weight", text, 1, 1000)?,
        None => 1,
    };
    let slice_target = match &raw.slice_target {
        Some(text) => findings.parsed(text)?,
        None => slice_target,
    };
    Some(Member {
        service,
        slo: findings.name("slo", &raw.slo)?,
        environment: match &raw.environment {
            Some(text) => Some(findings.name("environment", text)?),
            None => environment.cloned(),
        },
        part: Part {
            slice_target,
            weight: u32::try_from(weight).unwrap_or(1),
        },
    })
}

/// The names of the SLOs of a document, for those that speak of them.
pub(super) fn slo_names(raw: &RawPolicy) -> Vec<&str> {
    raw.slos
        .value
        .iter()
        .map(|slo| slo.value.name.value.trim())
        .collect()
}

/// What is planned for a document's SLOs.
pub(super) fn plans(raw: &RawPolicy, who: &str, findings: &mut Findings) -> compile_plans::Compiled {
    compile_plans::plans(raw, who, &slo_names(raw), findings)
}
