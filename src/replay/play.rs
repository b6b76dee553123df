//! Records and ticks, one after the other, in event time.
//!
//! Ticks stand on whole intervals since the epoch. At each, first everything that has arrived by then is
//! counted, at the very instant of its arrival; then the gateway's tick runs. So a result depends on the
//! records alone, not on the machine.

use super::error::ReplayError;
use super::input::{Loaded, Problems};
use super::outcome::{Outcome, Watcher};
use super::spool::{Content, Origin, Record, Sorted};
use crate::config::Config;
use crate::gateway::Rehearsal;
use crate::ledger::HandCount;
use crate::pipeline::Batch;
use crate::policy::{PolicySet, ServiceName};
use crate::time::UnixNanos;
use std::time::Duration;

/// Days that can be replayed: as far as the ledger reaches.
const DAYS_MAX: u64 = 400;

/// Hears how far a replay is; what it does with that is its own business.
pub trait Progress {
    /// So many bytes are to be read.
    fn reads(&self, _bytes: u64) {}
    /// So many more have been read.
    fn has_read(&self, _bytes: u64) {}
    /// The play begins, and has so many seconds.
    fn plays(&self, _from: UnixNanos, _secs: u64) {}
    /// It has come to `now`.
    fn has_come_to(&self, _now: UnixNanos) {}
}

impl Progress for () {}

/// What somebody wants to see.
#[derive(Clone, Copy, Debug)]
pub struct Wishes {
    /// Time between two lines of the budgets.
    pub budgets_every: Duration,
    /// Deployments and flag variants too, not only totals.
    pub cohorts: bool,
    /// How long the play goes on after the last record.
    pub tail: Duration,
}

impl Default for Wishes {
    fn default() -> Self {
        Self {
            budgets_every: Duration::from_hours(1),
            cohorts: false,
            tail: Duration::ZERO,
        }
    }
}

/// Plays what was loaded by `config`.
pub fn play(
    config: Config,
    loaded: Loaded,
    wishes: Wishes,
    progress: &dyn Progress,
) -> Result<Outcome, ReplayError> {
    let (first, last) = ends(&loaded)?;
    let mut rehearsal = Rehearsal::open(config, first)?;
    let step = u64::try_from(rehearsal.every().as_nanos())
        .unwrap_or(u64::MAX)
        .max(1);
    let ceiling = |at: UnixNanos| UnixNanos(at.0.div_ceil(step).saturating_mul(step));
    let (from, end) = (ceiling(first), ceiling(last.plus_secs(wishes.tail.as_secs())));
    progress.plays(from, end.secs_since(from));
    let mut watcher = Watcher::new(wishes, from);
    let mut now = from;
    let mut records = loaded.records;
    let mut intake = Intake {
        files: &loaded.files,
        problems: loaded.problems,
        nameless: Nameless::of(rehearsal.policies()),
        requests: 0,
        items: 0,
        minutes: 0,
    };
    loop {
        intake.take(&rehearsal, &mut records, now)?;
        let changed = rehearsal.tick(now);
        watcher.saw(now, changed);
        watcher.looks(now, &rehearsal);
        progress.has_come_to(now);
        if now >= end {
            break;
        }
        now = UnixNanos(now.0.saturating_add(step));
    }
    let mut outcome = watcher.end(now, &rehearsal);
    outcome.input.files.clone_from(&loaded.files);
    outcome.input.empty = loaded.empty;
    outcome.input.outside = loaded.outside;
    intake.tell(&mut outcome);
    Ok(outcome)
}

/// When the first and the last record arrive.
fn ends(loaded: &Loaded) -> Result<(UnixNanos, UnixNanos), ReplayError> {
    let ends = loaded.records.ends().zip(loaded.records.origins());
    let ((from, to), (first, last)) = ends.ok_or(ReplayError::Nothing)?;
    let days = to.secs_since(from) / 86_400;
    if days > DAYS_MAX {
        let place = |origin: Origin| {
            let file = loaded.files.get(origin.file as usize).map_or("", String::as_str);
            format!("{file}:{}", origin.line)
        };
        return Err(ReplayError::TooLong {
            days,
            max: DAYS_MAX,
            from,
            first: place(first),
            to,
            last: place(last),
        });
    }
    Ok((from, to))
}

/// What arrives.
struct Intake<'l> {
    files: &'l [String],
    problems: Problems,
    nameless: Nameless,
    requests: u64,
    items: u64,
    minutes: u64,
}

impl Intake<'_> {
    /// Counts everything that has arrived by `now`.
    fn take(
        &mut self,
        rehearsal: &Rehearsal,
        records: &mut Sorted,
        now: UnixNanos,
    ) -> Result<(), ReplayError> {
        while let Some(record) = records.next_by(now)? {
            let origin = record.origin;
            if let Err(reason) = self.count(rehearsal, record) {
                let file = self.files.get(origin.file as usize).map_or("", String::as_str);
                self.problems.add(file, origin.line, reason);
            }
        }
        Ok(())
    }

    fn count(&mut self, rehearsal: &Rehearsal, record: Record) -> Result<(), String> {
        match record.content {
            Content::Request(signal) => {
                let batch = Batch::new(signal, record.bytes.into());
                let counted = rehearsal.take(record.due, &batch).map_err(|e| e.to_string())?;
                self.requests += 1;
                self.items += counted.items;
            }
            Content::Counts => {
                let mut count: HandCount =
                    serde_json::from_slice(&record.bytes).map_err(|e| e.to_string())?;
                self.nameless.name(&mut count, rehearsal)?;
                rehearsal
                    .record(record.due, &[count])
                    .map_err(|error| error.to_string())?;
                self.minutes += 1;
            }
        }
        Ok(())
    }

    fn tell(self, outcome: &mut Outcome) {
        let input = &mut outcome.input;
        (input.requests, input.items, input.minutes) = (self.requests, self.items, self.minutes);
        (input.left_out, input.problems) = (self.problems.count, self.problems.first);
    }
}

/// Whom rows that name no service or SLO are about: the only one that there is.
struct Nameless {
    service: Option<String>,
}

impl Nameless {
    fn of(policies: &PolicySet) -> Self {
        let mut services: Vec<&str> = policies
            .policies()
            .iter()
            .filter(|policy| matches!(policy.service, ServiceName::Exact(_)))
            .map(|policy| policy.service.as_str())
            .collect();
        services.dedup();
        let only = services.len() == 1
            && policies
                .policies()
                .iter()
                .all(|p| p.service.as_str() == services[0]);
        Self {
            service: only.then(|| services[0].to_owned()),
        }
    }

    fn name(&self, count: &mut HandCount, rehearsal: &Rehearsal) -> Result<(), String> {
        if count.service.is_empty() {
            let Some(service) = &self.service else {
                return Err("names no service, and the policies are not all about one; \
                            a column `service` or --service says whom it is about"
                    .to_owned());
            };
            count.service.clone_from(service);
        }
        if count.slo.is_empty() {
            let slos = rehearsal.slos_of(&count.service, count.environment.as_deref());
            match slos.as_slice() {
                [only] => count.slo = only.to_string(),
                [] => {
                    let environment = count.environment.as_deref().unwrap_or("no environment");
                    return Err(format!(
                        "no policy covers service {:?} in {environment}",
                        count.service
                    ));
                }
                several => {
                    let known = several
                        .iter()
                        .map(|slo| format!("{slo:?}"))
                        .collect::<Vec<_>>()
                        .join(", ");
                    return Err(format!(
                        "service {:?} has the SLOs {known}; a column `slo` or --slo says which is meant",
                        count.service
                    ));
                }
            }
        }
        Ok(())
    }
}
