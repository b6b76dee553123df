//! A policy as it is written: the shape of the YAML, every value with its place.
//!
//! Values that need more than a shape (targets, durations, thresholds) are kept as the text in the file, so
//! that `99.95` is not read through a float and a mistake is answered with its own line. Unknown keys are
//! refused here.

use super::error::{PolicyProblem, nearest, one_of};
use super::place::Place;
use crate::sli::SliSpec;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_saphyr::{Error, Location, Spanned};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A scalar's text and its place.
pub(super) type Text = Spanned<String>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPolicy {
    pub(super) service: Text,
    pub(super) environment: Option<Text>,
    pub(super) tier: Option<u8>,
    #[serde(default)]
    pub(super) owner: BTreeMap<String, String>,
    pub(super) window: Option<Spanned<RawWindow>>,
    pub(super) sampling: Option<Spanned<RawSampling>>,
    pub(super) alerts: Option<Vec<Spanned<RawAlert>>>,
    pub(super) slos: Spanned<Vec<Spanned<RawSlo>>>,
    #[serde(default)]
    pub(super) kill_switches: Vec<Spanned<RawKillSwitch>>,
    #[serde(default)]
    pub(super) indicators: Vec<Spanned<RawIndicator>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSlo {
    pub(super) name: Text,
    pub(super) target: Text,
    #[serde(default)]
    pub(super) sli: SliSpec,
    pub(super) window: Option<Spanned<RawWindow>>,
    pub(super) alerts: Option<Vec<Spanned<RawAlert>>>,
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
    #[serde(default)]
    pub(super) when: RawKillRule,
    pub(super) mode: Option<Text>,
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
    /// `{ calendar: month, ... }`.
    Calendar,
}

impl<'de> Deserialize<'de> for RawWindow {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WindowVisitor;
        impl<'de> Visitor<'de> for WindowVisitor {
            type Value = RawWindow;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as 30d")
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
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(RawWindow::Calendar)
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
