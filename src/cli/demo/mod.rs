//! `burngate demo`: the whole job in one process, with no other software.
//!
//! A real gateway on a temporary store, a shop that sends it real OTLP, a flag service that its webhook
//! switches. One flag's code breaks; the demo passes only if the gateway switches that flag off, and no
//! other, and the shop recovers. So it is also a test of everything at once, which anybody can run.
//!
//! * [`scene`]: the script: who plays, what fails when.
//! * [`customers`], [`shop`], [`spans`]: the traffic.
//! * [`flags`]: the flag service and its client.
//! * [`stage`]: starts and ends everything.
//! * [`look`], [`story`], [`screen`] ([`view`], [`plain`]): what is shown.
//! * [`report`]: the verdict.

mod customers;
mod flags;
mod look;
mod plain;
mod report;
mod scene;
mod screen;
mod shop;
mod spans;
mod stage;
mod story;
mod view;

use super::{DemoArgs, EXIT_FAILURE, complain};
use crate::decide::{Decision, DecisionState};
use crate::telemetry::announce;
use crate::time::UnixNanos;
use flags::OffCall;
use look::{FlagLook, Look};
use report::{Ended, Outcome};
use scene::{FAILING_SERVICE, Facts, GUILTY, Phase, Scene};
use screen::Screen;
use stage::Stage;
use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;
use story::{Story, Tone};
use tokio::signal::unix::{SignalKind, signal};

/// Between two looks.
const MOMENT: Duration = Duration::from_millis(200);
/// Kept of `--seconds` for the end of everything.
const STRIKE_SECS: u64 = 3;
/// The last picture stays for so long before the terminal is given back.
const CURTAIN: Duration = Duration::from_secs(2);
/// Decisions that the summary looks at.
const DECISIONS_MAX: usize = 16;

/// Runs the demo; 0 only if the guilty flag, and no other, was switched off and the service recovered.
#[allow(clippy::needless_pass_by_value, reason = "the seam of all subcommands")]
pub fn run(args: DemoArgs) -> ExitCode {
    let stage = match Stage::set() {
        Ok(stage) => stage,
        Err(error) => {
            complain(&format!("burngate: the demo cannot start: {error}"));
            return ExitCode::from(EXIT_FAILURE);
        }
    };
    let mut screen = Screen::open(args.plain);
    let outcome = stage
        .runtime
        .block_on(Play::new(&stage, args.seconds).run(&mut screen));
    // The terminal goes back before anything is printed.
    drop(screen);
    let passed = outcome.verdict().is_ok();
    let log = if passed { vec![] } else { stage.log_tail() };
    stage.strike();
    for line in outcome.summary() {
        announce(&line);
    }
    if passed {
        return ExitCode::SUCCESS;
    }
    if outcome.ended != Ended::Interrupted {
        complain(&"The end of the gateway's log:");
        for line in log {
            complain(&line);
        }
    }
    ExitCode::from(EXIT_FAILURE)
}

/// One performance.
struct Play<'a> {
    stage: &'a Stage,
    scene: Scene,
    story: Story,
    calls_told: usize,
    decisions_seen: u64,
    decisions_told: BTreeSet<String>,
    at_kill: Vec<FlagLook>,
}

impl<'a> Play<'a> {
    fn new(stage: &'a Stage, limit_secs: u64) -> Self {
        let now = stage.clock.now();
        let api = format!("http://{}/api/v1/budgets", stage.api);
        let mut story = Story::new(now, limit_secs, api);
        story.tell(
            now,
            Tone::Plain,
            format!("the gateway takes OTLP/gRPC on {}", stage.otlp),
        );
        story.tell(
            now,
            Tone::Plain,
            format!("the flag service waits for POST {}", stage.flags.disable_url()),
        );
        Self {
            stage,
            scene: Scene::new(now),
            story,
            calls_told: 0,
            decisions_seen: 0,
            decisions_told: BTreeSet::new(),
            at_kill: Vec::new(),
        }
    }

    /// Plays to the end, the limit or an interruption.
    async fn run(mut self, screen: &mut Screen) -> Outcome {
        let mut beat = tokio::time::interval(MOMENT);
        let deadline = self
            .story
            .began
            .plus_secs(self.story.limit_secs.saturating_sub(STRIKE_SECS));
        let stopped = stopped();
        tokio::pin!(stopped);
        let ended = loop {
            tokio::select! {
                () = &mut stopped => break Ended::Interrupted,
                _ = beat.tick() => {}
            }
            let now = self.stage.clock.now();
            self.moment(now);
            screen.show(&self.story);
            if screen.wants_out() {
                break Ended::Interrupted;
            }
            if self.scene.phase() == Phase::Recovered {
                break Ended::Played;
            }
            if now >= deadline {
                break Ended::OutOfTime(self.scene.phase());
            }
        };
        let outcome = self.outcome(ended);
        if ended == Ended::Played && matches!(screen, Screen::View(_)) {
            tokio::time::sleep(CURTAIN).await;
        }
        outcome
    }

    /// One look at everything, one step of the script.
    fn moment(&mut self, now: UnixNanos) {
        let states = self.stage.flags.states();
        let look = Look::take(self.stage.gateway.board(), &states);
        let ledger = self.stage.shop.ledger();
        let facts = Facts {
            every_service_seen: look.every_service_seen(),
            guilty_off: states.get(GUILTY) == Some(&false),
            any_off: states.values().any(|on| !on),
            last_bad: ledger.last_bad(),
            short_burn: look.short_burn(),
        };
        self.story.see(now, look);
        self.tell_decisions();
        self.tell_calls();
        if let Some(phase) = self.scene.step(now, &facts) {
            self.story.phase = phase;
            self.enter(now, phase);
        }
    }

    fn enter(&mut self, now: UnixNanos, phase: Phase) {
        let (tone, text) = match phase {
            Phase::Opening => return,
            Phase::Calm => (
                Tone::Plain,
                "the gateway has counted all three services; all is well".to_owned(),
            ),
            Phase::Failing => {
                self.stage.shop.break_guilty();
                (
                    Tone::Bad,
                    format!("a bug: a third of the requests with {GUILTY} fail from now on"),
                )
            }
            Phase::Recovering => (
                Tone::Plain,
                "the shop's flag clients learn of it within a second".to_owned(),
            ),
            Phase::Recovered => (Tone::Good, format!("{FAILING_SERVICE} has recovered")),
        };
        self.story.tell(now, tone, text);
    }

    /// Tells a decision when it is first seen, and again only if it fails.
    fn tell_decisions(&mut self) {
        let (seen, changed) = self.stage.gateway.decisions().changed_since(self.decisions_seen);
        self.decisions_seen = seen;
        for decision in changed {
            if let DecisionState::Failed { detail, .. } = &decision.state {
                let text = format!("the decision on {} failed: {detail}", decision.flag);
                self.story.tell(decision.updated_at, Tone::Bad, text);
            } else if self.decisions_told.insert(decision.id.clone()) {
                self.story.tell(decision.decided_at, Tone::Plain, told(&decision));
            }
        }
    }

    fn tell_calls(&mut self) {
        let calls = self.stage.flags.calls();
        for call in calls.iter().skip(self.calls_told) {
            if self.at_kill.is_empty() {
                self.at_kill.clone_from(&self.story.look.flags);
            }
            let (flag, reason) = (&call.flag, &call.reason);
            let called = format!("the webhook calls for {flag}, reason {reason}");
            self.story.tell(call.at, Tone::Plain, called);
            let since = self
                .stage
                .shop
                .ledger()
                .first_bad()
                .map(|first| report::seconds(first, call.at));
            self.story.tell(call.at, tone(call), answered(call, since));
        }
        self.calls_told = calls.len();
    }

    fn outcome(&self, ended: Ended) -> Outcome {
        let ledger = self.stage.shop.ledger();
        Outcome {
            ended,
            ended_at: self.stage.clock.now(),
            calls: self.stage.flags.calls(),
            states: self.stage.flags.states(),
            first_bad: ledger.first_bad(),
            last_bad: ledger.last_bad(),
            failures: ledger.guilty_failures(),
            requests: ledger.requests(),
            decisions: self.stage.gateway.decisions().snapshot(DECISIONS_MAX),
            at_kill: self.at_kill.clone(),
        }
    }
}

fn told(decision: &Decision) -> String {
    let e = &decision.evidence;
    let total = e.cohort.good.saturating_add(e.cohort.bad);
    let sha = e.sha.as_deref().unwrap_or("-");
    let (flag, burn, bad) = (&decision.flag, e.burn, e.cohort.bad);
    format!("decision: {flag} burns {burn:.1} on {sha}, {bad} of {total} bad")
}

fn tone(call: &OffCall) -> Tone {
    if call.status == 200 && call.flag == GUILTY {
        Tone::Good
    } else {
        Tone::Bad
    }
}

fn answered(call: &OffCall, since_first_bad: Option<f64>) -> String {
    let OffCall { flag, status, .. } = call;
    match since_first_bad {
        Some(secs) if *status == 200 => format!("{flag} is OFF, {secs:.1} s after its first bad span"),
        _ if *status == 200 => format!("{flag} is OFF, and nothing had failed"),
        _ => format!("a call to switch off {flag:?} was answered {status}"),
    }
}

/// Resolves at Ctrl-C or SIGTERM.
async fn stopped() {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        // Without handlers the signals do what they always do.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
