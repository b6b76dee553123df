//! `connectors.error_budget.cohorts`: where telemetry names what it belongs to.

use super::section::Section;
use serde::Deserialize;
use std::time::Duration;

/// `connectors.error_budget.cohorts`: where telemetry names its deployment, environment and flags, and how
/// many cohorts may live.
#[derive(Clone, Debug, PartialEq)]
pub struct Cohorts {
    /// Deployment attributes; the first present wins, looked for on the item, then the scope, then the
    /// resource.
    pub deployment_attributes: Vec<String>,
    /// Environment attributes of the resource; the first present wins.
    pub environment_attributes: Vec<String>,
    /// Attributes that hold a list of flags.
    pub flag_list_attributes: Vec<String>,
    /// Prefixes of attributes that hold one flag each.
    pub flag_prefixes: Vec<String>,
    /// Whether `!a` and `-a` in a list mean that flag `a` is off; otherwise they are part of its name.
    pub flag_list_negation: bool,
    /// What a list says of a policy's flag that it does not name.
    pub absent: Absent,
    /// Flags read of one item.
    pub max_flags: u32,
    /// Live cohorts a service.
    pub max_per_service: u32,
    /// Live cohorts in all.
    pub max_total: u32,
    /// New cohorts a minute and service.
    pub max_new_per_minute: u32,
    /// Services (each brings a total); more are counted together.
    pub max_services: u32,
    /// Idle time after which a cohort leaves, in seconds.
    pub idle_timeout_secs: u64,
    /// Evidence cells in all.
    pub max_evidence_cells: u32,
    /// Routes a service, for objectives that want them.
    pub max_routes: u32,
    /// Series that keep quantiles of durations.
    pub max_latency_series: u32,
    /// Most spans that one sampled span may stand for.
    pub max_weight: u32,
    /// Flag evidence that comes apart from its request.
    pub join: Join,
    /// What bad events have in common.
    pub signatures: Signatures,
}

/// `connectors.error_budget.cohorts.join`: flag evidence that comes apart from its request, in child spans
/// and log records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    /// Whose evidence counts for a request.
    pub mode: JoinMode,
    /// How long spans, and evidence without its span, are remembered, in seconds.
    pub keep_secs: u64,
    /// Spans remembered.
    pub max_spans: u32,
    /// Flags that wait for their span.
    pub max_waiting: u32,
}

/// See [`Join::mode`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinMode {
    /// That of the whole local part of its trace.
    LocalRoot,
    /// Its own.
    SameSpan,
}

/// `connectors.error_budget.cohorts.signatures`: what bad events have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signatures {
    /// Length of the interval that is counted; the one before is shown as well. In seconds.
    pub window_secs: u64,
    /// Series (objectives x cohorts) that are watched so at once.
    pub max_series: u32,
}

impl Default for Join {
    fn default() -> Self {
        Self {
            mode: JoinMode::LocalRoot,
            keep_secs: 300,
            max_spans: 200_000,
            max_waiting: 50_000,
        }
    }
}

impl Default for Signatures {
    fn default() -> Self {
        Self {
            window_secs: 900,
            max_series: 4_096,
        }
    }
}

impl Join {
    fn read(section: &Section<'_>) -> Self {
        let mut it = Self::default();
        section.field("mode", &mut it.mode);
        let mut keep = Duration::from_secs(it.keep_secs);
        // The buckets of counts are open for six minutes.
        section.ranged(
            "keep",
            &mut keep,
            Duration::from_secs(10)..=Duration::from_mins(5),
        );
        it.keep_secs = keep.as_secs();
        section.ranged("max_spans", &mut it.max_spans, 1_000..=10_000_000);
        section.ranged("max_waiting", &mut it.max_waiting, 100..=10_000_000);
        it
    }
}

impl Signatures {
    fn read(section: &Section<'_>) -> Self {
        let mut it = Self::default();
        let mut window = Duration::from_secs(it.window_secs);
        section.ranged(
            "window",
            &mut window,
            Duration::from_mins(1)..=Duration::from_hours(24),
        );
        it.window_secs = window.as_secs();
        section.ranged("max_series", &mut it.max_series, 0..=1_000_000);
        it
    }
}

/// See [`Cohorts::absent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Absent {
    /// The event counts as that flag's variant `off`.
    Off,
    /// The event says nothing of that flag.
    Ignore,
}

impl Default for Cohorts {
    fn default() -> Self {
        let list = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect();
        Self {
            deployment_attributes: list(&[
                "deployment.sha",
                "vcs.ref.head.revision",
                "vcs.repository.ref.revision",
                "git.commit.sha",
                "service.version",
                "deployment.id",
                "cicd.pipeline.run.id",
            ]),
            environment_attributes: list(&["deployment.environment.name", "deployment.environment"]),
            flag_list_attributes: list(&[
                "feature.flags",
                "feature_flags",
                "featureFlags",
                "feature_flag.enabled",
            ]),
            flag_prefixes: list(&[
                "flag.evaluation.",
                "feature_flags.",
                "feature.flags.",
                "feature_flag.",
            ]),
            flag_list_negation: true,
            absent: Absent::Off,
            max_flags: 64,
            max_per_service: 10_000,
            max_total: 100_000,
            max_new_per_minute: 100,
            max_services: 10_000,
            idle_timeout_secs: 86_400,
            max_evidence_cells: 20_000,
            max_routes: 100,
            max_latency_series: 2_000,
            max_weight: 10_000,
            join: Join::default(),
            signatures: Signatures::default(),
        }
    }
}

impl Cohorts {
    pub(super) fn read(section: Section<'_>) -> Self {
        let mut it = Self::default();
        for (key, slot) in [
            ("deployment_attributes", &mut it.deployment_attributes),
            ("environment_attributes", &mut it.environment_attributes),
            ("flag_list_attributes", &mut it.flag_list_attributes),
            ("flag_prefixes", &mut it.flag_prefixes),
        ] {
            section.field(key, slot);
            if slot.iter().any(|name| name.trim().is_empty()) {
                section.problem(key, "an empty name in it matches nothing; remove it");
            }
            if slot.len() > 64 {
                section.problem(key, format!("at most 64 names, found {}", slot.len()));
            }
        }
        section.field("flag_list_negation", &mut it.flag_list_negation);
        section.field("absent", &mut it.absent);
        section.ranged("max_flags", &mut it.max_flags, 1..=1024);
        section.ranged("max_per_service", &mut it.max_per_service, 1..=10_000_000);
        section.ranged("max_total", &mut it.max_total, 1..=10_000_000);
        section.ranged("max_new_per_minute", &mut it.max_new_per_minute, 1..=10_000_000);
        section.ranged("max_services", &mut it.max_services, 1..=1_000_000);
        section.ranged("max_evidence_cells", &mut it.max_evidence_cells, 0..=10_000_000);
        section.ranged("max_routes", &mut it.max_routes, 0..=10_000);
        section.ranged("max_latency_series", &mut it.max_latency_series, 0..=1_000_000);
        section.ranged("max_weight", &mut it.max_weight, 1..=65_536);
        let mut idle = Duration::from_secs(it.idle_timeout_secs);
        // Below the longest alert window that people use within an hour, cohorts would leave in mid-incident.
        section.ranged(
            "idle_timeout",
            &mut idle,
            Duration::from_mins(10)..=Duration::from_hours(72),
        );
        it.idle_timeout_secs = idle.as_secs();
        let join = section.section_or_empty("join");
        it.join = Join::read(&join);
        join.finish();
        let signatures = section.section_or_empty("signatures");
        it.signatures = Signatures::read(&signatures);
        signatures.finish();
        if it.max_per_service > it.max_total {
            let total = it.max_total;
            section.problem(
                "max_per_service",
                format!("must not be above max_total, which is {total}"),
            );
        }
        section.finish();
        it
    }
}
