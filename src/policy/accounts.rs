//! Which accounts the policies ask for.

use super::figures::slice_windows;
use super::model::{Composite, Member, Slo};
use super::plan::Correction;
use super::set::PolicySet;
use crate::account::{Key, Spec};
use crate::budget::{Part, union};
use crate::ledger::TOTAL_REACH_SECS;
use crate::sli::ObjectiveName;
use crate::time::UnixNanos;
use std::sync::Arc;

const DAY: u64 = 86_400;
/// How far ahead exclusions are worked out, in seconds: they are again at least once a day.
const AHEAD_SECS: u64 = 3 * DAY;

impl Slo {
    /// The account that a total of this SLO needs at `now`, of the series `member`; `None` where the ledger's
    /// windows say everything. `corrections` are those that concern it.
    pub fn account<'c>(
        &self,
        now: UnixNanos,
        member: Key,
        corrections: impl Iterator<Item = &'c Correction>,
    ) -> Option<Spec> {
        let excluded = self.excluded(corrections, self.exclusion_reach(now));
        let needed = self.budgeting.is_sliced() || self.period.calendar().is_some() || !excluded.is_empty();
        needed.then(|| Spec {
            members: vec![member],
            parts: vec![Part {
                slice_target: self.budgeting.slice_target,
                weight: 1,
            }],
            rule: self.budgeting.rule,
            period: self.period.clone(),
            windows: if self.budgeting.is_sliced() {
                slice_windows(self)
            } else {
                Vec::new()
            },
            excluded,
        })
    }

    /// The interval in which an exclusion matters, in whole days, so that it changes once a day.
    fn exclusion_reach(&self, now: UnixNanos) -> (u64, u64) {
        let today = now.secs() - now.secs() % DAY;
        let longest = self
            .alerts
            .iter()
            .flat_map(|a| a.windows.iter().map(|w| w.window_secs))
            .max();
        // A calendar period is at most a day longer than its nominal length, or a day of a leap year.
        let back = self.period_secs.max(longest.unwrap_or(0)).max(3 * DAY) + 3 * DAY;
        (
            today.saturating_sub(back.min(TOTAL_REACH_SECS)),
            today + AHEAD_SECS,
        )
    }
}

impl Composite {
    /// The account of a composite that counts slices; `members` are its series, in the order of its parts.
    pub fn account<'c>(
        &self,
        now: UnixNanos,
        members: Vec<Key>,
        corrections: impl Iterator<Item = &'c Correction>,
    ) -> Spec {
        Spec {
            members,
            parts: self.members.iter().map(|m| m.part).collect(),
            rule: self.slo.budgeting.rule,
            period: self.slo.period.clone(),
            windows: slice_windows(&self.slo),
            excluded: self.slo.excluded(corrections, self.slo.exclusion_reach(now)),
        }
    }
}

impl PolicySet {
    /// The account of one part of a composite that counts events, of the series `member`: without what is
    /// left out of the composite and what is left out of the part's own SLO. `None` where the ledger's
    /// windows say everything.
    pub fn member_account<'c>(
        &self,
        now: UnixNanos,
        composite: &Composite,
        member: &Member,
        key: Key,
        corrections: impl Iterator<Item = &'c Correction>,
    ) -> Option<Spec> {
        let slo = &composite.slo;
        let reach = slo.exclusion_reach(now);
        let mut excluded = slo.excluded(corrections, reach);
        let name = ObjectiveName {
            service: Arc::clone(&member.service),
            slo: Arc::clone(&member.slo),
        };
        if let Some((_, own)) = self.find(&name, member.environment.as_deref()) {
            excluded.extend(own.excluded(std::iter::empty(), reach));
        }
        let excluded = union(excluded, 300);
        (slo.period.calendar().is_some() || !excluded.is_empty()).then(|| Spec {
            members: vec![key],
            parts: vec![member.part],
            rule: slo.budgeting.rule,
            period: slo.period.clone(),
            windows: Vec::new(),
            excluded,
        })
    }
}
