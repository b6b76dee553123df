//! Switches a flag in an Unleash server.
//!
//! The order is: read the environment (by the delivery, before and after), tag the flag with the reason,
//! switch. The tag comes first because Unleash stores with each event the tags of that moment; it is the only
//! field for a reason that the open-source server has. A tag that fails never prevents the switch, and all of
//! its calls share [`TAG_BUDGET`]. Off is idempotent at the server: a second call writes no event. A rollout
//! only ever gets smaller. On is refused where Unleash would add a strategy for everybody by itself.

mod expose;
mod view;

use self::view::EnvironmentView;
use super::ability::{Abilities, Ability};
use super::exporter::{Actuator, Change, FlagState, FlagWarning, LastChange, Outcome, ReadBack, Warnings};
use super::http::{Answer, Caller, join, origin, parse_url};
use super::scrub::Scrubber;
use super::trouble::Trouble;
use super::webhook::sensitive;
use super::{ActError, RuleTarget};
use crate::config::UnleashExporter;
use crate::decide::{Action, Actor, Decision, FailureReason};
use crate::policy::SafeState;
use crate::time::UnixNanos;
use http::Method;
use http::header::{AUTHORIZATION, HeaderValue};
use serde::Deserialize;
use serde_json::json;
use std::fmt;
use std::time::Duration;

/// Type of the tag that carries the reason.
pub const TAG_TYPE: &str = "error-budget";

/// Longest tag value that Unleash takes, in characters.
const TAG_CHARS: usize = 50;

/// Time that all calls for the tag may take together; the flag burns meanwhile.
const TAG_BUDGET: Duration = Duration::from_millis(1_500);

/// One configured server.
pub struct Unleash {
    id: String,
    base: reqwest::Url,
    project: String,
    token: HeaderValue,
    caller: Caller,
    /// The number of the token's user; `None` in it for a token without one.
    user: tokio::sync::OnceCell<Option<i64>>,
}

/// `GET .../features/{feature}`, the part that a warning needs.
#[derive(Deserialize)]
struct FeatureView {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    archived: bool,
    #[serde(default)]
    children: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Events {
    events: Vec<Event>,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "createdAt")]
    at: jiff::Timestamp,
    #[serde(default, rename = "createdBy")]
    by: String,
    #[serde(rename = "createdByUserId")]
    user: Option<i64>,
}

#[derive(Deserialize)]
struct WhoAmI {
    user: User,
}

#[derive(Deserialize)]
struct User {
    id: Option<i64>,
}

impl Unleash {
    /// Checks a configuration; nothing is called.
    pub fn new(config: &UnleashExporter) -> Result<Self, ActError> {
        let id = config.id.as_str();
        if config.token.is_blank() {
            return Err(ActError::EmptySecret {
                exporter: id.to_owned(),
                key: "token".to_owned(),
            });
        }
        let invalid = |key: &str, problem: &str| ActError::Invalid {
            exporter: id.to_owned(),
            key: key.to_owned(),
            problem: problem.to_owned(),
        };
        if config.project.trim().is_empty() {
            return Err(invalid(
                "project",
                "is empty; the project of an open-source server is `default`",
            ));
        }
        let base = base_url(parse_url(
            id,
            "endpoint",
            &config.endpoint,
            "https://unleash.internal",
        )?);
        Ok(Self {
            id: id.to_owned(),
            caller: Caller::new(id, config.timeout, Scrubber::new([&config.token]), [&base])?,
            base,
            project: config.project.trim().to_owned(),
            token: sensitive(config.token.expose()).ok_or_else(|| {
                invalid(
                    "token",
                    "cannot be sent in a header (line breaks or other controls)",
                )
            })?,
            user: tokio::sync::OnceCell::new(),
        })
    }

    async fn environment(
        &self,
        flag: &str,
        environment: &str,
        now: UnixNanos,
    ) -> Result<EnvironmentView, Trouble> {
        self.get(self.feature(flag, &["environments", environment]), now)
            .await
    }

    async fn switch(&self, decision: &Decision, word: &str, now: UnixNanos) -> Outcome {
        let url = self.feature(&decision.flag, &["environments", &decision.environment, word]);
        self.call(Method::POST, url, None, now).await.map(|_| ())
    }

    /// Sets the share of every strategy that is above it; the others stay.
    async fn limit(
        &self,
        decision: &Decision,
        view: &EnvironmentView,
        percent: u8,
        now: UnixNanos,
    ) -> Outcome {
        let above = view.above(percent).map_err(|words| self.rejected(&words))?;
        if above.is_empty() {
            return Err(self.rejected("it has no strategy in this environment whose share could be set"));
        }
        for strategy in above {
            self.set_share(decision, &strategy.id, percent, now).await?;
        }
        Ok(())
    }

    fn rejected(&self, words: &str) -> Trouble {
        Trouble::Permanent {
            reason: FailureReason::Rejected,
            detail: self.caller.clean(words),
        }
    }

    /// The number of our token's user, asked for once. Tokens of the server have none of their own.
    async fn our_user(&self, now: UnixNanos) -> Option<i64> {
        let asked = self.user.get_or_try_init(|| async {
            match self.get::<WhoAmI>(join(&self.base, &["user"]), now).await {
                Ok(who) => Ok(who.user.id.filter(|id| *id > 0)),
                Err(Trouble::Permanent { .. }) => Ok(None),
                Err(transient) => Err(transient),
            }
        });
        asked.await.ok().copied().flatten()
    }

    /// Tags first and makes the tag type only when the server does not know it: one call in the common case.
    async fn tag(&self, decision: &Decision, now: UnixNanos) -> Outcome {
        match self.add_tag(decision, now).await {
            Err(Trouble::Permanent {
                reason: FailureReason::Rejected | FailureReason::NotFound,
                ..
            }) => {}
            other => return other,
        }
        let kind = json!({
            "name": TAG_TYPE,
            "description": "Switched because it burned the error budget",
            "icon": "",
            "color": "#FF0000",
        });
        let made = self
            .call(Method::POST, join(&self.base, &["tag-types"]), Some(&kind), now)
            .await;
        let tagged = self.add_tag(decision, now).await;
        // Somebody else may have made the type meanwhile; only the tag itself counts.
        if tagged.is_err() {
            made.map(|_| ())?;
        }
        tagged
    }

    async fn add_tag(&self, decision: &Decision, now: UnixNanos) -> Outcome {
        let url = join(&self.base, &["features", &decision.flag, "tags"]);
        let tag = json!({ "type": TAG_TYPE, "value": tag_value(decision) });
        self.call(Method::POST, url, Some(&tag), now).await.map(|_| ())
    }

    fn warn_untagged(&self, decision: &Decision, problem: &str) {
        metrics::counter!("burngate_tag_failures_total", "exporter" => self.id.clone()).increment(1);
        tracing::warn!(
            exporter = %self.id, flag = %decision.flag, decision = %decision.id, %problem,
            "the flag could not be tagged with the reason; it is switched off all the same"
        );
    }

    fn feature(&self, flag: &str, rest: &[&str]) -> reqwest::Url {
        let mut segments = vec!["projects", self.project.as_str(), "features", flag];
        segments.extend_from_slice(rest);
        join(&self.base, &segments)
    }

    async fn get<T: for<'a> Deserialize<'a>>(&self, url: reqwest::Url, now: UnixNanos) -> Result<T, Trouble> {
        let answer = self.call(Method::GET, url, None, now).await?;
        serde_json::from_slice(&answer.body).map_err(|_| {
            let cut = if answer.cut { "cut off, " } else { "" };
            Trouble::down(self.caller.clean(&format!(
                "the answer is not what Unleash sends ({cut}{} bytes); is `endpoint` right?",
                answer.body.len()
            )))
        })
    }

    async fn call(
        &self,
        method: Method,
        url: reqwest::Url,
        body: Option<&serde_json::Value>,
        now: UnixNanos,
    ) -> Result<Answer, Trouble> {
        let mut request = self
            .caller
            .request(method, url)
            .header(AUTHORIZATION, self.token.clone());
        if let Some(body) = body {
            request = request.json(body);
        }
        self.caller.call(request, now).await
    }
}

impl Actuator for Unleash {
    fn abilities(&self) -> Abilities {
        Abilities::of([Ability::Off, Ability::On, Ability::Rollout, Ability::Probation])
    }

    /// Reads the environment with the real token, then what a human should know about the flag.
    async fn preflight(&self, target: &RuleTarget, now: UnixNanos) -> Warnings {
        let view = self.environment(&target.flag, &target.environment, now).await?;
        let archived = || Trouble::Permanent {
            reason: FailureReason::Rejected,
            detail: "the flag is archived: no application sees it, and it cannot be switched".to_owned(),
        };
        let feature: FeatureView = match self.get(self.feature(&target.flag, &[]), now).await {
            Ok(feature) => feature,
            // Its environment was found a moment ago: of archived flags only the environments are shown.
            Err(Trouble::Permanent {
                reason: FailureReason::NotFound,
                ..
            }) => return Err(archived()),
            Err(trouble) => return Err(trouble),
        };
        if feature.archived {
            return Err(archived());
        }
        if let Some(words) = view.obstacle(&target.action) {
            return Err(self.rejected(&words));
        }
        let mut warnings = Vec::new();
        // On is what such a flag is for.
        if feature.kind == "kill-switch" && target.action != SafeState::On {
            warnings.push(FlagWarning::KillSwitchType);
        }
        if !feature.children.is_empty() {
            warnings.push(FlagWarning::HasChildren);
        }
        if target
            .first_percent
            .is_some_and(|first| !expose::could_expose(&view, first))
        {
            warnings.push(FlagWarning::NoProbation);
        }
        Ok(warnings)
    }

    /// Tags the flag with the reason, then does what the decision says in its environment.
    async fn carry_out(&self, decision: &Decision, _: Option<&str>, now: UnixNanos) -> Outcome {
        // Off needs no look at the strategies, and must not wait for one.
        let view = match &decision.action {
            Action::Switch { to: SafeState::Off } => None,
            Action::Switch { .. } | Action::Expose { .. } => Some(
                self.environment(&decision.flag, &decision.environment, now)
                    .await?,
            ),
            Action::Rollback | Action::Pause => return Err(self.rejected("it is not about a flag")),
        };
        let obstacle = match (&decision.action, &view) {
            (Action::Switch { to }, Some(view)) => view.obstacle(to),
            (Action::Expose { .. }, Some(view)) => view.only().err(),
            _ => None,
        };
        if let Some(words) = obstacle {
            return Err(self.rejected(&words));
        }
        match tokio::time::timeout(TAG_BUDGET, self.tag(decision, now)).await {
            Ok(Ok(())) => {}
            Ok(Err(trouble)) => self.warn_untagged(decision, &trouble.to_string()),
            Err(_) => self.warn_untagged(decision, "no answer in time"),
        }
        match (&decision.action, &view) {
            (Action::Switch { to: SafeState::Off }, _) => self.switch(decision, "off", now).await,
            (Action::Switch { to: SafeState::On }, _) => self.switch(decision, "on", now).await,
            (
                Action::Switch {
                    to: SafeState::Rollout { percent },
                },
                Some(view),
            ) => self.limit(decision, view, *percent, now).await,
            (Action::Expose { percent, .. }, Some(view)) => self.expose(decision, view, *percent, now).await,
            _ => Err(self.rejected("Unleash cannot serve one variant to everybody")),
        }
    }

    /// How the flag stands in the decision's environment.
    async fn read_back(&self, decision: &Decision, now: UnixNanos) -> ReadBack {
        if matches!(decision.action, Action::Rollback | Action::Pause) {
            return Ok(None);
        }
        let view = self
            .environment(&decision.flag, &decision.environment, now)
            .await?;
        let to = match &decision.action {
            Action::Switch { to } => to,
            Action::Expose { percent, .. } => return Ok(Some(expose::exposure(&view, *percent))),
            Action::Rollback | Action::Pause => return Ok(None),
        };
        let state = if view.is_safe(to) {
            FlagState::Safe
        } else {
            FlagState::Exposed
        };
        Ok(Some(state.into()))
    }

    async fn last_change(&self, target: &RuleTarget, now: UnixNanos) -> LastChange {
        let mut url = join(&self.base, &["search", "events"]);
        url.query_pairs_mut()
            .append_pair("feature", &format!("IS:{}", target.flag))
            .append_pair("project", &format!("IS:{}", self.project))
            .append_pair("environment", &format!("IS:{}", target.environment))
            .append_pair("limit", "1");
        let found: Events = self.get(url, now).await?;
        let Some(event) = found.events.into_iter().next() else {
            return Ok(None);
        };
        let ours = self.our_user(now).await;
        Ok(Some(Change {
            at: UnixNanos(u64::try_from(event.at.as_nanosecond()).unwrap_or_default()),
            by: self.caller.clean(&event.by),
            is_ours: ours.is_some() && event.user == ours,
        }))
    }
}

impl fmt::Debug for Unleash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unleash")
            .field("id", &self.id)
            .field("origin", &origin(&self.base))
            .field("project", &self.project)
            .finish_non_exhaustive()
    }
}

/// The Admin API below the server's URL, which people give with and without `/api` and `/api/admin`.
fn base_url(mut url: reqwest::Url) -> reqwest::Url {
    url.set_query(None);
    url.set_fragment(None);
    let mut path = url.path().trim_end_matches('/');
    for suffix in ["/admin", "/api"] {
        path = path.strip_suffix(suffix).unwrap_or(path);
    }
    let path = path.to_owned();
    url.set_path(&path);
    join(&url, &["api", "admin"])
}

/// `off: burn 14.4x 2026-11-21T22:34Z`, or `5%: ...`, at most [`TAG_CHARS`] characters; the same for every
/// attempt.
fn tag_value(decision: &Decision) -> String {
    let burn = decision.evidence.burn;
    // One digit says enough, and a burn rate beyond this would not fit.
    let burn = if burn < 100_000.0 {
        format!("{burn:.1}")
    } else {
        ">99999".to_owned()
    };
    let at = decision.decided_at.to_string();
    let minute = at.get(..16).unwrap_or(&at);
    let word = match &decision.action {
        Action::Switch {
            to: SafeState::Rollout { percent },
        }
        | Action::Expose { percent, .. } => format!("{percent}%"),
        other => Ability::of(other).as_str().to_owned(),
    };
    let why = match &decision.actor {
        Actor::Probation { .. } => "probation".to_owned(),
        Actor::Rule | Actor::Person { .. } => format!("burn {burn}x"),
    };
    format!("{word}: {why} {minute}Z")
        .chars()
        .take(TAG_CHARS)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::act::tests::decision;

    #[test]
    fn the_tag_says_why_and_when_and_fits() {
        let mut d = decision("f");
        d.decided_at = UnixNanos::from_secs(1_795_300_440);
        assert_eq!(tag_value(&d), "off: burn 14.4x 2026-11-21T22:34Z");
        for burn in [f64::MAX, 1e9, 0.0, 99_999.99] {
            d.evidence.burn = burn;
            assert!(tag_value(&d).chars().count() <= TAG_CHARS, "{}", tag_value(&d));
        }
    }

    #[test]
    fn the_endpoint_may_be_given_with_or_without_the_api_path() {
        for given in [
            "http://h:1",
            "http://h:1/",
            "http://h:1/api",
            "http://h:1/api/admin/",
            "http://h:1/api/",
        ] {
            let base = base_url(reqwest::Url::parse(given).unwrap());
            assert_eq!(base.as_str(), "http://h:1/api/admin", "{given}");
        }
        let below = base_url(reqwest::Url::parse("http://h/unleash").unwrap());
        assert_eq!(below.as_str(), "http://h/unleash/api/admin");
    }
}
