//! When flags were last changed, from the services that keep a record of it.
//!
//! Evidence about a flag begins anew when the flag itself was changed: what was seen of its former rules says
//! nothing of the new ones, and of two flags that cannot be told apart the later change is the likelier
//! cause. So the record of each flag that a rule names is read at start and every minute, with the same
//! credential that would switch it. What is found waits here for the next evaluation; a service that does not
//! answer leaves everything as it is. What a webhook tells is told once, and so is on disk too.

use super::RuleTarget;
use super::change_book::{ChangeBook, Flag, KEPT_MAX};
use super::exporter::{Actuator, Exporter, Exporters};
use crate::store::{Journal, StoreError};
use crate::time::{Clock, UnixNanos};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Time between two readings of a flag's record.
const EVERY: Duration = Duration::from_mins(1);
/// Changes that wait for an evaluation; there is one a flag.
const WAITING_MAX: usize = 10_000;

/// Changes that no evaluation has taken note of yet, and those that are on disk; clones share them.
#[derive(Clone, Debug)]
pub struct FlagChanges {
    waiting: Arc<Mutex<BTreeMap<Flag, UnixNanos>>>,
    book: Arc<Mutex<ChangeBook>>,
}

impl FlagChanges {
    /// What the former process was told waits for the first evaluation. A clock that was set back since must
    /// not keep evidence away, so that nothing was changed later than `now`.
    pub fn load(journal: Arc<dyn Journal>, now: UnixNanos) -> Result<Self, StoreError> {
        let book = ChangeBook::load(journal, KEPT_MAX)?;
        let waiting = book.changes().map(|(flag, at)| (flag.clone(), at.min(now)));
        Ok(Self {
            waiting: Arc::new(Mutex::new(waiting.collect())),
            book: Arc::new(Mutex::new(book)),
        })
    }

    /// The flag was changed `at`; false when there is no room to note it.
    pub fn note(&self, environment: &str, flag: &str, at: UnixNanos) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (environment.to_owned(), flag.to_owned());
        if waiting.len() >= WAITING_MAX && !waiting.contains_key(&key) {
            return false;
        }
        let latest = waiting.entry(key).or_insert(at);
        *latest = at.max(*latest);
        true
    }

    /// The same, on disk when this returns: for those who tell of a change once.
    pub fn keep(&self, environment: &str, flag: &str, at: UnixNanos) -> Result<(), StoreError> {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        book.keep(environment, flag, at)
    }

    /// Takes what waits: environment, flag, and when.
    pub fn take(&self) -> Vec<(String, String, UnixNanos)> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = std::mem::take(&mut *waiting).into_iter();
        taken
            .map(|((environment, flag), at)| (environment, flag, at))
            .collect()
    }
}

/// Reads the records of flags.
pub struct ChangeWatch<A = Exporter> {
    exporters: Arc<Exporters<A>>,
    targets: BTreeSet<RuleTarget>,
    clock: Arc<dyn Clock>,
    changes: FlagChanges,
    /// What was found last, so that a change is told once.
    told: BTreeMap<RuleTarget, UnixNanos>,
}

impl<A> fmt::Debug for ChangeWatch<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChangeWatch")
            .field("targets", &self.targets)
            .finish_non_exhaustive()
    }
}

impl<A: Actuator> ChangeWatch<A> {
    /// Reads for these rules, and leaves what it finds in `changes`.
    pub fn new(
        exporters: Arc<Exporters<A>>,
        rules: &[RuleTarget],
        clock: Arc<dyn Clock>,
        changes: FlagChanges,
    ) -> Self {
        Self {
            exporters,
            targets: rules.iter().cloned().collect(),
            clock,
            changes,
            told: BTreeMap::new(),
        }
    }

    /// Reads at once and every minute until `shutdown` resolves.
    pub async fn run(mut self, shutdown: impl Future<Output = ()> + Send) {
        let mut shutdown = pin!(shutdown);
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = &mut shutdown => return,
                _ = tick.tick() => {}
            }
            tokio::select! {
                () = &mut shutdown => return,
                () = self.round() => {}
            }
        }
    }

    /// Reads every record once.
    pub async fn round(&mut self) {
        let mut silent: BTreeSet<String> = BTreeSet::new();
        for target in self.targets.clone() {
            let Some(exporter) = self.exporters.get(&target.exporter) else {
                continue;
            };
            // A dead service costs one timeout a round, not one a flag.
            if silent.contains(&target.exporter) {
                continue;
            }
            match exporter.last_change(&target, self.clock.now()).await {
                Ok(Some(change)) if self.told.get(&target).is_none_or(|told| *told < change.at) => {
                    tracing::info!(
                        flag = %target.flag, environment = %target.environment, at = %change.at,
                        by = %change.by, ours = change.is_ours, "a flag was changed; evidence about it begins there"
                    );
                    // Without room it is told the next time.
                    if self.changes.note(&target.environment, &target.flag, change.at) {
                        self.told.insert(target, change.at);
                    }
                }
                Ok(_) => {}
                Err(trouble) => {
                    tracing::debug!(exporter = %target.exporter, flag = %target.flag, %trouble, "no record of changes");
                    silent.insert(target.exporter);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::act::exporter::{Change, FlagWarning, Outcome, Reading};
    use crate::act::{Exporters, Trouble};
    use crate::decide::Decision;
    use crate::policy::SafeState;
    use crate::store::MemStore;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[derive(Debug)]
    struct Still;

    impl Clock for Still {
        fn now(&self) -> UnixNanos {
            UnixNanos::from_secs(100)
        }
    }

    /// A service whose flags were all changed at the second that it says.
    struct Record(Arc<AtomicU64>);

    impl Actuator for Record {
        async fn preflight(&self, _: &RuleTarget, _: UnixNanos) -> Result<Vec<FlagWarning>, Trouble> {
            Ok(Vec::new())
        }

        async fn carry_out(&self, _: &Decision, _: Option<&str>, _: UnixNanos) -> Outcome {
            Ok(())
        }

        async fn read_back(&self, _: &Decision, _: UnixNanos) -> Result<Option<Reading>, Trouble> {
            Ok(None)
        }

        async fn last_change(&self, _: &RuleTarget, _: UnixNanos) -> Result<Option<Change>, Trouble> {
            match self.0.load(Ordering::SeqCst) {
                0 => Err(Trouble::down("no answer")),
                secs => Ok(Some(Change {
                    at: UnixNanos::from_secs(secs),
                    by: "somebody".to_owned(),
                    is_ours: false,
                })),
            }
        }
    }

    #[tokio::test]
    async fn a_change_is_told_once_and_a_dead_service_changes_nothing() {
        let secs = Arc::new(AtomicU64::new(7));
        let mut exporters = Exporters::default();
        exporters.insert("flags", Record(secs.clone())).unwrap();
        let target = RuleTarget {
            service: "checkout".to_owned(),
            exporter: "flags".to_owned(),
            environment: "production".to_owned(),
            flag: "f".to_owned(),
            action: SafeState::Off,
            variants: None,
            first_percent: None,
        };
        let changes = FlagChanges::load(Arc::new(MemStore::default()), Still.now()).unwrap();
        let mut watch = ChangeWatch::new(Arc::new(exporters), &[target], Arc::new(Still), changes.clone());
        watch.round().await;
        let found = ("production".to_owned(), "f".to_owned(), UnixNanos::from_secs(7));
        assert_eq!(changes.take(), [found]);
        watch.round().await;
        secs.store(0, Ordering::SeqCst);
        watch.round().await;
        assert_eq!(changes.take(), []);
        secs.store(50, Ordering::SeqCst);
        watch.round().await;
        assert_eq!(changes.take().len(), 1);
    }

    #[test]
    fn what_was_told_once_waits_for_the_first_evaluation_after_a_restart() {
        let store = Arc::new(MemStore::default());
        let load = |secs| FlagChanges::load(store.clone(), UnixNanos::from_secs(secs)).unwrap();
        let first = load(100);
        assert!(first.note("production", "read", UnixNanos::from_secs(90)));
        first
            .keep("production", "told", UnixNanos::from_secs(95))
            .unwrap();
        let found = |secs| {
            (
                "production".to_owned(),
                "told".to_owned(),
                UnixNanos::from_secs(secs),
            )
        };
        assert_eq!(load(100).take(), [found(95)]);
        assert_eq!(load(50).take(), [found(50)], "the clock was set back");
    }
}
