//! A flag as LaunchDarkly shows it, and how it stands to what a decision asks for.
//!
//! Telemetry calls a variation by its name, by its value (`true` and `on` are the same) or, with
//! LaunchDarkly's own hooks, by its index (`#1`); the API wants its id. Individual targets are left out of
//! the picture: they are people whom somebody has named.

use crate::policy::SafeState;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Weights of a rollout add up to this.
pub(super) const WHOLE: u64 = 100_000;

/// `GET /api/v2/flags/{project}/{flag}`.
#[derive(Debug, Deserialize)]
pub(super) struct Flag {
    #[serde(default)]
    pub(super) archived: bool,
    #[serde(default)]
    pub(super) variations: Vec<Variation>,
    #[serde(default)]
    pub(super) environments: BTreeMap<String, Environment>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Variation {
    #[serde(rename = "_id", default)]
    pub(super) id: String,
    #[serde(default)]
    value: Value,
    #[serde(default)]
    name: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Environment {
    pub(super) on: bool,
    pub(super) version: u64,
    #[serde(default)]
    pub(super) off_variation: Option<usize>,
    #[serde(default)]
    pub(super) fallthrough: Served,
    #[serde(default)]
    pub(super) rules: Vec<Rule>,
}

/// One variation, or a rollout over several.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Served {
    #[serde(default)]
    variation: Option<usize>,
    #[serde(default)]
    pub(super) rollout: Option<Rollout>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Rollout {
    variations: Vec<Weighted>,
    #[serde(default)]
    pub(super) bucket_by: Option<String>,
    #[serde(default)]
    pub(super) context_kind: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Weighted {
    variation: usize,
    weight: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Rule {
    #[serde(rename = "_id", default)]
    pub(super) id: String,
    #[serde(default)]
    pub(super) disabled: bool,
    #[serde(flatten)]
    pub(super) served: Served,
}

impl Flag {
    /// The variation that telemetry or a policy calls `name`.
    pub(super) fn variation(&self, name: &str) -> Option<usize> {
        let nth = name.strip_prefix('#').and_then(|nth| nth.parse().ok());
        if let Some(nth) = nth.filter(|nth| *nth < self.variations.len()) {
            return Some(nth);
        }
        let by = |is: &dyn Fn(&Variation) -> bool| self.variations.iter().position(is);
        by(&|it| it.name.as_deref() == Some(name))
            .or_else(|| by(&|it| text(&it.value) == name))
            .or_else(|| by(&|it| canonical(&text(&it.value)) == canonical(name)))
    }

    /// Their names for people.
    pub(super) fn names(&self) -> String {
        let all = self.variations.iter();
        let all: Vec<String> = all
            .map(|it| it.name.clone().unwrap_or_else(|| text(&it.value)))
            .collect();
        all.join(", ")
    }
}

impl Served {
    /// How much of the whole gets the variation `nth`.
    pub(super) fn weight(&self, nth: usize) -> u64 {
        match &self.rollout {
            Some(rollout) => {
                let of_it = rollout.variations.iter().filter(|it| it.variation == nth);
                of_it.map(|it| it.weight).sum()
            }
            None if self.variation == Some(nth) => WHOLE,
            None => 0,
        }
    }
}

impl Environment {
    /// The fallthrough and the rules that are on, each rule with its id.
    pub(super) fn parts(&self) -> impl Iterator<Item = (Option<&str>, &Served)> {
        let rules = self.rules.iter().filter(|rule| !rule.disabled);
        std::iter::once((None, &self.fallthrough))
            .chain(rules.map(|rule| (Some(rule.id.as_str()), &rule.served)))
    }

    /// The parts that give somebody more than `percent` of the variation `blamed`.
    pub(super) fn above(&self, blamed: usize, percent: u8) -> impl Iterator<Item = (Option<&str>, &Served)> {
        let limit = u64::from(percent) * WHOLE / 100;
        self.parts()
            .filter(move |(_, served)| served.weight(blamed) > limit)
    }

    /// The parts that would have to change so that everybody who gets the variation `blamed` gets `safe`: the
    /// fallthrough, the rules that give the blamed one, and all of them where it is not known.
    pub(super) fn not_serving(
        &self,
        safe: usize,
        blamed: Option<usize>,
    ) -> impl Iterator<Item = (Option<&str>, &Served)> {
        self.parts().filter(move |(rule, served)| {
            let concerned =
                rule.is_none() || blamed.is_none_or(|blamed| blamed != safe && served.weight(blamed) > 0);
            concerned && served.weight(safe) < WHOLE
        })
    }

    /// Whether it stands as `to` says, for a decision that blames the variation `blamed`. `None` where the
    /// flag has no such variation, so that nobody can say.
    pub(super) fn is_safe(&self, flag: &Flag, to: &SafeState, blamed: Option<usize>) -> Option<bool> {
        // Off is more than a rollout or another variant asks for, unless off serves what is blamed.
        let off_helps = !self.on && self.off_variation.is_none_or(|off| Some(off) != blamed);
        match to {
            SafeState::Off => Some(!self.on),
            SafeState::On => Some(self.on),
            SafeState::Rollout { percent } => {
                Some(off_helps || (self.on && self.above(blamed?, *percent).next().is_none()))
            }
            SafeState::Serve { variant } => {
                let safe = flag.variation(variant)?;
                Some(off_helps || (self.on && self.not_serving(safe, blamed).next().is_none()))
            }
        }
    }
}

/// A value as telemetry writes it.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// `on` and `off`, however they are spelled.
fn canonical(value: &str) -> &str {
    match value {
        "true" | "on" => "on",
        "false" | "off" => "off",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    pub(super) fn flag(environment: &Value) -> Flag {
        serde_json::from_value(json!({
            "variations": [
                { "_id": "v-a", "value": true, "name": "new path" },
                { "_id": "v-b", "value": false },
                { "_id": "v-c", "value": "green" },
            ],
            "environments": { "production": environment },
        }))
        .unwrap()
    }

    #[test]
    fn a_variation_is_found_by_name_value_and_index() {
        let flag = flag(&json!({ "on": true, "version": 1 }));
        for (name, nth) in [
            ("new path", Some(0)),
            ("on", Some(0)),
            ("true", Some(0)),
            ("off", Some(1)),
            ("#2", Some(2)),
            ("green", Some(2)),
            ("#3", None),
            ("blue", None),
        ] {
            assert_eq!(flag.variation(name), nth, "{name}");
        }
    }

    #[test]
    fn safe_is_what_the_policy_calls_safe() {
        let rollout = |weight: u64| {
            json!({ "rollout": { "variations": [
            { "variation": 0, "weight": weight }, { "variation": 1, "weight": WHOLE - weight } ] } })
        };
        let state = |on: bool, off: usize, served: Value, rule: Value| {
            json!({
                "on": on, "version": 1, "offVariation": off, "fallthrough": served, "rules": [rule],
            })
        };
        let disabled = json!({ "_id": "r", "disabled": true, "variation": 0 });
        let ruled = json!({ "_id": "r", "variation": 0 });
        let five = SafeState::Rollout { percent: 5 };
        let serve = SafeState::Serve {
            variant: "off".into(),
        };
        let one = |nth: usize| json!({ "variation": nth });
        for (environment, to, want) in [
            (state(true, 1, rollout(5_000), disabled.clone()), &five, true),
            (state(true, 1, rollout(5_001), disabled.clone()), &five, false),
            (state(true, 1, rollout(5_000), ruled.clone()), &five, false),
            (state(false, 1, rollout(90_000), ruled.clone()), &five, true),
            (state(false, 0, rollout(1_000), disabled.clone()), &five, false),
            (state(true, 1, one(1), disabled.clone()), &serve, true),
            (state(true, 1, one(0), disabled.clone()), &serve, false),
            (state(true, 1, one(1), ruled), &serve, false),
            (state(true, 1, one(2), disabled.clone()), &serve, false),
            (state(true, 1, one(0), disabled.clone()), &SafeState::On, true),
            (state(true, 1, one(0), disabled), &SafeState::Off, false),
        ] {
            let flag = flag(&environment);
            let safe = flag.environments["production"].is_safe(&flag, to, Some(0));
            assert_eq!(safe, Some(want), "{environment} {to}");
        }
    }

    #[test]
    fn what_the_flag_does_not_have_cannot_be_said() {
        let flag = flag(&json!({ "on": true, "version": 1, "fallthrough": { "variation": 0 } }));
        let production = &flag.environments["production"];
        let blue = SafeState::Serve {
            variant: "blue".into(),
        };
        assert_eq!(production.is_safe(&flag, &blue, Some(0)), None);
        let rollout = SafeState::Rollout { percent: 1 };
        assert_eq!(production.is_safe(&flag, &rollout, None), None);
    }
}
