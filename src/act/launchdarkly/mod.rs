//! Switches a flag in LaunchDarkly.
//!
//! **Off and on** are a JSON patch of two operations: a `test` of the environment's version as it was read,
//! and `replace` of `on`. When somebody changes the flag between our read and our write the test fails,
//! nothing is applied, and the flag is read again: we never switch what we have not seen. Rejected for these
//! two: the semantic patch `turnFlagOff`, which holds for any version. **Rollouts and variants** are a
//! semantic patch, because a JSON patch names variations and rules by their places in lists, and a place may
//! hold something else by the time that it arrives; instructions name them by id, and the version is compared
//! right before. With a flag trigger's URL *off* is a call of that URL, which needs no token that can write;
//! nothing can be made conditional there.
//!
//! Off serves the off variation. Where that is the very variation that burns, off would give it to everybody:
//! the probe warns of it, and a decision that blames it is refused.

mod answers;
mod approvals;
mod change;
mod expose;
mod flag;

use self::answers::{Refusal, refusal, trouble};
use self::flag::{Environment, Flag};
use super::ability::{Abilities, Ability};
use super::exporter::{
    Actuator, Change, FlagState, FlagWarning, LastChange, Outcome, ReadBack, Reading, Warnings,
};
use super::http::{Caller, Reply, join, origin, parse_url};
use super::scrub::Scrubber;
use super::template::reason;
use super::trouble::Trouble;
use super::webhook::sensitive;
use super::{ActError, RuleTarget};
use crate::config::{LaunchDarklyExporter, OnApproval, Secret};
use crate::decide::{Action, Decision, FailureReason};
use crate::policy::SafeState;
use crate::time::UnixNanos;
use http::Method;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;

/// Version of the API, which would else be the token's own.
const API_VERSION: &str = "20240415";

/// One configured project.
pub struct LaunchDarkly {
    id: String,
    base: reqwest::Url,
    project: String,
    token: HeaderValue,
    /// The token's last characters, by which the audit log names it.
    ending: String,
    triggers: BTreeMap<String, reqwest::Url>,
    on_approval: OnApproval,
    caller: Caller,
}

/// Where a flag is.
#[derive(Clone, Copy)]
struct At<'a> {
    flag: &'a str,
    environment: &'a str,
}

#[derive(Deserialize)]
struct AuditLog {
    items: Vec<AuditEntry>,
}

#[derive(Deserialize)]
struct AuditEntry {
    date: u64,
    member: Option<Member>,
    token: Option<Token>,
}

#[derive(Deserialize)]
struct Member {
    email: Option<String>,
}

#[derive(Deserialize)]
struct Token {
    name: Option<String>,
    ending: Option<String>,
}

impl LaunchDarkly {
    /// Checks a configuration; nothing is called.
    pub fn new(config: &LaunchDarklyExporter) -> Result<Self, ActError> {
        let id = config.id.as_str();
        let invalid = |key: &str, problem: &str| ActError::Invalid {
            exporter: id.to_owned(),
            key: key.to_owned(),
            problem: problem.to_owned(),
        };
        if config.token.is_blank() {
            return Err(ActError::EmptySecret {
                exporter: id.to_owned(),
                key: "token".to_owned(),
            });
        }
        let mut triggers = BTreeMap::new();
        for (at, url) in &config.trigger_urls {
            let example = "https://app.launchdarkly.com/webhook/triggers/...";
            let url = parse_url(id, "trigger_urls", url.expose(), example)?;
            triggers.insert(at.clone(), url);
        }
        // The path of a trigger is its only credential.
        let paths: Vec<Secret> = triggers
            .values()
            .map(|url| Secret::new(url.path().trim_start_matches('/')))
            .collect();
        let token = config.token.expose().trim();
        let base = parse_url(id, "endpoint", &config.endpoint, "https://app.launchdarkly.com")?;
        Ok(Self {
            id: id.to_owned(),
            base: join(&base, &["api", "v2"]),
            project: config.project.trim().to_owned(),
            token: sensitive(token).ok_or_else(|| {
                invalid(
                    "token",
                    "cannot be sent in a header (line breaks or other controls)",
                )
            })?,
            ending: token
                .chars()
                .skip(token.chars().count().saturating_sub(4))
                .collect(),
            caller: Caller::new(
                id,
                config.timeout,
                Scrubber::new(paths.iter().chain([&config.token])),
                triggers.values().chain([&base]),
            )?,
            triggers,
            on_approval: config.on_approval,
        })
    }

    fn url(&self, segments: &[&str]) -> reqwest::Url {
        join(&self.base, segments)
    }

    fn flag_url(&self, flag: &str) -> reqwest::Url {
        self.url(&["flags", &self.project, flag])
    }

    async fn send(&self, method: Method, url: reqwest::Url, body: Option<(&Value, &str)>) -> Sent {
        let mut request = self
            .caller
            .request(method, url)
            .header(AUTHORIZATION, self.token.clone())
            .header("LD-API-Version", API_VERSION);
        if let Some((body, kind)) = body {
            request = request.header(CONTENT_TYPE, kind).body(body.to_string());
        }
        self.caller.exchange(request).await
    }

    async fn get<T: for<'a> Deserialize<'a>>(&self, url: reqwest::Url, now: UnixNanos) -> Result<T, Trouble> {
        let reply = self.send(Method::GET, url, None).await?;
        if !reply.status.is_success() {
            return Err(trouble(&self.caller, &reply, now));
        }
        serde_json::from_slice(&reply.body).map_err(|_| {
            Trouble::down(self.caller.clean(&format!(
                "the answer is not what LaunchDarkly sends ({} bytes); is `endpoint` right?",
                reply.body.len()
            )))
        })
    }

    /// The flag, which has that environment.
    async fn flag(&self, at: At<'_>, now: UnixNanos) -> Result<Flag, Trouble> {
        let mut url = self.flag_url(at.flag);
        // Without it the answer has every environment of the project, and may be large.
        url.query_pairs_mut().append_pair("env", at.environment);
        let flag: Flag = self.get(url, now).await?;
        if flag.archived {
            return Err(refused(
                FailureReason::Rejected,
                "the flag is archived: nobody gets it",
            ));
        }
        if flag.environments.contains_key(at.environment) {
            return Ok(flag);
        }
        let words = format!("the flag has no environment `{}`", at.environment);
        Err(refused(FailureReason::NotFound, &self.caller.clean(&words)))
    }

    fn trigger(&self, at: At<'_>, to: &SafeState) -> Option<&reqwest::Url> {
        if *to != SafeState::Off {
            return None;
        }
        self.triggers.get(&format!("{}/{}", at.environment, at.flag))
    }

    /// The trigger's URL, which says everything.
    async fn pull(&self, url: &reqwest::Url, decision: &Decision, now: UnixNanos) -> Outcome {
        let body = json!({ "eventName": comment(decision) });
        let request = self.caller.request(Method::POST, url.clone()).json(&body);
        self.caller.call(request, now).await.map(|_| ())
    }

    /// Sends a change, once more where only something pending is in its way.
    async fn change(&self, flag: &str, body: &Value, kind: &str, now: UnixNanos) -> Result<(), Refusal> {
        let mut url = self.flag_url(flag);
        let first = self.change_once(url.clone(), body, kind, now).await;
        let Err(Refusal::Pending(why)) = first else {
            return first;
        };
        tracing::warn!(
            exporter = %self.id, %flag, %why,
            "a scheduled change or an approval waits for this flag; it is overruled"
        );
        url.query_pairs_mut().append_pair("ignoreConflicts", "true");
        self.change_once(url, body, kind, now).await
    }

    async fn change_once(
        &self,
        url: reqwest::Url,
        body: &Value,
        kind: &str,
        now: UnixNanos,
    ) -> Result<(), Refusal> {
        let reply = self
            .send(Method::PATCH, url, Some((body, kind)))
            .await
            .map_err(Refusal::Other)?;
        if reply.status.is_success() {
            return Ok(());
        }
        Err(refusal(&self.caller, &reply, now))
    }
}

type Sent = Result<Reply, Trouble>;

impl Actuator for LaunchDarkly {
    fn abilities(&self) -> Abilities {
        Abilities::of([
            Ability::Off,
            Ability::On,
            Ability::Rollout,
            Ability::Serve,
            Ability::Probation,
        ])
    }

    /// Reads the flag, then has LaunchDarkly try the change without making it.
    async fn preflight(&self, target: &RuleTarget, now: UnixNanos) -> Warnings {
        let at = At {
            flag: &target.flag,
            environment: &target.environment,
        };
        let flag = self.flag(at, now).await?;
        let environment = environment(&flag, at)?;
        let blamed: Vec<usize> = blamed_of(target, &flag);
        if let SafeState::Serve { variant } = &target.action
            && flag.variation(variant).is_none()
        {
            return Err(refused(FailureReason::Rejected, &change::unknown(&flag, variant)));
        }
        if self.trigger(at, &target.action).is_none() {
            // What a rollout would be depends on who is blamed; that it may be made does not.
            let made = change::instructions(&flag, environment, &target.action, blamed.first().copied());
            let made = made.ok().filter(|made| !made.is_empty());
            let body = json!({
                "environmentKey": target.environment,
                "comment": "burngate: could this flag be switched?",
                "instructions": made.unwrap_or_else(|| vec![json!({ "kind": "turnFlagOff" })]),
            });
            let mut url = self.flag_url(&target.flag);
            url.query_pairs_mut()
                .append_pair("dryRun", "true")
                .append_pair("ignoreConflicts", "true");
            match self.change_once(url, &body, change::SEMANTIC_PATCH, now).await {
                Ok(()) => {}
                Err(Refusal::Approval(_)) if self.on_approval == OnApproval::Request => {}
                Err(Refusal::Approval(detail)) => {
                    return Err(refused(FailureReason::NeedsApproval, &detail));
                }
                Err(Refusal::Pending(trouble) | Refusal::Other(trouble)) => return Err(trouble),
            }
        }
        let off = environment.off_variation;
        let off_burns = target.action == SafeState::Off && off.is_some_and(|off| blamed.contains(&off));
        let mut warnings = Vec::new();
        if off_burns {
            warnings.push(FlagWarning::OffServesBlamed);
        }
        if target
            .first_percent
            .is_some_and(|first| !environment.could_expose(&blamed, first))
        {
            warnings.push(FlagWarning::NoProbation);
        }
        Ok(warnings)
    }

    async fn carry_out(&self, decision: &Decision, version: Option<&str>, now: UnixNanos) -> Outcome {
        let at = At {
            flag: &decision.flag,
            environment: &decision.environment,
        };
        let flag = self.flag(at, now).await?;
        let environment = environment(&flag, at)?;
        if version.is_some_and(|seen| seen != environment.version.to_string()) {
            return Err(Trouble::Retry {
                after: None,
                down: false,
                detail: "the flag has changed since it was read".to_owned(),
            });
        }
        let blamed = flag.variation(&decision.evidence.variant);
        if let Action::Switch { to } = &decision.action {
            if *to == SafeState::Off && blamed.is_some() && blamed == environment.off_variation {
                let words =
                    "off would serve the very variation that burns to everybody (it is the off variation)";
                return Err(refused(FailureReason::Rejected, words));
            }
            if let Some(url) = self.trigger(at, to) {
                return self.pull(url, decision, now).await;
            }
        }
        let words = comment(decision);
        let edit = change::edit(
            &flag,
            environment,
            &decision.action,
            blamed,
            (at.environment, &words),
        )
        .map_err(|words| refused(FailureReason::Rejected, &self.caller.clean(&words)))?;
        match self.change(at.flag, &edit.body, edit.kind, now).await {
            Ok(()) => Ok(()),
            Err(Refusal::Approval(detail)) => Err(self
                .without_approval(at, decision, &edit.instructions, detail, now)
                .await),
            Err(Refusal::Pending(trouble) | Refusal::Other(trouble)) => Err(trouble),
        }
    }

    async fn read_back(&self, decision: &Decision, now: UnixNanos) -> ReadBack {
        let at = At {
            flag: &decision.flag,
            environment: &decision.environment,
        };
        let flag = self.flag(at, now).await?;
        let environment = environment(&flag, at)?;
        let blamed = flag.variation(&decision.evidence.variant);
        let version = Some(environment.version.to_string());
        let to = match &decision.action {
            Action::Switch { to } => to,
            Action::Expose { percent, .. } => {
                return Ok(Some(environment.exposure(blamed).reading(*percent, version)));
            }
            Action::Rollback | Action::Pause => return Ok(None),
        };
        let Some(safe) = environment.is_safe(&flag, to, blamed) else {
            let variant = match to {
                SafeState::Serve { variant } => variant,
                _ => decision.evidence.variant.as_str(),
            };
            let words = self.caller.clean(&change::unknown(&flag, variant));
            return Err(refused(FailureReason::Rejected, &words));
        };
        Ok(Some(Reading {
            state: if safe { FlagState::Safe } else { FlagState::Exposed },
            version,
            exposure: None,
        }))
    }

    async fn last_change(&self, target: &RuleTarget, now: UnixNanos) -> LastChange {
        let spec = format!(
            "proj/{}:env/{}:flag/{}",
            self.project, target.environment, target.flag
        );
        let mut url = self.url(&["auditlog"]);
        url.query_pairs_mut()
            .append_pair("spec", &spec)
            .append_pair("limit", "1");
        let log: AuditLog = self.get(url, now).await?;
        let Some(entry) = log.items.into_iter().next() else {
            return Ok(None);
        };
        let ending = entry.token.as_ref().and_then(|it| it.ending.as_deref());
        let is_ours = ending == Some(self.ending.as_str());
        let by = entry.member.and_then(|it| it.email);
        let by = by.or_else(|| entry.token.and_then(|it| it.name));
        Ok(Some(Change {
            at: UnixNanos(entry.date.saturating_mul(1_000_000)),
            by: self.caller.clean(by.as_deref().unwrap_or("unknown")),
            is_ours,
        }))
    }
}

impl fmt::Debug for LaunchDarkly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LaunchDarkly")
            .field("id", &self.id)
            .field("origin", &origin(&self.base))
            .field("project", &self.project)
            .field("triggers", &self.triggers.keys().collect::<Vec<_>>())
            .field("on_approval", &self.on_approval)
            .finish_non_exhaustive()
    }
}

fn refused(reason: FailureReason, words: &str) -> Trouble {
    Trouble::Permanent {
        reason,
        detail: words.to_owned(),
    }
}

fn environment<'f>(flag: &'f Flag, at: At<'_>) -> Result<&'f Environment, Trouble> {
    let found = flag.environments.get(at.environment);
    found.ok_or_else(|| refused(FailureReason::NotFound, "the flag has no such environment"))
}

/// The variations that a rule may blame. One that may blame any does not blame what it calls off.
fn blamed_of(target: &RuleTarget, flag: &Flag) -> Vec<usize> {
    match &target.variants {
        Some(variants) => variants.iter().filter_map(|it| flag.variation(it)).collect(),
        None => flag.variation("on").into_iter().collect(),
    }
}

/// What people read in LaunchDarkly's history; the same for every attempt.
fn comment(decision: &Decision) -> String {
    let e = &decision.evidence;
    format!(
        "burngate decision {}: {} ({} of {}: burn {:.1}x, {} bad of {})",
        decision.id,
        reason(decision),
        e.variant,
        e.service,
        e.burn,
        e.cohort.bad,
        e.cohort.bad + e.cohort.good,
    )
}
