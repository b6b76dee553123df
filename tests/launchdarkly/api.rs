//! The management API.

use super::flags::{NOW_MS, Unpatched, commit, instruct, patch};
use super::{BYPASS, Exchange, READER, Said, TRIGGER, WRITER, World, error, said, take};
use serde_json::{Value, json};

pub(super) fn answer(world: &mut World, it: &Exchange) -> Said {
    let (path, query) = it.path.split_once('?').unwrap_or((&it.path, ""));
    if it.method == "POST" && path == TRIGGER {
        let flag = world.flags.get_mut("new-checkout").unwrap();
        instruct(flag, "production", &[json!({ "kind": "turnFlagOff" })]).unwrap();
        return said(200, Value::Null);
    }
    let token = it.headers.get("authorization").map_or("", String::as_str);
    if ![WRITER, BYPASS, READER].contains(&token) {
        return error(401, "unauthorized", &format!("Invalid access token: {token}"));
    }
    if take(&mut world.faults.down) {
        return said(503, Value::Null);
    }
    if take(&mut world.faults.limited) {
        let message = "You've exceeded the API rate limit. Try again later.";
        let (status, body, _) = error(429, "rate_limited", message);
        return (status, body, world.faults.limits.clone());
    }
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match (it.method.as_str(), parts.as_slice()) {
        ("GET", ["api", "v2", "flags", "default", key]) => read(world, key, query),
        ("PATCH", ["api", "v2", "flags", "default", key]) => write(world, it, key, query, token),
        ("GET", ["api", "v2", "auditlog"]) => {
            let newest: Vec<Value> = world.audit.iter().rev().take(1).cloned().collect();
            let links = json!({ "self": { "href": "/api/v2/auditlog", "type": "application/json" } });
            said(200, json!({ "items": newest, "_links": links }))
        }
        (
            method,
            [
                "api",
                "v2",
                "projects",
                "default",
                "flags",
                key,
                "environments",
                _,
                "approval-requests",
            ],
        ) => approvals(world, it, method, key, token),
        _ => error(404, "not_found", "Invalid resource identifier"),
    }
}

fn read(world: &mut World, key: &str, query: &str) -> Said {
    let Some(flag) = world.flags.get_mut(key) else {
        return error(404, "not_found", "Invalid resource identifier");
    };
    let mut shown = flag.clone();
    if let Some(environment) = query.strip_prefix("env=") {
        let all = shown["environments"].as_object_mut().unwrap();
        all.retain(|name, _| name == environment);
    }
    if take(&mut world.faults.meddling) {
        let mut changed = flag.clone();
        changed["environments"]["production"]["trackEvents"] = json!(true);
        commit(flag, changed, "production");
    }
    said(200, shown)
}

fn write(world: &mut World, it: &Exchange, key: &str, query: &str, token: &str) -> Said {
    if token == READER {
        return error(
            403,
            "forbidden",
            "Forbidden. Access to the requested resource was denied.",
        );
    }
    let (dry, forced) = (
        query.contains("dryRun=true"),
        query.contains("ignoreConflicts=true"),
    );
    if world.faults.approvals && token != BYPASS {
        let message = "Flag configuration updates require approval: action 'updateOn' not allowed";
        return error(405, "method_not_allowed", message);
    }
    if !dry && take(&mut world.faults.conflicts) {
        let message = "Conflict. Optimistic lock error. Try again later.";
        return error(409, "optimistic_locking_error", message);
    }
    if world.faults.pending && !forced {
        let message = "Requested changes conflict with a pending scheduled change";
        return error(400, "invalid_request", message);
    }
    let failed_test = world.faults.failed_test;
    let Some(flag) = world.flags.get_mut(key) else {
        return error(404, "not_found", "Invalid resource identifier");
    };
    let semantic = it.headers["content-type"].contains("domain-model=launchdarkly.semanticpatch");
    let mut changed = flag.clone();
    let invalid = |message: &str| error(400, "invalid_request", message);
    if semantic {
        let environment = it.body["environmentKey"].as_str().unwrap_or_default();
        if changed["environments"].get(environment).is_none() {
            return error(404, "not_found", "Invalid resource identifier");
        }
        let Some(instructions) = it.body["instructions"].as_array() else {
            return invalid("instructions are required");
        };
        if let Err(message) = instruct(&mut changed, environment, instructions) {
            return invalid(&message);
        }
    } else {
        let Some(operations) = it.body["patch"].as_array() else {
            return invalid("Invalid request body: json: cannot unmarshal into Patch");
        };
        match patch(&mut changed, operations) {
            Ok(()) => {}
            Err(Unpatched::TestFailed) => {
                let (status, code, message) = failed_test;
                return error(status, code, message);
            }
            Err(Unpatched::Invalid) => return invalid("Invalid patch"),
        }
    }
    if dry {
        return said(200, changed);
    }
    if changed != *flag {
        *flag = changed.clone();
        let entry = entry(world.audit.len(), key, &it.body["comment"], token);
        world.audit.push(entry);
    }
    said(200, changed)
}

/// A line of the audit log.
fn entry(nth: usize, key: &str, comment: &Value, token: &str) -> Value {
    let ending: String = token.chars().skip(token.len() - 4).collect();
    let link = json!({ "href": "/api/v2/x", "type": "application/json" });
    json!({
        "_links": { "self": link }, "_id": format!("audit-{nth}"), "_accountId": "account",
        "date": NOW_MS + nth as u64, "accesses": [], "kind": "flag", "name": key, "description": "",
        "shortDescription": "", "comment": comment, "titleVerb": "changed", "title": "changed the flag",
        "token": { "_links": { "self": link }, "_id": "token-1", "name": "burn gateway", "ending": ending,
            "serviceToken": true },
    })
}

fn approvals(world: &mut World, it: &Exchange, method: &str, key: &str, token: &str) -> Said {
    let of_flag =
        |request: &&Value| request["_links"]["flag"]["href"] == format!("/api/v2/flags/default/{key}");
    if method == "GET" {
        let items: Vec<Value> = world.approvals.iter().filter(of_flag).cloned().collect();
        let links = json!({ "self": { "href": it.path, "type": "application/json" } });
        return said(200, json!({ "items": items, "_links": links }));
    }
    if token == READER {
        return error(
            403,
            "forbidden",
            "Forbidden. Access to the requested resource was denied.",
        );
    }
    if it.body["description"].as_str().is_none() || it.body["instructions"].as_array().is_none() {
        return error(
            400,
            "invalid_request",
            "description and instructions are required",
        );
    }
    let id = format!("approval-{}", world.approvals.len() + 1);
    let flag = json!({ "href": format!("/api/v2/flags/default/{key}"), "type": "application/json" });
    let request = json!({
        "_id": id, "_version": 1, "creationDate": NOW_MS, "serviceKind": "launchdarkly",
        "description": it.body["description"], "reviewStatus": "pending", "allReviews": [], "notifyMemberIds": [],
        "status": "pending", "instructions": it.body["instructions"], "conflicts": [], "_links": { "flag": flag },
    });
    world.approvals.push(request.clone());
    said(201, request)
}
