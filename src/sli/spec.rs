//! The `sli:` block of a policy.
//!
//! ```yaml
//! sli:
//!   spans: { kind: [ server ], match: { http.route: [ /checkout, /pay ] } }
//!   bad: "http.response.status_code >= 500"
//! sli: { good: "http.response.status_code in (200, 201)" }
//! sli: { success_codes: [ 200, 201, "3xx" ] }           # an allow-list
//! sli: { faster_than: 250ms, failed: exclude }           # latency; failed requests are bad unless excluded
//! sli: {}                                                # availability by semantic conventions
//! sli: { logs: { event: order.placed }, bad: "severity >= 17" }   # see [`super::logs`]
//! sli: { events: {} }                                    # counts by hand alone: `burngate record`
//! sli: { metrics: http.server.request.duration }         # of metrics instead of spans, see `metrics`
//! ```
//!
//! With `faster_than`, what failed is decided as for availability: by `bad:`, `good:` or `success_codes:`
//! beside it, else by conventions. A span is fast if its duration is **less than** the threshold; one exactly
//! as long is not faster.

use super::declared::DeclaredSampling;
use super::duration::parse_nanos;
use super::expr::{Expr, Field, KINDS};
use super::logs;
pub use super::logs::LogSelector;
use super::matcher::Matcher;
use super::metrics::{MetricSource, of_points};
pub use super::success_codes::SuccessCodes;
use crate::pipeline::Signal;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::fmt;

/// What is counted, and what is good.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(try_from = "RawSli")]
pub struct SliSpec {
    /// The telemetry that is counted.
    pub source: Source,
    /// Which of it failed.
    pub outcome: Outcome,
    /// What makes a latency SLI of it; without this it is one of availability.
    pub latency: Option<Latency>,
    /// How spans were sampled that do not say so; the policy's word, not a key of `sli:`.
    pub sampling: Option<DeclaredSampling>,
    /// What is kept beside the counts; the policy's word too.
    pub detail: Detail,
}

/// What is kept of an objective beside its counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Detail {
    /// Quantiles of durations.
    pub quantiles: bool,
    /// Counts by endpoint class.
    pub routes: bool,
}

/// The telemetry that an SLI counts: items of one signal. Two signals in one SLI would count a request twice.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// Spans that are requests.
    Spans(SpanSelector),
    /// Log records that are events.
    Logs(LogSelector),
    /// None: only counts by hand, which every other SLI takes as well.
    Events,
    /// Points of metrics.
    Metrics(MetricSource),
}

impl Source {
    /// The signal that the items belong to; `None` when there are no items.
    pub fn signal(&self) -> Option<Signal> {
        match self {
            Self::Spans(_) => Some(Signal::Traces),
            Self::Logs(_) => Some(Signal::Logs),
            Self::Events => None,
            Self::Metrics(_) => Some(Signal::Metrics),
        }
    }
}

impl Default for Source {
    fn default() -> Self {
        Self::Spans(SpanSelector::default())
    }
}

/// How a request is told to have failed.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Outcome {
    /// By semantic conventions, see [`super::defaults`].
    #[default]
    Conventions,
    /// Failed if the expression holds.
    Bad(Expr),
    /// Failed unless the expression holds.
    Good(Expr),
    /// Failed unless its status code is listed.
    SuccessCodes(SuccessCodes),
}

/// The share of requests faster than a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// The threshold in nanoseconds; a good request takes less.
    pub faster_than_nanos: u64,
    /// What becomes of failed requests, however fast.
    pub failed: Failed,
}

/// What becomes of failed requests in a latency SLI.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Failed {
    /// They are bad: an error page in 2 ms is no fast answer.
    #[default]
    Bad,
    /// They are not counted.
    Exclude,
}

/// The spans that are requests.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(try_from = "RawSelector")]
pub struct SpanSelector {
    /// Their kinds.
    pub kinds: Kinds,
    /// What else must hold, all of it.
    pub conditions: Vec<Expr>,
}

/// A set of span kinds. The default is server and consumer, so that a request is counted once: where it is
/// served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds(u8);

impl Kinds {
    /// Every kind, also those that are unknown.
    pub const ANY: Self = Self(u8::MAX);
    /// No kind at all.
    pub const NONE: Self = Self(0);

    /// Whether a kind, as on the wire, is in the set. Unknown kinds count as unspecified.
    pub fn contains(self, kind: i32) -> bool {
        let bit = usize::try_from(kind)
            .ok()
            .filter(|&kind| kind < KINDS.len())
            .unwrap_or(0);
        self.0 >> bit & 1 == 1
    }

    fn of_name(name: &str) -> Option<Self> {
        let lower = name.to_ascii_lowercase();
        let bare = lower.strip_prefix("span_kind_").unwrap_or(&lower);
        if bare == "any" {
            return Some(Self::ANY);
        }
        KINDS
            .iter()
            .position(|kind| *kind == bare)
            .map(|bit| Self(1 << bit))
    }
}

impl Default for Kinds {
    fn default() -> Self {
        // server and consumer
        Self(1 << 2 | 1 << 5)
    }
}

impl<'de> Deserialize<'de> for Kinds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KindsVisitor;
        impl<'de> Visitor<'de> for KindsVisitor {
            type Value = Kinds;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a span kind ({} or any) or a list of them", KINDS.join(", "))
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Kinds, E> {
                Kinds::of_name(name).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(name), &self))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<Kinds, A::Error> {
                let mut kinds = 0;
                while let Some(name) = names.next_element::<String>()? {
                    kinds |= self.visit_kind::<A::Error>(&name)?.0;
                }
                if kinds == 0 {
                    Err(A::Error::invalid_length(0, &self))
                } else {
                    Ok(Kinds(kinds))
                }
            }
        }
        impl KindsVisitor {
            fn visit_kind<E: Error>(&self, name: &str) -> Result<Kinds, E> {
                Kinds::of_name(name).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(name), self))
            }
        }
        deserializer.deserialize_any(KindsVisitor)
    }
}

/// `sli:` as it is written.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawSli {
    spans: Option<SpanSelector>,
    logs: Option<LogSelector>,
    events: Option<RawEvents>,
    metrics: Option<MetricSource>,
    bad: Option<Expr>,
    good: Option<Expr>,
    success_codes: Option<SuccessCodes>,
    faster_than: Option<Threshold>,
    failed: Option<Failed>,
}

/// `sli:` of an SLO, whose latency may stand beside it: `p95_below: 200ms, sli: { failed: exclude }`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(try_from = "RawSli")]
pub struct WrittenSli {
    /// What it says by itself.
    pub spec: SliSpec,
    /// `failed` of spans without a threshold, which must then be said elsewhere.
    pub failed: Option<Failed>,
}

impl TryFrom<RawSli> for WrittenSli {
    type Error = String;

    fn try_from(mut raw: RawSli) -> Result<Self, String> {
        let of_spans = raw.logs.is_none() && raw.events.is_none() && raw.metrics.is_none();
        let failed = if of_spans && raw.faster_than.is_none() {
            raw.failed.take()
        } else {
            None
        };
        Ok(Self {
            spec: raw.try_into()?,
            failed,
        })
    }
}

impl TryFrom<RawSli> for SliSpec {
    type Error = String;

    fn try_from(raw: RawSli) -> Result<Self, String> {
        if raw.events.is_some() {
            return by_hand(&raw);
        }
        if raw.logs.is_some() {
            return of_logs(raw);
        }
        let outcome = match (raw.bad, raw.good, raw.success_codes) {
            (None, None, None) => Outcome::Conventions,
            (Some(bad), None, None) => Outcome::Bad(bad),
            (None, Some(good), None) => Outcome::Good(good),
            (None, None, Some(codes)) => Outcome::SuccessCodes(codes),
            _ => {
                return Err(
                    "bad, good and success_codes say the same thing in three ways; keep one".to_owned(),
                );
            }
        };
        let latency = match (raw.faster_than, raw.failed) {
            (Some(Threshold(faster_than_nanos)), failed) => Some(Latency {
                faster_than_nanos,
                failed: failed.unwrap_or_default(),
            }),
            (None, None) => None,
            (None, Some(_)) => {
                return Err("failed belongs to a latency SLI; add faster_than or remove it".to_owned());
            }
        };
        let source = match (raw.spans, raw.metrics) {
            (spans, None) => Source::Spans(spans.unwrap_or_default()),
            (None, Some(metrics)) => Source::Metrics(metrics),
            (Some(_), Some(_)) => {
                return Err("an SLI counts one signal; keep spans or metrics".to_owned());
            }
        };
        if let Source::Metrics(metrics) = &source {
            let is_said = outcome != Outcome::Conventions || latency.is_some();
            if metrics.says_what_is_good() && is_said {
                let beside = "bad, good, success_codes, faster_than and failed";
                return Err(format!(
                    "metrics says itself what is good; remove {beside} beside it"
                ));
            }
            if let Outcome::Bad(expr) | Outcome::Good(expr) = &outcome {
                of_points(expr)?;
            }
        }
        Ok(Self {
            source,
            outcome,
            latency,
            sampling: None,
            detail: Detail::default(),
        })
    }
}

/// An SLI of log records.
fn of_logs(raw: RawSli) -> Result<SliSpec, String> {
    if raw.spans.is_some() || raw.metrics.is_some() {
        return Err("an SLI has one source: keep spans, metrics or logs".to_owned());
    }
    if raw.success_codes.is_some() || raw.faster_than.is_some() || raw.failed.is_some() {
        return Err("success_codes, faster_than and failed are of spans; logs have bad or good".to_owned());
    }
    let outcome = match (raw.bad, raw.good) {
        (None, None) => Outcome::Bad(logs::is_error()),
        (Some(bad), None) => Outcome::Bad(logs::of_records(bad)?),
        (None, Some(good)) => Outcome::Good(logs::of_records(good)?),
        (Some(_), Some(_)) => {
            return Err("bad and good say the same thing in two ways; keep one".to_owned());
        }
    };
    Ok(SliSpec {
        source: Source::Logs(raw.logs.unwrap_or_default()),
        outcome,
        ..SliSpec::default()
    })
}

/// An SLI that nothing but counts by hand feeds: there is nothing to judge.
fn by_hand(raw: &RawSli) -> Result<SliSpec, String> {
    let others = [
        ("spans", raw.spans.is_some()),
        ("logs", raw.logs.is_some()),
        ("metrics", raw.metrics.is_some()),
        ("bad", raw.bad.is_some()),
        ("good", raw.good.is_some()),
        ("success_codes", raw.success_codes.is_some()),
        ("faster_than", raw.faster_than.is_some()),
        ("failed", raw.failed.is_some()),
    ];
    if let Some((other, _)) = others.iter().find(|(_, there)| *there) {
        return Err(format!(
            "events are counted by hand and come as good or bad, so {other} has nothing to judge; keep one"
        ));
    }
    Ok(SliSpec {
        source: Source::Events,
        ..SliSpec::default()
    })
}

/// `events:` as it is written: nothing can be said of what is counted elsewhere.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEvents {}

/// `spans:` as it is written.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawSelector {
    kind: Kinds,
    name: Option<Matcher>,
    scope: Option<Matcher>,
    r#match: BTreeMap<String, Matcher>,
}

impl TryFrom<RawSelector> for SpanSelector {
    type Error = String;

    fn try_from(raw: RawSelector) -> Result<Self, String> {
        let mut conditions = Vec::new();
        for (field, matcher) in [(Field::Name, raw.name), (Field::ScopeName, raw.scope)] {
            conditions.extend(matcher.map(|matcher| matcher.into_expr(&field)).transpose()?);
        }
        for (name, matcher) in raw.r#match {
            if name.is_empty() {
                return Err("match names an empty attribute".to_owned());
            }
            let field = Field::from_name(&name);
            match field {
                Field::Kind => return Err("kind is chosen by spans.kind, not by match".to_owned()),
                Field::Duration => {
                    return Err("duration cannot select spans; use it in faster_than, bad or good".to_owned());
                }
                _ => {}
            }
            conditions.push(
                matcher
                    .into_expr(&field)
                    .map_err(|problem| format!("match {name:?}: {problem}"))?,
            );
        }
        Ok(Self {
            kinds: raw.kind,
            conditions,
        })
    }
}

/// `faster_than:`, in nanoseconds.
struct Threshold(u64);

impl<'de> Deserialize<'de> for Threshold {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_nanos(text.trim()).map(Self).ok_or_else(|| {
            D::Error::custom(format_args!(
                "{text:?} is no duration; expected a number with a unit, such as 250ms or 1.5s"
            ))
        })
    }
}
