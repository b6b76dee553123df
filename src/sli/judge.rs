//! One objective, compiled.

use super::defaults::Conventions;
use super::predicate::{Predicate, duration_nanos};
use super::spec::{Failed, Kinds, Latency, Outcome, SliSpec, Source, SuccessCodes};
use super::{Judgement, SpanContext};
use crate::wire::KeyTableBuilder;

/// One objective's judgement of spans.
#[derive(Debug)]
pub(super) struct Judge {
    kinds: Kinds,
    conditions: Box<[Predicate]>,
    failure: Failure,
    /// Whether the failure itself is decided by the duration.
    failure_reads_duration: bool,
    latency: Option<Latency>,
}

/// A compiled [`Outcome`].
#[derive(Debug)]
pub(super) enum Failure {
    Conventions(Conventions),
    Bad(Predicate),
    Good(Predicate),
    Unlisted(SuccessCodes, Conventions),
}

impl Judge {
    /// Compiles what a policy says; the error is a regular expression and what is wrong with it.
    pub(super) fn compile(sli: &SliSpec, keys: &mut KeyTableBuilder) -> Result<Self, (String, String)> {
        let failure = Failure::compile(&sli.outcome, keys)?;
        let failure_reads_duration = match &sli.outcome {
            Outcome::Bad(expr) | Outcome::Good(expr) => expr.reads_duration(),
            Outcome::Conventions | Outcome::SuccessCodes(_) => false,
        };
        let (kinds, conditions) = match &sli.source {
            Source::Spans(selector) => (selector.kinds, &*selector.conditions),
            Source::Logs(selector) => (Kinds::ANY, &*selector.conditions),
            Source::Metrics(_) | Source::Events => (Kinds::NONE, &[][..]),
        };
        let conditions = Predicate::compile_all(conditions, keys)?;
        Ok(Self {
            kinds,
            conditions,
            failure,
            failure_reads_duration,
            latency: sli.latency,
        })
    }

    /// Judges one span, cheapest tests first. `convention` remembers whether the span failed by convention:
    /// most objectives of a service ask the same.
    pub(super) fn judge(&self, context: &SpanContext<'_, '_>, convention: &mut Option<bool>) -> Judgement {
        if !self.kinds.contains(context.span.kind) || !self.conditions.iter().all(|c| c.holds(context)) {
            return Judgement::NotOurs;
        }
        if self.failure_reads_duration && duration_nanos(context.span).is_none() {
            return Judgement::Invalid;
        }
        match (self.failure.is_failed(context, convention), self.latency) {
            (
                true,
                Some(Latency {
                    failed: Failed::Exclude,
                    ..
                }),
            ) => Judgement::NotOurs,
            (true, _) => Judgement::Bad,
            (false, None) => Judgement::Good,
            (false, Some(latency)) => match duration_nanos(context.span) {
                None => Judgement::Invalid,
                Some(nanos) if nanos < latency.faster_than_nanos => Judgement::Good,
                Some(_) => Judgement::Bad,
            },
        }
    }
}

impl Failure {
    /// Compiles an outcome; the error is a regular expression and what is wrong with it.
    pub(super) fn compile(outcome: &Outcome, keys: &mut KeyTableBuilder) -> Result<Self, (String, String)> {
        Ok(match outcome {
            Outcome::Conventions => Self::Conventions(Conventions::compile(keys)),
            Outcome::Bad(expr) => Self::Bad(Predicate::compile(expr, keys)?),
            Outcome::Good(expr) => Self::Good(Predicate::compile(expr, keys)?),
            Outcome::SuccessCodes(codes) => Self::Unlisted(codes.clone(), Conventions::compile(keys)),
        })
    }

    /// Whether the request failed; `convention` remembers whether it did so by convention.
    pub(super) fn is_failed(&self, context: &SpanContext<'_, '_>, convention: &mut Option<bool>) -> bool {
        match self {
            Self::Conventions(conventions) => *convention.get_or_insert_with(|| conventions.failed(context)),
            Self::Bad(bad) => bad.holds(context),
            Self::Good(good) => !good.holds(context),
            Self::Unlisted(codes, conventions) => {
                let attributes = context.attributes;
                // As by convention, an RPC status speaks before the HTTP status that carried it.
                let good = match conventions.rpc_code(attributes) {
                    Some(code) => codes.rpc(code),
                    None => conventions
                        .http_status(attributes)
                        .and_then(|status| codes.http(status)),
                };
                good.map_or_else(|| conventions.failed(context), |good| !good)
            }
        }
    }
}
