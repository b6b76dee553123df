//! What a read says of a flag that is being given back on probation, or taken back.
//!
//! A step may only follow on what we left: a flag that is not as the step before left it, or that somebody
//! has changed since, is somebody's, and the probation is over. Nobody is exposed on the strength of a read
//! that failed.

use super::exporter::{Actuator, FlagState, Reading};
use super::trouble::Trouble;
use super::{Change, RuleTarget};
use crate::decide::{Action, Decision, FailureReason, Look, ProbationStep};
use crate::time::UnixNanos;

/// A change of ours may be noted by the service so much later than we noted it, in seconds; or its clock may
/// be ahead by so much.
const SLACK_SECS: u64 = 60;

/// What a read says for a step of a probation; `None` for another decision.
pub(super) async fn step_seen<A: Actuator>(
    exporter: &A,
    decision: &Decision,
    reading: &Reading,
    now: UnixNanos,
) -> Result<Option<Look>, Trouble> {
    let (Action::Expose { percent, from }, Some(step)) = (&decision.action, &decision.life.probation) else {
        return Ok(None);
    };
    let Some(exposure) = &reading.exposure else {
        return Err(refused("the service does not say who has the flag"));
    };
    let is_sent = decision.state.attempt() > 0;
    if is_sent && exposure.is_at(*percent) {
        return Ok(Some(Look::Safe));
    }
    let change = exporter
        .last_change(&RuleTarget::of_decision(decision), now)
        .await?;
    if !exposure.is_at(*from) {
        let by = change.map_or_else(|| "somebody".to_owned(), |it| it.by);
        return Ok(Some(Look::Changed { by }));
    }
    if let Some(by) = changed_since(change, step.left_at) {
        return Ok(Some(Look::Changed { by }));
    }
    match &exposure.percent {
        Err(words) => return Err(refused(words)),
        Ok(former) if !is_sent && *from == 0 && *former < f64::from(*percent) => {
            let words = format!(
                "the flag was on for {former} % only, and the first step would give it to {percent} %"
            );
            return Err(refused(&words));
        }
        Ok(_) => {}
    }
    Ok(Some(Look::Exposed))
}

/// Who has changed a flag that is to be taken back, if it was not us.
pub(super) async fn taken_over<A: Actuator>(
    exporter: &A,
    decision: &Decision,
    reading: &Reading,
    now: UnixNanos,
) -> Option<Look> {
    let left_at = decision.life.left_at?;
    if decision.state.attempt() > 0 || reading.state == FlagState::Safe {
        return None;
    }
    // A record that cannot be read is no reason to leave a flag on that burns.
    let change = exporter
        .last_change(&RuleTarget::of_decision(decision), now)
        .await;
    let by = changed_since(change.ok().flatten(), left_at)?;
    Some(Look::Changed { by })
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

fn refused(words: &str) -> Trouble {
    Trouble::Permanent {
        reason: FailureReason::Rejected,
        detail: words.to_owned(),
    }
}
