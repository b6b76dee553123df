//! What the ledger asks of the store, and how it is answered without holding the ledger's lock.
//!
//! `wanted` (short lock), `resolve` (no lock, reads), `supply` (short lock). Until a want is answered its
//! window states the wider interval that it covers.

use super::history::{Chunk, HistoryError, Tier, start_bucket, stored_sum};
use super::moment::{Bucket, start_secs};
use super::running::Need;
use super::table::lead;
use super::{Counts, History, Lane, Ledger, SeriesRef};
use crate::cohort::{CohortId, ObjectiveId};
use hashbrown::HashMap;

/// Reads beyond which one pass over a tier is cheaper than single look-ups.
const SCAN_FROM_READS: u32 = 2_048;

/// One window's question.
#[derive(Clone, Copy, Debug)]
pub struct Want {
    objective: ObjectiveId,
    cohort: CohortId,
    lane: Lane,
    series: SeriesRef,
    window_secs: u64,
    tier: Tier,
    need: Need,
    /// Where the ring began when it was asked.
    floor: Bucket,
}

/// One window's answer.
#[derive(Debug)]
pub struct Supply {
    want: Want,
    answer: Answer,
}

#[derive(Debug)]
enum Answer {
    Chunk(Option<Chunk>),
    Whole(Counts),
}

impl Want {
    fn reads(&self) -> u32 {
        match self.need {
            Need::Chunk(_) => 1,
            Need::Whole(from) => self.floor.saturating_sub(from) / self.tier.span() + 1,
        }
    }
}

/// Answers all of `wants`; many wide ones share one pass over their tier.
pub fn resolve(wants: Vec<Want>, history: &dyn History) -> Result<Vec<Supply>, HistoryError> {
    let reads = wants
        .iter()
        .filter(|w| matches!(w.need, Need::Whole(_)))
        .map(Want::reads)
        .fold(0u32, u32::saturating_add);
    let (wide, single): (Vec<Want>, Vec<Want>) = wants
        .into_iter()
        .partition(|w| reads >= SCAN_FROM_READS && matches!(w.need, Need::Whole(_)));
    let mut supplies = Vec::with_capacity(wide.len() + single.len());
    for want in single {
        let answer = match want.need {
            Need::Chunk(start) => Answer::Chunk(history.chunk(want.tier, start_secs(start), want.series)?),
            Need::Whole(from) => {
                Answer::Whole(stored_sum(history, want.series, want.tier, from, want.floor)?)
            }
        };
        supplies.push(Supply { want, answer });
    }
    for tier in [Tier::Minutes, Tier::Days] {
        scan(
            wide.iter().filter(|w| w.tier == tier).copied().collect(),
            tier,
            history,
            &mut supplies,
        )?;
    }
    Ok(supplies)
}

fn scan(
    wants: Vec<Want>,
    tier: Tier,
    history: &dyn History,
    supplies: &mut Vec<Supply>,
) -> Result<(), HistoryError> {
    let from_of = |want: &Want| match want.need {
        Need::Whole(from) | Need::Chunk(from) => from,
    };
    let Some(from) = wants.iter().map(from_of).min() else {
        return Ok(());
    };
    let to = wants.iter().map(|w| w.floor).max().unwrap_or(from);
    let mut by_series: HashMap<SeriesRef, Vec<(Want, Counts)>> = HashMap::new();
    for want in wants {
        by_series
            .entry(want.series)
            .or_default()
            .push((want, Counts::ZERO));
    }
    history.scan(
        tier,
        start_secs(tier.chunk_of(from)),
        start_secs(to),
        &mut |at, series, chunk| {
            for (want, sum) in by_series.get_mut(&series).into_iter().flatten() {
                sum.add(chunk.sum(tier, start_bucket(at), from_of(want), want.floor));
            }
        },
    )?;
    let answered = by_series.into_values().flatten();
    supplies.extend(answered.map(|(want, sum)| Supply {
        want,
        answer: Answer::Whole(sum),
    }));
    Ok(())
}

impl Ledger {
    /// What windows need from the store, of at most `limit` series. Ask after the last fold has been
    /// committed, and answer before the next.
    pub fn wanted(&mut self, limit: usize) -> Vec<Want> {
        let mut wants = Vec::new();
        for _ in 0..limit {
            let Some(slot) = self.needy.pop_front() else { break };
            let Some(series) = self.series[slot as usize].as_mut().filter(|s| s.needy) else {
                continue;
            };
            series.needy = false;
            let (objective, cohort, lane) = (series.objective, series.cohort, series.lane);
            let floor = series.extent.floor;
            let Some(id) = series.stored_as else { continue };
            wants.extend(series.needs(lead(slot)).map(|(window_secs, need)| {
                let tier = super::moment::tier_of_age(window_secs);
                Want {
                    objective,
                    cohort,
                    lane,
                    series: id,
                    window_secs,
                    tier,
                    need,
                    floor,
                }
            }));
        }
        wants
    }

    /// Takes answers.
    pub fn supply(&mut self, supplies: Vec<Supply>) {
        for Supply { want, answer } in supplies {
            let Some(slot) = self.slot_of(want.objective, want.cohort, want.lane) else {
                continue;
            };
            self.advance(slot);
            let Some(series) = self.series[slot as usize].as_mut() else {
                continue;
            };
            let changed = match (answer, want.need) {
                (Answer::Chunk(chunk), Need::Chunk(start)) => {
                    series.supply(want.window_secs, start, chunk.as_ref())
                }
                (Answer::Whole(counts), Need::Whole(from)) => {
                    series.supply_whole(want.window_secs, from, want.floor, counts)
                }
                _ => false,
            };
            if changed {
                self.mark(slot);
            }
            self.advance(slot);
        }
    }
}
