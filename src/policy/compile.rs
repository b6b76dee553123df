//! From what is written to types that cannot be wrong.
//!
//! All problems of a file are found before it is refused, each with its line; what works but is probably not
//! meant becomes a warning.

use super::compile_alerts;
use super::compile_kill;
use super::compile_latency;
use super::compile_sampling;
use super::error::PolicyProblem;
use super::model::{Policy, ServiceName, Slo};
use super::place::{Place, Warning};
use super::raw::{self, RawAlert, RawPolicy, RawSlo, RawWindow, Text};
use super::workbook;
use crate::config::{format_duration, parse_duration};
use crate::ledger::BUCKET_SECS;
use globset::Glob;
use serde_saphyr::{Location, Spanned};
use std::sync::Arc;
use std::time::Duration;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
/// The period of an SLO whose policy names none.
const DEFAULT_PERIOD_SECS: u64 = 30 * DAY;
const PERIOD_MIN_SECS: u64 = HOUR;
const PERIOD_MAX_SECS: u64 = 90 * DAY;
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

    /// `window:` of a policy or an SLO.
    fn period(&mut self, window: &Spanned<RawWindow>) -> Option<u64> {
        match &window.value {
            RawWindow::Rolling(text) => self.window_at(
                window.referenced,
                text,
                "a window",
                PERIOD_MIN_SECS,
                PERIOD_MAX_SECS,
            ),
            RawWindow::Calendar => {
                let message = "calendar windows are not supported yet; write a rolling one, such as 30d";
                self.problem(window.referenced, message);
                None
            }
        }
    }
}

/// Compiles one document; `None` when something is wrong, which `findings` then says.
pub(super) fn policy(raw: &Spanned<RawPolicy>, findings: &mut Findings) -> Option<Policy> {
    let before = findings.problems.len();
    let at = raw.referenced;
    let raw = &raw.value;
    let service = service(&raw.service, findings);
    let environment = match &raw.environment {
        Some(text) => Some(findings.name("environment", text)?),
        None => None,
    };
    let period = match &raw.window {
        Some(window) => findings.period(window),
        None => Some(DEFAULT_PERIOD_SECS),
    };
    if raw.slos.value.is_empty() {
        findings.problem(
            raw.slos.referenced,
            "a policy promises something: slos needs at least one entry",
        );
    }
    let sampling = raw.sampling.as_ref();
    let sampling = sampling.and_then(|raw| compile_sampling::sampling(raw, findings));
    let mut slos: Vec<Arc<Slo>> = Vec::new();
    for raw_slo in &raw.slos.value {
        let Some(mut slo) = slo(&raw_slo.value, period, raw.alerts.as_deref(), findings) else {
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
    if findings.problems.len() > before {
        return None;
    }
    Some(Policy {
        service: service?,
        environment,
        tier: raw.tier,
        owner: raw.owner.clone(),
        slos,
        kill_switches,
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

fn slo(
    raw: &RawSlo,
    policy_period: Option<u64>,
    policy_alerts: Option<&[Spanned<RawAlert>]>,
    findings: &mut Findings,
) -> Option<Slo> {
    let name = findings.name("the SLO's name", &raw.name);
    let promise = compile_latency::promise(raw, findings);
    let target = promise.as_ref().and_then(|promise| promise.target(findings));
    let period_secs = match &raw.window {
        Some(window) => findings.period(window),
        None => policy_period,
    };
    let (name, promise, target, period_secs) = (name?, promise?, target?, period_secs?);
    let alerts = if let Some(own) = raw.alerts.as_deref().or(policy_alerts) {
        compile_alerts::alerts(own, target, period_secs, findings)
    } else {
        let alerts = workbook::alerts(period_secs);
        compile_alerts::warn_unreachable(&alerts, target, promise.at, findings);
        alerts
    };
    Some(Slo {
        name,
        target,
        period_secs,
        alerts,
        sli: promise.sli,
        top_routes: promise.top_routes,
    })
}
