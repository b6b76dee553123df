//! Many cells, each many times, on as many threads as asked for.

use super::cell::{Cell, Settings};
use super::run::{RunOutcome, play};
use super::summary::Row;
use std::num::NonZeroUsize;
use std::thread;

/// Told of every run that is done, from any thread.
pub trait Progress: Sync {
    /// One more.
    fn run_done(&self);
}

/// Nobody is told.
impl Progress for () {
    fn run_done(&self) {}
}

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Campaign {
    /// What all cells share.
    pub settings: Settings,
    /// Threads; the result does not depend on it.
    pub jobs: NonZeroUsize,
}

impl Campaign {
    /// Plays a cell as often as the settings say.
    pub fn row(&self, cell: &Cell, progress: &dyn Progress) -> Row {
        let runs = self.settings.runs;
        let jobs = self.jobs.get() as u64;
        let each = runs.div_ceil(jobs).max(1);
        let part = |job: u64| {
            let mine = job * each..runs.min((job + 1) * each);
            let outcomes = mine.map(|run| {
                let outcome = play(cell, &self.settings, run);
                progress.run_done();
                outcome
            });
            outcomes.collect::<Vec<RunOutcome>>()
        };
        let outcomes = if jobs == 1 {
            part(0)
        } else {
            thread::scope(|scope| {
                let part = &part;
                let parts: Vec<_> = (0..jobs).map(|job| scope.spawn(move || part(job))).collect();
                let joined = parts.into_iter().map(|part| match part.join() {
                    Ok(outcomes) => outcomes,
                    Err(panic) => std::panic::resume_unwind(panic),
                });
                joined.flatten().collect()
            })
        };
        Row::of(cell, self.settings.onset_secs, &outcomes)
    }
}
