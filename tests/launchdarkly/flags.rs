//! Flags in the shape of the API, and changes of them.

use serde_json::{Value, json};

pub const NOW_MS: u64 = 1_795_300_440_000;

/// A boolean flag that is on in production and development: true to everybody, false when off.
pub fn flag(key: &str) -> Value {
    let environment = |name: &str| {
        json!({
            "on": true, "archived": false, "salt": "c2FsdA", "sel": "c2Vs", "lastModified": NOW_MS, "version": 3,
            "targets": [], "contextTargets": [], "rules": [], "fallthrough": { "variation": 0 }, "offVariation": 1,
            "prerequisites": [], "_environmentName": name, "trackEvents": false, "trackEventsFallthrough": false,
            "_site": { "href": format!("/default/{name}/features/{key}"), "type": "text/html" },
        })
    };
    json!({
        "name": key, "kind": "boolean", "key": key, "_version": 1, "creationDate": NOW_MS, "includeInSnippet": false,
        "clientSideAvailability": { "usingMobileKey": false, "usingEnvironmentId": false },
        "variations": [
            { "_id": "0f0e3a1b-0000-4000-8000-000000000001", "value": true, "name": "new path" },
            { "_id": "0f0e3a1b-0000-4000-8000-000000000002", "value": false },
        ],
        "temporary": true, "tags": ["checkout"], "experiments": { "baselineIdx": 0, "items": [] },
        "_links": { "self": { "href": format!("/api/v2/flags/default/{key}"), "type": "application/json" } },
        "customProperties": {}, "archived": false, "defaults": { "onVariation": 0, "offVariation": 1 },
        "environments": { "production": environment("production"), "development": environment("development") },
    })
}

/// A rule that serves one variation to some.
pub fn rule(id: &str, variation: u64) -> Value {
    let clause = json!({
        "_id": "c1", "attribute": "country", "op": "in", "values": ["de"], "contextKind": "user", "negate": false,
    });
    json!({ "_id": id, "variation": variation, "clauses": [clause], "trackEvents": false, "ref": id })
}

/// Applies instructions to one environment; all or nothing.
pub fn instruct(flag: &mut Value, environment: &str, instructions: &[Value]) -> Result<(), String> {
    let mut changed = flag.clone();
    let ids: Vec<String> = changed["variations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["_id"].as_str().unwrap().to_owned())
        .collect();
    let state = &mut changed["environments"][environment];
    for it in instructions {
        match it["kind"].as_str().unwrap_or_default() {
            "turnFlagOff" => state["on"] = json!(false),
            "turnFlagOn" => state["on"] = json!(true),
            "updateFallthroughVariationOrRollout" => state["fallthrough"] = served(it, &ids)?,
            "updateRuleVariationOrRollout" => {
                let rules = state["rules"].as_array_mut().unwrap();
                let rule = rules.iter_mut().find(|rule| rule["_id"] == it["ruleId"]);
                let rule = rule.ok_or("no such rule")?.as_object_mut().unwrap();
                rule.remove("variation");
                rule.remove("rollout");
                rule.extend(served(it, &ids)?.as_object().unwrap().clone());
            }
            other => return Err(format!("unknown instruction kind \"{other}\"")),
        }
    }
    commit(flag, changed, environment);
    Ok(())
}

fn served(it: &Value, ids: &[String]) -> Result<Value, String> {
    let nth = |id: &str| ids.iter().position(|it| it == id).ok_or("no such variation");
    if let Some(id) = it["variationId"].as_str() {
        return Ok(json!({ "variation": nth(id)? }));
    }
    let weights = it["rolloutWeights"]
        .as_object()
        .ok_or("no variation and no rollout")?;
    let total: u64 = weights.values().filter_map(Value::as_u64).sum();
    if total != 100_000 {
        return Err(format!("weights add up to {total}, not 100000"));
    }
    let mut variations = Vec::new();
    for (id, weight) in weights {
        variations.push(json!({ "variation": nth(id)?, "weight": weight }));
    }
    Ok(json!({ "rollout": { "variations": variations, "contextKind": "user" } }))
}

/// Why a JSON patch was not applied.
pub enum Unpatched {
    TestFailed,
    Invalid,
}

/// Applies a JSON patch (`test` and `replace`, which is what is sent); all or nothing.
pub fn patch(flag: &mut Value, operations: &[Value]) -> Result<(), Unpatched> {
    let mut changed = flag.clone();
    let mut environment = String::new();
    for it in operations {
        let path = it["path"].as_str().unwrap_or_default();
        path.split('/')
            .nth(2)
            .unwrap_or_default()
            .clone_into(&mut environment);
        let place = changed.pointer_mut(path).ok_or(Unpatched::Invalid)?;
        match it["op"].as_str() {
            Some("test") if *place == it["value"] => {}
            Some("test") => return Err(Unpatched::TestFailed),
            Some("replace") => *place = it["value"].clone(),
            _ => return Err(Unpatched::Invalid),
        }
    }
    commit(flag, changed, &environment);
    Ok(())
}

/// A change counts the versions up; what changes nothing does not.
pub fn commit(flag: &mut Value, mut changed: Value, environment: &str) {
    if changed == *flag {
        return;
    }
    for version in ["/_version", &format!("/environments/{environment}/version")] {
        let place = changed.pointer_mut(version).unwrap();
        *place = json!(place.as_u64().unwrap() + 1);
    }
    *flag = changed;
}
