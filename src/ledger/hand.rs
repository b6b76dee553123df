//! Counts that come as counts: from a batch job that knows how it went, or from a file of minutes.
//!
//! They name their objective instead of being judged by it, and enter the ledger as everything else does: in
//! the total, the deployment and the flag variants that they name, by the same rule of event time and under
//! the same caps. A batch is taken whole or not at all, so that whoever sent it knows what to send again.

use super::tap::{Tap, TapOutcome};
use super::{Counts, EvidenceDelta, SeriesDelta};
use crate::cohort::{
    Cap, CohortId, CohortRef, Interned, LevelRef, OVERFLOW_SERVICE, Registry, SourceId, label_text,
};
use crate::pipeline::Signal;
use crate::time::UnixNanos;
use std::sync::Arc;

/// Good and bad events of one SLO, counted by somebody else.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct HandCount {
    /// `service.name`.
    pub service: String,
    /// The SLO, as its policy names it.
    pub slo: String,
    /// The environment, if they belong to one.
    pub environment: Option<String>,
    /// The deployment, if they belong to one.
    pub sha: Option<String>,
    /// Flags, each as an item of a flag list: `new-checkout`, `!old`, `theme=dark`.
    pub flags: Vec<String>,
    /// Good events.
    pub good: u64,
    /// Bad events.
    pub bad: u64,
    /// When they happened; `None` is on arrival.
    pub at: Option<UnixNanos>,
}

/// Flags that one count may name.
pub const HAND_FLAGS_MAX: usize = 64;

/// Why a count cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandError {
    /// A name is missing, or is none.
    #[error("{field} is {problem}")]
    Name {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// No policy, and no default objective, covers the service there.
    #[error(
        "no policy covers service {service:?}{}; write one, with an SLO {slo:?}",
        within(environment.as_deref())
    )]
    NoPolicy {
        /// The service.
        service: String,
        /// The environment.
        environment: Option<String>,
        /// The SLO that was named.
        slo: String,
    },
    /// The service has other SLOs.
    #[error("service {service:?} has no SLO {slo:?}{}; it has {}", within(environment.as_deref()), known.join(", "))]
    UnknownSlo {
        /// The service.
        service: String,
        /// The environment.
        environment: Option<String>,
        /// The SLO that was named.
        slo: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// A flag cannot be read.
    #[error("flags: {0}; each is `name`, `!name` or `name=variant`")]
    Flags(String),
    /// More events than a count can hold.
    #[error("good and bad together are more than {} events", u32::MAX)]
    TooMany,
}

fn within(environment: Option<&str>) -> String {
    environment.map_or(" without an environment".to_owned(), |e| {
        format!(" in environment {e:?}")
    })
}

impl Tap {
    /// Counts `events`, all of them or, with the number of the first that cannot be taken, none.
    pub fn record(&self, events: &[HandCount], now: UnixNanos) -> Result<TapOutcome, (usize, HandError)> {
        let compiled = self.compiled();
        let mut plans = Vec::with_capacity(events.len());
        for (number, event) in events.iter().enumerate() {
            let plan = Plan::of(event, &compiled).map_err(|error| (number, error))?;
            plans.push(plan);
        }
        let mut outcome = TapOutcome::default();
        let mut scratch = Vec::new();
        for plan in &plans {
            plan.count(self.registry(), now, &mut scratch, &mut outcome);
        }
        // They are no spans, so the counters of spans do not hear of them.
        let stats = std::mem::take(&mut outcome.stats);
        outcome.publish(Signal::Traces);
        Ok(TapOutcome { stats, ..outcome })
    }

    /// The SLOs that counts by hand of `service` in `environment` may name.
    pub fn slos_of(&self, service: &str, environment: Option<&str>) -> Vec<Arc<str>> {
        let compiled = self.compiled();
        let service = Arc::from(service);
        compiled
            .objectives
            .candidates_by_hand(str::as_bytes(&service), environment.map(str::as_bytes))
            .iter()
            .map(|index| compiled.objectives.objective_name(*index, &service).slo)
            .collect()
    }
}

/// A count that can be taken.
struct Plan<'e> {
    event: &'e HandCount,
    sha: Option<&'e str>,
    flags: crate::cohort::flags::FlagSet,
}

impl<'e> Plan<'e> {
    fn of(event: &'e HandCount, compiled: &super::tap::Compiled) -> Result<Self, HandError> {
        name("service", &event.service)?;
        name("slo", &event.slo)?;
        for (field, value) in [("environment", &event.environment), ("sha", &event.sha)] {
            value.as_deref().map_or(Ok(()), |value| name(field, value))?;
        }
        if event
            .good
            .checked_add(event.bad)
            .is_none_or(|all| all > u64::from(u32::MAX))
        {
            return Err(HandError::TooMany);
        }
        let service: Arc<str> = event.service.as_str().into();
        let environment = event.environment.as_deref();
        let candidates = compiled
            .objectives
            .candidates_by_hand(service.as_bytes(), environment.map(str::as_bytes));
        let slo = |index: &_| compiled.objectives.objective_name(*index, &service).slo;
        if !candidates.iter().any(|index| *slo(index) == *event.slo) {
            let known: Vec<_> = candidates.iter().map(slo).collect();
            return Err(unknown(event, &known));
        }
        if event.flags.len() > HAND_FLAGS_MAX {
            let told = format!(
                "{} of them, at most {HAND_FLAGS_MAX} are possible",
                event.flags.len()
            );
            return Err(HandError::Flags(told));
        }
        let named = compiled.extractor.named_flags(&service);
        let flags = compiled.extractor.read_written(&event.flags, &named);
        if flags.problems.invalid_items > 0 {
            return Err(HandError::Flags(format!(
                "{:?} cannot be read",
                event.flags.join(", ")
            )));
        }
        Ok(Self {
            event,
            sha: event.sha.as_deref(),
            flags,
        })
    }

    fn count(&self, registry: &Registry, now: UnixNanos, scratch: &mut Vec<u8>, out: &mut TapOutcome) {
        let counts = Counts {
            good: self.event.good,
            bad: self.event.bad,
        };
        if counts == Counts::default() {
            return;
        }
        let events = counts.good + counts.bad;
        let at = self.event.at.unwrap_or(now);
        let bucket = out.stats.bucket_of(events, at.0, now);
        let (mut service, mut environment) = (&*self.event.service, self.event.environment.as_deref());
        let mut refused: Option<Cap> = None;
        let total = registry.intern(&cohort(service, environment, LevelRef::Total), now, scratch);
        let mut cohorts: Vec<(CohortId, bool)> = vec![(total.id(), false)];
        let mut levels = Vec::new();
        if let Interned::Overflow(_, cap) = total {
            (service, environment) = (OVERFLOW_SERVICE, None);
            refused = Some(cap);
            levels.push((LevelRef::Overflow, false));
        } else {
            levels.extend(self.sha.map(|sha| (LevelRef::Deployment(sha), true)));
            let flag = |flag: &'_ crate::cohort::flags::FlagVariant| flag.named && flag.basis.is_causal();
            for it in &self.flags.flags {
                let (sha, named) = (self.sha, flag(it));
                let level = LevelRef::Flag {
                    sha,
                    flag: &it.flag,
                    variant: &it.variant,
                };
                levels.push((level, named));
            }
        }
        for (level, cells) in levels {
            let id = match registry.intern(&cohort(service, environment, level), now, scratch) {
                Interned::Live(id) => (id, cells),
                Interned::Overflow(id, cap) => {
                    refused.get_or_insert(cap);
                    (id, false)
                }
            };
            if !cohorts.contains(&id) {
                cohorts.push(id);
            }
        }
        if let Some(cap) = refused {
            *out.overflow.entry(cap.as_str()).or_default() += events;
        }
        let objective = registry.objective_id(service, &self.event.slo, scratch);
        let stratum = registry.stratum_id("", None, now, scratch);
        for (cohort, cells) in cohorts {
            out.series.push(SeriesDelta {
                objective,
                cohort,
                bucket,
                counts,
            });
            if cells {
                out.evidence.push(EvidenceDelta {
                    objective,
                    cohort,
                    stratum,
                    source: SourceId::OVERFLOW,
                    bucket,
                    counts,
                });
            }
        }
    }
}

fn cohort<'a>(service: &'a str, environment: Option<&'a str>, level: LevelRef<'a>) -> CohortRef<'a> {
    CohortRef {
        service,
        environment,
        level,
    }
}

/// Whether `value` can be part of a cohort's name as it stands.
fn name(field: &'static str, value: &str) -> Result<(), HandError> {
    let problem = match label_text(value.as_bytes()) {
        Some(text) if text == value => return Ok(()),
        Some(_) => "longer than 128 bytes",
        None if value.is_empty() => "empty",
        None => "no name: it holds control characters",
    };
    Err(HandError::Name { field, problem })
}

fn unknown(event: &HandCount, known: &[Arc<str>]) -> HandError {
    let (service, environment, slo) = (
        event.service.clone(),
        event.environment.clone(),
        event.slo.clone(),
    );
    if known.is_empty() {
        return HandError::NoPolicy {
            service,
            environment,
            slo,
        };
    }
    HandError::UnknownSlo {
        service,
        environment,
        slo,
        known: known.iter().map(|slo| format!("{slo:?}")).collect(),
    }
}
