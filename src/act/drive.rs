//! One decision from `Decided` to its end: read, record, send, read.
//!
//! A round begins with a read, so that the first round finds a flag that is off already, a round after a
//! timeout finds out what the lost call did, and a round after a restart never sends blind. `Sending` is in
//! the journal before bytes leave; when the journal cannot be written, nothing is sent. After the service has
//! said "done" nothing is sent again: a flag that then reads as on was switched on by somebody, or is not the
//! one we switched; both are for a human. Which step follows is decided in `decide::carry`; here it is done.

use super::backoff::Pacing;
use super::breaker::Breaker;
use super::decisions::{Decisions, Work, note};
use super::exporter::{Actuator, Exporters, Reading};
use super::journal::{DecisionLog, JournalError};
use super::lease::Lease;
use super::probation;
use super::trouble::Trouble;
use super::watch::seen;
use crate::decide::{
    Action, Decision, DecisionState, FailureReason, LifeRules, Look, Next as Step, Tries, after_done,
    after_read,
};
use crate::time::Clock;
use arc_swap::ArcSwap;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Reads after a "done" before the flag is believed to be still on: caches and replicas lag by seconds.
const VERIFY_READS: u32 = 6;

/// What every driver shares.
pub(crate) struct Shared<A> {
    pub(crate) outlets: ArcSwap<Outlets<A>>,
    pub(crate) log: Arc<dyn DecisionLog>,
    pub(crate) lease: Arc<dyn Lease>,
    pub(crate) rules: ArcSwap<LifeRules>,
    pub(crate) decisions: Decisions,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) pacing: Pacing,
    pub(crate) stopping: watch::Receiver<bool>,
}

/// Where decisions can go, and how each of these places does. A reload swaps them as a whole; a round under
/// way finishes with those that it began with.
pub(crate) struct Outlets<A> {
    pub(crate) exporters: Arc<Exporters<A>>,
    pub(crate) breakers: BTreeMap<String, Breaker>,
}

impl<A: Actuator> Outlets<A> {
    pub(crate) fn new(exporters: Arc<Exporters<A>>, pacing: &Pacing) -> Self {
        let breakers = exporters
            .ids()
            .map(|id| (id.to_owned(), Breaker::new(id, pacing)))
            .collect();
        Self { exporters, breakers }
    }
}

/// One decision at work.
pub(crate) struct Drive<A> {
    shared: Arc<Shared<A>>,
    work: Work,
    /// Rounds that failed, in this process and (as far as they sent) before.
    rounds: u32,
}

/// What comes after a round.
enum Next {
    /// The decision has ended, or the journal must be asked again later.
    Leave,
    /// Another round after this wait.
    Again(Duration),
}

/// Why a state was not taken on.
enum NotWritten {
    /// The journal did not take it, or the lease is another's.
    Failed,
    /// Somebody changed the decision before.
    Overtaken,
}

impl<A: Actuator> Drive<A> {
    /// Carries the decision as far as it goes. What is left is picked up by the next scan.
    pub(crate) async fn run(shared: Arc<Shared<A>>, id: String) {
        let Some(work) = shared.decisions.work(&id) else {
            return;
        };
        let rounds = work.decision.state.attempt();
        let mut drive = Self { shared, work, rounds };
        loop {
            let Some(work) = drive.shared.decisions.work(&id) else {
                return;
            };
            drive.work = work;
            if !drive.work.stored {
                match drive.persist().await {
                    Err(NotWritten::Failed) => return,
                    Ok(()) | Err(NotWritten::Overtaken) => continue,
                }
            }
            if drive.work.decision.state.is_at_rest() {
                return;
            }
            match drive.round().await {
                Next::Leave => return,
                Next::Again(wait) => {
                    if drive.stopped_during(wait).await {
                        return;
                    }
                }
            }
        }
    }

    async fn round(&mut self) -> Next {
        let shared = Arc::clone(&self.shared);
        let id = self.work.decision.exporter.clone();
        let outlets = shared.outlets.load_full();
        let (Some(exporter), Some(breaker)) = (outlets.exporters.get(&id), outlets.breakers.get(&id)) else {
            let detail = format!("the exporter `{id}` is not configured any more; switch the flag by hand");
            return self.fail(FailureReason::Rejected, detail).await;
        };
        if *shared.stopping.borrow() {
            return Next::Leave;
        }
        if let Some(wait) = breaker.wait(Instant::now()) {
            if self.late() {
                let detail = "the service did not answer for the whole time; switch the flag by hand";
                return self.fail(FailureReason::Unreachable, detail.to_owned()).await;
            }
            return Next::Again(wait.min(self.time_left()));
        }
        if matches!(self.work.decision.state, DecisionState::Verifying { .. }) {
            // The last process heard "done", and no more.
            return self.verify(exporter).await;
        }
        let read = exporter.read_back(&self.work.decision, shared.clock.now()).await;
        count_health(breaker, read.as_ref().err());
        let reading = match read {
            Ok(reading) => reading,
            Err(trouble) => return self.trouble("read", trouble).await,
        };
        let version = reading.as_ref().and_then(|reading| reading.version.clone());
        if let Some(step) = &mut self.work.decision.life.probation {
            probation::note_former(step, reading.as_ref());
        }
        let look = match seen(&shared, exporter, &self.work.decision, reading).await {
            Ok(look) => look,
            Err(trouble) => return self.trouble("read", trouble).await,
        };
        let tries = Tries {
            max_attempts: shared.pacing.max_attempts,
            is_late: self.late(),
        };
        match after_read(&self.work.decision.state, look.clone(), tries) {
            Step::Send(attempt) => self.send(exporter, breaker, (attempt, version)).await,
            Step::End(state) => {
                let words = end_words(&state, self.work.decision.state.attempt());
                self.end(state, &look, words).await
            }
            Step::Again => Next::Again(shared.pacing.wait(self.rounds + 1)),
        }
    }

    async fn send(
        &mut self,
        exporter: &A,
        breaker: &Breaker,
        (attempt, version): (u32, Option<String>),
    ) -> Next {
        let before = self.work.decision.clone();
        let life = &mut self.work.decision.life;
        life.attempts = attempt;
        life.version.clone_from(&version);
        let state = DecisionState::Sending { attempt };
        match self
            .transition(state, format!("sending, attempt {attempt}"))
            .await
        {
            Ok(()) => {}
            Err(NotWritten::Overtaken) => return Next::Again(Duration::ZERO),
            Err(NotWritten::Failed) => {
                // Not in the journal, so nothing leaves, and the decision stands where it stood.
                self.work.decision = before;
                self.shared.decisions.update(&self.work.decision, false);
                return Next::Leave;
            }
        }
        // The row may have taken long to write, and the lease may be another's by now: who holds it reads the
        // flag before anything else.
        if self.shared.lease.fence() != Some(self.work.decision.life.fence) {
            tracing::error!(decision = %self.work.decision.id, "the lease was lost before a call; nothing is sent");
            return Next::Leave;
        }
        let outcome = exporter
            .carry_out(&self.work.decision, version.as_deref(), self.shared.clock.now())
            .await;
        count_health(breaker, outcome.as_ref().err());
        match outcome {
            Ok(()) => {
                let state = DecisionState::Verifying { attempt };
                // Harmless when it cannot be written: the next process reads the flag in any case.
                let _ = self.transition(state, "the service says done".to_owned()).await;
                self.verify(exporter).await
            }
            Err(trouble) => self.trouble("call", trouble).await,
        }
    }

    /// The service has said "done": reads until it agrees with itself.
    async fn verify(&mut self, exporter: &A) -> Next {
        for read in 1..=VERIFY_READS {
            let reading = exporter
                .read_back(&self.work.decision, self.shared.clock.now())
                .await;
            let look = self.looked(exporter, reading).await;
            match after_done(look.clone(), read == VERIFY_READS) {
                Step::End(state) => {
                    let words = match &look {
                        Look::Safe => format!("{}, read back", self.work.decision.action),
                        Look::Refused { detail, .. } | Look::Failed { detail } => {
                            format!("done, but not read back: {detail}")
                        }
                        _ => end_words(&state, 1),
                    };
                    return self.end(state, &look, words).await;
                }
                Step::Again | Step::Send(_) => {}
            }
            let wait = self.shared.pacing.first.saturating_mul(2u32.pow(read - 1)) / 2;
            if self.stopped_during(wait).await {
                return Next::Leave;
            }
        }
        Next::Leave
    }

    async fn looked(&self, exporter: &A, reading: Result<Option<Reading>, Trouble>) -> Look {
        let look = match reading {
            Ok(reading) => seen(&self.shared, exporter, &self.work.decision, reading).await,
            Err(trouble) => Err(trouble),
        };
        match look {
            Ok(look) => look,
            Err(Trouble::Permanent { reason, detail }) => Look::Refused { reason, detail },
            Err(Trouble::Retry { detail, .. }) => Look::Failed { detail },
        }
    }

    async fn trouble(&mut self, what: &str, trouble: Trouble) -> Next {
        let (after, detail) = match trouble {
            Trouble::Permanent { reason, detail } => return self.fail(reason, detail).await,
            Trouble::Retry { after, detail, .. } => (after, detail),
        };
        self.rounds += 1;
        let now = self.shared.clock.now();
        let d = &mut self.work.decision;
        d.tell(now, format!("{what} failed: {detail}"));
        tracing::warn!(
            decision = %d.id, exporter = %d.exporter, flag = %d.flag, round = self.rounds, %detail,
            "a call of a kill switch failed; it will be tried again"
        );
        let wait = after.unwrap_or_else(|| self.shared.pacing.wait(self.rounds));
        if self.rounds >= self.shared.pacing.max_attempts || self.late() {
            return self.fail(FailureReason::Unreachable, detail).await;
        }
        if wait > self.time_left() {
            let detail = format!(
                "asked to wait {} s, longer than a decision lives: {detail}",
                wait.as_secs()
            );
            return self.fail(FailureReason::Unreachable, detail).await;
        }
        self.show().await;
        Next::Again(wait)
    }

    async fn end(&mut self, state: DecisionState, look: &Look, words: String) -> Next {
        if let Look::Overruled { by } | Look::Changed { by } = look
            && matches!(
                state,
                DecisionState::Failed {
                    reason: FailureReason::Overruled,
                    ..
                }
            )
        {
            let (now, hold_secs) = (self.shared.clock.now(), self.shared.rules.load().hold_secs);
            self.work.decision.hold(now, hold_secs, by);
        }
        let _ = self.transition(state, words).await;
        Next::Leave
    }

    async fn fail(&mut self, reason: FailureReason, detail: String) -> Next {
        let words = format!("failed: {detail}");
        let _ = self
            .transition(DecisionState::Failed { reason, detail }, words)
            .await;
        Next::Leave
    }

    /// Takes a new state: first the journal, then everybody else.
    async fn transition(&mut self, state: DecisionState, words: String) -> Result<(), NotWritten> {
        let now = self.shared.clock.now();
        note(&mut self.work.decision, now, words);
        self.work.decision.state = state;
        self.persist().await
    }

    async fn persist(&mut self) -> Result<(), NotWritten> {
        let shared = Arc::clone(&self.shared);
        if !shared.decisions.begin(&self.work.decision.id, self.work.seq) {
            return Err(NotWritten::Overtaken);
        }
        let written = self.record().await;
        self.work.seq = shared.decisions.update(&self.work.decision, written.is_ok());
        let d = &self.work.decision;
        match written {
            Ok(()) => {
                self.work.journal_failures = 0;
                if shared.decisions.is_news(d) {
                    report(d);
                }
                Ok(())
            }
            Err(error) => {
                metrics::counter!("burngate_journal_failures_total").increment(1);
                self.work.journal_failures = self.work.journal_failures.saturating_add(1);
                // Asked every second; said at 1, 2, 4, 8 ... failures.
                if self.work.journal_failures.is_power_of_two() {
                    tracing::error!(
                        decision = %d.id, flag = %d.flag, failures = self.work.journal_failures, %error,
                        "a decision cannot be written to the journal, so nothing is sent for it"
                    );
                }
                Err(NotWritten::Failed)
            }
        }
    }

    /// Writes the row under our fence; never over one of a later holder of the lease.
    async fn record(&mut self) -> Result<(), JournalError> {
        let life = &mut self.work.decision.life;
        match self.shared.lease.fence() {
            Some(fence) if fence >= life.fence => life.fence = fence,
            Some(_) => {
                return Err(JournalError(
                    "a later process has taken the decision on".to_owned(),
                ));
            }
            None => return Err(JournalError("the lease is not ours".to_owned())),
        }
        record(&self.shared.log, &self.work.decision).await
    }

    /// Shows what happened within a state: whoever looks during an outage must see the attempts, also after
    /// a crash. What the journal does not take now goes with the next state.
    async fn show(&mut self) {
        let shared = Arc::clone(&self.shared);
        if shared.decisions.begin(&self.work.decision.id, self.work.seq) {
            let written = self.record().await;
            self.work.seq = shared.decisions.update(&self.work.decision, written.is_ok());
        }
    }

    fn late(&self) -> bool {
        Instant::now() >= self.work.deadline
    }

    fn time_left(&self) -> Duration {
        self.work.deadline.saturating_duration_since(Instant::now())
    }

    /// Waits; true when the process is to end meanwhile.
    async fn stopped_during(&self, wait: Duration) -> bool {
        let mut stopping = self.shared.stopping.clone();
        tokio::time::timeout(wait, stopping.wait_for(|stop| *stop))
            .await
            .is_ok()
    }
}

/// Writes a row without holding up the runtime: the call returns when the row is on disk.
pub(crate) async fn record(log: &Arc<dyn DecisionLog>, decision: &Decision) -> Result<(), JournalError> {
    let (log, decision) = (Arc::clone(log), decision.clone());
    let write = tokio::task::spawn_blocking(move || log.record(&decision)).await;
    write.unwrap_or_else(|e| Err(JournalError(format!("the write did not end: {e}"))))
}

/// What the history says of an end that a read has shown.
fn end_words(state: &DecisionState, attempt: u32) -> String {
    match state {
        DecisionState::Confirmed {
            already_off: true, ..
        } => "was there already; nothing sent".to_owned(),
        DecisionState::Confirmed { verified: true, .. } if attempt > 0 => {
            "done, read back after an attempt without an answer".to_owned()
        }
        DecisionState::Failed { detail, .. } => format!("failed: {detail}"),
        _ => "done; it cannot be read back".to_owned(),
    }
}

/// Any answer at all shows that the service is there.
pub(crate) fn count_health(breaker: &Breaker, trouble: Option<&Trouble>) {
    if matches!(trouble, Some(Trouble::Retry { down: true, .. })) {
        breaker.failed(Instant::now());
    } else {
        breaker.succeeded();
    }
}

/// One log line and one count a state, after it is in the journal.
fn report(d: &Decision) {
    let e = &d.evidence;
    let state = d.state.as_str();
    metrics::counter!("burngate_decisions_total", "exporter" => d.exporter.clone(), "state" => state)
        .increment(1);
    if let DecisionState::Failed { reason, detail } = &d.state {
        if let Action::Expose { percent, .. } = d.action {
            tracing::warn!(
                decision = %d.id, exporter = %d.exporter, flag = %d.flag, environment = %d.environment,
                percent, ?reason, %detail, "the flag was not given back on probation"
            );
            return;
        }
        tracing::error!(
            decision = %d.id, exporter = %d.exporter, flag = %d.flag, environment = %d.environment,
            ?reason, %detail, "the flag was NOT switched off; a human must look"
        );
        return;
    }
    if let DecisionState::Confirmed { .. } = d.state {
        let secs = d.updated_at.0.saturating_sub(d.decided_at.0) as f64 / 1e9;
        metrics::histogram!("burngate_decision_seconds", "exporter" => d.exporter.clone()).record(secs);
    }
    tracing::info!(
        decision = %d.id, exporter = %d.exporter, flag = %d.flag, environment = %d.environment,
        action = %d.action, service = %e.service, slo = %e.slo, variant = %e.variant, sha = e.sha.as_deref().unwrap_or(""),
        burn = e.burn, above = e.burn_above, window_secs = e.window_secs,
        good = e.cohort.good, bad = e.cohort.bad, state, "decision"
    );
}
