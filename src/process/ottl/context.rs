//! Contexts: what a condition or statement is about, and what else it can see from there.

use crate::wire::Request;
use crate::wire::edit::{Kind, Level};

/// What a condition or statement is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::process) enum Context {
    /// Resources.
    Resource,
    /// Instrumentation scopes.
    Scope,
    /// Spans.
    Span,
    /// Events of spans.
    SpanEvent,
    /// Metrics.
    Metric,
    /// Data points.
    DataPoint,
    /// Log records.
    Log,
}

impl Context {
    /// The context that people call so.
    pub(in crate::process) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "resource" => Self::Resource,
            "scope" | "instrumentation_scope" => Self::Scope,
            "span" => Self::Span,
            "spanevent" => Self::SpanEvent,
            "metric" => Self::Metric,
            "datapoint" => Self::DataPoint,
            "log" | "log_record" => Self::Log,
            _ => return None,
        })
    }

    /// As it is written.
    pub(in crate::process) const fn name(self) -> &'static str {
        match self {
            Self::Resource => "resource",
            Self::Scope => "scope",
            Self::Span => "span",
            Self::SpanEvent => "spanevent",
            Self::Metric => "metric",
            Self::DataPoint => "datapoint",
            Self::Log => "log",
        }
    }

    /// The contexts of a signal, from the outside to the inside.
    pub(in crate::process) const fn of(request: Request) -> &'static [Self] {
        match request {
            Request::Traces => &[Self::Resource, Self::Scope, Self::Span, Self::SpanEvent],
            Request::Metrics => &[Self::Resource, Self::Scope, Self::Metric, Self::DataPoint],
            Request::Logs => &[Self::Resource, Self::Scope, Self::Log],
        }
    }

    pub(in crate::process) const fn level(self) -> Level {
        match self {
            Self::Resource => Level::Resource,
            Self::Scope => Level::Scope,
            Self::Span | Self::Metric | Self::Log => Level::Item,
            Self::SpanEvent | Self::DataPoint => Level::Part,
        }
    }

    /// Whether `other` lies around this one (or is it), and can be read from here.
    pub(super) fn sees(self, other: Self) -> bool {
        let order = [Request::Traces, Request::Metrics, Request::Logs];
        order.into_iter().any(|request| {
            let place = |of| Self::of(request).iter().position(|one| *one == of);
            matches!((place(self), place(other)), (Some(own), Some(other)) if other <= own)
        })
    }

    /// The messages that it is about.
    pub(in crate::process) const fn kinds(self) -> &'static [Kind] {
        match self {
            Self::Resource => &[Kind::Resource],
            Self::Scope => &[Kind::Scope],
            Self::Span => &[Kind::Span],
            Self::SpanEvent => &[Kind::Event],
            Self::Metric => &[Kind::Metric],
            Self::DataPoint => &[
                Kind::NumberPoint,
                Kind::HistogramPoint,
                Kind::ExponentialPoint,
                Kind::SummaryPoint,
            ],
            Self::Log => &[Kind::Record],
        }
    }
}
