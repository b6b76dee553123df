//! What a replay does in the place of [`super::Delivery`]: nothing leaves.

use super::decisions::{Decisions, note};
use crate::decide::DecisionState;
use crate::time::UnixNanos;

/// Takes every decision that is not at its end as carried out at `now`, without a call. What waits for
/// somebody's word goes on waiting: nobody is there to give it.
///
/// The decider then goes on as it does when a flag service has answered: cooldown, and no second decision
/// while the same burn lasts.
pub fn rehearse(decisions: &Decisions, now: UnixNanos) {
    for (id, _) in decisions.due() {
        let Some(work) = decisions.work(&id) else { continue };
        let mut decision = work.decision;
        if !decision.state.is_at_rest() {
            decision.state = DecisionState::Confirmed {
                verified: false,
                already_off: false,
            };
            note(&mut decision, now, "replayed: taken as done, nothing was sent");
        }
        decisions.update(&decision, true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::act::tests::decision;
    use std::time::Duration;

    #[tokio::test]
    async fn a_decision_ends_where_it_would_have_been_sent() {
        let list = Decisions::new(10, Duration::from_mins(10));
        let mut observed = decision("watched");
        observed.state = DecisionState::Observed;
        let mut asked = decision("asked");
        let until = UnixNanos::from_secs(1_795_303_600);
        asked.state = DecisionState::Proposed { until };
        for it in [decision("sent"), observed, asked] {
            list.submit(it).unwrap();
        }
        let now = UnixNanos::from_secs(1_795_300_001);
        rehearse(&list, now);
        assert!(list.due().is_empty());
        let sent = list.get("id-sent").unwrap();
        assert!(matches!(
            sent.state,
            DecisionState::Confirmed { verified: false, .. }
        ));
        assert_eq!(sent.updated_at, now);
        assert_eq!(list.get("id-watched").unwrap().state, DecisionState::Observed);
        let asked = list.get("id-asked").unwrap();
        assert_eq!(asked.state, DecisionState::Proposed { until });
    }
}
