//! The verdict: was it the guilty flag, and no other, and did the service come back?
//!
//! The flag service is the witness, not the gateway: what counts is which flags are off there, and when the
//! call arrived. The gateway's record is asked for the evidence, and must agree.

use super::flags::{FlagStates, OffCall};
use super::look::FlagLook;
use super::scene::{GUILTY, Phase};
use crate::decide::{Decision, DecisionState};
use crate::time::UnixNanos;

/// How the play ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The script came to its end.
    Played,
    /// The time was up in this phase.
    OutOfTime(Phase),
    /// Somebody stopped it.
    Interrupted,
}

/// Everything that the verdict weighs.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) ended: Ended,
    /// When it ended.
    pub(super) ended_at: UnixNanos,
    /// Calls that the flag service got.
    pub(super) calls: Vec<OffCall>,
    /// Flags at the flag service, at the end.
    pub(super) states: FlagStates,
    /// When the first request behind the guilty flag failed.
    pub(super) first_bad: Option<UnixNanos>,
    /// When the last one did.
    pub(super) last_bad: Option<UnixNanos>,
    /// How many did.
    pub(super) failures: u64,
    /// Requests that the shop served.
    pub(super) requests: u64,
    /// The gateway's record.
    pub(super) decisions: Vec<Decision>,
    /// All flags as they stood when the first one was switched.
    pub(super) at_kill: Vec<FlagLook>,
}

/// Why the demo failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    #[error("it was interrupted")]
    Interrupted,
    #[error("no flag was switched off")]
    NothingSwitched,
    #[error("{GUILTY} is guilty and still on")]
    GuiltyOn,
    #[error("{0} was switched off and is innocent")]
    Innocent(String),
    #[error("{GUILTY} was switched off before any of its requests failed")]
    TooEarly,
    #[error("the service did not recover in time")]
    NotRecovered,
    #[error("the shop never opened: the gateway did not count every service")]
    NeverOpened,
    #[error("time was up before the fault came; give it more --seconds")]
    NoFault,
    #[error("the gateway's record of {GUILTY} is {0}, not confirmed")]
    NotOnRecord(String),
}

/// What went right.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Success {
    /// From the first failed request to the call that switched the flag off.
    pub(super) off_after_secs: f64,
    /// From there to the last failed request.
    pub(super) quiet_after_secs: f64,
}

impl Outcome {
    /// Everything that speaks against a success, or the success.
    pub(super) fn verdict(&self) -> Result<Success, Vec<Failure>> {
        let mut failures = self.of_the_end();
        failures.extend(self.of_the_flags());
        let times = self.call_on_guilty().zip(self.first_bad);
        if times.is_some_and(|(call, first)| call.at < first) {
            failures.push(Failure::TooEarly);
        }
        match times {
            Some((call, first)) if failures.is_empty() => Ok(Success {
                off_after_secs: seconds(first, call.at),
                quiet_after_secs: self.last_bad.map_or(0.0, |last| seconds(call.at, last)),
            }),
            None if failures.is_empty() => Err(vec![Failure::TooEarly]),
            _ => Err(failures),
        }
    }

    fn of_the_end(&self) -> Vec<Failure> {
        match self.ended {
            Ended::Played => vec![],
            Ended::Interrupted => vec![Failure::Interrupted],
            Ended::OutOfTime(Phase::Opening) => vec![Failure::NeverOpened],
            Ended::OutOfTime(Phase::Calm) => vec![Failure::NoFault],
            Ended::OutOfTime(Phase::Failing) => vec![],
            Ended::OutOfTime(Phase::Recovering | Phase::Recovered) => vec![Failure::NotRecovered],
        }
    }

    fn of_the_flags(&self) -> Vec<Failure> {
        let off: Vec<&String> = self
            .states
            .iter()
            .filter(|(_, on)| !**on)
            .map(|(flag, _)| flag)
            .collect();
        if off.is_empty() {
            return vec![Failure::NothingSwitched];
        }
        let innocent = off.iter().filter(|flag| flag.as_str() != GUILTY);
        let mut failures: Vec<Failure> = innocent.map(|flag| Failure::Innocent((*flag).clone())).collect();
        if off.iter().any(|flag| flag.as_str() == GUILTY) {
            match self.record().map(|d| &d.state) {
                Some(DecisionState::Confirmed { .. }) => {}
                other => {
                    let state = other.map_or("missing", DecisionState::as_str);
                    failures.push(Failure::NotOnRecord(state.to_owned()));
                }
            }
        } else {
            failures.push(Failure::GuiltyOn);
        }
        failures
    }

    fn call_on_guilty(&self) -> Option<&OffCall> {
        self.calls.iter().find(|c| c.flag == GUILTY && c.status == 200)
    }

    fn record(&self) -> Option<&Decision> {
        self.decisions.iter().find(|d| d.flag == GUILTY)
    }

    /// The end of the story, in lines.
    pub(super) fn summary(&self) -> Vec<String> {
        let mut lines = Vec::new();
        match self.verdict() {
            Ok(success) => {
                lines.push(format!(
                    "PASSED: {GUILTY} alone was switched off, {:.1} s after its first bad span.",
                    success.off_after_secs
                ));
                lines.extend(self.evidence());
                lines.extend(self.neighbours());
                let quiet = self.last_bad.map_or(0.0, |last| seconds(last, self.ended_at));
                lines.push(format!(
                    "  recovery  last failed request {:.1} s after the call, none in the {quiet:.0} s since",
                    success.quiet_after_secs
                ));
                let (failures, requests) = (self.failures, self.requests);
                lines.push(format!(
                    "  traffic   {failures} of {requests} requests failed behind the flag"
                ));
            }
            Err(failures) => {
                for failure in failures {
                    lines.push(format!("FAILED: {failure}."));
                }
                lines.extend(self.evidence());
                lines.extend(self.neighbours());
                for call in self.calls.iter().filter(|c| c.status != 200) {
                    lines.push(format!(
                        "  call      for {:?} was answered {}",
                        call.flag, call.status
                    ));
                }
            }
        }
        lines
    }

    fn evidence(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for decision in &self.decisions {
            let e = &decision.evidence;
            let total = |c: crate::ledger::Counts| c.good.saturating_add(c.bad);
            let sha = e.sha.as_deref().unwrap_or("no sha");
            let (flag, state) = (&decision.flag, decision.state.as_str());
            let (variant, service, slo) = (&e.variant, &e.service, &e.slo);
            lines.push(format!(
                "  decision  {flag}={variant} at {service} ({slo}, sha {sha}): {state}"
            ));
            let (burn, above, window, held) = (e.burn, e.burn_above, e.window_secs, e.held_secs);
            lines.push(format!(
                "  evidence  burn {burn:.1} in {window} s, above {above} for {held} s"
            ));
            let (with, without) = (total(e.cohort), total(e.control));
            let (bad, control_bad) = (e.cohort.bad, e.control.bad);
            lines.push(format!(
                "            bad: {bad} of {with} with it, {control_bad} of {without} without"
            ));
        }
        lines
    }

    fn neighbours(&self) -> Vec<String> {
        let kept = self
            .at_kill
            .iter()
            .filter(|f| f.name != GUILTY && self.states.get(f.name).is_some_and(|on| *on));
        kept.map(|flag| {
            format!(
                "  left on   {:<12}  burn {:.1}, but only {:.2} times as bad as without it",
                flag.name,
                flag.burn_on.unwrap_or(0.0),
                flag.contrast.unwrap_or(0.0),
            )
        })
        .collect()
    }
}

/// Seconds from `earlier` to `later`, with fractions; negative never.
pub(super) fn seconds(earlier: UnixNanos, later: UnixNanos) -> f64 {
    later.0.saturating_sub(earlier.0) as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::Evidence;
    use crate::ledger::Counts;

    fn at(secs: u64) -> UnixNanos {
        UnixNanos::from_secs(1_000_000 + secs)
    }

    fn decision(flag: &str) -> Decision {
        Decision {
            id: format!("kill-{flag}-1"),
            exporter: "webhook/flags".into(),
            environment: "production".into(),
            flag: flag.into(),
            deployment: None,
            action: crate::decide::Action::default(),
            actor: crate::decide::Actor::default(),
            life: crate::decide::Life::default(),
            incident: 1,
            decided_at: at(8),
            updated_at: at(8),
            evidence: Evidence {
                service: "checkout".into(),
                slo: "availability".into(),
                environment: Some("production".into()),
                sha: Some("b7e03d5".into()),
                flag: flag.into(),
                variant: "on".into(),
                window_secs: 30,
                from: at(0),
                to: at(8),
                burn: 21.25,
                burn_above: 7.0,
                held_secs: 5,
                cohort: Counts { good: 500, bad: 60 },
                control: Counts { good: 560, bad: 0 },
                contrast: None,
                proof: None,
                signatures: crate::ledger::TopSignatures::default(),
            },
            state: DecisionState::Confirmed {
                verified: false,
                already_off: false,
            },
            history: vec![],
        }
    }

    fn call(flag: &str, status: u16) -> OffCall {
        OffCall {
            at: at(8),
            flag: flag.into(),
            reason: "burn-rate>7x/30s".into(),
            status,
        }
    }

    /// An outcome in which exactly `off` were switched off, the fault at 2 s.
    fn outcome(off: &[&str]) -> Outcome {
        let states = super::super::scene::FLAGS.map(|f| (f.to_owned(), !off.contains(&f)));
        Outcome {
            ended: Ended::Played,
            ended_at: at(30),
            calls: off.iter().map(|f| call(f, 200)).collect(),
            states: states.into_iter().collect(),
            first_bad: Some(at(2)),
            last_bad: Some(at(9)),
            failures: 130,
            requests: 9000,
            decisions: off.iter().map(|f| decision(f)).collect(),
            at_kill: vec![],
        }
    }

    #[test]
    fn the_guilty_flag_alone_passes_and_the_time_is_told() {
        let verdict = outcome(&[GUILTY]).verdict();
        assert_eq!(
            verdict,
            Ok(Success {
                off_after_secs: 6.0,
                quiet_after_secs: 1.0
            })
        );
        let summary = outcome(&[GUILTY]).summary().join("\n");
        for word in [
            "PASSED",
            GUILTY,
            "6.0 s",
            "burn 21.2",
            "60 of 560",
            "0 of 560",
            "b7e03d5",
        ] {
            assert!(summary.contains(word), "{word} in {summary}");
        }
    }

    #[test]
    fn nothing_switched_fails() {
        assert_eq!(outcome(&[]).verdict(), Err(vec![Failure::NothingSwitched]));
        let late = Outcome {
            ended: Ended::OutOfTime(Phase::Failing),
            ..outcome(&[])
        };
        assert_eq!(late.verdict(), Err(vec![Failure::NothingSwitched]));
    }

    #[test]
    fn another_flag_fails_with_and_without_the_guilty_one() {
        let innocent = Failure::Innocent("dark-mode".into());
        assert_eq!(
            outcome(&[GUILTY, "dark-mode"]).verdict(),
            Err(vec![innocent.clone()])
        );
        assert_eq!(
            outcome(&["dark-mode"]).verdict(),
            Err(vec![innocent, Failure::GuiltyOn])
        );
        assert!(outcome(&["dark-mode"]).summary()[0].contains("dark-mode was switched off and is innocent"));
    }

    #[test]
    fn a_service_that_does_not_recover_fails() {
        let ill = Outcome {
            ended: Ended::OutOfTime(Phase::Recovering),
            ..outcome(&[GUILTY])
        };
        assert_eq!(ill.verdict(), Err(vec![Failure::NotRecovered]));
    }

    #[test]
    fn an_interrupted_demo_fails_whatever_was_done() {
        let cut = Outcome {
            ended: Ended::Interrupted,
            ..outcome(&[GUILTY])
        };
        assert_eq!(cut.verdict(), Err(vec![Failure::Interrupted]));
    }

    #[test]
    fn a_kill_before_the_fault_fails() {
        let early = Outcome {
            first_bad: Some(at(20)),
            ..outcome(&[GUILTY])
        };
        assert_eq!(early.verdict(), Err(vec![Failure::TooEarly]));
        let never = Outcome {
            first_bad: None,
            ..outcome(&[GUILTY])
        };
        assert_eq!(never.verdict(), Err(vec![Failure::TooEarly]));
    }

    #[test]
    fn a_record_that_disagrees_fails() {
        let mut open = outcome(&[GUILTY]);
        open.decisions[0].state = DecisionState::Sending { attempt: 1 };
        assert_eq!(open.verdict(), Err(vec![Failure::NotOnRecord("sending".into())]));
        open.decisions.clear();
        assert_eq!(open.verdict(), Err(vec![Failure::NotOnRecord("missing".into())]));
    }

    #[test]
    fn refused_calls_are_told() {
        let mut refused = outcome(&[]);
        refused.calls = vec![call(GUILTY, 401)];
        assert!(refused.summary().join("\n").contains("was answered 401"));
    }
}
