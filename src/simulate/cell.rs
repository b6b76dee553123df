//! What is played: a scenario, its axes, and what all cells share.

use crate::budget::Target;
use crate::evidence::{BLOCKS_A_YEAR, change_bound, kill_bound, suspect_bound};
use crate::ledger::BUCKET_SECS;
use crate::policy::KillRule;
use serde::{Serialize, Serializer};

/// What happens to the service, beside what the flag does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scenario {
    /// Nothing.
    Steady,
    /// Everything fails fifty times as often for half an hour.
    Incident,
    /// The rollout goes from a fiftieth of the share to the share within two hours, and there is an incident
    /// during it or after: pooled over the day the flag looks guilty (Simpson).
    Ramp,
    /// Traffic, errors and the flag's share have their own daily waves.
    Diurnal,
    /// A new version with ten times the errors is rolled out, and has the flag three times as often.
    DeployOverlap,
    /// Another flag goes to nine tenths of the flag's users.
    Alias,
    /// The flag goes to a region that fails five times as often; regions are strata.
    Targeting,
    /// The same, and nobody knows of regions; but evaluations say that they were targeted, so that the
    /// evidence is not randomised, which the policy asks for.
    TargetingHidden,
    /// Telemetry of one arm, or of all, is lost for minutes at a time, and there is an incident.
    Loss,
    /// The clocks of the arms differ by 30 s, and there is an incident.
    Skew,
    /// As many flags as pairs are watched, of all shares, independent of each other; one may be guilty.
    Fleet,
    /// The flag goes from nobody to everybody at once, at one endpoint of the service: it has no control but
    /// its past and the other endpoints. The share is that of its endpoint.
    Rollout,
    /// The same, and everything fails fifty times as often for half an hour, from that very moment or around
    /// it.
    RolloutIncident,
    /// The same, while traffic doubles within an hour and everything comes to fail ten times as often.
    RolloutDrift,
    /// The same as an incident, and its endpoint has always failed ten times as often as the others.
    RolloutWorse,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Steady,
        Self::Incident,
        Self::Ramp,
        Self::Diurnal,
        Self::DeployOverlap,
        Self::Alias,
        Self::Targeting,
        Self::TargetingHidden,
        Self::Loss,
        Self::Skew,
        Self::Fleet,
        Self::Rollout,
        Self::RolloutIncident,
        Self::RolloutDrift,
        Self::RolloutWorse,
    ];

    /// Whether everybody gets the flag at once, so that it is tried against its past.
    pub const fn is_rollout(self) -> bool {
        matches!(
            self,
            Self::Rollout | Self::RolloutIncident | Self::RolloutDrift | Self::RolloutWorse
        )
    }

    /// The name on the command line and in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Incident => "incident",
            Self::Ramp => "ramp",
            Self::Diurnal => "diurnal",
            Self::DeployOverlap => "deploy_overlap",
            Self::Alias => "alias",
            Self::Targeting => "targeting",
            Self::TargetingHidden => "targeting_hidden",
            Self::Loss => "loss",
            Self::Skew => "skew",
            Self::Fleet => "fleet",
            Self::Rollout => "rollout",
            Self::RolloutIncident => "rollout_incident",
            Self::RolloutDrift => "rollout_drift",
            Self::RolloutWorse => "rollout_worse",
        }
    }
}

/// Where the discount for clusters comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DiscountSource {
    /// Nothing has been measured yet; always in rollouts, whose decider begins with the run.
    Default,
    /// Measured on the blocks of this flag and of others of the service, as it is after a day.
    Measured,
}

/// One point of the axes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Cell {
    /// What happens.
    pub scenario: Scenario,
    /// Requests a second.
    pub rate: f64,
    /// Share of them that has the flag.
    pub share: f64,
    /// How many times as often they fail; 1: the flag is innocent.
    pub ratio: f64,
    /// How often requests fail without it.
    pub base_rate: f64,
    /// Mean size of clusters of bad events.
    pub cluster: f64,
    /// Where the discount comes from.
    pub discount: DiscountSource,
}

impl Cell {
    /// A seed that depends on the cell and not on its place in a list.
    pub(super) fn seed(&self, seed: u64, run: u64) -> u64 {
        let numbers = [self.rate, self.share, self.ratio, self.base_rate, self.cluster].map(f64::to_bits);
        let kinds = [self.scenario as u64, self.discount as u64, seed, run];
        let mix = |hash: u64, word: u64| (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        numbers.into_iter().chain(kinds).fold(0x51_7c_c1_b7, mix)
    }

    /// Whether whoever is blamed is blamed wrongly.
    pub fn is_null(&self) -> bool {
        self.ratio <= 1.0
    }
}

/// What all cells share.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Settings {
    /// Runs of each cell.
    pub runs: u64,
    /// Hours of a run.
    pub hours: u64,
    /// When the flag begins to fail, in seconds after it was changed.
    pub onset_secs: u64,
    /// What makes runs differ.
    pub seed: u64,
    /// Pairs of variants and SLIs that are watched.
    pub pairs: usize,
    /// Chance that an epoch blames wrongly, over all pairs.
    pub alpha: f64,
    /// False kills a year that the CUSUM may cost, over all pairs.
    pub false_kills_a_year: f64,
    /// The SLO.
    #[serde(serialize_with = "as_text")]
    pub target: Target,
    /// Burn, window, dwell, and the plain rule's contrast.
    #[serde(skip)]
    pub rule: KillRule,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn as_text<S: Serializer>(target: &Target, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(target)
}

impl Settings {
    /// Those of the proofs, for an SLO: 200 pairs, alpha 1 %, the default kill rule, 24 hours.
    pub fn of(target: Target) -> Self {
        Self {
            runs: 400,
            hours: 24,
            onset_secs: 0,
            seed: 1,
            pairs: 200,
            alpha: 0.01,
            false_kills_a_year: 1.0,
            target,
            rule: KillRule::default(),
        }
    }

    /// Blocks of a run.
    pub(super) fn blocks(&self) -> usize {
        usize::try_from(self.hours.saturating_mul(3600) / BUCKET_SECS).unwrap_or(usize::MAX)
    }

    pub(super) fn kill_bound(&self) -> f64 {
        kill_bound(self.pairs, self.alpha)
    }

    pub(super) fn suspect_bound(&self) -> f64 {
        suspect_bound(self.pairs, self.alpha)
    }

    pub(super) fn change_bound(&self) -> f64 {
        change_bound(self.pairs, BLOCKS_A_YEAR, self.false_kills_a_year)
    }
}
