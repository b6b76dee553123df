//! Which totals have an account, and the accounts' part of a tick.
//!
//! What an SLO asks for changes with its policy, with corrections, and (which occurrences of a weekly
//! maintenance window lie within reach) once a day. So specifications are worked out when a total is seen
//! for the first time, and of all of them when one of the three has changed; not at every tick.

use super::Tick;
use crate::account::Key;
use crate::cohort::{CohortId, CohortKey, Level};
use crate::ledger::SeriesView;
use crate::policy::{Correction, Member, composite_key, member_key};
use crate::time::UnixNanos;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

const DAY: u64 = 86_400;

/// What the specifications were worked out from.
#[derive(Debug, Default)]
pub(super) struct Planned {
    seen: HashSet<Key>,
    day: u64,
    corrections: u64,
}

impl Planned {
    /// Everything is to be worked out again.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

impl Tick {
    /// Opens and closes accounts, brings them up to date and returns those that changed.
    pub(super) fn account(&mut self, now: UnixNanos, views: &[SeriesView]) -> Vec<Key> {
        let closed = self.plan_accounts(now, views);
        let (mut touched, outcome) =
            self.accounts
                .update(now, views, &self.ledger, self.keeper.store().as_ref());
        if let Err(error) = outcome {
            metrics::counter!("burngate_account_errors_total").increment(1);
            if !self.state.accounts_failing {
                tracing::error!(%error, "accounts of budgets cannot be brought up to date; they show former figures");
            }
            self.state.accounts_failing = true;
        } else {
            self.state.accounts_failing = false;
        }
        let (open, refused) = self.accounts.len();
        metrics::gauge!("burngate_accounts_open").set(open as f64);
        metrics::gauge!("burngate_accounts_refused").set(refused as f64);
        // What is no longer left out counts again at once, also where no event comes.
        touched.extend(closed);
        touched
    }

    /// Returns the totals whose accounts were closed; those that were opened are due at the next update.
    fn plan_accounts(&mut self, now: UnixNanos, views: &[SeriesView]) -> Vec<Key> {
        let mut closed = Vec::new();
        let (version, corrections) = self.corrections.snapshot();
        let planned = &mut self.state.accounts;
        let again = planned.day != now.secs() / DAY || planned.corrections != version;
        if again {
            (planned.day, planned.corrections) = (now.secs() / DAY, version);
            planned.seen.clear();
            let board = self.evaluator.board().snapshot();
            for status in board.iter().filter(|s| s.is_total()) {
                let key = (status.objective_id, status.cohort_id);
                if self.plan_total(now, key, None, &corrections) {
                    closed.push(key);
                }
            }
        }
        let mut fresh = again;
        for view in views {
            let key = (view.objective, view.cohort);
            if self.state.accounts.seen.contains(&key) {
                continue;
            }
            fresh = true;
            if self.plan_total(now, key, Some(view), &corrections) {
                closed.push(key);
            }
        }
        if fresh {
            self.plan_composites(now, &corrections);
        }
        closed
    }

    /// Opens the account of one total, or closes it; true when one was closed.
    fn plan_total(
        &mut self,
        now: UnixNanos,
        key: Key,
        view: Option<&SeriesView>,
        corrections: &[Arc<Correction>],
    ) -> bool {
        let (Some(name), Some(cohort)) = (self.registry.objective(key.0), self.registry.key(key.1)) else {
            return false;
        };
        self.state.accounts.seen.insert(key);
        if cohort.level != Level::Total {
            return false;
        }
        let environment = cohort.environment.as_deref();
        let spec = self.policies.find(&name, environment).and_then(|(_, slo)| {
            let ours = corrections
                .iter()
                .filter(|c| c.concerns(&name.service, &name.slo, environment));
            slo.account(now, key, ours.map(|c| &**c))
        });
        let Some(spec) = spec else {
            return self.accounts.close(key);
        };
        if let Some(view) = view {
            self.accounts.open(key, spec, &view.windows);
        } else {
            // No count has come since: what the board shows are the ledger's windows.
            let windows = self.accounts_windows(key);
            self.accounts.open(key, spec, &windows);
        }
        false
    }

    /// Opens the accounts that composites need, and closes those of composites that are gone.
    fn plan_composites(&mut self, now: UnixNanos, corrections: &[Arc<Correction>]) {
        let policies = Arc::clone(&self.policies);
        let mut kept: BTreeSet<Key> = BTreeSet::new();
        for (number, (journey, composite)) in policies.composites().enumerate() {
            let environment = journey.environment.as_deref();
            let ours: Vec<&Correction> = corrections
                .iter()
                .filter(|c| c.concerns(&journey.name, &composite.slo.name, environment))
                .map(|c| &**c)
                .collect();
            let keys: Vec<Option<Key>> = composite.members.iter().map(|m| self.series_of(m)).collect();
            if composite.slo.budgeting.is_sliced() {
                // A part that was never seen has no counts; another one's handle would have.
                let nobody = |at: usize| (composite_key(number).0, member_key(number, at).1);
                let members = keys
                    .iter()
                    .enumerate()
                    .map(|(at, key)| key.unwrap_or_else(|| nobody(at)));
                let spec = composite.account(now, members.collect(), ours.into_iter());
                self.accounts.open(composite_key(number), spec, &[]);
                kept.insert(composite_key(number));
                continue;
            }
            for (at, (member, key)) in composite.members.iter().zip(keys).enumerate() {
                let Some(key) = key else { continue };
                let of_member = corrections
                    .iter()
                    .filter(|c| c.concerns(&member.service, &member.slo, member.environment.as_deref()));
                let all = ours.iter().copied().chain(of_member.map(|c| &**c));
                if let Some(spec) = policies.member_account(now, composite, member, key, all) {
                    let windows = self.accounts_windows(key);
                    self.accounts.open(member_key(number, at), spec, &windows);
                    kept.insert(member_key(number, at));
                }
            }
        }
        let gone = self
            .accounts
            .keys()
            .into_iter()
            .filter(|key| key.0.0 > u32::MAX / 2 && !kept.contains(key));
        for key in gone.collect::<Vec<_>>() {
            self.accounts.close(key);
        }
    }

    /// The ledger's windows of a series as the board knows them.
    fn accounts_windows(&self, key: Key) -> Vec<crate::ledger::WindowSum> {
        let status = self.evaluator.board().get(key.0, key.1);
        let windows = status.map(|s| s.windows.iter().map(|w| w.sum).chain(s.period).collect());
        windows.unwrap_or_default()
    }

    /// The total of a composite's part, once it was seen.
    pub(super) fn series_of(&self, member: &Member) -> Option<Key> {
        series_of(&self.registry, member)
    }
}

/// See [`Tick::series_of`].
pub(super) fn series_of(registry: &crate::cohort::Registry, member: &Member) -> Option<Key> {
    let cohort: CohortId = registry.find(&CohortKey {
        service: Arc::clone(&member.service),
        environment: member.environment.clone(),
        level: Level::Total,
    })?;
    let objective = registry.objective_id(&member.service, &member.slo, &mut Vec::new());
    Some((objective, cohort))
}
