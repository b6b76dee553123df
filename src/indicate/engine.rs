//! The indicators of the gateway: samples in, statuses out.

use super::board::{GROUPS_SHOWN_MAX, GroupStatus, IndicatorBoard, IndicatorStatus, Missing, Reason};
use super::evaluate::{Gap, Look};
use super::plan::{Definition, DefinitionIndex, Plan, SelectorIndex};
use super::state::{IndicatorState, Machine};
use super::store::{GroupIndex, Scope, ScopeIndex, Store};
use super::{Collected, IndicatorLimits};
use crate::time::UnixNanos;
use hashbrown::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Samples that wait for the tick, at most; a request that brings more waits for the room.
const INBOX_MAX: usize = 50_000;

/// Takes samples from the data plane and works out statuses on the tick.
///
/// Two locks: requests only put what they bring into the inbox, and everything that takes its time happens on
/// the tick, under the other. Locks are taken in the order `inner`, `inbox`.
#[derive(Debug)]
pub struct Indicators {
    inbox: Mutex<Inbox>,
    inner: Mutex<Inner>,
    board: Arc<IndicatorBoard>,
}

/// What requests brought since the last tick.
#[derive(Debug, Default)]
struct Inbox {
    all: Vec<(UnixNanos, Collected)>,
    samples: usize,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    machines: HashMap<MachineKey, Machine>,
}

/// Which indicator of which service, and which group of it.
type MachineKey = (DefinitionIndex, ScopeIndex, GroupIndex);

/// What one group of an indicator came to.
struct Outcome {
    group: GroupIndex,
    value: Result<f64, Gap>,
    machine: Machine,
}

impl Indicators {
    /// Without samples.
    pub fn new(plan: Arc<Plan>, limits: IndicatorLimits) -> Self {
        Self {
            inbox: Mutex::default(),
            inner: Mutex::new(Inner {
                store: Store::new(plan, limits),
                machines: HashMap::new(),
            }),
            board: Arc::default(),
        }
    }

    /// The latest statuses.
    pub fn board(&self) -> &Arc<IndicatorBoard> {
        &self.board
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what one request brought.
    pub fn absorb(&self, now: UnixNanos, collected: Collected) {
        if collected.is_empty() {
            return;
        }
        let samples = collected.len();
        {
            let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
            if inbox.samples + samples <= INBOX_MAX {
                inbox.samples += samples;
                inbox.all.push((now, collected));
                return;
            }
        }
        let mut inner = self.lock();
        self.empty_inbox(&mut inner);
        inner.take(now, collected);
    }

    fn empty_inbox(&self, inner: &mut Inner) {
        let inbox = std::mem::take(&mut *self.inbox.lock().unwrap_or_else(PoisonError::into_inner));
        for (at, collected) in inbox.all {
            inner.take(at, collected);
        }
    }

    /// Takes on another plan. Samples stay, and so do the states of indicators that did not change.
    pub fn adopt(&self, plan: Arc<Plan>, limits: IndicatorLimits) {
        let mut inner = self.lock();
        self.empty_inbox(&mut inner);
        let old = inner.store.plan.clone();
        let renumbered = |index: DefinitionIndex| {
            let spec = &old.definitions.get(usize::from(index))?.spec;
            let same = |it: &Definition| it.spec == *spec;
            let at = plan.definitions.iter().position(same)?;
            DefinitionIndex::try_from(at).ok()
        };
        let machines = std::mem::take(&mut inner.machines);
        let kept = machines
            .into_iter()
            .filter_map(|((definition, scope, group), machine)| {
                Some(((renumbered(definition)?, scope, group), machine))
            });
        inner.machines = kept.collect();
        inner.store.adopt(plan, limits);
    }

    /// Takes in what has come, and works out every status once for each slot that ended.
    pub fn evaluate(&self, now: UnixNanos) {
        let mut inner = self.lock();
        self.empty_inbox(&mut inner);
        if !inner.store.close(now) {
            return;
        }
        let statuses = inner.statuses(now);
        inner.publish(&statuses);
        drop(inner);
        self.board.set(statuses);
    }
}

impl Inner {
    /// Takes what one request brought; of another plan than the one in use it is left.
    fn take(&mut self, now: UnixNanos, collected: Collected) {
        let store = &mut self.store;
        if !Arc::ptr_eq(&store.plan, &collected.plan) {
            return;
        }
        store.refused.cells += collected.excess;
        for part in collected.parts {
            let Some(scope) = store.scope(now, &part.service, part.environment.as_deref()) else {
                continue;
            };
            for sample in part.samples {
                store.take(now, scope, sample);
            }
            for events in part.events {
                store.take_events(now, scope, events);
            }
        }
    }

    fn statuses(&mut self, now: UnixNanos) -> Vec<Arc<IndicatorStatus>> {
        let Self { store, machines } = self;
        let mut members: HashMap<(SelectorIndex, ScopeIndex), Vec<GroupIndex>> = HashMap::new();
        for key in store.series.keys() {
            members
                .entry((key.selector, key.scope))
                .or_default()
                .push(key.group);
        }
        let mut statuses = Vec::new();
        let mut live: HashMap<MachineKey, Machine> = HashMap::new();
        for (scope_index, scope) in &store.scopes {
            for definition_index in &scope.plan.definitions {
                let Some(definition) = store.plan.definitions.get(usize::from(*definition_index)) else {
                    continue;
                };
                let mut groups: Vec<GroupIndex> = definition
                    .selectors
                    .iter()
                    .filter_map(|selector| members.get(&(*selector, *scope_index)))
                    .flatten()
                    .copied()
                    .collect();
                groups.sort_unstable();
                groups.dedup();
                let mut outcomes = Vec::new();
                for group in groups {
                    let look = Look {
                        store,
                        scope: *scope_index,
                        group,
                        end: store.closed,
                        is_strict: false,
                    };
                    let value = look.value(&definition.node);
                    let key = (*definition_index, *scope_index, group);
                    let mut machine = machines.get(&key).copied().unwrap_or_else(|| Machine::new(now));
                    machine.step(now, value.ok(), &definition.spec.rule);
                    live.insert(key, machine);
                    outcomes.push(Outcome {
                        group,
                        value,
                        machine,
                    });
                }
                // What burngate brought is shown where something came of it.
                if !outcomes.is_empty() || !definition.built_in {
                    statuses.push(Arc::new(status(
                        store,
                        *scope_index,
                        scope,
                        definition,
                        outcomes,
                        now,
                    )));
                }
            }
        }
        *machines = live;
        declared(store, now, &mut statuses);
        statuses
    }

    /// The gateway's own metrics about the room that is taken.
    fn publish(&self, statuses: &[Arc<IndicatorStatus>]) {
        let store = &self.store;
        metrics::gauge!("burngate_indicators").set(statuses.len() as f64);
        metrics::gauge!("burngate_indicator_series").set(store.series.len() as f64);
        metrics::gauge!("burngate_indicator_streams").set(store.streams() as f64);
        let refused = store.refused;
        for (limit, count) in [
            ("max_services", refused.scopes),
            ("max_series", refused.series),
            ("max_groups", refused.groups),
            ("max_streams", refused.streams),
            ("bucket_bounds", refused.grids),
            ("batch_groups", refused.cells),
        ] {
            metrics::counter!("burngate_indicator_refused_samples_total", "limit" => limit).absolute(count);
        }
    }
}

/// The status of one indicator, of which the worst group speaks.
fn status(
    store: &Store,
    scope_index: ScopeIndex,
    scope: &Scope,
    definition: &Definition,
    mut outcomes: Vec<Outcome>,
    now: UnixNanos,
) -> IndicatorStatus {
    let rule = &definition.spec.rule;
    let badness = |it: &Outcome| match it.value {
        Ok(value) if rule.enter.above => value,
        Ok(value) => -value,
        Err(_) => f64::NEG_INFINITY,
    };
    outcomes.sort_by(|a, b| {
        let by_state = b.machine.state().cmp(&a.machine.state());
        by_state
            .then_with(|| badness(b).total_cmp(&badness(a)))
            .then_with(|| a.group.cmp(&b.group))
    });
    let mut status = blank(
        &definition.spec,
        &scope.service,
        scope.environment.as_ref(),
        definition.built_in,
        now,
    );
    let Some(worst) = outcomes.first() else {
        let unusable = definition.selectors.iter().find_map(|it| {
            let what = store.unusable.get(&(*it, scope_index))?;
            Some(Gap::Unusable(*it, what))
        });
        let unseen = definition.selectors.first().map(|it| Gap::Unseen(*it));
        let gap = unusable.or(unseen).unwrap_or(Gap::TooFew);
        status.reason = Reason::NoValue(missing(store, gap));
        return status;
    };
    status.value = worst.value.ok();
    status.state = worst.machine.state();
    status.since = worst.machine.since();
    status.reason = reason(store, scope_index, definition, worst, now);
    if !definition.spec.by.is_empty() {
        let shown = outcomes.iter().take(GROUPS_SHOWN_MAX);
        status.groups = shown.map(|it| group_status(store, definition, it)).collect();
    }
    status
}

fn blank(
    spec: &super::IndicatorSpec,
    service: &Arc<str>,
    environment: Option<&Arc<str>>,
    built_in: bool,
    now: UnixNanos,
) -> IndicatorStatus {
    IndicatorStatus {
        name: spec.name.clone(),
        service: service.clone(),
        environment: environment.cloned(),
        value: None,
        unit: spec.unit.clone(),
        state: IndicatorState::NoData,
        since: now,
        reason: Reason::NoValue(Missing::TooFew),
        enter: spec.rule.enter.to_string().into(),
        leave: spec
            .rule
            .leave
            .map(|it| it.to_string())
            .unwrap_or_default()
            .into(),
        description: spec.description.clone(),
        built_in,
        evaluated_at: now,
        groups: Vec::new(),
    }
}

fn group_status(store: &Store, definition: &Definition, outcome: &Outcome) -> GroupStatus {
    let values = store.groups.get(&outcome.group);
    let pairs = definition.spec.by.iter().zip(values.into_iter().flatten());
    GroupStatus {
        labels: pairs
            .filter_map(|(field, value)| Some((field.bare_name().into(), value.as_deref()?.to_owned())))
            .collect(),
        value: outcome.value.ok(),
        state: outcome.machine.state(),
        since: outcome.machine.since(),
    }
}

fn reason(
    store: &Store,
    scope: ScopeIndex,
    definition: &Definition,
    outcome: &Outcome,
    now: UnixNanos,
) -> Reason {
    let rule = &definition.spec.rule;
    let value = match outcome.value {
        Ok(value) => value,
        Err(gap) if outcome.machine.state() == IndicatorState::NoData => {
            return Reason::NoValue(missing(store, gap));
        }
        Err(gap) => return Reason::Waiting(missing(store, gap)),
    };
    match outcome.machine.state() {
        IndicatorState::NoData | IndicatorState::Calm => Reason::Within,
        IndicatorState::Entering => Reason::NotYet {
            held_secs: now.secs_since(outcome.machine.since()),
            for_secs: rule.enter.for_secs,
        },
        IndicatorState::Leaving => Reason::Lingers,
        IndicatorState::Active if !rule.enter.holds(value) => Reason::Lingers,
        IndicatorState::Active => {
            let look = Look {
                store,
                scope,
                group: outcome.group,
                end: store.closed,
                is_strict: false,
            };
            Reason::Beyond {
                who: look.top_value(&definition.node),
            }
        }
    }
}

fn missing(store: &Store, gap: Gap) -> Missing {
    let shown = |of: SelectorIndex| {
        let selector = store.plan.selectors.get(usize::from(of));
        selector.map_or_else(|| Arc::from(""), |it| it.shown.clone())
    };
    match gap {
        Gap::Unseen(of) => Missing::Unseen(shown(of)),
        Gap::Unusable(of, is) => Missing::Unusable { what: shown(of), is },
        Gap::Stale(of) => Missing::Stale(shown(of)),
        Gap::TooFew => Missing::TooFew,
        Gap::Zero => Missing::DividesByZero,
    }
}

/// Adds what policies declare for services by name of which nothing has come in any environment that the
/// policy covers: who wrote an indicator should find it.
fn declared(store: &Store, now: UnixNanos, statuses: &mut Vec<Arc<IndicatorStatus>>) {
    for (service, environment, definitions) in store.plan.declared() {
        let covered = |scope: &Scope| {
            scope.service == *service && (environment.is_none() || scope.environment == *environment)
        };
        if store.scopes.values().any(covered) {
            continue;
        }
        for definition in definitions
            .iter()
            .filter_map(|it| store.plan.definitions.get(usize::from(*it)))
        {
            let mut status = blank(&definition.spec, service, environment.as_ref(), false, now);
            let first = definition.selectors.first();
            status.reason =
                Reason::NoValue(first.map_or(Missing::TooFew, |it| missing(store, Gap::Unseen(*it))));
            statuses.push(Arc::new(status));
        }
    }
}
