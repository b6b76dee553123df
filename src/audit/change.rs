//! From a decision before and after to what the record says of it.
//!
//! Nothing here knows a state by its name: a state, or a phase of what came of it, that is new is an entry of
//! its kind, and words that were added within one are an answer. So whatever decisions learn to go through is
//! recorded.

use super::entry::{About, Draft, kind};
use crate::decide::{Actor, Decision, GATEWAY};
use crate::time::UnixNanos;
use serde_json::Value;

/// What happened between `former` (what the journal held, `None` for a new decision) and `now`; `None` when
/// nothing did.
pub fn of_change(former: Option<&Decision>, now: &Decision) -> Option<Draft> {
    let added = added(former, now);
    let moved = former.is_none_or(|former| former.state != now.state);
    if !moved && added.is_empty() {
        return None;
    }
    // What came of a switch, such as that it had no effect, leaves the state as it is.
    let phase = now.life.phase.as_str();
    let kind = match former {
        _ if moved => now.state.as_str(),
        Some(former) if former.life.phase.as_str() != phase => phase,
        _ => kind::ANSWER,
    };
    let evidence = moved.then(|| figures(now, former.is_none()));
    Some(Draft {
        // The state may be older than what was said within it.
        at: added
            .last()
            .map_or(now.updated_at, |(at, _)| now.updated_at.max(*at)),
        kind: kind.to_owned(),
        decision: Some(now.id.clone()),
        actor: actor(former, now),
        about: Some(about(now)),
        state: Some(value(&now.state)),
        said: added.iter().map(|(_, what)| what.clone()).collect(),
        evidence,
        facts: None,
    })
}

/// Who did it: whoever has just had a say, or else who decided.
fn actor(former: Option<&Decision>, now: &Decision) -> Value {
    let had = former.and_then(|former| former.life.hand.as_ref());
    match now.life.hand.as_ref().filter(|hand| Some(*hand) != had) {
        Some(hand) if hand.name == GATEWAY => serde_json::json!({ "kind": "gateway" }),
        Some(hand) => value(&Actor::Person {
            name: hand.name.clone(),
            reason: hand.reason.clone(),
        }),
        None => value(&now.actor),
    }
}

fn value(of: &impl serde::Serialize) -> Value {
    serde_json::to_value(of).unwrap_or_default()
}

/// Everything that the decision rests on; what the bad events had in common is said once.
fn figures(decision: &Decision, with_signatures: bool) -> Value {
    let mut figures = value(&decision.evidence);
    if let (false, Some(fields)) = (with_signatures, figures.as_object_mut()) {
        fields.remove("signatures");
    }
    figures
}

fn about(decision: &Decision) -> About {
    let evidence = value(&decision.evidence);
    let text = |key: &str| evidence[key].as_str().unwrap_or_default().to_owned();
    let deployment = decision.deployment.as_ref();
    About {
        exporter: decision.exporter.clone(),
        environment: decision.environment.clone(),
        action: decision.action.to_string(),
        flag: decision.flag.clone(),
        variant: text("variant"),
        service: deployment.map_or_else(|| text("service"), |it| it.service.clone()),
        slo: text("slo"),
        sha: deployment.map_or_else(|| text("sha"), |it| it.sha.clone()),
    }
}

/// The lines of history that `former` does not have. A history keeps its beginning and its end only, so they
/// are what follows the former's last line.
fn added<'a>(former: Option<&Decision>, now: &'a Decision) -> &'a [(UnixNanos, String)] {
    let last = former.and_then(|former| former.history.last());
    let known = last.and_then(|last| now.history.iter().rposition(|line| line == last));
    let from = known.map_or(0, |at| at + 1);
    now.history.get(from..).unwrap_or_default()
}
