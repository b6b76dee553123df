//! A flag that goes from nobody to everybody at once, so that it has nothing but its own past.
//!
//! It is evaluated at one endpoint of the service; the others are its negative control. Half an hour is
//! counted before it changes, which is what a gateway remembers, and an hour after it, which is how long it
//! is tried. The plain rule has no control then, and says nothing.

use super::cell::{Cell, Scenario, Settings};
use super::run::{Kill, RunOutcome, START, Spending};
use super::traffic::{Clusters, Random, Source};
use super::world::{Requests, World};
use crate::ledger::BUCKET_SECS;
use rand::RngExt;

/// When the flag changes.
const CHANGE_SECS: u64 = 1800;
/// What is played after that: its trial, and the minute and the dwell that it lags.
const AFTER_SECS: u64 = 3600 + 600;
const INCIDENT_SECS: u64 = 1800;
const INCIDENT_FACTOR: f64 = 50.0;
/// How early an incident may begin.
const BEFORE_SECS: u64 = 600;
/// How many times as often everything fails at the end of a drift, and how much more traffic there is.
const DRIFT_ERRORS: f64 = 10.0;
const DRIFT_TRAFFIC: f64 = 2.0;
/// How many times as often the flag's endpoint fails, with the flag or without.
const WORSE_FACTOR: f64 = 10.0;

/// What happens besides the flag.
struct Weather {
    scenario: Scenario,
    incident_secs: u64,
}

impl Weather {
    /// Half of the incidents begin with the rollout, the others whenever.
    fn new(scenario: Scenario, random: &mut Random) -> Self {
        let earliest = CHANGE_SECS - BEFORE_SECS;
        let with_it = random.random_bool(0.5);
        let whenever = random.random_range(earliest..CHANGE_SECS + INCIDENT_SECS);
        Self {
            scenario,
            incident_secs: if with_it { CHANGE_SECS } else { whenever },
        }
    }

    /// How many times as much traffic there is, and as many of it fail.
    fn at(&self, secs: u64) -> (f64, f64) {
        let incident = self.incident_secs..self.incident_secs + INCIDENT_SECS;
        match self.scenario {
            Scenario::RolloutIncident | Scenario::RolloutWorse if incident.contains(&secs) => {
                (1.0, INCIDENT_FACTOR)
            }
            Scenario::RolloutDrift => {
                let done = (secs as f64 / (2 * CHANGE_SECS) as f64).min(1.0);
                let grown = |to: f64| 1.0 + (to - 1.0) * done;
                (grown(DRIFT_TRAFFIC), grown(DRIFT_ERRORS))
            }
            _ => (1.0, 1.0),
        }
    }
}

pub(super) fn play(cell: &Cell, settings: &Settings, random: &mut Random) -> RunOutcome {
    let mut outcome = RunOutcome {
        kill: None,
        plain: None,
        crossed: false,
        spent: 0.0,
    };
    let Some(mut world) = World::new(settings) else {
        return outcome;
    };
    let weather = Weather::new(cell.scenario, random);
    let clusters = Clusters::new(cell.cluster);
    let mut spending = Spending::default();
    let mut sources = [Source::default(); 2];
    let worse = if cell.scenario == Scenario::RolloutWorse {
        WORSE_FACTOR
    } else {
        1.0
    };
    let onset = CHANGE_SECS + settings.onset_secs;
    for secs in (0..CHANGE_SECS + AFTER_SECS).step_by(10) {
        let (traffic, errors) = weather.at(secs);
        let events = cell.rate * BUCKET_SECS as f64 * traffic;
        let base = cell.base_rate * errors;
        let ratio = if secs >= onset { cell.ratio } else { 1.0 };
        let with = sources[1].draw(events * cell.share, base * worse * ratio, &clusters, random);
        let without = sources[0].draw(events * (1.0 - cell.share), base, &clusters, random);
        let variant = if secs < CHANGE_SECS { "off" } else { "on" };
        let now = START.plus_secs(secs);
        for (endpoint, variant, counts) in [("with", Some(variant), with), ("without", None, without)] {
            let requests = Requests {
                endpoint,
                variant,
                counts,
            };
            if counts.total() > 0 {
                world.count(now, &requests);
            }
        }
        let decisions = world.evaluate(now.plus_secs(BUCKET_SECS - 1));
        if secs >= onset {
            spending.count(with.bad + without.bad);
        }
        outcome.crossed |= (cell.is_null() || secs < onset) && world.has_crossed();
        if !decisions.is_empty() {
            outcome.kill = Some(Kill {
                secs: (secs + BUCKET_SECS).saturating_sub(CHANGE_SECS),
                flag: 0,
                is_early: secs < onset,
            });
            break;
        }
    }
    outcome.spent = spending.share(cell, settings);
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn an_incident_befalls_both_and_a_drift_is_over_half_an_hour_after_the_change() {
        let mut random = Random::seed_from_u64(3);
        let mut with_it = 0;
        for _ in 0..200 {
            let weather = Weather::new(Scenario::RolloutIncident, &mut random);
            let begins = weather.incident_secs;
            assert!((CHANGE_SECS - BEFORE_SECS..CHANGE_SECS + INCIDENT_SECS).contains(&begins));
            with_it += u32::from(begins == CHANGE_SECS);
            assert_eq!(weather.at(begins), (1.0, INCIDENT_FACTOR));
            assert_eq!(weather.at(begins + INCIDENT_SECS), (1.0, 1.0));
        }
        assert!((70..130).contains(&with_it), "{with_it}");
        let drift = Weather::new(Scenario::RolloutDrift, &mut random);
        assert_eq!(drift.at(0), (1.0, 1.0));
        assert_eq!(drift.at(3600), (DRIFT_TRAFFIC, DRIFT_ERRORS));
        assert_eq!(drift.at(6000), drift.at(3600));
        let calm = Weather::new(Scenario::Rollout, &mut random);
        assert_eq!(calm.at(calm.incident_secs), (1.0, 1.0));
    }
}
