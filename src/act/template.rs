//! The JSON body of a webhook, with placeholders.
//!
//! `{{flag}}` stands for a value of the decision, escaped for the inside of a JSON string; numbers may stand
//! bare. A template is rendered with sample values when the configuration is read: an unknown placeholder or
//! a body that is not JSON is refused then, and not during an incident.

use super::ability::Ability;
use super::pattern::Pattern;
use super::scrub::json_inside;
use crate::decide::{Action, Actor, Decision};
use crate::policy::SafeState;

/// The call that published guides show.
pub(crate) const DEFAULT_BODY: &str = r#"{"flag":"{{flag}}","reason":"{{reason}}"}"#;

/// What is said of a deployment, unless the configuration says it otherwise.
pub(crate) const DEFAULT_DEPLOY_BODY: &str = concat!(
    r#"{"action":"{{action}}","deployment":{"service":"{{service}}","sha":"{{sha}}"},"#,
    r#""reason":"{{reason}}","decision_id":"{{decision_id}}"}"#
);

/// Every placeholder, with what it stands for.
pub const PLACEHOLDERS: [(&str, &str); 26] = [
    ("flag", "the flag's key; empty for a deployment"),
    ("action", "off, on, rollout, serve, rollback or pause"),
    ("percent", "percent of a rollout, a number or null"),
    (
        "safe_variant",
        "variant to serve to everybody, empty for other actions",
    ),
    ("deployment", "service@sha of a deployment; empty for a flag"),
    ("variant", "the variant that burns"),
    ("service", "service.name"),
    ("environment", "environment in which the flag is switched"),
    ("sha", "deployment, empty when none is known"),
    ("slo", "name of the objective"),
    ("burn", "burn rate, a number"),
    ("burn_above", "threshold of the rule, a number"),
    ("window", "window of the rule, such as 5m"),
    ("window_secs", "window of the rule in seconds, a number"),
    ("held_secs", "how long it has been above, in seconds, a number"),
    ("reason", "such as burn-rate>7x/5m"),
    ("decision_id", "id of the decision, the same for every attempt"),
    ("exporter", "the exporter's configured name"),
    ("good", "good events of the cohort, a number"),
    ("bad", "bad events of the cohort, a number"),
    ("control_good", "good events of the other variants, a number"),
    ("control_bad", "bad events of the other variants, a number"),
    ("contrast", "bad share over that of the control, a number or null"),
    ("from", "start of the interval, RFC 3339"),
    ("to", "end of the interval, RFC 3339"),
    ("decided_at", "when it was decided, RFC 3339"),
];

/// Why a template is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A placeholder nobody knows.
    #[error("unknown placeholder `{{{{{name}}}}}`{hint}; known are {known}")]
    Unknown {
        /// What stands between the braces.
        name: String,
        /// `; did you mean ...`, or nothing.
        hint: String,
        /// All known names.
        known: String,
    },
    /// `{{` without `}}`.
    #[error("a placeholder that begins with `{{{{` has no `}}}}` (at byte {at})")]
    Unclosed {
        /// Where it begins.
        at: usize,
    },
    /// Rendered, it is not JSON.
    #[error(
        "with sample values it is not valid JSON: {problem}; texts belong between quotes, such as \
         \"{{{{flag}}}}\""
    )]
    NotJson {
        /// The parser's words.
        problem: String,
    },
}

/// A template that renders to JSON for every decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pattern: Pattern,
}

impl Template {
    /// Parses and tries a template.
    pub fn parse(source: &str) -> Result<Self, TemplateError> {
        let pattern = Pattern::parse(source, &PLACEHOLDERS.map(|(name, _)| name))?;
        try_samples(&pattern)?;
        Ok(Self { pattern })
    }

    /// The body for `decision`.
    pub fn render(&self, decision: &Decision) -> String {
        self.pattern.render(|name| json_inside(&value_of(name, decision)))
    }

    /// Whether a value of that name stands in it.
    pub(crate) fn names(&self, name: &str) -> bool {
        self.pattern.names(name)
    }
}

/// Texts are tried with and without characters that JSON escapes, and empty: a bare text fails one of them.
fn try_samples(pattern: &Pattern) -> Result<(), TemplateError> {
    try_samples_with(pattern, |name, text| json_inside(&sample_of(name, text)))
}

/// The same with samples of somebody else, who escapes them.
pub(crate) fn try_samples_with(
    pattern: &Pattern,
    sample: impl Fn(&str, &str) -> String,
) -> Result<(), TemplateError> {
    for text in ["sample", "a \"quoted\" \\ text", ""] {
        let body = pattern.render(|name| sample(name, text));
        serde_json::from_str::<serde_json::Value>(&body).map_err(|e| TemplateError::NotJson {
            problem: e.to_string(),
        })?;
    }
    Ok(())
}

/// The value of a placeholder, unescaped.
pub(crate) fn value_of(name: &str, d: &Decision) -> String {
    let e = &d.evidence;
    let deployed = d.deployment.as_ref();
    match name {
        "flag" => d.flag.clone(),
        "action" => Ability::of(&d.action).as_str().to_owned(),
        "percent" => match &d.action {
            Action::Switch {
                to: SafeState::Rollout { percent },
            }
            | Action::Expose { percent, .. } => percent.to_string(),
            _ => "null".to_owned(),
        },
        "safe_variant" => match &d.action {
            Action::Switch {
                to: SafeState::Serve { variant },
            } => variant.to_string(),
            _ => String::new(),
        },
        "deployment" => deployed.map_or_else(String::new, |_| d.subject()),
        "service" => deployed.map_or(&e.service, |it| &it.service).clone(),
        "sha" => match deployed {
            Some(it) => it.sha.clone(),
            None => e.sha.clone().unwrap_or_default(),
        },
        "variant" => e.variant.clone(),
        "environment" => d.environment.clone(),
        "slo" => e.slo.clone(),
        "burn" => number(e.burn),
        "burn_above" => number(e.burn_above),
        "window" => span_of(e.window_secs),
        "window_secs" => e.window_secs.to_string(),
        "held_secs" => e.held_secs.to_string(),
        "reason" => reason(d),
        "decision_id" => d.id.clone(),
        "exporter" => d.exporter.clone(),
        "good" => e.cohort.good.to_string(),
        "bad" => e.cohort.bad.to_string(),
        "control_good" => e.control.good.to_string(),
        "control_bad" => e.control.bad.to_string(),
        "contrast" => e.contrast.map_or_else(|| "null".to_owned(), number),
        "from" => e.from.to_string(),
        "to" => e.to.to_string(),
        _ => d.decided_at.to_string(),
    }
}

/// A value to try a body with: a number where a number may stand bare.
pub(crate) fn sample_of(name: &str, text: &str) -> String {
    match name {
        "burn" | "burn_above" | "window_secs" | "held_secs" | "good" | "bad" | "control_good"
        | "control_bad" | "contrast" | "percent" => "7".to_owned(),
        _ => text.to_owned(),
    }
}

/// `burn-rate>7x/5m`: the rule that spoke; or the person, in their own words.
pub(crate) fn reason(d: &Decision) -> String {
    if let Actor::Person { name, reason } = &d.actor {
        return format!("{name}: {reason}");
    }
    if let Actor::Probation { of } = &d.actor {
        return format!("probation after {of}");
    }
    format!(
        "burn-rate>{}x/{}",
        number(d.evidence.burn_above),
        span_of(d.evidence.window_secs)
    )
}

/// A finite number as JSON writes it; what is not finite becomes the largest one, as a bare `inf` is not
/// JSON.
fn number(value: f64) -> String {
    if value.is_nan() {
        "null".to_owned()
    } else {
        value.clamp(f64::MIN, f64::MAX).to_string()
    }
}

/// Seconds as people write them: 300 is 5m, 3600 is 1h, 90 is 90s.
pub(crate) fn span_of(secs: u64) -> String {
    for (unit, name) in [(86_400, 'd'), (3_600, 'h'), (60, 'm')] {
        if secs > 0 && secs.is_multiple_of(unit) {
            return format!("{}{name}", secs / unit);
        }
    }
    format!("{secs}s")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::act::tests::decision;
    use proptest::prelude::*;

    #[test]
    fn the_default_body_is_the_call_that_guides_show() {
        let body = Template::parse(DEFAULT_BODY)
            .unwrap()
            .render(&decision("new-checkout"));
        assert_eq!(body, r#"{"flag":"new-checkout","reason":"burn-rate>7x/5m"}"#);
    }

    #[test]
    fn every_placeholder_renders_to_json() {
        for (name, _) in PLACEHOLDERS {
            let quoted = Template::parse(&format!(r#"{{"x":"{{{{ {name} }}}}"}}"#)).unwrap();
            let body = quoted.render(&decision("f"));
            assert!(serde_json::from_str::<serde_json::Value>(&body).is_ok(), "{body}");
        }
        let bare = Template::parse(r#"{"burn":{{burn}},"contrast":{{contrast}},"bad":{{bad}}}"#).unwrap();
        assert_eq!(
            bare.render(&decision("f")),
            r#"{"burn":14.4,"contrast":null,"bad":144}"#
        );
    }

    #[test]
    fn an_unknown_placeholder_names_the_known_ones() {
        let error = Template::parse(r#"{"f":"{{flagg}}"}"#).unwrap_err().to_string();
        assert!(
            error.contains("{{flagg}}") && error.contains("did you mean `flag`"),
            "{error}"
        );
        assert!(error.contains("decision_id"), "{error}");
    }

    #[test]
    fn a_body_that_is_not_json_is_refused() {
        for bad in ["{{flag}}", r#"{"f":{{flag}}}"#, r#"{"sha":{{sha}}}"#, "{", ""] {
            assert!(
                matches!(Template::parse(bad), Err(TemplateError::NotJson { .. })),
                "{bad}"
            );
        }
        assert_eq!(
            Template::parse(r#"{"f":"{{flag"#),
            Err(TemplateError::Unclosed { at: 6 })
        );
    }

    #[test]
    fn a_deployment_and_what_is_made_of_a_flag_have_their_places() {
        let mut d = decision("");
        d.action = Action::Rollback;
        d.deployment = Some(crate::decide::Deployment {
            service: "cart".to_owned(),
            sha: "bad1".to_owned(),
        });
        assert_eq!(
            Template::parse(DEFAULT_DEPLOY_BODY).unwrap().render(&d),
            r#"{"action":"rollback","deployment":{"service":"cart","sha":"bad1"},"#.to_owned()
                + r#""reason":"burn-rate>7x/5m","decision_id":"id-"}"#
        );
        let all = r#"["{{action}}",{{percent}},"{{safe_variant}}","{{deployment}}","{{reason}}"]"#;
        let all = Template::parse(all).unwrap();
        assert_eq!(
            all.render(&d),
            r#"["rollback",null,"","cart@bad1","burn-rate>7x/5m"]"#
        );
        let mut d = decision("f");
        d.action = Action::Switch {
            to: SafeState::Rollout { percent: 5 },
        };
        d.actor = Actor::Person {
            name: "ann".to_owned(),
            reason: "it \"burns\"".to_owned(),
        };
        assert_eq!(all.render(&d), r#"["rollout",5,"","","ann: it \"burns\""]"#);
    }

    proptest! {
        #[test]
        fn no_value_can_break_out_of_its_string(flag in ".*", sha in proptest::option::of(".*")) {
            let mut d = decision(&flag);
            d.evidence.sha = sha.clone();
            let body = Template::parse(r#"{"f":"{{flag}}","s":"{{sha}}","e":1}"#).unwrap().render(&d);
            let v: serde_json::Value = serde_json::from_str(&body).unwrap();
            prop_assert_eq!(v["f"].as_str(), Some(flag.as_str()));
            let sha = sha.unwrap_or_default();
            prop_assert_eq!(v["s"].as_str(), Some(sha.as_str()));
            prop_assert_eq!(v.as_object().unwrap().len(), 3);
        }
    }
}
