//! What a read says of a flag that is being given back on probation, or taken back.
//!
//! A step may only follow on what we left: a flag that is not as the step before left it, or that somebody
//! has changed since, is somebody's, and the probation is over. Nobody is exposed on the strength of a read
//! that failed.

use super::Change;
use super::exporter::Reading;
use super::trouble::Trouble;
use crate::decide::{Action, Decision, FailureReason, Look, ProbationStep};
use crate::time::UnixNanos;

/// A change of ours may be noted by the service so much later than we noted it, in seconds; or its clock may
/// be ahead by so much.
const SLACK_SECS: u64 = 60;

/// What a read says for a step of a probation, given the flag's last change.
pub(super) fn step_seen(
    decision: &Decision,
    reading: &Reading,
    change: Option<Change>,
) -> Result<Look, Trouble> {
    let (Action::Expose { percent, from }, Some(step)) = (&decision.action, &decision.life.probation) else {
        return Err(refused("it is no step of a probation"));
    };
    let Some(exposure) = &reading.exposure else {
        return Err(unread());
    };
    if !exposure.is_at(*from) {
        let by = change.map_or_else(|| "somebody".to_owned(), |it| it.by);
        return Ok(Look::Changed { by });
    }
    if let Some(by) = changed_since(change, step.left_at) {
        return Ok(Look::Changed { by });
    }
    let is_first = decision.state.attempt() == 0 && *from == 0;
    match &exposure.percent {
        Err(words) => Err(refused(words)),
        Ok(former) if is_first && *former < f64::from(*percent) => {
            let words = format!(
                "the flag was on for {former} % only, and the first step would give it to {percent} %"
            );
            Err(refused(&words))
        }
        Ok(_) => Ok(Look::Exposed),
    }
}

/// What the last change says of a flag that is on, and is to be taken back.
pub(super) fn taken_over(change: Option<Change>, left_at: UnixNanos) -> Look {
    match changed_since(change, left_at) {
        Some(by) => Look::Changed { by },
        None => Look::Exposed,
    }
}

/// What the step is to remember of the flag before its call.
pub(super) fn note_former(step: &mut ProbationStep, reading: Option<&Reading>) {
    let exposure = reading.and_then(|it| it.exposure.as_ref()).filter(|it| !it.is_on);
    let former = exposure.and_then(|it| it.percent.as_ref().ok());
    if let (None, Some(former)) = (step.former_percent, former) {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "from 0 to 100"
        )]
        let percent = former.clamp(0.0, 100.0) as u8;
        step.former_percent = Some(percent);
    }
}

fn changed_since(change: Option<Change>, left_at: UnixNanos) -> Option<String> {
    let change = change.filter(|it| !it.is_ours && it.at > left_at.plus_secs(SLACK_SECS))?;
    Some(change.by)
}

/// Nothing is given to anybody where nobody says who has it.
pub(super) fn unread() -> Trouble {
    refused("the service does not say who has the flag")
}

fn refused(words: &str) -> Trouble {
    Trouble::Permanent {
        reason: FailureReason::Rejected,
        detail: words.to_owned(),
    }
}
