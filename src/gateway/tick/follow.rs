//! What happens to decisions besides their delivery: people's hands, conditions that clear, effects, holds.

use super::Tick;
use crate::act::{AmendError, DeskError, HandRequest};
use crate::decide::{Decision, Event, GATEWAY, HandError, HandKill, HandRelease, HandVote, released, voted};
use crate::time::UnixNanos;
use std::collections::BTreeSet;

impl Tick {
    /// Does what people ask for, one after the other.
    pub(super) fn answer_hands(&mut self, now: UnixNanos) {
        let waiting = self.desk.take();
        if waiting.is_empty() {
            return;
        }
        self.learn();
        for it in waiting {
            let kind = it.request.as_str();
            let answer = match &it.request {
                HandRequest::Kill(asked) => self.kill_by_hand(now, asked),
                HandRequest::Release(asked) => self.release(now, asked),
                HandRequest::Vote(vote) => self.vote(now, vote),
            };
            let outcome = if answer.is_ok() { "done" } else { "refused" };
            metrics::counter!("burngate_hand_requests_total", "kind" => kind, "outcome" => outcome)
                .increment(1);
            // Who asked may have gone away; what was done is in the journal.
            let _ = it.answer.send(answer);
            self.learn();
        }
    }

    fn kill_by_hand(&mut self, now: UnixNanos, asked: &HandKill) -> Result<Decision, DeskError> {
        let (decision, former) = self.decider.kill_by_hand(now, &self.policies, asked)?;
        if let Some(former) = former {
            self.close_former(now, &former, &asked.by);
        }
        tracing::warn!(
            decision = %decision.id, flag = %decision.flag, environment = %decision.environment,
            by = %asked.by, reason = %asked.reason, "a kill by hand"
        );
        match self.decisions.submit(decision.clone()) {
            Ok(()) => Ok(decision),
            Err(error) => Err(DeskError::Busy(error.to_string())),
        }
    }

    /// The decision before a later one about the same flag.
    fn close_former(&mut self, now: UnixNanos, former: &str, by: &str) {
        let event = Event::Released {
            by: by.to_owned(),
            reason: "a later decision takes its place".to_owned(),
        };
        // Closed already, or written just now: then the next evaluation does it.
        let _ = self
            .decisions
            .amend(former, |d| d.apply(now, &self.rules, &event));
    }

    fn release(&mut self, now: UnixNanos, asked: &HandRelease) -> Result<Decision, DeskError> {
        let held = self.decider.held_by(asked)?;
        self.amend(&held.id, |d, rules| released(d, now, rules, asked))
    }

    fn vote(&mut self, now: UnixNanos, vote: &HandVote) -> Result<Decision, DeskError> {
        self.amend(&vote.decision, |d, rules| {
            if vote.approve && d.deployment.is_none() {
                self.decider.may_switch(&d.flag)?;
            }
            voted(d, now, rules, vote)
        })
    }

    fn amend(
        &self,
        id: &str,
        change: impl FnOnce(&mut Decision, &crate::decide::LifeRules) -> Result<(), HandError>,
    ) -> Result<Decision, DeskError> {
        let changed = self
            .decisions
            .amend(id, |d| change(d, &self.rules).map(|()| true));
        changed.map_err(|error| match error {
            AmendError::Unknown => HandError::NoDecision(id.to_owned()).into(),
            AmendError::Busy => DeskError::Busy(format!("decision {id} is being written")),
            AmendError::Refused(why) => why.into(),
        })
    }

    /// Tells decisions what was seen of them.
    pub(super) fn follow(&mut self, now: UnixNanos) {
        for (id, event) in self.decider.news(now) {
            // One that is being written hears of it at the next evaluation.
            let _ = self.decisions.amend(&id, |d| d.apply(now, &self.rules, &event));
        }
        let pending = self.decisions.pending();
        let last: BTreeSet<String> = self.decider.decisions().map(|d| d.id.clone()).collect();
        self.state.witness.keep(&pending);
        for decision in &pending {
            if decision.state.is_final() && !last.contains(&decision.id) {
                self.close_former(now, &decision.id, GATEWAY);
                continue;
            }
            let seen = self
                .state
                .witness
                .look(now, &self.rules, self.evaluator.board(), decision);
            let event = Event::Passed(seen);
            let _ = self
                .decisions
                .amend(&decision.id, |d| d.apply(now, &self.rules, &event));
        }
        self.learn();
    }
}
