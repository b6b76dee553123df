//! One decision from `Decided` to its end: read, record, send, read.
//!
//! A round begins with a read, so that the first round finds a flag that is off already, a round after a
//! timeout finds out what the lost call did, and a round after a restart never sends blind. `Sending` is in
//! the journal before bytes leave; when the journal cannot be written, nothing is sent. After the service has
//! said "done" nothing is sent again: a flag that then reads as on was switched on by somebody, or is not the
//! one we switched; both are for a human.

use super::backoff::Pacing;
use super::breaker::Breaker;
use super::decisions::{Decisions, Work, note};
use super::exporter::{Actuator, Exporters, FlagState};
use super::journal::{DecisionLog, JournalError};
use super::trouble::Trouble;
use crate::decide::{Decision, DecisionState, FailureReason};
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

impl<A: Actuator> Drive<A> {
    /// Carries the decision as far as it goes. What is left is picked up by the next scan.
    pub(crate) async fn run(shared: Arc<Shared<A>>, id: String) {
        let Some(work) = shared.decisions.work(&id) else {
            return;
        };
        let rounds = attempt_of(&work.decision.state);
        let mut drive = Self { shared, work, rounds };
        if !drive.work.stored && !drive.persist().await {
            return;
        }
        while !drive.work.decision.state.is_final() {
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
        let read = exporter.read_back(&self.work.decision, shared.clock.now()).await;
        count_health(breaker, read.as_ref().err());
        match read {
            Ok(Some(FlagState::Off)) => self.confirm_found_off().await,
            Ok(Some(FlagState::On) | None) => self.send(exporter, breaker).await,
            Err(trouble) => self.trouble("read", trouble).await,
        }
    }

    async fn send(&mut self, exporter: &A, breaker: &Breaker) -> Next {
        let sent = attempt_of(&self.work.decision.state);
        if self.late() {
            let detail = "decided too long ago to act on; the rule decides anew when it still holds";
            return self.fail(FailureReason::Expired, detail.to_owned()).await;
        }
        if sent >= self.shared.pacing.max_attempts {
            let detail = format!("still on after {sent} attempts; switch the flag by hand");
            return self.fail(FailureReason::Unreachable, detail).await;
        }
        let before = self.work.decision.clone();
        let state = DecisionState::Sending { attempt: sent + 1 };
        if !self
            .transition(state, format!("sending, attempt {}", sent + 1))
            .await
        {
            // Not in the journal, so nothing leaves, and the decision stands where it stood.
            self.work.decision = before;
            self.shared.decisions.update(&self.work.decision, false);
            return Next::Leave;
        }
        let outcome = exporter
            .switch_off(&self.work.decision, self.shared.clock.now())
            .await;
        count_health(breaker, outcome.as_ref().err());
        match outcome {
            Ok(()) => self.verify(exporter).await,
            Err(trouble) => self.trouble("call", trouble).await,
        }
    }

    /// The service has said "done": reads until it agrees with itself.
    async fn verify(&mut self, exporter: &A) -> Next {
        for read in 1..=VERIFY_READS {
            match exporter
                .read_back(&self.work.decision, self.shared.clock.now())
                .await
            {
                Ok(Some(FlagState::Off)) => return self.confirm(true, false, "off, read back").await,
                Ok(None) => return self.confirm(false, false, "the service says done").await,
                Ok(Some(FlagState::On)) if read == VERIFY_READS => {
                    let detail =
                        "the service said done, and still reads as on; did somebody switch it on again?";
                    return self.fail(FailureReason::NotEffective, detail.to_owned()).await;
                }
                Err(trouble) if read == VERIFY_READS || matches!(trouble, Trouble::Permanent { .. }) => {
                    return self
                        .confirm(false, false, &format!("done, but not read back: {trouble}"))
                        .await;
                }
                Ok(Some(FlagState::On)) | Err(_) => {}
            }
            let wait = self.shared.pacing.first.saturating_mul(2u32.pow(read - 1)) / 2;
            if self.stopped_during(wait).await {
                return Next::Leave;
            }
        }
        Next::Leave
    }

    /// Off before this round sent anything: by somebody else, or by a call of ours whose answer was lost.
    async fn confirm_found_off(&mut self) -> Next {
        if attempt_of(&self.work.decision.state) == 0 {
            return self.confirm(true, true, "was off already; nothing sent").await;
        }
        self.confirm(true, false, "off, read back after an attempt without an answer")
            .await
    }

    async fn trouble(&mut self, what: &str, trouble: Trouble) -> Next {
        let (after, detail) = match trouble {
            Trouble::Permanent { reason, detail } => return self.fail(reason, detail).await,
            Trouble::Retry { after, detail, .. } => (after, detail),
        };
        self.rounds += 1;
        let (d, now) = (&mut self.work.decision, self.shared.clock.now());
        note(d, now, format!("{what} failed: {detail}"));
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

    async fn confirm(&mut self, verified: bool, already_off: bool, words: &str) -> Next {
        self.transition(
            DecisionState::Confirmed {
                verified,
                already_off,
            },
            words.to_owned(),
        )
        .await;
        Next::Leave
    }

    async fn fail(&mut self, reason: FailureReason, detail: String) -> Next {
        let words = format!("failed: {detail}");
        self.transition(DecisionState::Failed { reason, detail }, words)
            .await;
        Next::Leave
    }

    /// Takes a new state: first the journal, then everybody else. False when the journal could not be
    /// written.
    async fn transition(&mut self, state: DecisionState, words: String) -> bool {
        let now = self.shared.clock.now();
        note(&mut self.work.decision, now, words);
        self.work.decision.state = state;
        self.persist().await
    }

    async fn persist(&mut self) -> bool {
        let written = record(&self.shared.log, &self.work.decision).await;
        let d = &self.work.decision;
        self.shared.decisions.update(d, written.is_ok());
        match written {
            Ok(()) => {
                self.work.journal_failures = 0;
                report(d);
                true
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
                false
            }
        }
    }

    /// Shows what happened within a state: whoever looks during an outage must see the attempts, also after
    /// a crash. What the journal does not take now goes with the next state.
    async fn show(&self) {
        let d = &self.work.decision;
        let written = record(&self.shared.log, d).await;
        self.shared.decisions.update(d, written.is_ok());
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

fn attempt_of(state: &DecisionState) -> u32 {
    match state {
        DecisionState::Sending { attempt } => *attempt,
        _ => 0,
    }
}

/// Any answer at all shows that the service is there.
fn count_health(breaker: &Breaker, trouble: Option<&Trouble>) {
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
        service = %e.service, slo = %e.slo, variant = %e.variant, sha = e.sha.as_deref().unwrap_or(""),
        burn = e.burn, above = e.burn_above, window_secs = e.window_secs,
        good = e.cohort.good, bad = e.cohort.bad, state, "decision"
    );
}
