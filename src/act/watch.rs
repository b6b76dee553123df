//! Looks at flags after they were switched, and writes nothing.
//!
//! A flag that was confirmed safe and reads as exposed was switched back. By whom the service says, where it
//! keeps a record; if it was not us, a human knows better than the rule, and the decision goes into hold.
//! Replicas lag, so a flag is believed to be exposed when it reads so several times in a row. One flag after
//! the other: this has a minute, and a service must not feel it.

use super::RuleTarget;
use super::drive::Shared;
use super::exporter::{Actuator, FlagState};
use super::probation;
use super::trouble::Trouble;
use crate::decide::{Action, Decision, DecisionState, Event, Look, Phase};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

/// Reads that must agree, and the time between them.
const READS: u32 = 3;
const BETWEEN: Duration = Duration::from_secs(3);

/// Looks at all of them, again and again.
pub(super) async fn watch<A: Actuator>(shared: Arc<Shared<A>>) {
    let mut timer = interval(shared.pacing.watch_every);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick comes at once, and after a restart that is when to look.
    loop {
        timer.tick().await;
        let watched = shared.decisions.pending().into_iter().filter(is_watched);
        for decision in watched {
            look(&shared, &decision).await;
        }
    }
}

fn is_watched(d: &Decision) -> bool {
    matches!(d.state, DecisionState::Confirmed { .. })
        && matches!(
            d.life.phase,
            Phase::EffectCheck { .. }
                | Phase::Cooldown { .. }
                | Phase::Escalated { .. }
                | Phase::Probation { .. }
        )
}

async fn look<A: Actuator>(shared: &Shared<A>, decision: &Decision) {
    let outlets = shared.outlets.load_full();
    let id = &decision.exporter;
    let (Some(exporter), Some(breaker)) = (outlets.exporters.get(id), outlets.breakers.get(id)) else {
        return;
    };
    for read in 1..=READS {
        if breaker.wait(Instant::now()).is_some() {
            return;
        }
        let seen = exporter.read_back(decision, shared.clock.now()).await;
        super::drive::count_health(breaker, seen.as_ref().err());
        let is_exposed = matches!(&seen, Ok(Some(reading)) if reading.state == FlagState::Exposed);
        metrics::counter!("burngate_flag_watch_reads_total", "exporter" => id.clone()).increment(1);
        if !is_exposed {
            return;
        }
        if read < READS {
            sleep(BETWEEN).await;
        }
    }
    let now = shared.clock.now();
    let change = exporter
        .last_change(&RuleTarget::of_decision(decision), now)
        .await;
    // A change of before the confirmation is not the one that we see.
    let change = change.ok().flatten().filter(|c| c.at >= decision.updated_at);
    let event = Event::Exposed {
        at: change.as_ref().map_or(now, |c| c.at),
        is_ours: change.as_ref().is_some_and(|c| c.is_ours),
        by: change.map(|c| c.by),
    };
    let rules = **shared.rules.load();
    // Busy or gone: the next look sees it again.
    let _ = shared
        .decisions
        .amend(&decision.id, |d| d.apply(now, &rules, &event));
}

/// What a read says, for [`crate::decide::after_read`]. The service's record of changes is read where it may
/// make a difference, and only there.
pub(super) async fn seen<A: Actuator>(
    shared: &Shared<A>,
    exporter: &A,
    decision: &Decision,
    reading: Option<super::Reading>,
) -> Result<Look, Trouble> {
    let is_step = matches!(decision.action, Action::Expose { .. });
    let Some(reading) = reading else {
        return if is_step {
            Err(probation::unread())
        } else {
            Ok(Look::Silent)
        };
    };
    let is_sent = decision.state.attempt() > 0;
    if reading.state == FlagState::Safe && (is_sent || !is_step) {
        return Ok(Look::Safe);
    }
    let left_at = decision.life.left_at.filter(|_| !is_sent);
    let unchanged = decision.life.version.is_some() && reading.version == decision.life.version;
    if !is_step && left_at.is_none() && (!is_sent || unchanged) {
        return Ok(Look::Exposed);
    }
    let target = RuleTarget::of_decision(decision);
    let change = exporter.last_change(&target, shared.clock.now()).await;
    if is_step {
        return probation::step_seen(decision, &reading, change?);
    }
    // A record that cannot be read is no reason to leave a flag on that burns.
    let change = change.ok().flatten();
    Ok(match (left_at, change) {
        (Some(left_at), change) => probation::taken_over(change, left_at),
        (None, Some(change)) if !change.is_ours && change.at >= decision.updated_at => {
            Look::Overruled { by: change.by }
        }
        _ => Look::Exposed,
    })
}
