//! What is sent to change a flag.

use super::flag::{Environment, Flag, Served, WHOLE};
use crate::decide::Action;
use crate::policy::SafeState;
use serde_json::{Map, Value, json};

/// How a patch of instructions is announced.
pub(super) const SEMANTIC_PATCH: &str = "application/json; domain-model=launchdarkly.semanticpatch";

/// A change as it is sent, and as instructions, which is how an approval is asked for.
pub(super) struct Edit {
    pub(super) body: Value,
    pub(super) kind: &'static str,
    pub(super) instructions: Vec<Value>,
}

/// What brings the flag there; in words what is in the way.
pub(super) fn edit(
    flag: &Flag,
    environment: &Environment,
    action: &Action,
    blamed: Option<usize>,
    (key, comment): (&str, &str),
) -> Result<Edit, String> {
    let instructions = match action {
        Action::Switch { to } => instructions(flag, environment, to, blamed)?,
        Action::Expose { percent, .. } => super::expose::instructions(flag, environment, blamed, *percent)?,
        Action::Rollback | Action::Pause => return Err("it is not about a flag".to_owned()),
    };
    let whole = match action {
        Action::Switch { to: SafeState::Off } => Some(false),
        Action::Switch { to: SafeState::On } => Some(true),
        _ => None,
    };
    let (body, kind) = if let Some(on) = whole {
        let patch = json_patch(key, on, environment.version);
        (json!({ "comment": comment, "patch": patch }), "application/json")
    } else {
        let body = json!({ "environmentKey": key, "comment": comment, "instructions": &instructions });
        (body, SEMANTIC_PATCH)
    };
    Ok(Edit {
        body,
        kind,
        instructions,
    })
}

/// The operations that set `on`, and hold for one version of the environment only.
pub(super) fn json_patch(environment: &str, on: bool, version: u64) -> Value {
    let environment = environment.replace('~', "~0").replace('/', "~1");
    json!([
        { "op": "test", "path": format!("/environments/{environment}/version"), "value": version },
        { "op": "replace", "path": format!("/environments/{environment}/on"), "value": on },
    ])
}

/// The same as instructions, and the only form of what a JSON patch cannot say safely: a rollout is replaced
/// by its variations' ids, not by places in a list that somebody may have changed. In words what is in the
/// way where the flag cannot be brought there.
pub(super) fn instructions(
    flag: &Flag,
    environment: &Environment,
    to: &SafeState,
    blamed: Option<usize>,
) -> Result<Vec<Value>, String> {
    match to {
        SafeState::Off => Ok(vec![json!({ "kind": "turnFlagOff" })]),
        SafeState::On => Ok(vec![json!({ "kind": "turnFlagOn" })]),
        SafeState::Serve { variant } => {
            let Some(safe) = flag.variation(variant) else {
                return Err(unknown(flag, variant));
            };
            let id = &flag.variations[safe].id;
            let parts = environment.not_serving(safe, blamed);
            Ok(parts
                .map(|(rule, _)| instruction(rule, json!({ "variationId": id })))
                .collect())
        }
        SafeState::Rollout { percent } => {
            let (blamed, rest) = between(flag, environment, blamed)?;
            let limit = u64::from(*percent) * WHOLE / 100;
            let parts = environment.above(blamed, *percent);
            Ok(parts
                .map(|(rule, served)| instruction(rule, weights(flag, served, (blamed, limit), rest)))
                .collect())
        }
    }
}

/// The same for the default rule alone, whether that is more than now or less.
pub(super) fn share(
    flag: &Flag,
    environment: &Environment,
    blamed: Option<usize>,
    percent: u8,
) -> Result<Value, String> {
    let (blamed, rest) = between(flag, environment, blamed)?;
    let (served, limit) = (&environment.fallthrough, u64::from(percent) * WHOLE / 100);
    if served.weight(blamed) + served.weight(rest) < limit {
        return Err("other variations have more than this step would leave them".to_owned());
    }
    Ok(instruction(None, weights(flag, served, (blamed, limit), rest)))
}

/// The variation that is blamed, and the one that has what is taken from it.
fn between(flag: &Flag, environment: &Environment, blamed: Option<usize>) -> Result<(usize, usize), String> {
    let blamed = blamed.ok_or("the variant to blame is none of the flag's variations")?;
    let rest = environment.off_variation.filter(|off| *off != blamed);
    let rest = rest.filter(|off| *off < flag.variations.len());
    let rest = rest.ok_or(
        "what is taken from the blamed variation would go to the off variation, and that is the blamed one or \
         none; use the action serve",
    )?;
    Ok((blamed, rest))
}

pub(super) fn unknown(flag: &Flag, variant: &str) -> String {
    format!("the flag has no variation `{variant}`; it has {}", flag.names())
}

fn instruction(rule: Option<&str>, mut more: Value) -> Value {
    let kind = if rule.is_some() {
        "updateRuleVariationOrRollout"
    } else {
        "updateFallthroughVariationOrRollout"
    };
    more["kind"] = json!(kind);
    if let Some(rule) = rule {
        more["ruleId"] = json!(rule);
    }
    more
}

/// The rollout as it is, but for what is moved between the blamed variation and one other: nobody else gets
/// something new.
fn weights(flag: &Flag, served: &Served, (blamed, limit): (usize, u64), rest: usize) -> Value {
    let mut weights = Map::new();
    for (nth, variation) in flag.variations.iter().enumerate() {
        let weight = match served.weight(nth) {
            _ if nth == blamed => limit,
            weight if nth == rest => (weight + served.weight(blamed)).saturating_sub(limit),
            weight => weight,
        };
        if weight > 0 || nth == blamed {
            weights.insert(variation.id.clone(), json!(weight));
        }
    }
    let mut made = json!({ "rolloutWeights": weights });
    let rollout = served.rollout.as_ref();
    if let Some(kind) = rollout.and_then(|it| it.context_kind.as_ref()) {
        made["rolloutContextKind"] = json!(kind);
    }
    if let Some(by) = rollout.and_then(|it| it.bucket_by.as_ref()) {
        made["rolloutBucketBy"] = json!(by);
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flag(environment: &Value) -> Flag {
        serde_json::from_value(json!({
            "variations": [
                { "_id": "v-a", "value": "a" }, { "_id": "v-b", "value": "b" }, { "_id": "v-c", "value": "c" },
            ],
            "environments": { "production": environment },
        }))
        .unwrap()
    }

    #[test]
    fn a_rollout_takes_from_the_blamed_variation_only() {
        let flag = flag(&json!({
            "on": true, "version": 7, "offVariation": 1,
            "fallthrough": { "rollout": { "contextKind": "user", "bucketBy": "key", "variations": [
                { "variation": 0, "weight": 50_000 }, { "variation": 1, "weight": 20_000 },
                { "variation": 2, "weight": 30_000 } ] } },
            "rules": [ { "_id": "r1", "variation": 0 }, { "_id": "r2", "variation": 2 } ],
        }));
        let five = SafeState::Rollout { percent: 5 };
        let production = &flag.environments["production"];
        assert_eq!(
            instructions(&flag, production, &five, Some(0)).unwrap(),
            [
                json!({ "kind": "updateFallthroughVariationOrRollout", "rolloutContextKind": "user",
                    "rolloutBucketBy": "key",
                    "rolloutWeights": { "v-a": 5_000, "v-b": 65_000, "v-c": 30_000 } }),
                json!({ "kind": "updateRuleVariationOrRollout", "ruleId": "r1",
                    "rolloutWeights": { "v-a": 5_000, "v-b": 95_000 } }),
            ]
        );
        assert!(instructions(&flag, production, &five, Some(1)).is_err());
        assert!(instructions(&flag, production, &five, None).is_err());
    }

    #[test]
    fn a_safe_variation_is_served_by_its_id() {
        let flag = flag(&json!({
            "on": true, "version": 7, "offVariation": 1, "fallthrough": { "variation": 0 },
            "rules": [ { "_id": "r1", "variation": 0 }, { "_id": "r2", "variation": 2 } ],
        }));
        let production = &flag.environments["production"];
        let serve = SafeState::Serve { variant: "b".into() };
        let made = instructions(&flag, production, &serve, Some(0)).unwrap();
        assert_eq!(
            made,
            [
                json!({ "kind": "updateFallthroughVariationOrRollout", "variationId": "v-b" }),
                json!({ "kind": "updateRuleVariationOrRollout", "ruleId": "r1", "variationId": "v-b" }),
            ]
        );
        assert_eq!(instructions(&flag, production, &serve, None).unwrap().len(), 3);
        let serve = SafeState::Serve { variant: "x".into() };
        let words = instructions(&flag, production, &serve, None).unwrap_err();
        assert_eq!(words, "the flag has no variation `x`; it has a, b, c");
    }

    #[test]
    fn a_patch_holds_for_one_version_only() {
        assert_eq!(
            json_patch("eu/1", false, 12),
            json!([
                { "op": "test", "path": "/environments/eu~11/version", "value": 12 },
                { "op": "replace", "path": "/environments/eu~11/on", "value": false },
            ])
        );
    }
}
