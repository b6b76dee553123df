//! What the server-side SDKs ask for: all flags of production, and their changes as server-sent events.

use super::Shared;
use axum::body::Body;
use axum::response::Response;
use futures_util::stream::{self, StreamExt};
use serde_json::{Map, Value, json};
use std::convert::Infallible;
use std::sync::Arc;

pub(super) fn answer(shared: &Arc<Shared>, path: &str) -> Option<Response> {
    let build = |status: u16, kind: &str, body: Body| {
        let response = http::Response::builder()
            .status(status)
            .header("content-type", kind);
        Some(response.body(body).unwrap())
    };
    match path {
        "/all" => {
            // Before the snapshot: no change falls between.
            let changed = shared.changed.subscribe();
            let put = event("put", &json!({ "path": "/", "data": snapshot(shared) }));
            let state = (Arc::clone(shared), changed);
            let patches = stream::unfold(state, |(shared, mut changed)| async move {
                let key = changed.recv().await.ok()?;
                let data = evaluated(&shared.world.lock().unwrap().flags[&key]);
                let patch = json!({ "path": format!("/flags/{key}"), "data": data });
                Some((event("patch", &patch), (shared, changed)))
            });
            let all = stream::once(async move { put }).chain(patches);
            let all = all.map(Ok::<_, Infallible>);
            build(200, "text/event-stream", Body::from_stream(all))
        }
        "/sdk/latest-all" => build(200, "application/json", Body::from(snapshot(shared).to_string())),
        "/bulk" | "/diagnostic" | "/events/bulk" => build(202, "application/json", Body::empty()),
        _ => None,
    }
}

fn event(name: &str, data: &Value) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

fn snapshot(shared: &Shared) -> Value {
    let world = shared.world.lock().unwrap();
    let flags = world.flags.iter();
    let flags: Map<String, Value> = flags.map(|(key, flag)| (key.clone(), evaluated(flag))).collect();
    json!({ "flags": flags, "segments": {} })
}

/// A flag in the shape that is evaluated.
fn evaluated(flag: &Value) -> Value {
    let production = &flag["environments"]["production"];
    let variations = flag["variations"].as_array().unwrap();
    let values: Vec<&Value> = variations.iter().map(|it| &it["value"]).collect();
    json!({
        "key": flag["key"], "version": production["version"], "on": production["on"], "prerequisites": [],
        "targets": [], "contextTargets": [], "rules": [], "fallthrough": production["fallthrough"],
        "offVariation": production["offVariation"], "variations": values, "salt": production["salt"],
        "trackEvents": false, "trackEventsFallthrough": false, "deleted": false, "clientSide": false,
    })
}
