//! A kill switch's `probation:`.

use super::compile::Findings;
use super::probation::Probation;
use super::raw::{RawProbation, Text};
use super::safe_state::SafeState;
use serde_saphyr::Spanned;

/// Steps that one may have.
const STEPS_MAX: usize = 10;
/// Shortest and longest time of a step, in seconds.
const EVERY_MIN_SECS: u64 = 5;
const EVERY_MAX_SECS: u64 = 86_400;
/// Latest time of the first step after the switch, in seconds.
const AFTER_MAX_SECS: u64 = 7 * 86_400;

/// `None` when something is wrong, which is in `findings`.
pub(super) fn probation(
    raw: &Spanned<RawProbation>,
    action: &SafeState,
    findings: &mut Findings,
) -> Option<Probation> {
    if *action != SafeState::Off {
        let message = format!(
            "probation gives back a flag that was switched off, and the action here is: {action}; remove one of \
             the two"
        );
        findings.problem(raw.referenced, message);
        return None;
    }
    let default = Probation::default();
    let steps = match &raw.value.steps {
        Some(list) => steps(list, findings),
        None => Some(default.steps),
    };
    let mut secs = |text: &Option<Text>, what, default, min, max| match text {
        Some(text) => findings.secs_at(text.referenced, &text.value, what, min, max),
        None => Some(default),
    };
    let every_secs = secs(
        &raw.value.every,
        "every",
        default.every_secs,
        EVERY_MIN_SECS,
        EVERY_MAX_SECS,
    );
    let after_secs = secs(&raw.value.after, "after", default.after_secs, 0, AFTER_MAX_SECS);
    Some(Probation {
        steps: steps?,
        every_secs: every_secs?,
        after_secs: after_secs?,
    })
}

fn steps(list: &Spanned<Vec<Text>>, findings: &mut Findings) -> Option<Vec<u8>> {
    let mut steps: Vec<u8> = Vec::new();
    if list.value.is_empty() || list.value.len() > STEPS_MAX {
        let message = format!("steps are 1 to {STEPS_MAX} shares, such as [1%, 5%, 25%]");
        findings.problem(list.referenced, message);
        return None;
    }
    for text in &list.value {
        let number = text.value.trim().trim_end_matches('%').trim_end();
        let percent = number.parse().ok().filter(|percent| (1..=99).contains(percent));
        let Some(percent) = percent else {
            let message = format!(
                "\"{}\" is no step; expected a whole percentage from 1% to 99%: the rest is for somebody to give",
                text.value
            );
            findings.problem(text.referenced, message);
            return None;
        };
        if steps.last().is_some_and(|last| *last >= percent) {
            let message = format!("the step {percent}% is not above the one before it");
            findings.problem(text.referenced, message);
            return None;
        }
        steps.push(percent);
    }
    Some(steps)
}
