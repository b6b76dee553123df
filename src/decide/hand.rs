//! What people do by hand, through the same machine.
//!
//! A hand needs no evidence, and keeps to everything else: only a flag that a policy names, only towards the
//! safe state that the policy says, one decision at a time, and never a flag of `never_kill`: whoever wrote
//! that meant people in a hurry too, and there is no `--force` that the wrong flag could be switched with. A
//! decision that is over for the rule (cooldown,
//! hold) is closed by it, and a new one follows; one that is under way is not disturbed.

use super::action::{Action, Actor};
use super::decision::{Decision, DecisionState, Evidence};
use super::identity::decision_id;
use super::kill::KillDecider;
use super::life::{Event, Life, LifeRules, Refused};
use super::live::Subject;
use crate::ledger::{Counts, TopSignatures};
use crate::policy::{KillSwitch, Policy, PolicySet};
use crate::time::UnixNanos;
use std::fmt::Write as _;
use std::sync::Arc;

/// Somebody wants a flag in its safe state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HandKill {
    /// The flag.
    pub flag: String,
    /// Of this service's policy.
    pub service: Option<String>,
    /// At this exporter.
    pub exporter: Option<String>,
    /// In this environment.
    pub environment: Option<String>,
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// Somebody closes what holds a flag.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HandRelease {
    /// The flag.
    pub flag: String,
    /// At this exporter.
    pub exporter: Option<String>,
    /// In this environment.
    pub environment: Option<String>,
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// Somebody's answer to a proposal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HandVote {
    /// The proposal.
    pub decision: String,
    /// Yes or no.
    pub approve: bool,
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// Why a hand does nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum HandError {
    #[error("no policy has a kill switch for {0}; only flags that a policy names can be switched")]
    Unknown(String),
    #[error("{0}; say which one by service, exporter or environment")]
    Ambiguous(String),
    #[error("decision {0} about this flag is under way")]
    UnderWay(String),
    #[error(
        "flag {0} is held by guards.never_kill of the configuration, which nobody overrules from here; switch it at \
         its flag service, or change the configuration"
    )]
    NeverKill(String),
    #[error("no decision {0}")]
    NoDecision(String),
    #[error("decision {decision}: {why}")]
    Refused { decision: String, why: Refused },
}

impl KillDecider {
    /// The decision that somebody asks for, and the former one, which it closes. It is live from here on.
    pub fn kill_by_hand(
        &mut self,
        now: UnixNanos,
        policies: &PolicySet,
        asked: &HandKill,
    ) -> Result<(Decision, Option<String>), HandError> {
        let (policy, switch) = find(policies, asked)?;
        self.may_switch(&switch.flag)?;
        let subject = Subject {
            exporter: switch.exporter.to_string(),
            environment: switch.environment.to_string(),
            flag: switch.flag.to_string(),
        };
        let former = self.live().of(&subject);
        // Nobody has to wait for a vote on what they may do themselves.
        let is_free = |d: &Decision| d.state.is_final() || matches!(d.state, DecisionState::Proposed { .. });
        if let Some(former) = former.filter(|d| !is_free(d)) {
            return Err(HandError::UnderWay(former.id.clone()));
        }
        let incident = former.map_or(0, |d| d.incident).saturating_add(1);
        let former = former.map(|d| d.id.clone());
        let decision = by_hand(now, policy, switch, asked, incident);
        self.live_mut().keep(decision.clone());
        Ok((decision, former))
    }

    /// Refuses what a hand, or somebody's yes to a proposal, must not do either.
    pub fn may_switch(&self, flag: &str) -> Result<(), HandError> {
        let may = self.guards().may_switch(flag);
        may.map_err(|_| HandError::NeverKill(flag.to_owned()))
    }

    /// The decision that holds the flag, for [`released`].
    pub fn held_by(&self, asked: &HandRelease) -> Result<Decision, HandError> {
        let fits = |wanted: &Option<String>, have: &str| wanted.as_deref().is_none_or(|w| w == have);
        let mut found: Vec<&Decision> = self
            .decisions()
            .filter(|d| {
                d.flag == asked.flag
                    && fits(&asked.exporter, &d.exporter)
                    && fits(&asked.environment, &d.environment)
            })
            .collect();
        match (found.pop(), found.is_empty()) {
            (None, _) => Err(HandError::NoDecision(format!("about flag {}", asked.flag))),
            (Some(only), true) => Ok(only.clone()),
            (Some(_), false) => Err(HandError::Ambiguous(format!(
                "there are decisions about {} at several exporters or in several environments",
                asked.flag
            ))),
        }
    }

    /// What is to be told to decisions by their ids, besides what their traffic shows.
    pub fn news(&self, now: UnixNanos) -> Vec<(String, Event)> {
        self.live().news(now)
    }
}

/// Closes what holds the decision.
pub fn released(
    decision: &mut Decision,
    now: UnixNanos,
    rules: &LifeRules,
    asked: &HandRelease,
) -> Result<(), HandError> {
    let event = Event::Released {
        by: asked.by.clone(),
        reason: asked.reason.clone(),
    };
    told(decision, now, rules, &event)
}

/// Approves or declines a proposal.
pub fn voted(
    decision: &mut Decision,
    now: UnixNanos,
    rules: &LifeRules,
    vote: &HandVote,
) -> Result<(), HandError> {
    let by = vote.by.clone();
    let event = if vote.approve {
        Event::Approved { by }
    } else {
        let reason = vote.reason.clone();
        Event::Declined { by, reason }
    };
    told(decision, now, rules, &event)
}

fn told(decision: &mut Decision, now: UnixNanos, rules: &LifeRules, event: &Event) -> Result<(), HandError> {
    match decision.apply(now, rules, event) {
        Ok(_) => Ok(()),
        Err(why) => Err(HandError::Refused {
            decision: decision.id.clone(),
            why,
        }),
    }
}

/// The one kill switch that is meant.
fn find<'a>(
    policies: &'a PolicySet,
    asked: &HandKill,
) -> Result<(&'a Arc<Policy>, &'a Arc<KillSwitch>), HandError> {
    let fits = |wanted: &Option<String>, have: &str| wanted.as_deref().is_none_or(|w| w == have);
    let mut found: Vec<(&Arc<Policy>, &Arc<KillSwitch>)> = policies
        .kill_switches()
        .filter(|(policy, switch)| {
            *switch.flag == *asked.flag
                && fits(&asked.exporter, &switch.exporter)
                && fits(&asked.environment, &switch.environment)
                && asked
                    .service
                    .as_deref()
                    .is_none_or(|service| policy.covers(service, Some(&switch.environment)))
        })
        .collect();
    // Several rules of one flag at one exporter and in one environment do the same.
    let what = |(_, k): &(&Arc<Policy>, &Arc<KillSwitch>)| {
        (k.exporter.clone(), k.environment.clone(), k.action.clone())
    };
    found.dedup_by_key(|it| what(it));
    let first = *found.first().ok_or_else(|| {
        let mut told = format!("flag {}", asked.flag);
        for (what, wanted) in [
            ("service", &asked.service),
            ("exporter", &asked.exporter),
            ("environment", &asked.environment),
        ] {
            if let Some(wanted) = wanted {
                let _ = write!(told, " of {what} {wanted}");
            }
        }
        HandError::Unknown(told)
    })?;
    if found.iter().any(|other| what(other) != what(&first)) {
        let places: Vec<String> = found
            .iter()
            .map(|(policy, k)| {
                let service = policy.service.as_str();
                format!("{service} at {} in {}: {}", k.exporter, k.environment, k.action)
            })
            .collect();
        return Err(HandError::Ambiguous(format!(
            "there are several kill switches for {} ({})",
            asked.flag,
            places.join("; ")
        )));
    }
    Ok(first)
}

fn by_hand(
    now: UnixNanos,
    policy: &Policy,
    switch: &KillSwitch,
    asked: &HandKill,
    incident: u64,
) -> Decision {
    let (exporter, environment) = (switch.exporter.to_string(), switch.environment.to_string());
    let flag = switch.flag.to_string();
    let service = asked
        .service
        .clone()
        .unwrap_or_else(|| policy.service.as_str().to_owned());
    Decision {
        id: decision_id(&exporter, &environment, &flag, incident),
        exporter,
        environment: environment.clone(),
        flag: flag.clone(),
        deployment: None,
        action: Action::Switch {
            to: switch.action.clone(),
        },
        actor: Actor::Person {
            name: asked.by.clone(),
            reason: asked.reason.clone(),
        },
        incident,
        decided_at: now,
        updated_at: now,
        evidence: Evidence {
            service,
            slo: switch.slo.as_deref().unwrap_or_default().to_owned(),
            environment: Some(environment),
            sha: None,
            flag,
            variant: String::new(),
            window_secs: 0,
            from: now,
            to: now,
            burn: 0.0,
            burn_above: 0.0,
            held_secs: 0,
            cohort: Counts::default(),
            control: Counts::default(),
            contrast: None,
            proof: None,
            signatures: TopSignatures::default(),
        },
        state: DecisionState::Decided,
        life: Life::default(),
        history: vec![(now, format!("decided by {}: {}", asked.by, asked.reason))],
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A decision that was made at `at`.
    pub(in crate::decide) fn decision(id: &str, at: UnixNanos) -> Decision {
        let mut it = crate::decide::life_tests::decided();
        it.id = id.to_owned();
        (it.decided_at, it.updated_at) = (at, at);
        it
    }
}
