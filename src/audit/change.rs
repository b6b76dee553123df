//! From a decision before and after to what the record says of it.
//!
//! Nothing here knows a state by its name: a state that is new is an entry of its kind, and words that were
//! added within a state are an answer. So whatever decisions learn to go through is recorded.

use super::entry::{About, Draft, kind};
use crate::decide::Decision;
use serde_json::Value;

/// What happened between `former` (what the journal held, `None` for a new decision) and `now`; `None` when
/// nothing did.
pub fn of_change(former: Option<&Decision>, now: &Decision) -> Option<Draft> {
    let said = added(former, now);
    let moved = former.is_none_or(|former| former.state != now.state);
    if !moved && said.is_empty() {
        return None;
    }
    let evidence = moved.then(|| figures(now, former.is_none()));
    Some(Draft {
        at: now.updated_at,
        kind: if moved { now.state.as_str() } else { kind::ANSWER }.to_owned(),
        decision: Some(now.id.clone()),
        actor: value(&now.actor),
        about: Some(about(now)),
        state: Some(value(&now.state)),
        said,
        evidence,
        facts: None,
    })
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
fn added(former: Option<&Decision>, now: &Decision) -> Vec<String> {
    let last = former.and_then(|former| former.history.last());
    let known = last.and_then(|last| now.history.iter().rposition(|line| line == last));
    let from = known.map_or(0, |at| at + 1);
    let new = now.history.get(from..).unwrap_or_default();
    new.iter().map(|(_, what)| what.clone()).collect()
}
