//! `connectors.error_budget`: objectives, how often they are looked at, and what may be decided.

use super::section::Section;
use super::setting::Target;
use super::tree::Value;
use super::{
    Audit, Cohorts, Delivery, EvidenceSettings, GuardSettings, IndicatorSettings, Journal, Kill,
    MetricStreams,
};
use std::time::Duration;

/// `connectors.error_budget`.
#[derive(Clone, Debug, PartialEq)]
pub struct ErrorBudget {
    /// Policy files: paths and globs, relative to the configuration file (see
    /// [`super::Config::policy_base`]).
    pub policies: Vec<String>,
    /// Objective of every service without a policy; `None` turns it off.
    pub default_slo: Option<DefaultSlo>,
    /// Time between two evaluations.
    pub evaluation_interval: Duration,
    /// Time after a decision on a flag in which no other is taken on it.
    pub decision_cooldown: Duration,
    /// How decisions are carried out.
    pub delivery: Delivery,
    /// What holds for all kill switches together.
    pub kill: Kill,
    /// How long they are kept.
    pub journal: Journal,
    /// How much of the record of decisions is kept.
    pub audit: Audit,
    /// Totals whose budget is counted by calendar or by slices, or has something left out of it, at once.
    pub max_accounts: usize,
    /// Where telemetry names deployments, environments and flags, and how many cohorts may live.
    pub cohorts: Cohorts,
    /// What must not count twice.
    pub dedup: Dedup,
    /// How many streams of metrics may be known, and for how long.
    pub metrics: MetricStreams,
    /// Leading indicators.
    pub indicators: IndicatorSettings,
    /// How often rules by evidence may be wrong.
    pub evidence: EvidenceSettings,
    /// What no policy may do.
    pub guards: GuardSettings,
}

/// `connectors.error_budget.dedup`: a request whose answer was lost is sent again, and must not count again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dedup {
    /// A body that came before from the same peer does not count again.
    pub bodies: bool,
    /// A span that came before does not count again.
    pub spans: bool,
    /// How long bodies and spans are remembered, in seconds.
    pub keep_secs: u64,
    /// Bodies remembered.
    pub max_bodies: u32,
    /// Spans remembered.
    pub max_spans: u32,
}

impl Default for Dedup {
    fn default() -> Self {
        Self {
            bodies: true,
            spans: false,
            keep_secs: 300,
            max_bodies: 65_536,
            max_spans: 1_000_000,
        }
    }
}

impl Dedup {
    fn read(section: Section<'_>) -> Self {
        let mut it = Self::default();
        section.field("bodies", &mut it.bodies);
        section.field("spans", &mut it.spans);
        let mut keep = Duration::from_secs(it.keep_secs);
        section.ranged(
            "keep",
            &mut keep,
            Duration::from_secs(1)..=Duration::from_hours(1),
        );
        it.keep_secs = keep.as_secs();
        section.ranged("max_bodies", &mut it.max_bodies, 16..=10_000_000);
        section.ranged("max_spans", &mut it.max_spans, 1_024..=100_000_000);
        section.finish();
        it
    }
}

impl Default for ErrorBudget {
    fn default() -> Self {
        Self {
            policies: vec!["policies/*.yaml".to_owned()],
            default_slo: Some(DefaultSlo::default()),
            evaluation_interval: Duration::from_secs(1),
            decision_cooldown: Duration::from_mins(30),
            delivery: Delivery::default(),
            kill: Kill::default(),
            journal: Journal::default(),
            audit: Audit::default(),
            max_accounts: 10_000,
            cohorts: Cohorts::default(),
            dedup: Dedup::default(),
            metrics: MetricStreams::default(),
            indicators: IndicatorSettings::default(),
            evidence: EvidenceSettings::default(),
            guards: GuardSettings::default(),
        }
    }
}

/// `connectors.error_budget.default_slo`: an availability objective for whoever has no policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultSlo {
    /// Share of requests that may fail, in parts per billion: exact, 99.9 % is 1,000,000.
    pub budget_ppb: u64,
    /// Rolling period of the objective.
    pub window: Duration,
}

impl DefaultSlo {
    /// Name of the objective.
    pub const NAME: &'static str = "availability";
}

impl Default for DefaultSlo {
    fn default() -> Self {
        Self {
            budget_ppb: 1_000_000,
            window: Duration::from_hours(30 * 24),
        }
    }
}

impl ErrorBudget {
    pub(super) fn read(section: Section<'_>) -> Self {
        let mut it = Self::default();
        section.field("policies", &mut it.policies);
        if it.policies.iter().any(|pattern| pattern.trim().is_empty()) {
            section.problem("policies", "an empty path in it; remove it");
        }
        // Here null says "none", not "the default": there must be a word for a gateway that counts only what
        // a policy names.
        match section.node("default_slo") {
            Some(node) if node.value == Value::Null => it.default_slo = None,
            Some(_) => it.default_slo = section.section("default_slo").map(DefaultSlo::read),
            None => {}
        }
        let (shortest, longest) = (Duration::from_millis(100), Duration::from_mins(1));
        section.ranged(
            "evaluation_interval",
            &mut it.evaluation_interval,
            shortest..=longest,
        );
        let day = Duration::from_hours(24);
        section.ranged(
            "decision_cooldown",
            &mut it.decision_cooldown,
            Duration::ZERO..=7 * day,
        );
        it.delivery = Delivery::read(section.section_or_empty("delivery"));
        it.kill = Kill::read(section.section_or_empty("kill"));
        it.journal = Journal::read(section.section_or_empty("journal"));
        it.audit = Audit::read(section.section_or_empty("audit"));
        section.ranged("max_accounts", &mut it.max_accounts, 0..=1_000_000);
        it.cohorts = Cohorts::read(section.section_or_empty("cohorts"));
        it.dedup = Dedup::read(section.section_or_empty("dedup"));
        it.metrics = MetricStreams::read(section.section_or_empty("metrics"));
        it.indicators = IndicatorSettings::read(section.section_or_empty("indicators"));
        it.evidence = EvidenceSettings::read(section.section_or_empty("evidence"));
        it.guards = GuardSettings::read(section.section_or_empty("guards"));
        section.finish();
        it
    }
}

impl DefaultSlo {
    fn read(section: Section<'_>) -> Self {
        let mut it = Self::default();
        let mut target = Target(it.budget_ppb);
        section.field("target", &mut target);
        it.budget_ppb = target.0;
        let day = Duration::from_hours(24);
        section.ranged("window", &mut it.window, day..=400 * day);
        if it.window.as_secs() % 60 != 0 || it.window.subsec_nanos() != 0 {
            section.problem("window", "expected whole minutes");
        }
        section.finish();
        it
    }
}
