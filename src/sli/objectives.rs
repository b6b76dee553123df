//! All objectives of all policies, compiled.

use super::judge::Judge;
use super::metrics::MetricJudge;
use super::services::{self, Services};
use super::spec::{Detail, SliSpec, Source};
use super::{DeclaredSampling, Judgement, ObjectiveIndex, ObjectiveName, SpanContext};
use crate::pipeline::Signal;
use crate::wire::KeyTableBuilder;
use std::sync::Arc;

/// Objectives that one service may have in one environment: a judgement of each must fit one machine word.
pub const OBJECTIVES_PER_SERVICE_MAX: usize = 64;

/// One objective of a policy, as much of it as telemetry is judged by.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectiveSpec {
    /// The service (a name, or a glob such as `checkout-*`) and the SLO's name.
    pub name: ObjectiveName,
    /// The environment that the policy is for; `None` is every environment, also telemetry that names none.
    pub environment: Option<Arc<str>>,
    /// What is counted, and what is good.
    pub sli: SliSpec,
}

/// The objective of services for which no policy is written.
#[derive(Clone, Debug, PartialEq)]
pub struct DefaultObjective {
    /// The SLO's name.
    pub slo: Arc<str>,
    /// What is counted, and what is good.
    pub sli: SliSpec,
}

/// Why a set of objectives cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SliError {
    /// Two objectives of one name would count the same spans.
    #[error("{name} is defined twice for the same environment; rename one or give each its own environment")]
    Duplicate {
        /// The name.
        name: ObjectiveName,
    },
    /// More than [`OBJECTIVES_PER_SERVICE_MAX`] objectives for one service.
    #[error(
        "service {service:?} has {count} SLOs in one environment, at most {OBJECTIVES_PER_SERVICE_MAX} can be"
    )]
    TooManyForService {
        /// The service or its pattern.
        service: Arc<str>,
        /// How many.
        count: usize,
    },
    /// More objectives than an index can number.
    #[error("{count} SLOs in all, at most 65535 are possible")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// A part of the identity is empty.
    #[error("{name}: {problem}")]
    Names {
        /// The objective.
        name: ObjectiveName,
        /// What is wrong.
        problem: &'static str,
    },
    /// A regular expression that cannot be compiled within its limits.
    #[error("{name}: regular expression {pattern:?}: {problem}")]
    Regex {
        /// The objective.
        name: ObjectiveName,
        /// The pattern.
        pattern: String,
        /// What the compiler said.
        problem: String,
    },
}

/// All objectives of all policies, compiled; immutable, swapped as a whole on reload.
#[derive(Debug, Default)]
pub struct ObjectiveSet {
    objectives: Box<[Objective]>,
    services: Services,
}

#[derive(Debug)]
struct Objective {
    slo: Arc<str>,
    /// The service, unless a pattern or the default stands for many.
    service: Option<Arc<str>>,
    sampling: Option<DeclaredSampling>,
    detail: Detail,
    judge: SignalJudge,
    /// A hash of everything that it says, the same in every process.
    watch: u64,
}

/// Who judges its items.
#[derive(Debug)]
enum SignalJudge {
    /// Spans or log records.
    Items(Judge),
    /// Points.
    Metrics(MetricJudge),
}

impl ObjectiveSet {
    /// Compiles `objectives`, and `default` for services without a policy; the attribute keys that they read
    /// go to `keys`.
    ///
    /// Indices number the objectives in the order given; the default comes last.
    pub fn compile(
        objectives: &[ObjectiveSpec],
        default: Option<&DefaultObjective>,
        keys: &mut KeyTableBuilder,
    ) -> Result<Self, SliError> {
        let count = objectives.len() + usize::from(default.is_some());
        let index = |at: usize| {
            u16::try_from(at)
                .map(ObjectiveIndex)
                .map_err(|_| SliError::TooMany { count })
        };
        let mut compiled = Vec::with_capacity(count);
        let mut indexed = Vec::with_capacity(objectives.len());
        for (at, spec) in objectives.iter().enumerate() {
            check_names(spec)?;
            indexed.push((index(at)?, spec));
            let service = (!services::is_pattern(&spec.name.service)).then(|| spec.name.service.clone());
            compiled.push(Objective::compile(
                &spec.name,
                service,
                spec.environment.as_deref(),
                &spec.sli,
                keys,
            )?);
        }
        let mut default_index = None;
        if let Some(default) = default {
            default_index = Some((index(compiled.len())?, default.sli.source.signal()));
            let name = ObjectiveName {
                service: Arc::from("*"),
                slo: default.slo.clone(),
            };
            compiled.push(Objective::compile(&name, None, None, &default.sli, keys)?);
        }
        let services = Services::new(&indexed, default_index);
        check_lists(&services, objectives)?;
        Ok(Self {
            objectives: compiled.into(),
            services,
        })
    }

    /// How the events of an objective were sampled, as far as its policy says.
    pub fn sampling(&self, objective: ObjectiveIndex) -> Option<DeclaredSampling> {
        self.objectives.get(usize::from(objective.0))?.sampling
    }

    /// What is kept of an objective beside its counts.
    pub fn detail(&self, objective: ObjectiveIndex) -> Detail {
        let known = self.objectives.get(usize::from(objective.0));
        known.map(|known| known.detail).unwrap_or_default()
    }

    /// How many objectives there are, the default included.
    pub fn len(&self) -> usize {
        self.objectives.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.objectives.is_empty()
    }

    /// The objectives that items of `signal` of a resource of `service` in `environment` may feed, at most
    /// [`OBJECTIVES_PER_SERVICE_MAX`].
    ///
    /// The most specific policy that covers the environment decides: the service by name, then patterns (the
    /// one with most literal characters first). The default objective is for services that no policy names in
    /// any environment.
    pub fn candidates(
        &self,
        signal: Signal,
        service: &[u8],
        environment: Option<&[u8]>,
    ) -> &[ObjectiveIndex] {
        self.services.get(signal, service, environment)
    }

    /// The objectives that counts by hand of `service` in `environment` may name: all of them, whatever else
    /// feeds them.
    pub fn candidates_by_hand(&self, service: &[u8], environment: Option<&[u8]>) -> &[ObjectiveIndex] {
        self.services.all(service, environment)
    }

    /// The name of an objective for telemetry of `service`: patterns and the default carry the actual
    /// service.
    pub fn objective_name(&self, objective: ObjectiveIndex, service: &Arc<str>) -> ObjectiveName {
        let known = self.objectives.get(usize::from(objective.0));
        let slo = known.map_or_else(|| Arc::from(""), |known| known.slo.clone());
        let named = known.and_then(|known| known.service.clone());
        ObjectiveName {
            service: named.unwrap_or_else(|| service.clone()),
            slo,
        }
    }

    /// Who judges the points of an objective over metrics.
    pub fn of_metrics(&self, objective: ObjectiveIndex) -> Option<&MetricJudge> {
        match &self.objectives.get(usize::from(objective.0))?.judge {
            SignalJudge::Metrics(judge) => Some(judge),
            SignalJudge::Items(_) => None,
        }
    }

    /// What tells an objective from every other, also from what it said before a reload, in every process.
    pub fn watch_of(&self, objective: ObjectiveIndex) -> Option<u64> {
        Some(self.objectives.get(usize::from(objective.0))?.watch)
    }

    /// [`Self::watch_of`] of every objective over metrics.
    pub fn metric_watches(&self) -> Vec<u64> {
        let of_metrics = |known: &&Objective| matches!(known.judge, SignalJudge::Metrics(_));
        self.objectives
            .iter()
            .filter(of_metrics)
            .map(|known| known.watch)
            .collect()
    }

    /// Judges one span by one objective. Allocates nothing; an index of another set is not ours.
    pub fn judge(&self, objective: ObjectiveIndex, context: &SpanContext<'_, '_>) -> Judgement {
        self.judge_one(objective, context, &mut None)
    }

    /// Judges one span by every objective in `all`, in order. Allocates nothing.
    pub fn judge_all(
        &self,
        all: &[ObjectiveIndex],
        context: &SpanContext<'_, '_>,
        mut each: impl FnMut(Judgement),
    ) {
        let mut by_convention = None;
        for &objective in all {
            each(self.judge_one(objective, context, &mut by_convention));
        }
    }

    #[inline]
    fn judge_one(
        &self,
        objective: ObjectiveIndex,
        context: &SpanContext<'_, '_>,
        by_convention: &mut Option<bool>,
    ) -> Judgement {
        let objective = self.objectives.get(usize::from(objective.0));
        match objective.map(|objective| &objective.judge) {
            Some(SignalJudge::Items(judge)) => judge.judge(context, by_convention),
            _ => Judgement::NotOurs,
        }
    }
}

impl Objective {
    fn compile(
        name: &ObjectiveName,
        service: Option<Arc<str>>,
        environment: Option<&str>,
        sli: &SliSpec,
        keys: &mut KeyTableBuilder,
    ) -> Result<Self, SliError> {
        let judge = match &sli.source {
            Source::Metrics(metrics) => MetricJudge::compile(metrics, sli, keys).map(SignalJudge::Metrics),
            Source::Spans(_) | Source::Logs(_) | Source::Events => {
                Judge::compile(sli, keys).map(SignalJudge::Items)
            }
        };
        let judge = judge.map_err(|(pattern, problem)| SliError::Regex {
            name: name.clone(),
            pattern,
            problem,
        })?;
        let words = format!("{name} {environment:?} {sli:?}");
        Ok(Self {
            slo: name.slo.clone(),
            service,
            judge,
            sampling: sli.sampling,
            detail: sli.detail,
            watch: twox_hash::XxHash3_64::oneshot(words.as_bytes()),
        })
    }
}

fn check_names(spec: &ObjectiveSpec) -> Result<(), SliError> {
    let problem = if spec.name.service.is_empty() {
        "the service is empty"
    } else if spec.name.slo.is_empty() {
        "the SLO has no name"
    } else if spec.environment.as_deref() == Some("") {
        "the environment is empty; leave it out for every environment"
    } else {
        return Ok(());
    };
    Err(SliError::Names {
        name: spec.name.clone(),
        problem,
    })
}

/// Within one list every span would be counted by each objective, so names must differ and fit the limit.
fn check_lists(services: &Services, objectives: &[ObjectiveSpec]) -> Result<(), SliError> {
    for list in services.lists() {
        let mut names: Vec<_> = list
            .iter()
            .filter_map(|index| objectives.get(usize::from(index.0)))
            .map(|spec| &spec.name)
            .collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(SliError::Duplicate {
                name: pair[0].clone(),
            });
        }
        if names.len() > OBJECTIVES_PER_SERVICE_MAX {
            let service = names
                .first()
                .map_or_else(|| Arc::from(""), |name| name.service.clone());
            return Err(SliError::TooManyForService {
                service,
                count: names.len(),
            });
        }
    }
    Ok(())
}
