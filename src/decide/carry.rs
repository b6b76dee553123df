//! What the delivery does next, from what it has just heard.
//!
//! Reads, calls and the disk are the delivery's; which of them comes next is decided here, without a clock
//! and without a network, so that every order of answers, losses and crashes can be tried out. The rules: a
//! flag is read before anything is sent, also after a crash; nothing is sent again once the service has said
//! "done"; and somebody who changed the flag after our call wins.

use super::decision::{DecisionState, FailureReason};

/// What a read said of the flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// In the safe state.
    Safe,
    /// Not in the safe state.
    Exposed,
    /// Not in the safe state, and its last change is somebody else's and later than our decision.
    Overruled {
        /// Who, in the service's words.
        by: String,
    },
    /// It is not as the step of a probation before this one left it: it is somebody's now.
    Changed {
        /// Who, in the service's words.
        by: String,
    },
    /// The service cannot say.
    Silent,
    /// A retry will not change the answer.
    Refused {
        /// The class of the answer.
        reason: FailureReason,
        /// The service's words.
        detail: String,
    },
    /// No answer that tells anything.
    Failed {
        /// The words.
        detail: String,
    },
}

/// How much is left to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tries {
    /// Calls that may be made in all.
    pub max_attempts: u32,
    /// The decision is too old to act on.
    pub is_late: bool,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// This attempt goes into the journal, and then leaves.
    Send(u32),
    /// The flag is read again after a while.
    Again,
    /// It has ended.
    End(DecisionState),
}

/// A round's first read, of a decision in `state`.
pub fn after_read(state: &DecisionState, look: Look, tries: Tries) -> Next {
    let sent = state.attempt();
    let fail = |reason, detail: String| Next::End(DecisionState::Failed { reason, detail });
    match look {
        Look::Safe => Next::End(DecisionState::Confirmed {
            verified: true,
            already_off: sent == 0,
        }),
        Look::Refused { reason, detail } => fail(reason, detail),
        Look::Failed { .. } => Next::Again,
        Look::Changed { by } => fail(FailureReason::Overruled, taken_over(&by)),
        Look::Overruled { by } if sent > 0 => fail(
            FailureReason::Overruled,
            format!("{by} changed the flag after the call, and it is exposed; that stands"),
        ),
        Look::Exposed | Look::Silent | Look::Overruled { .. } if tries.is_late => fail(
            FailureReason::Expired,
            "decided too long ago to act on; the rule decides anew when it still holds".to_owned(),
        ),
        Look::Exposed | Look::Silent | Look::Overruled { .. } if sent >= tries.max_attempts => fail(
            FailureReason::Unreachable,
            format!("still on after {sent} attempts; switch the flag by hand"),
        ),
        Look::Exposed | Look::Silent | Look::Overruled { .. } => Next::Send(sent + 1),
    }
}

/// A read after the service has said "done"; `is_last` when nobody will ask again.
pub fn after_done(look: Look, is_last: bool) -> Next {
    let confirmed = |verified| {
        Next::End(DecisionState::Confirmed {
            verified,
            already_off: false,
        })
    };
    match look {
        Look::Safe => confirmed(true),
        Look::Silent | Look::Refused { .. } => confirmed(false),
        Look::Failed { .. } if is_last => confirmed(false),
        Look::Overruled { by } => Next::End(DecisionState::Failed {
            reason: FailureReason::Overruled,
            detail: format!("{by} changed the flag after the call, and it is exposed; that stands"),
        }),
        Look::Changed { by } => Next::End(DecisionState::Failed {
            reason: FailureReason::Overruled,
            detail: taken_over(&by),
        }),
        Look::Exposed if is_last => Next::End(DecisionState::Failed {
            reason: FailureReason::NotEffective,
            detail: "the service said done, and still reads as on; did somebody switch it on again?"
                .to_owned(),
        }),
        Look::Exposed | Look::Failed { .. } => Next::Again,
    }
}

fn taken_over(by: &str) -> String {
    format!("{by} has changed the flag since it was left on probation; that stands")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIES: Tries = Tries {
        max_attempts: 8,
        is_late: false,
    };

    #[test]
    fn nothing_is_sent_over_the_head_of_somebody_who_changed_the_flag_after_us() {
        let by = || Look::Overruled { by: "ann".to_owned() };
        assert_eq!(after_read(&DecisionState::Decided, by(), TRIES), Next::Send(1));
        let ended = after_read(&DecisionState::Sending { attempt: 1 }, by(), TRIES);
        assert!(
            matches!(
                &ended,
                Next::End(DecisionState::Failed {
                    reason: FailureReason::Overruled,
                    ..
                })
            ),
            "{ended:?}"
        );
        assert_eq!(
            after_read(&DecisionState::Sending { attempt: 1 }, Look::Exposed, TRIES),
            Next::Send(2)
        );
    }

    #[test]
    fn what_is_safe_is_confirmed_however_late_and_what_is_not_expires() {
        let late = Tries {
            is_late: true,
            ..TRIES
        };
        for state in [DecisionState::Decided, DecisionState::Sending { attempt: 8 }] {
            let already_off = state == DecisionState::Decided;
            let confirmed = DecisionState::Confirmed {
                verified: true,
                already_off,
            };
            assert_eq!(after_read(&state, Look::Safe, late), Next::End(confirmed));
            let next = after_read(&state, Look::Exposed, late);
            assert!(
                matches!(
                    &next,
                    Next::End(DecisionState::Failed {
                        reason: FailureReason::Expired,
                        ..
                    })
                ),
                "{next:?}"
            );
        }
    }
}
