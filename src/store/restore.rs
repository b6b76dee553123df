//! From the rows of a store back to a ledger.
//!
//! Chunks and frames hold absolute counts that only grow, so frames are laid over chunks and the larger value
//! stands; what a frame says was lowered stands as it is. The frames that are left follow on each other, so
//! the last one that holds a slot holds its newest value. A frame whose checksum does not hold is left out;
//! what it held is in a later frame or chunk, unless it was the last.

use super::{Keeper, NameKind, Names, Store, StoreError, in_lane, lane_of};
use crate::ledger::{
    Counts, Frame, Lane, Ledger, Nameless, SeriesRef, SeriesState, Tier, fine_slots, resolve,
};
use crate::time::UnixNanos;
use std::collections::HashMap;
use std::sync::Arc;

/// Dictionary rows read at once.
const PAGE: usize = 4_096;
/// Rounds of reads until every window is complete.
const ROUNDS: usize = 64;

/// What a restore found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Live series brought back.
    pub series: usize,
    /// Evidence cells brought back.
    pub evidence_cells: usize,
    /// Frames whose checksum did not hold; each was dropped alone.
    pub damaged_frames: u64,
    /// Names that could not be read or had no room; their series stay in the store.
    pub left_out: u64,
}

/// What the frames and the finest chunks say of one series.
#[derive(Clone, Copy, Debug, Default)]
struct Newest {
    lifetime: Counts,
    /// The lifetime stands whatever the state says: something was taken out of the series.
    lowered: bool,
    last: u32,
    bucket: u32,
}

impl Keeper {
    /// Fills an empty `ledger` (plans already set) with everything that the store holds.
    pub fn restore(
        store: Arc<dyn Store>,
        names: Arc<dyn Names>,
        ledger: &mut Ledger,
        now: UnixNanos,
    ) -> Result<(Self, Restored), StoreError> {
        let meta = store.meta()?;
        let mut found = Restored::default();
        ledger.restore_at(now.max(meta.now));
        let (frames, next_frame) = read_frames(&*store, &mut found)?;
        let newest = newest(&*store, &frames)?;
        let (live, next_series) = open_live(&*store, &*names, ledger, &newest, &mut found)?;
        fill(&*store, ledger, &frames, &live)?;
        for (what, state) in live.values() {
            ledger.restored_series(*what, *state);
        }
        for _ in 0..ROUNDS {
            let wants = ledger.wanted(usize::MAX);
            if wants.is_empty() {
                break;
            }
            ledger.supply(resolve(wants, &*store)?);
        }
        Ok((
            Self::new(store, names, next_series.max(meta.next_series), next_frame),
            found,
        ))
    }
}

fn read_frames(store: &dyn Store, found: &mut Restored) -> Result<(Vec<Frame>, u64), StoreError> {
    let (mut frames, mut next) = (Vec::new(), 0);
    store.frames(&mut |number, bytes| {
        next = number + 1;
        match Frame::decode(bytes) {
            Some(frame) => frames.push(frame),
            None => found.damaged_frames += 1,
        }
    })?;
    Ok((frames, next))
}

fn newest(store: &dyn Store, frames: &[Frame]) -> Result<HashMap<SeriesRef, Newest>, StoreError> {
    let mut newest: HashMap<SeriesRef, Newest> = HashMap::new();
    for series in frames.iter().flat_map(|frame| &frame.series) {
        let entry = newest.entry(series.id).or_default();
        if series.is_lowered() {
            (entry.lifetime, entry.lowered) = (series.lifetime, true);
        } else {
            entry.lifetime = entry.lifetime.max(series.lifetime);
        }
        entry.last = entry.last.max(series.last);
        entry.bucket = series
            .slots
            .iter()
            .map(|slot| slot.bucket)
            .fold(entry.bucket, u32::max);
    }
    store.scan(Tier::Fine, 0, u64::MAX, &mut |start, id, chunk| {
        let entry = newest.entry(id).or_default();
        entry.bucket = fine_slots(start, &chunk)
            .map(|slot| slot.bucket)
            .fold(entry.bucket, u32::max);
    })?;
    Ok(newest)
}

type Live = HashMap<SeriesRef, (Nameless, SeriesState)>;

/// Opens what is live: heard of within the idle timeout, or with hours that are not sealed yet.
fn open_live(
    store: &dyn Store,
    names: &dyn Names,
    ledger: &mut Ledger,
    newest: &HashMap<SeriesRef, Newest>,
    found: &mut Restored,
) -> Result<(Live, u32), StoreError> {
    let (mut live, mut from) = (Live::new(), SeriesRef(0));
    let mut lanes = Vec::new();
    loop {
        let page = store.names(from, PAGE)?;
        let Some(last) = page.last() else { break };
        from = SeriesRef(last.id.0.saturating_add(1));
        for row in page {
            let newest = newest.get(&row.id).copied().unwrap_or_default();
            let mut state = row.state;
            state.lifetime = if newest.lowered {
                newest.lifetime
            } else {
                state.lifetime.max(newest.lifetime)
            };
            state.last = state.last.max(newest.last);
            let kind = NameKind::of(&row.name);
            let wanted = match (kind, names.objective(&row.name)) {
                (Some(NameKind::Cell), Some(_)) => {
                    ledger.now().secs_since(state.last_event()) <= 2 * crate::ledger::EVIDENCE_SECS
                }
                (Some(_), Some(_)) if lane_of(&row.name) != Lane::Seen => {
                    lanes.push((row.id, row.name, state));
                    continue;
                }
                (Some(kind), Some(objective)) => {
                    let total = kind == NameKind::Total;
                    ledger.is_live(objective, total, &state) || newest.bucket >= state.sealed.max(1)
                }
                _ => {
                    found.left_out += 1;
                    false
                }
            };
            if wanted {
                open(names, ledger, row.id, &row.name, state, &mut live, found);
            }
        }
    }
    // A lane lives with its series, which may have the higher number.
    for (id, name, state) in lanes {
        let base = store.find(&in_lane(name.clone(), Lane::Seen))?;
        if base.is_some_and(|base| live.contains_key(&base.id)) {
            open(names, ledger, id, &name, state, &mut live, found);
        }
    }
    Ok((live, from.0))
}

fn open(
    names: &dyn Names,
    ledger: &mut Ledger,
    id: SeriesRef,
    name: &[u8],
    state: SeriesState,
    live: &mut Live,
    found: &mut Restored,
) {
    let what = names.restore(name, ledger.now());
    match what.filter(|what| ledger.restore(*what, id)) {
        Some(what) => {
            match what {
                Nameless::Series(..) => found.series += 1,
                Nameless::Cell(_) => found.evidence_cells += 1,
                Nameless::SeriesLane(..) | Nameless::CellLane(..) => {}
            }
            live.insert(id, (what, state));
        }
        None => found.left_out += 1,
    }
}

/// Lays the ten-second chunks and the frames over each other.
fn fill(store: &dyn Store, ledger: &mut Ledger, frames: &[Frame], live: &Live) -> Result<(), StoreError> {
    for tier in [Tier::Fine, Tier::Evidence] {
        store.scan(tier, 0, u64::MAX, &mut |start, id, chunk| {
            if let Some(&(what, _)) = live.get(&id) {
                fine_slots(start, &chunk).for_each(|slot| ledger.restore_slot(what, slot, true));
            }
        })?;
    }
    let series = frames
        .iter()
        .flat_map(|frame| frame.series.iter().map(|s| (s.id, &s.slots)));
    let cells = frames
        .iter()
        .flat_map(|frame| frame.cells.iter().map(|(id, slots)| (*id, slots)));
    for (id, slots) in series.chain(cells) {
        if let Some(&(what, _)) = live.get(&id) {
            for &slot in slots {
                ledger.restore_slot(what, slot, false);
            }
        }
    }
    Ok(())
}
