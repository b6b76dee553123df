//! `connectors.error_budget.cohorts`: where telemetry names what it belongs to.

use serde::Deserialize;

/// `connectors.error_budget.cohorts`: where telemetry names its deployment, environment and flags, and how many cohorts may live.
#[derive(Clone, Debug, PartialEq)]
pub struct Cohorts {
    /// Deployment attributes; the first present wins, looked for on the item, then the scope, then the resource.
    pub deployment_attributes: Vec<String>,
    /// Environment attributes of the resource; the first present wins.
    pub environment_attributes: Vec<String>,
    /// Attributes that hold a list of flags.
    pub flag_list_attributes: Vec<String>,
    /// Prefixes of attributes that hold one flag each.
    pub flag_prefixes: Vec<String>,
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
            absent: Absent::Off,
            max_flags: 64,
            max_per_service: 10_000,
            max_total: 100_000,
            max_new_per_minute: 100,
            max_services: 10_000,
            idle_timeout_secs: 86_400,
            max_evidence_cells: 20_000,
        }
    }
}
