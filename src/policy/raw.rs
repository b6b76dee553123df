//! A policy as it is written: the shape of the YAML, every value with its place.
//!
//! Values that need more than a shape (targets, durations, thresholds) are kept as the text in the file, so
//! that `99.95` is not read through a float and a mistake is answered with its own line. Unknown keys are
//! refused here.

use super::error::{PolicyProblem, nearest, one_of};
use super::place::Place;
use crate::sli::SliSpec;
use crate::sli::spec::WrittenSli;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde_saphyr::{Error, Location, Spanned};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A scalar's text and its place.
pub(super) type Text = Spanned<String>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPolicy {
    pub(super) service: Option<Text>,
    pub(super) journey: Option<Text>,
    pub(super) environment: Option<Text>,
    pub(super) tier: Option<u8>,
    #[serde(default)]
    pub(super) owner: BTreeMap<String, String>,
    pub(super) window: Option<Spanned<RawWindow>>,
    pub(super) sampling: Option<Spanned<RawSampling>>,
    pub(super) budgeting: Option<Spanned<RawBudgeting>>,
    pub(super) low_traffic: Option<Spanned<RawLowTraffic>>,
    pub(super) alerts: Option<Vec<Spanned<RawAlert>>>,
    pub(super) slos: Spanned<Vec<Spanned<RawSlo>>>,
    #[serde(default)]
    pub(super) dependencies: Vec<Spanned<RawDependency>>,
    #[serde(default)]
    pub(super) maintenance: Vec<Spanned<RawPlan>>,
    #[serde(default)]
    pub(super) peaks: Vec<Spanned<RawPlan>>,
    #[serde(default)]
    pub(super) corrections: Vec<Spanned<RawPlan>>,
    #[serde(default)]
    pub(super) kill_switches: Vec<Spanned<RawKillSwitch>>,
    #[serde(default)]
    pub(super) deployments: Vec<Spanned<RawDeploySwitch>>,
    #[serde(default)]
    pub(super) indicators: Vec<Spanned<RawIndicator>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSlo {
    pub(super) name: Text,
    pub(super) target: Option<Text>,
    pub(super) sli: Option<WrittenSli>,
    /// Of a journey: the SLOs that it is made of.
    pub(super) of: Option<Spanned<Vec<Spanned<RawMember>>>>,
    pub(super) p50_below: Option<Text>,
    pub(super) p75_below: Option<Text>,
    pub(super) p90_below: Option<Text>,
    pub(super) p95_below: Option<Text>,
    pub(super) p99_below: Option<Text>,
    pub(super) top_routes: Option<Text>,
    pub(super) routes: Option<bool>,
    pub(super) quantiles: Option<bool>,
    pub(super) window: Option<Spanned<RawWindow>>,
    pub(super) budgeting: Option<Spanned<RawBudgeting>>,
    pub(super) low_traffic: Option<Spanned<RawLowTraffic>>,
    #[serde(default)]
    pub(super) targets: Vec<Spanned<RawTarget>>,
    pub(super) alerts: Option<Vec<Spanned<RawAlert>>>,
}

/// A further target of an SLO.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTarget {
    pub(super) name: Text,
    pub(super) target: Text,
    pub(super) alerts: Option<Vec<Spanned<RawAlert>>>,
}

/// `budgeting:`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBudgeting {
    pub(super) method: Text,
    pub(super) slice: Option<Text>,
    pub(super) slice_target: Option<Text>,
    pub(super) empty: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawLowTraffic {
    pub(super) min_bad: Option<Text>,
    pub(super) budget_events: Option<bool>,
}

/// A part of a composite.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMember {
    pub(super) service: Text,
    pub(super) slo: Text,
    pub(super) environment: Option<Text>,
    pub(super) weight: Option<Text>,
    pub(super) slice_target: Option<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDependency {
    pub(super) callee: Text,
    pub(super) target: Option<Text>,
    pub(super) sli: Option<SliSpec>,
}

/// One entry of `maintenance`, `peaks` or `corrections`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPlan {
    pub(super) name: Option<Text>,
    pub(super) every: Option<Spanned<RawDays>>,
    pub(super) from: Text,
    pub(super) to: Text,
    pub(super) timezone: Option<Text>,
    pub(super) burn_factor: Option<Text>,
    pub(super) reason: Option<Text>,
    pub(super) author: Option<Text>,
    pub(super) approved_by: Option<Text>,
    pub(super) slos: Option<Spanned<Vec<Text>>>,
}

/// One day or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum RawDays {
    One(String),
    Several(Vec<String>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAlert {
    pub(super) name: Option<Text>,
    pub(super) windows: Option<Spanned<Vec<RawAlertWindow>>>,
    pub(super) burn: Option<Text>,
    #[serde(rename = "for")]
    pub(super) hold: Option<Text>,
    pub(super) severity: Option<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAlertWindow {
    pub(super) window: Text,
    pub(super) burn_above: Text,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawKillSwitch {
    pub(super) flag: Text,
    pub(super) exporter: Text,
    pub(super) slo: Option<Text>,
    pub(super) variants: Option<Spanned<Vec<Text>>>,
    pub(super) action: Option<Spanned<RawAction>>,
    #[serde(default)]
    pub(super) when: RawKillRule,
    pub(super) attribution: Option<Text>,
    pub(super) class: Option<Text>,
    pub(super) latest_change: Option<bool>,
    #[serde(default)]
    pub(super) guards: RawGuards,
    pub(super) probation: Option<Spanned<RawProbation>>,
    pub(super) mode: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawProbation {
    pub(super) steps: Option<Spanned<Vec<Text>>>,
    pub(super) every: Option<Text>,
    pub(super) after: Option<Text>,
}

/// One of `deployments:`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDeploySwitch {
    pub(super) exporter: Text,
    pub(super) slo: Option<Text>,
    pub(super) action: Option<Text>,
    #[serde(default)]
    pub(super) when: RawKillRule,
    #[serde(default)]
    pub(super) guards: RawGuards,
    pub(super) mode: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawGuards {
    pub(super) min_events: Option<Text>,
    pub(super) min_roots: Option<Text>,
    pub(super) min_sources: Option<Text>,
    pub(super) max_source_share: Option<Text>,
    pub(super) max_data_age: Option<Text>,
    pub(super) expected_share: Option<Text>,
}

/// `off`, `on`, `{ rollout: 5% }` or `{ serve: control }`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum RawAction {
    /// What YAML makes of `on` and `off`.
    Bool(bool),
    Word(String),
    Rollout {
        rollout: RawScalar,
    },
    Serve {
        serve: RawScalar,
    },
    /// Anything else, which is told what was expected.
    Other(serde::de::IgnoredAny),
}

/// A word that YAML may take for something else, such as a variant called `off`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum RawScalar {
    Bool(bool),
    Whole(i64),
    Word(String),
}

impl fmt::Display for RawScalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(true) => f.write_str("on"),
            Self::Bool(false) => f.write_str("off"),
            Self::Whole(number) => number.fmt(f),
            Self::Word(word) => f.write_str(word.trim()),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawKillRule {
    pub(super) burn_above: Option<Text>,
    pub(super) window: Option<Text>,
    #[serde(rename = "for")]
    pub(super) hold: Option<Text>,
    pub(super) contrast: Option<Text>,
    pub(super) min_bad: Option<Text>,
}

/// One of `indicators:`. A built-in takes whatever is not said.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawIndicator {
    pub(super) name: Option<Text>,
    pub(super) built_in: Option<Text>,
    pub(super) description: Option<Text>,
    pub(super) unit: Option<Text>,
    pub(super) value: Option<Text>,
    pub(super) by: Option<Spanned<Vec<Text>>>,
    pub(super) enter: Option<Text>,
    pub(super) leave: Option<Text>,
    pub(super) mode: Option<Text>,
}

/// `window:` of a policy or an SLO.
#[derive(Debug)]
pub(super) enum RawWindow {
    /// `30d`.
    Rolling(String),
    /// `{ calendar: month, timezone: Europe/Berlin }`.
    Calendar { unit: String, timezone: Option<String> },
}

impl<'de> Deserialize<'de> for RawWindow {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WindowVisitor;
        impl<'de> Visitor<'de> for WindowVisitor {
            type Value = RawWindow;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as 30d, or { calendar: month, timezone: Europe/Berlin }")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<RawWindow, E> {
                Ok(RawWindow::Rolling(text.to_owned()))
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<RawWindow, E> {
                Ok(RawWindow::Rolling(number.to_string()))
            }

            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<RawWindow, E> {
                Ok(RawWindow::Rolling(number.to_string()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawWindow, A::Error> {
                const KEYS: &[&str] = &["rolling", "calendar", "timezone"];
                let [mut rolling, mut unit, mut timezone] = [None, None, None];
                while let Some(key) = map.next_key::<String>()? {
                    let place = match key.as_str() {
                        "rolling" => &mut rolling,
                        "calendar" => &mut unit,
                        "timezone" => &mut timezone,
                        other => return Err(serde::de::Error::unknown_field(other, KEYS)),
                    };
                    *place = Some(map.next_value::<String>()?);
                }
                match (rolling, unit, timezone) {
                    (Some(text), None, None) => Ok(RawWindow::Rolling(text)),
                    (None, Some(unit), timezone) => Ok(RawWindow::Calendar { unit, timezone }),
                    _ => Err(serde::de::Error::custom(
                        "a window is { rolling: 30d } or { calendar: month, timezone: Europe/Berlin }",
                    )),
                }
            }
        }
        deserializer.deserialize_any(WindowVisitor)
    }
}

/// `sampling:` of a policy.
#[derive(Debug)]
pub(super) enum RawSampling {
    /// `10%` or `unknown`.
    One(String),
    /// `{ good: 1%, bad: 100% }`.
    Two { good: String, bad: String },
}

impl<'de> Deserialize<'de> for RawSampling {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SamplingVisitor;
        impl<'de> Visitor<'de> for SamplingVisitor {
            type Value = RawSampling;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a share such as 10%, unknown, or { good: 1%, bad: 100% }")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<RawSampling, E> {
                Ok(RawSampling::One(text.to_owned()))
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<RawSampling, E> {
                Ok(RawSampling::One(number.to_string()))
            }

            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<RawSampling, E> {
                Ok(RawSampling::One(number.to_string()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawSampling, A::Error> {
                #[derive(Deserialize)]
                #[serde(deny_unknown_fields)]
                struct Two {
                    good: String,
                    bad: String,
                }
                let Two { good, bad } = Two::deserialize(MapAccessDeserializer::new(map))?;
                Ok(RawSampling::Two { good, bad })
            }
        }
        deserializer.deserialize_any(SamplingVisitor)
    }
}

/// The policies of a file, one a YAML document.
pub(super) fn parse(file: &Arc<str>, text: &str) -> Result<Vec<Spanned<RawPolicy>>, PolicyProblem> {
    serde_saphyr::from_multiple(text).map_err(|error| problem(file, &error))
}

/// The place of `location` in `file`.
pub(super) fn place(file: &Arc<str>, location: Location) -> Place {
    Place {
        file: Arc::clone(file),
        line: location.line(),
        column: location.column(),
    }
}

fn problem(file: &Arc<str>, error: &Error) -> PolicyProblem {
    let error = error.without_snippet();
    let location = error.location().unwrap_or(Location::UNKNOWN);
    let message = match error {
        Error::SerdeUnknownField { field, expected, .. } => unknown("key", field, expected),
        Error::SerdeUnknownVariant {
            variant, expected, ..
        } => unknown("value", variant, expected),
        Error::SerdeMissingField { field, .. } => format!("the key \"{field}\" is missing"),
        Error::Message { msg, .. } => msg.clone(),
        other => bare(&other.to_string(), location),
    };
    PolicyProblem {
        place: place(file, location),
        message,
    }
}

fn unknown(what: &str, word: &str, expected: &[&str]) -> String {
    match nearest(word, expected.iter().copied()) {
        Some(near) => format!("unknown {what} \"{word}\"; did you mean \"{near}\"?"),
        None => format!("unknown {what} \"{word}\"; expected {}", one_of(expected)),
    }
}

/// The library's message without the place that we print in front.
fn bare(message: &str, location: Location) -> String {
    let first = message.lines().next().unwrap_or(message);
    let suffix = format!(" at line {}, column {}", location.line(), location.column());
    first.strip_suffix(&suffix).unwrap_or(first).to_owned()
}
