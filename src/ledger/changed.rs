//! What the tick reads: the series whose sums changed, and the cohorts that went silent.

use super::table::slot_number;
use super::{Lane, Ledger, SeriesView};
use crate::cohort::CohortId;
use crate::time::UnixNanos;

/// Series looked at for each one that may be returned: advancing one that did not change costs a tenth of a
/// view.
const LOOKS: usize = 4;

impl Ledger {
    /// Advances to `now` and drains at most `limit` series whose sums changed into `out`; true when more
    /// remain. A bucket that enters or leaves a window counts as a change. Series that change again meanwhile
    /// come with the next pass, so that `while ledger.lock().changed(..) {}` ends under any load.
    pub fn changed(&mut self, now: UnixNanos, limit: usize, out: &mut Vec<SeriesView>) -> bool {
        self.reach(now);
        let mut owed = self.pass.take().unwrap_or(self.marked.len());
        let mut room = limit;
        while owed > 0 && room > 0 {
            owed -= 1;
            let Some(slot) = self.marked.pop_front() else {
                break;
            };
            room -= usize::from(self.emit(slot, out));
        }
        let mut looks = room.saturating_mul(LOOKS);
        while self.sweep < self.series.len() && room > 0 && looks > 0 {
            let slot = slot_number(self.sweep);
            self.sweep += 1;
            looks -= 1;
            if self.base_of(slot) != Some(slot) {
                // A lane is looked at with its series.
                continue;
            }
            let was_marked = self.series[slot as usize].as_ref().is_some_and(|s| s.marked);
            if self.advance(slot).changed && !was_marked {
                // Advancing has put it at the end of the list; it leaves from there.
                self.marked.pop_back();
                room -= usize::from(self.emit(slot, out));
            }
        }
        let more = owed > 0 || self.sweep < self.series.len();
        self.pass = more.then_some(owed);
        more
    }

    fn emit(&mut self, slot: u32, out: &mut Vec<SeriesView>) -> bool {
        self.advance_all(slot);
        let Some(series) = self.series[slot as usize].as_mut().filter(|s| s.marked) else {
            return false;
        };
        series.marked = false;
        out.extend(self.view_of(slot));
        true
    }

    /// Drops series that have been silent for the limit (a total: for its longest window too) and whose
    /// counts are all in the store. Returns the cohorts of which nothing is left, so that the registry can
    /// retire them. Looks at a sixtieth of the series a call.
    pub fn idle(&mut self, now: UnixNanos) -> Vec<CohortId> {
        self.reach(now);
        let mut gone = Vec::new();
        for _ in 0..self.series.len().div_ceil(60).max(64).min(self.series.len()) {
            self.idle_cursor = if self.idle_cursor + 1 < self.series.len() {
                self.idle_cursor + 1
            } else {
                0
            };
            let slot = slot_number(self.idle_cursor);
            self.advance(slot);
            if self.is_idle(slot) {
                gone.extend(self.close(slot));
            }
        }
        gone
    }

    fn is_idle(&self, slot: u32) -> bool {
        let Some(series) = self.series[slot as usize].as_ref() else {
            return false;
        };
        // The estimate of a series that goes on needs what its lanes hold of the past.
        if series.lane != Lane::Seen && self.slot(series.objective, series.cohort).is_some() {
            return false;
        }
        let reach = if series.total { series.longest_secs() } else { 0 };
        let limit = self.limits.idle_timeout_secs.max(reach);
        let silent = self.now.secs_since(super::moment::start_of(series.last));
        let stored =
            series.blocks.is_empty() && !series.dirty && !series.row_changed && series.stored_as.is_some();
        silent >= limit && stored && !series.marked
    }
}
