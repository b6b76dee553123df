//! What is held against a flag, and the guards of a rule.

use super::compile::Findings;
use super::error::one_of;
use super::guards::Guards;
use super::model::Blame;
use super::raw::{RawGuards, RawKillSwitch, Text};
use crate::evidence::EvidenceClass;

/// Traces that are kept of each signature of bad events.
const ROOTS_MAX: u32 = 3;
/// Longest age of data that may still be acted on, in seconds.
const DATA_AGE_MAX_SECS: u64 = 600;

/// `attribution`, `class` and `latest_change`.
pub(super) fn blame(raw: &RawKillSwitch, findings: &mut Findings) -> Option<Blame> {
    match raw.attribution.as_ref().map(|text| text.value.trim()) {
        None | Some("evidence") => {
            if let Some(text) = &raw.when.contrast {
                let message = "contrast is of the rule by burn alone (attribution: off); evidence compares all \
                               the time, and it is not asked for";
                findings.warning(text.referenced, message);
            }
            Some(Blame::Evidence {
                class: raw
                    .class
                    .as_ref()
                    .map_or(Some(EvidenceClass::Concurrent), |text| class(text, findings))?,
                latest_change: raw.latest_change.unwrap_or(false),
            })
        }
        Some("off" | "false") => {
            if let Some(text) = &raw.class {
                let message = "a class is of evidence, and attribution is off; remove one of the two";
                findings.problem(text.referenced, message);
            }
            Some(Blame::Burn)
        }
        Some(other) => {
            let at = raw.attribution.as_ref()?.referenced;
            findings.problem(
                at,
                format!("unknown attribution \"{other}\"; expected evidence or off"),
            );
            None
        }
    }
}

fn class(text: &Text, findings: &mut Findings) -> Option<EvidenceClass> {
    const ALL: [EvidenceClass; 3] = [
        EvidenceClass::Randomised,
        EvidenceClass::Concurrent,
        EvidenceClass::Temporal,
    ];
    let found = ALL.into_iter().find(|class| class.as_str() == text.value);
    if found.is_none() {
        let expected = one_of(&ALL.map(EvidenceClass::as_str));
        findings.problem(
            text.referenced,
            format!("unknown class \"{}\"; expected {expected}", text.value),
        );
    }
    found
}

/// `guards:`, each with its default.
pub(super) fn guards(raw: &RawGuards, findings: &mut Findings) -> Option<Guards> {
    let default = Guards::default();
    let number = |text: &Option<Text>, default: u64, findings: &mut Findings| match text {
        Some(text) => {
            let number = text.value.trim().parse().ok();
            if number.is_none() {
                let message = format!("\"{}\" is no whole number of 0 or more", text.value);
                findings.problem(text.referenced, message);
            }
            number
        }
        None => Some(default),
    };
    let small = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    let min_events = number(&raw.min_events, default.min_events, findings);
    let min_roots = number(&raw.min_roots, default.min_roots.into(), findings).map(small);
    if let (Some(text), Some(ROOTS_MAX..)) =
        (&raw.min_roots, min_roots.and_then(|roots| roots.checked_sub(1)))
    {
        let message = format!("of one signature {ROOTS_MAX} traces are kept, so no more can be asked for");
        findings.problem(text.referenced, message);
    }
    let min_sources = number(&raw.min_sources, default.min_sources.into(), findings).map(small);
    let max_source_percent = match &raw.max_source_share {
        Some(text) => percent(text, findings).map(|milli| u8::try_from(milli / 1000).unwrap_or(100)),
        None => Some(default.max_source_percent),
    };
    let max_data_age_secs = match &raw.max_data_age {
        Some(text) => findings.secs_at(
            text.referenced,
            &text.value,
            "max_data_age",
            10,
            DATA_AGE_MAX_SECS,
        ),
        None => Some(default.max_data_age_secs),
    };
    let expected_share = match &raw.expected_share {
        Some(text) => Some(Some(percent(text, findings)?)),
        None => Some(None),
    };
    Some(Guards {
        min_events: min_events?,
        min_roots: min_roots?,
        min_sources: min_sources?,
        max_source_percent: max_source_percent?,
        max_data_age_secs: max_data_age_secs?,
        expected_share: expected_share?,
    })
}

/// Thousandths of a percent, above 0 and up to 100 %.
fn percent(text: &Text, findings: &mut Findings) -> Option<u32> {
    let number = text.value.trim().strip_suffix('%').unwrap_or(&text.value).trim();
    let share = number
        .parse::<f64>()
        .ok()
        .filter(|share| *share > 0.0 && *share <= 100.0);
    if share.is_none() {
        let message = format!(
            "\"{}\" is no share; expected a percentage such as 25%",
            text.value
        );
        findings.problem(text.referenced, message);
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 0 to 100,000"
    )]
    share.map(|share| (share * 1000.0).round() as u32)
}
