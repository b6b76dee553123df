//! Probes, at start and every minute, whether the kill switches would work: a switch whose token has expired
//! is worse than none, because somebody relies on it.
//!
//! The probe is a read with the real token of each flag that a rule names; `/health` of a flag service says
//! nothing about that. Problems are logged when they appear, change or go, in words that say what to do, and
//! are never fatal: the decisions live longer than most outages.

use super::RuleTarget;
use super::exporter::{Actuator, Exporter, Exporters, FlagWarning};
use super::trouble::Trouble;
use crate::decide::FailureReason;
use crate::pipeline::{Component, Components, Status};
use crate::policy::PolicySet;
use crate::time::Clock;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// Time between two rounds.
pub const EVERY: Duration = Duration::from_mins(1);

/// What a round found out about one flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It could be switched now.
    Ready(Vec<FlagWarning>),
    /// It could not.
    NotReady {
        /// What is wrong and what to do, without secrets.
        problem: String,
        /// Whether the exporter as a whole is the problem, not this flag.
        exporter_wide: bool,
    },
}

/// Probes the targets of all rules.
pub struct Preflight<A = Exporter> {
    exporters: Arc<Exporters<A>>,
    targets: BTreeSet<RuleTarget>,
    clock: Arc<dyn Clock>,
    seen: BTreeMap<RuleTarget, Readiness>,
    components: Components,
    /// The line of each exporter at a probe, while this runs.
    lines: BTreeMap<String, Component>,
}

impl<A> fmt::Debug for Preflight<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Preflight")
            .field("targets", &self.targets)
            .finish_non_exhaustive()
    }
}

impl<A: Actuator> Preflight<A> {
    /// Probes for these rules; call only with rules that [`super::check`] has accepted.
    pub fn new(exporters: Arc<Exporters<A>>, rules: &[RuleTarget], clock: Arc<dyn Clock>) -> Self {
        Self {
            exporters,
            targets: rules.iter().cloned().collect(),
            clock,
            seen: BTreeMap::new(),
            components: Components::default(),
            lines: BTreeMap::new(),
        }
    }

    /// Says among these components whether each exporter works.
    #[must_use]
    pub fn among(mut self, components: &Components) -> Self {
        self.components = components.clone();
        self
    }

    /// Probes at once and every [`EVERY`] until `shutdown` resolves.
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

    /// Probes every target once, sets the metrics and logs what is new.
    pub async fn round(&mut self) {
        let mut works: BTreeMap<String, bool> = BTreeMap::new();
        for target in self.targets.clone() {
            let readiness = match works.get(&target.exporter) {
                // The server is dead or the token wrong: asking for the next flag would only take another
                // timeout.
                Some(false) => self.same_as_before(&target),
                _ => self.probe(&target).await,
            };
            let dead = matches!(
                readiness,
                Readiness::NotReady {
                    exporter_wide: true,
                    ..
                }
            );
            works.insert(target.exporter.clone(), !dead);
            publish(&target, &readiness);
            self.note(target, readiness);
        }
        for (id, ready) in works {
            let value = if ready { 1.0 } else { 0.0 };
            let line = self.lines.entry(id.clone());
            let line = line.or_insert_with(|| self.components.component(&format!("exporter {id}")));
            line.set(state(&id, ready, &self.seen));
            metrics::gauge!("burngate_exporter_ready", "exporter" => id).set(value);
        }
    }

    /// What the last round found out.
    pub fn readiness(&self) -> &BTreeMap<RuleTarget, Readiness> {
        &self.seen
    }

    async fn probe(&self, target: &RuleTarget) -> Readiness {
        let Some(exporter) = self.exporters.get(&target.exporter) else {
            let problem = "the exporter is not configured".to_owned();
            return Readiness::NotReady {
                problem,
                exporter_wide: true,
            };
        };
        match exporter.preflight(target, self.clock.now()).await {
            Ok(warnings) => Readiness::Ready(warnings),
            Err(trouble) => in_words(&trouble),
        }
    }

    fn same_as_before(&self, target: &RuleTarget) -> Readiness {
        let exporter_problem = self.seen.iter().find_map(|(other, readiness)| match readiness {
            Readiness::NotReady {
                exporter_wide: true, ..
            } if other.exporter == target.exporter => Some(readiness.clone()),
            _ => None,
        });
        exporter_problem.unwrap_or_else(|| Readiness::NotReady {
            problem: "the exporter does not work, see its own message".to_owned(),
            exporter_wide: true,
        })
    }

    /// Logs only what changed.
    fn note(&mut self, target: RuleTarget, readiness: Readiness) {
        let before = self.seen.get(&target);
        if before == Some(&readiness) {
            return;
        }
        let RuleTarget {
            exporter,
            flag,
            environment,
            ..
        } = &target;
        match &readiness {
            Readiness::NotReady {
                problem,
                exporter_wide,
            } => {
                // One message for an exporter that fails as a whole, not one a flag.
                let said = *exporter_wide
                    && self
                        .seen
                        .iter()
                        .any(|(t, r)| t.exporter == *exporter && t != &target && r == &readiness);
                if !said {
                    tracing::error!(
                        %exporter, %flag, %environment, %problem, "a kill switch would not work now"
                    );
                }
            }
            Readiness::Ready(warnings) => {
                if matches!(before, Some(Readiness::NotReady { .. })) {
                    tracing::info!(%exporter, %flag, %environment, "a kill switch works again");
                } else if before.is_none() {
                    tracing::info!(%exporter, %flag, %environment, "a kill switch is ready");
                }
                for warning in warnings {
                    tracing::warn!(%exporter, %flag, %environment, "{}", warning_words(*warning));
                }
            }
        }
        self.seen.insert(target, readiness);
    }
}

fn warning_words(warning: FlagWarning) -> &'static str {
    match warning {
        FlagWarning::KillSwitchType => {
            "the flag's type is `kill-switch`: code often reads it inverted, and then off brings the feature \
             back; check it, or change the type"
        }
        FlagWarning::HasChildren => "other flags depend on this flag and go off with it",
        FlagWarning::OffServesBlamed => {
            "off serves a variant that the rule may blame: switching it off would give it to everybody; change \
             the off variation, or the rule's action"
        }
        FlagWarning::NoProbation => {
            "the flag can be switched off, and not be given back on probation: that takes one share of users \
             that can be set, of at least the first step"
        }
    }
}

/// An exporter as a probe shows it: a flag that it cannot switch is its trouble too.
fn state(id: &str, ready: bool, seen: &BTreeMap<RuleTarget, Readiness>) -> Status {
    let mut problems = seen.iter().filter_map(|(target, readiness)| match readiness {
        Readiness::NotReady { problem, .. } if target.exporter == id => Some((target, problem)),
        _ => None,
    });
    match problems.next() {
        Some((_, problem)) if !ready => Status::Recoverable(problem.clone().into()),
        Some((target, problem)) => Status::Recoverable(format!("{}: {problem}", target.flag).into()),
        None => Status::Ok,
    }
}

fn in_words(trouble: &Trouble) -> Readiness {
    let (words, exporter_wide) = match trouble {
        Trouble::Retry { down: true, .. } => ("the service does not answer, trying again every minute", true),
        Trouble::Retry { down: false, .. } => ("the service asks to come back later", true),
        Trouble::Permanent { reason, .. } => match reason {
            FailureReason::Unauthorized => ("the token is wrong or has expired; give a valid one", true),
            FailureReason::Forbidden => (
                "the token may not do this; give it the right to switch flags",
                true,
            ),
            FailureReason::NeedsApproval => ("changes need an approval; let this token skip it", false),
            FailureReason::NotFound => ("no such flag, project or environment; check their names", false),
            _ => ("the service would refuse", false),
        },
    };
    Readiness::NotReady {
        problem: format!("{words} ({trouble})"),
        exporter_wide,
    }
}

/// Takes what was probed before, and is not any more, out of the metrics. A gauge cannot be taken back, so it
/// is no number: an alert on 0 must not go on about a kill switch that is no more.
pub fn forget(former: &PolicySet, now: &PolicySet) {
    let [former, now] = [former, now].map(RuleTarget::in_use);
    let is = |a: &RuleTarget, b: &RuleTarget| {
        (&a.exporter, &a.flag, &a.environment) == (&b.exporter, &b.flag, &b.environment)
    };
    for gone in former.iter().filter(|a| !now.iter().any(|b| is(a, b))) {
        set(gone, f64::NAN, |_| f64::NAN);
        if !now.iter().any(|b| b.exporter == gone.exporter) {
            metrics::gauge!("burngate_exporter_ready", "exporter" => gone.exporter.clone()).set(f64::NAN);
        }
    }
}

fn publish(target: &RuleTarget, readiness: &Readiness) {
    let (ready, warnings) = match readiness {
        Readiness::Ready(warnings) => (1.0, warnings.as_slice()),
        Readiness::NotReady { .. } => (0.0, [].as_slice()),
    };
    set(target, ready, |it| if warnings.contains(&it) { 1.0 } else { 0.0 });
}

fn set(target: &RuleTarget, ready: f64, warning: impl Fn(FlagWarning) -> f64) {
    let labels = || {
        [
            metrics::Label::new("exporter", target.exporter.clone()),
            metrics::Label::new("flag", target.flag.clone()),
            metrics::Label::new("environment", target.environment.clone()),
        ]
    };
    metrics::gauge!("burngate_flag_ready", labels().iter()).set(ready);
    for it in FlagWarning::ALL {
        let mut labels = labels().to_vec();
        labels.push(metrics::Label::new("warning", it.as_str()));
        metrics::gauge!("burngate_flag_warning", labels).set(warning(it));
    }
}
