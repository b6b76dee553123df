//! Switches a flag off in an Unleash server.
//!
//! The order is: read the environment (by the delivery, before and after), tag the flag with the reason,
//! switch off. The tag comes first because Unleash stores with each event the tags of that moment; it is the
//! only field for a reason that the open-source server has. A tag that fails never prevents the off, and all
//! of its calls share [`TAG_BUDGET`]. Off is idempotent at the server: a second call writes no event. Flags
//! are never switched on here.

use super::exporter::{FlagState, FlagWarning, Outcome};
use super::http::{Answer, Caller, join, origin, parse_url};
use super::scrub::Scrubber;
use super::trouble::Trouble;
use super::webhook::sensitive;
use super::{ActError, RuleTarget};
use crate::config::UnleashExporter;
use crate::decide::{Decision, FailureReason};
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
}

/// `GET .../environments/{environment}`.
#[derive(Deserialize)]
struct EnvironmentView {
    enabled: bool,
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
        Ok(Self {
            id: id.to_owned(),
            base: base_url(parse_url(
                id,
                "endpoint",
                &config.endpoint,
                "https://unleash.internal",
            )?),
            project: config.project.trim().to_owned(),
            token: sensitive(config.token.expose()).ok_or_else(|| {
                invalid(
                    "token",
                    "cannot be sent in a header (line breaks or other controls)",
                )
            })?,
            caller: Caller::new(id, config.timeout, Scrubber::new([&config.token]))?,
        })
    }

    /// Reads the environment with the real token, then what a human should know about the flag.
    pub(crate) async fn preflight(
        &self,
        target: &RuleTarget,
        now: UnixNanos,
    ) -> Result<Vec<FlagWarning>, Trouble> {
        self.state(&target.flag, &target.environment, now).await?;
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
        let mut warnings = Vec::new();
        if feature.kind == "kill-switch" {
            warnings.push(FlagWarning::KillSwitchType);
        }
        if !feature.children.is_empty() {
            warnings.push(FlagWarning::HasChildren);
        }
        Ok(warnings)
    }

    /// Tags the flag with the reason, then switches it off in the decision's environment.
    pub(crate) async fn switch_off(&self, decision: &Decision, now: UnixNanos) -> Outcome {
        match tokio::time::timeout(TAG_BUDGET, self.tag(decision, now)).await {
            Ok(Ok(())) => {}
            Ok(Err(trouble)) => self.warn_untagged(decision, &trouble.to_string()),
            Err(_) => self.warn_untagged(decision, "no answer in time"),
        }
        let url = self.feature(&decision.flag, &["environments", &decision.environment, "off"]);
        self.call(Method::POST, url, None, now).await.map(|_| ())
    }

    /// Whether the flag is on in the decision's environment.
    pub(crate) async fn read_back(
        &self,
        decision: &Decision,
        now: UnixNanos,
    ) -> Result<Option<FlagState>, Trouble> {
        self.state(&decision.flag, &decision.environment, now)
            .await
            .map(Some)
    }

    async fn state(&self, flag: &str, environment: &str, now: UnixNanos) -> Result<FlagState, Trouble> {
        let url = self.feature(flag, &["environments", environment]);
        let view: EnvironmentView = self.get(url, now).await?;
        Ok(if view.enabled {
            FlagState::On
        } else {
            FlagState::Off
        })
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
            "description": "Switched off because it burned the error budget",
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

/// `off: burn 14.4x 2026-11-21T22:34Z`, at most [`TAG_CHARS`] characters; the same for every attempt.
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
    format!("off: burn {burn}x {minute}Z")
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
