//! Journeys: SLOs made of other services' SLOs.
//!
//! By occurrences a composite's error ratio is the mean of its parts' ratios by their weights, not the ratio
//! of their events together: a checkout that nobody reaches must not vanish behind a busy catalogue. By time
//! slices a slice is bad when any part of it is; by ratio of slices it is the weighted mean, slice by slice.
//! A part without events says nothing, good or bad.

use super::board::SeriesKey;
use super::evaluate::Evaluator;
use super::figures::{Identity, Input, assemble, trials, window};
use super::model::{Composite, Journey};
use super::set::{COMMON_WINDOWS_SECS, PolicySet};
use super::status::{BudgetKind, BudgetStatus, MemberStatus, PeriodStatus, WindowBurn};
use super::workbook;
use crate::account::{Accounts, Figures};
use crate::budget::{Period, RATIO_ONE, Share};
use crate::cohort::{CohortId, CohortKey, Level, ObjectiveId};
use crate::ledger::{Counts, Sampled, WindowSum};
use crate::sli::ObjectiveName;
use crate::time::UnixNanos;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The key of a composite on the board, by its number: a handle that no registry gives out.
pub fn composite_key(number: usize) -> SeriesKey {
    let number = u32::try_from(number).unwrap_or(u32::MAX / 2);
    (ObjectiveId(u32::MAX - number), CohortId(u32::MAX))
}

/// The key of the account of one part of a composite that counts events.
pub fn member_key(number: usize, member: usize) -> SeriesKey {
    let member = u32::try_from(member).unwrap_or(u32::MAX / 2);
    (composite_key(number).0, CohortId(u32::MAX - 1 - member))
}

/// What a part of a composite has at one instant.
struct Known {
    weight: u32,
    status: Option<Arc<BudgetStatus>>,
    figures: Option<Figures>,
}

impl Known {
    /// Its raw counts over (from, now], and how much of them is left out.
    fn window(&self, secs: u64) -> Option<(WindowSum, Counts)> {
        let sum = self.status.as_ref()?.window(secs).copied()?;
        let left_out = self.figures.as_ref().and_then(|f| f.window(secs));
        Some((sum, left_out.map_or(Counts::ZERO, |w| w.sum.excluded)))
    }
}

impl Evaluator {
    /// Works out every composite from the statuses of its parts, which `apply_with` has brought up to date.
    /// `series` finds the total of each part.
    pub fn composites(
        &mut self,
        now: UnixNanos,
        policies: &PolicySet,
        series: &dyn Fn(&super::Member) -> Option<SeriesKey>,
        accounts: &Accounts,
    ) -> Vec<Arc<BudgetStatus>> {
        let mut changed = Vec::new();
        for (number, (journey, composite)) in policies.composites().enumerate() {
            let key = composite_key(number);
            let known: Vec<Known> = composite
                .members
                .iter()
                .enumerate()
                .map(|(at, member)| Known {
                    weight: member.part.weight,
                    status: series(member).and_then(|(o, c)| self.board().get(o, c)),
                    figures: accounts.figures(member_key(number, at)).cloned(),
                })
                .collect();
            if known.iter().all(|k| k.status.is_none()) {
                continue;
            }
            let identity = identity(key, journey, composite);
            let mut status = if composite.slo.budgeting.is_sliced() {
                Input {
                    now,
                    slo: &composite.slo,
                    windows: &[],
                    lifetime: lifetime(&known),
                    figures: accounts.figures(key),
                }
                .status(identity)
            } else {
                by_events(now, composite, identity, &known)
            };
            status.kind = BudgetKind::Journey;
            status.members = members(composite, &known);
            changed.push(self.judge(now, &composite.slo, status));
        }
        changed
    }
}

fn identity(key: SeriesKey, journey: &Journey, composite: &Composite) -> Identity {
    Identity {
        key,
        objective: Arc::new(ObjectiveName {
            service: Arc::clone(&journey.name),
            slo: Arc::clone(&composite.slo.name),
        }),
        cohort: Arc::new(CohortKey {
            service: Arc::clone(&journey.name),
            environment: journey.environment.clone(),
            level: Level::Total,
        }),
    }
}

fn lifetime(known: &[Known]) -> Counts {
    let mut sum = Counts::ZERO;
    known
        .iter()
        .filter_map(|k| k.status.as_ref())
        .for_each(|s| sum.add(s.lifetime));
    sum
}

fn members(composite: &Composite, known: &[Known]) -> Vec<MemberStatus> {
    let counts = |k: &Known| {
        let status = k.status.as_ref()?;
        let longest = status.period.or_else(|| status.windows.last().map(|w| w.sum));
        longest.map(|sum| sum.counts)
    };
    let shown = composite
        .members
        .iter()
        .zip(known)
        .map(|(member, k)| MemberStatus {
            service: Arc::clone(&member.service),
            slo: Arc::clone(&member.slo),
            weight: member.part.weight,
            counts: counts(k).unwrap_or(Counts::ZERO),
        });
    shown.collect()
}

/// The weighted mean of the parts' ratios, with their events together and those that are left out.
fn mean(parts: impl Iterator<Item = (u32, Counts, Counts)>) -> (Share, Counts, Counts) {
    let (mut share, mut raw, mut out) = (Share::default(), Counts::ZERO, Counts::ZERO);
    for (weight, counts, excluded) in parts {
        raw.add(counts);
        out.add(excluded);
        if let Some(miss) = Share::from(counts.less(excluded)).miss() {
            share.bad += u128::from(weight) * miss;
            share.of += u128::from(weight) * RATIO_ONE;
        }
    }
    (share, raw, out)
}

fn by_events(now: UnixNanos, composite: &Composite, identity: Identity, known: &[Known]) -> BudgetStatus {
    let slo = &composite.slo;
    let of_window = |secs: u64| {
        let parts: Vec<_> = known
            .iter()
            .filter_map(|k| Some((k.weight, k.window(secs)?)))
            .collect();
        let from = parts.iter().map(|(_, (sum, _))| sum.from).min()?;
        let (share, counts, excluded) = mean(parts.iter().map(|(w, (sum, out))| (*w, sum.counts, *out)));
        let sum = WindowSum {
            window_secs: secs,
            from,
            to: now,
            counts,
            sampled: sampled(parts.iter().map(|(_, (sum, _))| sum)),
        };
        Some((sum, excluded, share))
    };
    let mut lengths = BTreeSet::from(COMMON_WINDOWS_SECS);
    lengths.extend(
        slo.alerts
            .iter()
            .flat_map(|a| a.windows.iter().map(|w| w.window_secs)),
    );
    lengths.insert(workbook::exhaustion_window(slo.period_secs));
    let windows: Vec<WindowBurn> = lengths
        .into_iter()
        .filter_map(of_window)
        .map(|(sum, out, share)| {
            let known = (share, trials(&sum, sum.counts.less(out)));
            window(sum, out, None, known, slo.target)
        })
        .collect();
    let detail = |(sum, excluded, spent): (WindowSum, Counts, Share), until| {
        let detail = PeriodStatus {
            excluded,
            spent,
            trials: trials(&sum, sum.counts.less(excluded)),
            until,
            of_unknown_sample: until.is_some() && any_sampled(known),
            ..PeriodStatus::default()
        };
        (sum, detail)
    };
    let period = match &slo.period {
        Period::Rolling { secs } => of_window(*secs).map(|known| detail(known, None)),
        Period::Calendar(_) => calendar(now, known).map(|(known, until)| detail(known, until)),
    };
    assemble(now, slo, identity, (windows, period), lifetime(known))
}

/// What the parts' events stand for together; `None` when all of them were seen.
fn sampled<'s>(parts: impl Iterator<Item = &'s WindowSum>) -> Option<Sampled> {
    let (mut sum, mut any) = (Sampled::default(), false);
    for part in parts {
        any |= part.sampled.is_some();
        sum.add(part.estimate());
    }
    any.then_some(sum)
}

/// Whether the calendar period of any part is an estimate.
fn any_sampled(known: &[Known]) -> bool {
    let period = |k: &Known| k.figures.as_ref()?.period;
    known.iter().filter_map(period).any(|reached| reached.sampled)
}

/// A calendar period, of the accounts of its parts.
fn calendar(now: UnixNanos, known: &[Known]) -> Option<((WindowSum, Counts, Share), Option<UnixNanos>)> {
    let parts: Vec<_> = known
        .iter()
        .filter_map(|k| Some((k.weight, k.figures.as_ref()?.period?)))
        .collect();
    let (_, first) = parts.first()?;
    let (share, counts, excluded) = mean(parts.iter().map(|(weight, reached)| {
        let mut raw = reached.sum.kept;
        raw.add(reached.sum.excluded);
        (*weight, raw, reached.sum.excluded)
    }));
    let sum = WindowSum {
        window_secs: first.window_secs,
        from: first.from,
        to: now,
        counts,
        sampled: None,
    };
    Some(((sum, excluded, share), first.until))
}
