//! Exporters of decisions: journal, delivery, Unleash, webhook.
//!
//! A decision to switch a flag off must take effect exactly once as far as anybody can see, although
//! processes die, answers get lost and servers hang. No flag service offers a fence, so the property rests on
//! three things: every transition is in the journal *before* the step that follows it ([`journal`]), the
//! effect is idempotent (off is off, a webhook carries the decision's id), and after a crash or a timeout the
//! flag is read before anything is sent again ([`delivery`]).
//!
//! Rejected: sending from the tick (a hung server would stop the evaluation), and remembering in memory only
//! what was sent (a restart would switch off again what a human has switched on since).

pub mod ability;
mod audited;
mod backoff;
mod breaker;
mod change_book;
mod changes;
mod decisions;
pub mod delivery;
mod desk;
mod drive;
pub mod exporter;
pub mod flagd;
mod guard;
pub mod http;
pub mod http_api;
pub mod journal;
pub mod launchdarkly;
mod lease;
mod pattern;
pub mod preflight;
mod probation;
mod rehearse;
mod scrub;
mod template;
mod trouble;
pub mod unleash;
mod watch;
pub mod webhook;

pub use ability::{Abilities, Ability};
pub use audited::AuditedLog;
pub use backoff::Pacing;
pub use changes::{ChangeWatch, FlagChanges};
pub use decisions::{AmendError, Decisions, SubmitError};
pub use delivery::{Delivery, OutletSwitch, SHUTDOWN_GRACE};
pub use desk::{Desk, DeskError, HandRequest, Waiting};
pub use exporter::{
    Actuator, Change, Exporter, Exporters, Exposure, FlagState, FlagWarning, LastChange, Outcome, ReadBack,
    Reading, Warnings,
};
pub use journal::{DecisionLog, JournalError, StoreLog};
pub use lease::{Alone, Lease};
pub use preflight::{Preflight, forget};
pub use rehearse::rehearse;
pub use scrub::Scrubber;
pub use template::{PLACEHOLDERS, Template, TemplateError};
pub use trouble::Trouble;

use crate::decide::{Action, Decision};
use crate::policy::{KillMode, KillSwitch, Policy, PolicySet, SafeState};
use std::sync::Arc;

/// Stands for a flag's name where an exporter is asked about deployments.
pub const DEPLOYMENTS: &str = "(deployments)";

/// What a kill rule asks of an exporter: enough to refuse a rule that cannot work and to probe one that
/// should.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleTarget {
    /// Service whose policy holds the rule, for messages.
    pub service: String,
    /// Exporter, by its configured name.
    pub exporter: String,
    /// Environment in which the flag would be switched.
    pub environment: String,
    /// The flag.
    pub flag: String,
    /// What would be made of it.
    pub action: SafeState,
    /// The variants that may be blamed; `None` for any.
    pub variants: Option<Vec<Arc<str>>>,
    /// The flag would be given back on probation, at this share first.
    pub first_percent: Option<u8>,
}

impl RuleTarget {
    /// The targets of all kill switches of `policies` for [`check`], those in mode `off` included.
    pub fn all(policies: &PolicySet) -> Vec<Self> {
        policies
            .kill_switches()
            .map(|(policy, switch)| Self::of(policy, switch))
            .collect()
    }

    /// The targets of the rules that are in use, for [`Preflight`]: flags, and once [`DEPLOYMENTS`] where a
    /// version may be blamed, whose name nobody knows before.
    pub fn in_use(policies: &PolicySet) -> Vec<Self> {
        let flags = policies
            .kill_switches()
            .filter(|(_, switch)| switch.mode != KillMode::Off)
            .map(|(policy, switch)| Self::of(policy, switch));
        let versions = policies
            .deploy_switches()
            .filter(|(_, switch)| switch.mode != KillMode::Off)
            .map(|(policy, switch)| Self {
                service: policy.service.as_str().to_owned(),
                exporter: switch.exporter.to_string(),
                environment: switch.environment.to_string(),
                flag: DEPLOYMENTS.to_owned(),
                action: SafeState::default(),
                variants: None,
                first_percent: None,
            });
        flags.chain(versions).collect()
    }

    /// What a decision is about, as a rule's target.
    pub fn of_decision(decision: &Decision) -> Self {
        let action = match &decision.action {
            Action::Switch { to } => to.clone(),
            // What a flag on probation goes back to is off.
            Action::Expose { .. } | Action::Rollback | Action::Pause => SafeState::default(),
        };
        Self {
            service: decision.evidence.service.clone(),
            exporter: decision.exporter.clone(),
            environment: decision.environment.clone(),
            flag: decision.subject(),
            action,
            variants: None,
            first_percent: None,
        }
    }

    fn of(policy: &Policy, switch: &KillSwitch) -> Self {
        Self {
            service: policy.service.as_str().to_owned(),
            exporter: switch.exporter.to_string(),
            environment: switch.environment.to_string(),
            flag: switch.flag.to_string(),
            action: switch.action.clone(),
            variants: switch.variants.clone(),
            first_percent: switch.probation.as_ref().and_then(|it| it.steps.first().copied()),
        }
    }
}

/// Why a kill-switch configuration cannot work. Found before any port is bound.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum ActError {
    /// A rule names an exporter that is not configured.
    #[error(
        "kill switch for flag `{flag}` of service `{service}`: no exporter `{exporter}` is configured; \
         {known}"
    )]
    UnknownExporter {
        service: String,
        flag: String,
        exporter: String,
        known: String,
    },
    /// A rule asks for what its exporter cannot do.
    #[error("kill switch for flag `{flag}` of service `{service}`: exporter `{exporter}` {refusal}")]
    CannotDo {
        service: String,
        flag: String,
        exporter: String,
        refusal: String,
    },
    /// A rule for deployments asks for what its exporter cannot do.
    #[error("deployments of service `{service}`: exporter `{exporter}` {refusal}")]
    CannotAnswer {
        service: String,
        exporter: String,
        refusal: String,
    },
    /// A rule for deployments names an exporter that is not configured.
    #[error("deployments of service `{service}`: no exporter `{exporter}` is configured; {known}")]
    UnknownForDeployments {
        service: String,
        exporter: String,
        known: String,
    },
    /// A rule names no flag or no environment, or a name that no service can hold.
    #[error("kill switch of service `{service}` on exporter `{exporter}`: its {what} {problem}")]
    InvalidTarget {
        service: String,
        exporter: String,
        what: &'static str,
        problem: &'static str,
    },
    /// Two exporters share a name.
    #[error("exporters: `{exporter}` is configured twice")]
    Duplicate { exporter: String },
    /// A credential is configured and empty.
    #[error(
        "exporters.{exporter}.{key} is empty; set the environment variable or file that it is read from, \
         or remove the key"
    )]
    EmptySecret { exporter: String, key: String },
    /// A URL cannot be called.
    #[error("exporters.{exporter}.{key}: {problem}; expected something like `{example}`")]
    InvalidUrl {
        exporter: String,
        key: &'static str,
        problem: String,
        example: &'static str,
    },
    /// A method, header or timeout cannot be used.
    #[error("exporters.{exporter}.{key}: {problem}")]
    Invalid {
        exporter: String,
        key: String,
        problem: String,
    },
    /// The body template cannot be rendered to JSON.
    #[error("exporters.{exporter}.{key}: {source}")]
    Template {
        exporter: String,
        key: String,
        source: TemplateError,
    },
    /// The HTTP client cannot be built, for instance because the machine has no root certificates.
    #[error("exporters.{exporter}: the HTTP client cannot be built: {problem}")]
    Client { exporter: String, problem: String },
}

/// Refuses rules that name an exporter which does not exist or cannot do what they ask, or no flag or
/// environment.
///
/// Exporters themselves were checked when [`Exporters::build`] made them: an empty token never gets this far.
pub fn check(rules: &[RuleTarget], exporters: &Exporters) -> Result<(), ActError> {
    for rule in rules {
        if exporters.get(&rule.exporter).is_none() {
            return Err(ActError::UnknownExporter {
                service: rule.service.clone(),
                flag: rule.flag.clone(),
                exporter: rule.exporter.clone(),
                known: exporters.describe_known(),
            });
        }
        let switch = Action::Switch {
            to: rule.action.clone(),
        };
        let expose = rule
            .first_percent
            .map(|percent| Action::Expose { percent, from: 0 });
        let mut asked = std::iter::once(switch).chain(expose);
        if let Some(refusal) = asked.find_map(|action| exporters.refusal(&rule.exporter, &action)) {
            return Err(ActError::CannotDo {
                service: rule.service.clone(),
                flag: rule.flag.clone(),
                exporter: rule.exporter.clone(),
                refusal,
            });
        }
        for (what, value) in [("flag", &rule.flag), ("environment", &rule.environment)] {
            let problem = match value.trim() {
                "" => "is empty",
                "." | ".." => "cannot be part of a URL",
                _ if value.chars().any(char::is_control) => "has a control character in it",
                _ => continue,
            };
            return Err(ActError::InvalidTarget {
                service: rule.service.clone(),
                exporter: rule.exporter.clone(),
                what,
                problem,
            });
        }
    }
    Ok(())
}

/// The same of rules for deployments.
pub fn check_deployments(policies: &PolicySet, exporters: &Exporters) -> Result<(), ActError> {
    for (policy, rule) in policies.deploy_switches() {
        let (service, exporter) = (policy.service.as_str().to_owned(), rule.exporter.to_string());
        if exporters.get(&exporter).is_none() {
            let known = exporters.describe_known();
            return Err(ActError::UnknownForDeployments {
                service,
                exporter,
                known,
            });
        }
        if let Some(refusal) = exporters.refusal(&exporter, &rule.action.into()) {
            return Err(ActError::CannotAnswer {
                service,
                exporter,
                refusal,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::config::{FlagdExporter, LaunchDarklyExporter, Secret, UnleashExporter, WebhookExporter};
    use crate::decide::{DecisionState, Evidence};
    use crate::ledger::Counts;
    use crate::time::UnixNanos;
    use std::time::Duration;

    /// A decision as the rule of the defaults makes it.
    pub(crate) fn decision(flag: &str) -> Decision {
        let now = UnixNanos::from_secs(1_795_300_000);
        Decision {
            id: format!("id-{flag}"),
            exporter: "unleash".to_owned(),
            environment: "production".to_owned(),
            flag: flag.to_owned(),
            deployment: None,
            action: Action::default(),
            actor: crate::decide::Actor::default(),
            incident: 1,
            decided_at: now,
            updated_at: now,
            evidence: Evidence {
                service: "checkout".to_owned(),
                slo: "availability".to_owned(),
                environment: Some("production".to_owned()),
                sha: Some("4f2c1e".to_owned()),
                flag: flag.to_owned(),
                variant: "on".to_owned(),
                window_secs: 300,
                from: now.minus_secs(300),
                to: now,
                burn: 14.4,
                burn_above: 7.0,
                held_secs: 180,
                cohort: Counts {
                    good: 9_856,
                    bad: 144,
                },
                control: Counts { good: 10_000, bad: 0 },
                contrast: None,
                signatures: crate::ledger::TopSignatures::default(),
                proof: None,
            },
            state: DecisionState::Decided,
            life: crate::decide::Life::default(),
            history: vec![(now, "decided".to_owned())],
        }
    }

    pub(crate) fn webhook(url: &str) -> WebhookExporter {
        WebhookExporter {
            id: "webhook".to_owned(),
            url: url.to_owned(),
            method: "POST".to_owned(),
            headers: Vec::new(),
            token: Some(Secret::new("canary-token")),
            body: None,
            deploy_body: None,
            signing_key: None,
            timeout: Duration::from_secs(5),
        }
    }

    pub(crate) fn unleash(endpoint: &str) -> UnleashExporter {
        UnleashExporter {
            id: "unleash".to_owned(),
            endpoint: endpoint.to_owned(),
            token: Secret::new("canary-token"),
            project: "default".to_owned(),
            timeout: Duration::from_secs(5),
        }
    }

    fn target(exporter: &str) -> RuleTarget {
        RuleTarget {
            service: "checkout".to_owned(),
            exporter: exporter.to_owned(),
            environment: "production".to_owned(),
            flag: "new-checkout".to_owned(),
            action: SafeState::Off,
            variants: None,
            first_percent: None,
        }
    }

    #[test]
    fn a_rule_on_an_unknown_exporter_is_refused_and_the_known_ones_named() {
        let exporters = Exporters::build(&[unleash("http://127.0.0.1:1")].into()).unwrap();
        assert!(check(&[target("unleash")], &exporters).is_ok());
        let error = check(&[target("unlaesh")], &exporters).unwrap_err().to_string();
        assert!(
            error.contains("`unlaesh`") && error.contains("`unleash`"),
            "{error}"
        );
        let none = check(&[target("unleash")], &Exporters::default())
            .unwrap_err()
            .to_string();
        assert!(none.contains("none that can switch flags"), "{none}");
    }

    #[test]
    fn a_rule_that_asks_for_what_its_exporter_cannot_do_is_refused_with_what_it_can() {
        let mut does_more = webhook("http://h/x");
        does_more.id = "webhook/more".to_owned();
        does_more.body = Some(r#"{"flag":"{{flag}}","do":"{{action}}"}"#.to_owned());
        let exporters = Exporters::build(&[webhook("http://h/x"), does_more].into()).unwrap();
        let mut rule = target("webhook");
        rule.action = SafeState::Rollout { percent: 5 };
        let error = check(&[rule.clone()], &exporters).unwrap_err().to_string();
        assert_eq!(
            error,
            "kill switch for flag `new-checkout` of service `checkout`: exporter `webhook` cannot do `rollout`; it \
             can do off, rollback, pause; write {{action}} into its body and it is told of `on`, `rollout` and `serve` too"
        );
        rule.exporter = "webhook/more".to_owned();
        assert!(check(&[rule], &exporters).is_ok());
    }

    #[test]
    fn deployments_on_an_exporter_that_knows_flags_only_are_refused() {
        let policies = |exporter: &str, action: &str| {
            let text = format!(
                "service: checkout\nenvironment: production\nslos: [{{ name: availability, target: 99.9% }}]\n\
                 deployments:\n  - {{ exporter: {exporter}, action: {action}, mode: off }}\n"
            );
            crate::policy::from_text("p.yaml", &text).unwrap()
        };
        let mut all: crate::config::DecisionExporters = [webhook("http://h/x")].into();
        all.push(unleash("http://h").into());
        all.push(LaunchDarklyExporter::new("launchdarkly", Secret::new("canary-token")).into());
        all.push(FlagdExporter::new("flagd", "flags.json").into());
        let exporters = Exporters::build(&all).unwrap();
        for action in ["rollback", "pause"] {
            assert!(check_deployments(&policies("webhook", action), &exporters).is_ok());
            for other in ["unleash", "launchdarkly", "flagd"] {
                let refused = check_deployments(&policies(other, action), &exporters).unwrap_err();
                let want = format!(
                    "deployments of service `checkout`: exporter `{other}` cannot do `{action}`; it can do off, on"
                );
                assert!(refused.to_string().starts_with(&want), "{refused}");
            }
        }
        let refused = check_deployments(&policies("hook", "pause"), &exporters).unwrap_err();
        assert!(refused.to_string().contains("no exporter `hook`"), "{refused}");
    }

    #[test]
    fn no_webhook_gives_a_flag_back_whatever_is_in_its_body() {
        for body in ["{}", r#"{"do":"{{action}}"}"#] {
            let mut told = webhook("http://h/x");
            told.body = Some(body.to_owned());
            let exporters = Exporters::build(&[told].into()).unwrap();
            let mut rule = target("webhook");
            rule.first_percent = Some(1);
            let refused = check(&[rule], &exporters).unwrap_err().to_string();
            assert!(refused.contains("cannot do `probation`"), "{refused}");
        }
    }

    #[test]
    fn exporters_that_cannot_work_are_refused_by_name() {
        let mut blank = unleash("http://h");
        blank.token = Secret::new(" ");
        let mut key = webhook("http://h/x");
        key.signing_key = Some(Secret::default());
        let mut header = webhook("http://h/x");
        header.headers = vec![("X-Key".to_owned(), Secret::default())];
        let mut twice = webhook("http://h/x");
        twice.headers = vec![("authorization".to_owned(), Secret::new("canary-header"))];
        let mut get = webhook("http://h/x");
        get.method = "GET".to_owned();
        let mut body = webhook("http://h/x");
        body.body = Some("{{flag}}".to_owned());
        let mut reserved = webhook("http://h/x");
        reserved.headers = vec![("Idempotency-Key".to_owned(), Secret::new("canary"))];
        let rows = [
            (
                Exporters::build(&[blank].into()),
                "exporters.unleash.token is empty",
            ),
            (
                Exporters::build(&[unleash("unleash.internal")].into()),
                "exporters.unleash.endpoint",
            ),
            (
                Exporters::build(&[unleash("http://h"), unleash("http://h")].into()),
                "configured twice",
            ),
            (
                Exporters::build(&[key].into()),
                "exporters.webhook.signing_key is empty",
            ),
            (
                Exporters::build(&[header].into()),
                "exporters.webhook.headers.X-Key is empty",
            ),
            (Exporters::build(&[twice].into()), "beside a header Authorization"),
            (Exporters::build(&[get].into()), "`GET` cannot switch anything"),
            (Exporters::build(&[body].into()), "not valid JSON"),
            (Exporters::build(&[reserved].into()), "set by the call itself"),
        ];
        for (built, want) in rows {
            let error = built.unwrap_err().to_string();
            assert!(error.contains(want), "{want}: {error}");
            assert!(!error.contains("canary"), "{error}");
        }
    }
}
