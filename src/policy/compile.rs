//! From what is written to types that cannot be wrong.
//!
//! All problems of a file are found before it is refused, each with its line; what works but is probably not
//! meant becomes a warning.

use super::compile_alerts;
use super::compile_callees;
use super::compile_deploy;
use super::compile_indicators;
use super::compile_journey;
use super::compile_kill;
use super::compile_latency;
use super::compile_plans;
use super::compile_sampling;
use super::error::PolicyProblem;
use super::model::{Journey, Policy, ServiceName, Slo};
use super::place::{Place, Warning};
use super::raw::{self, RawPolicy, RawSlo, Text};
use super::workbook;
use crate::budget::Period;
use crate::config::{format_duration, parse_duration};
use crate::ledger::BUCKET_SECS;
use globset::Glob;
use serde_saphyr::{Location, Spanned};
use std::sync::Arc;
use std::time::Duration;

const DAY: u64 = 86_400;
/// The period of an SLO whose policy names none.
const DEFAULT_PERIOD_SECS: u64 = 30 * DAY;
/// Longest name of anything in a policy, in bytes: what a label keeps.
const NAME_MAX: usize = 128;

/// Collects what is found in one file.
#[derive(Debug)]
pub(super) struct Findings {
    file: Arc<str>,
    pub(super) problems: Vec<PolicyProblem>,
    pub(super) warnings: Vec<Warning>,
}

impl Findings {
    pub(super) fn new(file: &Arc<str>) -> Self {
        Self {
            file: Arc::clone(file),
            problems: Vec::new(),
            warnings: Vec::new(),
        }
    }

    pub(super) fn place(&self, at: Location) -> Place {
        raw::place(&self.file, at)
    }

    pub(super) fn problem(&mut self, at: Location, message: impl Into<String>) {
        self.problems.push(PolicyProblem {
            place: self.place(at),
            message: message.into(),
        });
    }

    pub(super) fn warning(&mut self, at: Location, message: impl Into<String>) {
        self.warnings.push(Warning {
            place: self.place(at),
            message: message.into(),
        });
    }

    /// A name: not empty, not longer than a label, no control characters.
    pub(super) fn name(&mut self, what: &str, text: &Text) -> Option<Arc<str>> {
        let name = text.value.trim();
        if name.is_empty() {
            self.problem(text.referenced, format!("{what} is empty"));
        } else if name.len() > NAME_MAX {
            self.problem(text.referenced, format!("{what} is longer than {NAME_MAX} bytes"));
        } else if name.chars().any(char::is_control) {
            self.problem(text.referenced, format!("{what} holds a control character"));
        } else {
            return Some(name.into());
        }
        None
    }

    /// A value that reads itself from text.
    pub(super) fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(&mut self, text: &Text) -> Option<T> {
        self.parsed_at(text.referenced, &text.value)
    }

    pub(super) fn parsed_at<T: std::str::FromStr<Err: std::fmt::Display>>(
        &mut self,
        at: Location,
        text: &str,
    ) -> Option<T> {
        let parsed = text
            .parse()
            .map_err(|e: T::Err| self.problem(at, format!("\"{text}\": {e}")));
        parsed.ok()
    }

    /// A duration in whole seconds from `min` to `max`.
    pub(super) fn secs_at(
        &mut self,
        at: Location,
        text: &str,
        what: &str,
        min: u64,
        max: u64,
    ) -> Option<u64> {
        let text = text.trim();
        let Some(duration) = parse_duration(text) else {
            self.problem(
                at,
                format!("{what} \"{text}\" is no duration; write a number and a unit, such as 5m, 6h or 30d"),
            );
            return None;
        };
        let shown = |secs| format_duration(Duration::from_secs(secs));
        let secs = duration.as_secs();
        if duration.subsec_nanos() != 0 || secs < min || secs > max {
            let message = format!(
                "{what} of {text}: must be whole seconds from {} to {}",
                shown(min),
                shown(max)
            );
            self.problem(at, message);
            return None;
        }
        Some(secs)
    }

    /// A window: as a duration, and whole buckets.
    pub(super) fn window_at(
        &mut self,
        at: Location,
        text: &str,
        what: &str,
        min: u64,
        max: u64,
    ) -> Option<u64> {
        let secs = self.secs_at(at, text, what, min, max)?;
        if secs % BUCKET_SECS != 0 {
            self.problem(
                at,
                format!("{what} of {text}: must be a multiple of {BUCKET_SECS} s, the width of a bucket"),
            );
            return None;
        }
        Some(secs)
    }
}

/// What a document promises.
pub(super) enum Document {
    Service(Policy),
    Journey(Journey),
}

/// What holds for every SLO of a document that says nothing else.
pub(super) struct Common<'r> {
    raw: &'r RawPolicy,
    period: Option<Period>,
    plans: compile_plans::Compiled,
}

/// Reads what the SLOs of a document have in common.
pub(super) fn common<'r>(raw: &'r RawPolicy, who: &str, findings: &mut Findings) -> Common<'r> {
    let period = match &raw.window {
        Some(window) => findings.period(window),
        None => Some(Period::Rolling {
            secs: DEFAULT_PERIOD_SECS,
        }),
    };
    if raw.slos.value.is_empty() {
        findings.problem(
            raw.slos.referenced,
            "a policy promises something: slos needs at least one entry",
        );
    }
    Common {
        raw,
        period,
        plans: compile_journey::plans(raw, who, findings),
    }
}

/// Compiles one document; `None` when something is wrong, which `findings` then says.
pub(super) fn document(raw: &Spanned<RawPolicy>, findings: &mut Findings) -> Option<Document> {
    let at = raw.referenced;
    match (&raw.value.service, &raw.value.journey) {
        (Some(service), None) => policy(at, service, &raw.value, findings).map(Document::Service),
        (None, Some(name)) => compile_journey::journey(at, name, &raw.value, findings).map(Document::Journey),
        (Some(_), Some(name)) => {
            findings.problem(
                name.referenced,
                "a policy is about a service or about a journey; write two policies",
            );
            None
        }
        (None, None) => {
            findings.problem(at, "the key \"service\" is missing");
            None
        }
    }
}

fn policy(at: Location, name: &Text, raw: &RawPolicy, findings: &mut Findings) -> Option<Policy> {
    let before = findings.problems.len();
    let service = service(name, findings);
    let environment = match &raw.environment {
        Some(text) => Some(findings.name("environment", text)?),
        None => None,
    };
    let common = common(raw, name.value.trim(), findings);
    let sampling = raw.sampling.as_ref();
    let sampling = sampling.and_then(|raw| compile_sampling::sampling(raw, findings));
    let mut slos: Vec<Arc<Slo>> = Vec::new();
    for raw_slo in &raw.slos.value {
        if let Some(of) = &raw_slo.value.of {
            let message =
                "of belongs to a journey, whose SLOs are made of others; write journey instead of service";
            findings.problem(of.referenced, message);
        }
        let Some(mut slo) = slo(&raw_slo.value, &common, findings) else {
            continue;
        };
        if slos.iter().any(|s| s.name == slo.name) {
            let message = format!(
                "the SLO \"{}\" is defined twice in this policy; rename one",
                slo.name
            );
            findings.problem(raw_slo.value.name.referenced, message);
        }
        if let Some(raw) = &raw.sampling {
            compile_sampling::refuse_metrics(raw, &slo, findings);
        }
        slo.sli.sampling = sampling;
        slos.push(Arc::new(slo));
    }
    let kill_switches = compile_kill::switches(&raw.kill_switches, environment.as_ref(), &slos, findings);
    let deployments = compile_deploy::switches(&raw.deployments, environment.as_ref(), &slos, findings);
    let dependencies = compile_callees::dependencies(&raw.dependencies, &mut slos, findings);
    let indicators = compile_indicators::indicators(&raw.indicators, findings);
    if findings.problems.len() > before {
        return None;
    }
    Some(Policy {
        service: service?,
        environment,
        tier: raw.tier,
        owner: raw.owner.clone(),
        slos,
        dependencies,
        kill_switches,
        deployments,
        indicators: indicators.declared,
        indicators_off: indicators.off,
        place: findings.place(at),
    })
}

fn service(text: &Text, findings: &mut Findings) -> Option<ServiceName> {
    let name = findings.name("service", text)?;
    if name.contains(['[', ']', '{', '}', '\\']) {
        let message =
            format!("service \"{name}\": of wildcards only * and ? are known; write one policy a service");
        findings.problem(text.referenced, message);
        return None;
    }
    if !name.contains(['*', '?']) {
        return Some(ServiceName::Exact(name));
    }
    match Glob::new(&name) {
        Ok(glob) => Some(ServiceName::Glob(glob.compile_matcher())),
        Err(e) => {
            findings.problem(
                text.referenced,
                format!("service \"{name}\" is no glob: {}", e.kind()),
            );
            None
        }
    }
}

/// One SLO, of a service or of a journey.
pub(super) fn slo(raw: &RawSlo, common: &Common<'_>, findings: &mut Findings) -> Option<Slo> {
    let name = findings.name("the SLO's name", &raw.name);
    let promise = compile_latency::promise(raw, findings);
    let target = promise.as_ref().and_then(|promise| promise.target(findings));
    let period = match &raw.window {
        Some(window) => findings.period(window),
        None => common.period.clone(),
    };
    let (name, promise, target, period) = (name?, promise?, target?, period?);
    if name.starts_with(compile_callees::PREFIX) {
        let message =
            format!("the SLO \"{name}\": names that begin so are those of dependencies; choose another");
        findings.problem(raw.name.referenced, message);
    }
    let period_secs = period.nominal_secs();
    let at = promise.at;
    let budgeting = raw.budgeting.as_ref().or(common.raw.budgeting.as_ref());
    let budgeting = findings.budgeting(budgeting, target, &period)?;
    let low_traffic = findings.low_traffic(raw.low_traffic.as_ref().or(common.raw.low_traffic.as_ref()))?;
    let mut alerts = if let Some(own) = raw.alerts.as_deref().or(common.raw.alerts.as_deref()) {
        compile_alerts::alerts(own, target, period_secs, findings)
    } else {
        let alerts = workbook::alerts(
            period_secs,
            budgeting.is_sliced().then_some(budgeting.rule.slice_secs),
        );
        compile_alerts::warn_unreachable(&alerts, target, at, findings);
        alerts
    };
    let targets = findings.targets(&raw.targets, period_secs, &mut alerts);
    findings.check_slices(at, &budgeting, &alerts);
    Some(Slo {
        plans: common.plans.of(&name),
        name,
        target,
        period,
        period_secs,
        budgeting,
        targets,
        low_traffic,
        alerts,
        sli: promise.sli,
        top_routes: promise.top_routes,
    })
}
