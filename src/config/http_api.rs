//! `exporters.http`: any flag service with an HTTP API, described by templates, or by a preset of ours.
//!
//! A preset is a file of the same keys, under the user's own: whatever the user writes takes the place of
//! what the preset says, key by key. So nothing of a preset is out of reach, and none of it is code.

use super::exporters::{TIMEOUT, headers, optional_secret, usable};
use super::section::{Section, suggestion};
use super::setting::{HttpUrl, text};
use super::tree::{Any, Node, Value, parse};
use super::{Place, Secret};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;
use std::time::Duration;

/// The presets by name.
pub const HTTP_PRESETS: [(&str, &str); 8] = [
    ("flagsmith", include_str!("../../config/presets/flagsmith.yaml")),
    ("growthbook", include_str!("../../config/presets/growthbook.yaml")),
    ("flipt-v2", include_str!("../../config/presets/flipt-v2.yaml")),
    ("configcat", include_str!("../../config/presets/configcat.yaml")),
    (
        "split-harness",
        include_str!("../../config/presets/split-harness.yaml"),
    ),
    ("posthog", include_str!("../../config/presets/posthog.yaml")),
    ("statsig", include_str!("../../config/presets/statsig.yaml")),
    ("optimizely", include_str!("../../config/presets/optimizely.yaml")),
];

/// The actions that may be described.
pub const HTTP_ACTIONS: [&str; 4] = ["off", "on", "rollout", "serve"];

/// JSON pointers, and what stands there.
pub type Checks = Vec<(String, Json)>;

/// See the module. Texts are templates.
#[derive(Clone, Debug, Default)]
pub struct HttpApiExporter {
    /// Name in the configuration, such as `http/growthbook`.
    pub id: String,
    /// Base URL: the only host that is called.
    pub endpoint: String,
    /// Credential.
    pub token: Option<Secret>,
    /// Values for templates.
    pub vars: BTreeMap<String, String>,
    /// What the service calls an environment, by the policies' name for it.
    pub environments: BTreeMap<String, Secret>,
    /// Headers of every call.
    pub headers: Vec<(String, Secret)>,
    /// How an id is found that URLs need.
    pub lookup: Option<HttpLookup>,
    /// URL of a GET that shows the flag.
    pub read_url: Option<String>,
    /// What stands in a place of its answer that is left out.
    pub read_defaults: Checks,
    /// What is done, by the name of the action.
    pub actions: BTreeMap<&'static str, HttpAction>,
    /// Statuses of an answer that asks for an approval, and the words in it.
    pub needs_approval: Option<(Vec<u16>, String)>,
    /// Timeout of one call.
    pub timeout: Duration,
}

/// A GET that finds an id.
#[derive(Clone, Debug, Default)]
pub struct HttpLookup {
    /// Its URL.
    pub url: String,
    /// Pointer to a list in the answer; empty for the answer itself, list or not.
    pub list: String,
    /// What the item meant has in it.
    pub matching: Checks,
    /// Pointer to the id in the item.
    pub take: String,
}

/// One action.
#[derive(Clone, Debug, Default)]
pub struct HttpAction {
    /// Method of the call.
    pub method: String,
    /// Its URL.
    pub url: String,
    /// Its JSON body; none without one, or the edited document.
    pub body: Option<String>,
    /// What is read and edited first.
    pub edit: Option<HttpEdit>,
    /// Statuses of success; empty for 200 to 299.
    pub success: Vec<u16>,
    /// What an answer of success has in it.
    pub expect: Checks,
    /// Statuses which say that nothing had to change.
    pub no_change: Vec<u16>,
    /// What an answer of another status has in it which says the same.
    pub already: Checks,
    /// What the read-back has in it when the flag stands as the action would have it.
    pub safe: Checks,
}

/// What is read before an action, edited and sent back.
#[derive(Clone, Debug, Default)]
pub struct HttpEdit {
    /// Where it is read; empty for the action's URL.
    pub url: String,
    /// Pointer to the document in the answer; empty for all of it.
    pub take: String,
    /// What is set in the document.
    pub set: Checks,
    /// Pointer to the revision in the answer, for `{{revision}}`.
    pub revision: String,
}

impl HttpApiExporter {
    pub(super) fn read(id: &str, section: &Section<'_>) -> Option<Self> {
        let merged = with_preset(section)?;
        let section = Section::new(&merged, section.path.clone(), section.report);
        let mut preset = String::new();
        section.field("preset", &mut preset);
        let mut it = Self {
            id: id.to_owned(),
            timeout: Duration::from_secs(5),
            ..Self::default()
        };
        let endpoint = section.required::<HttpUrl>("endpoint", "write the URL that the API is below");
        it.token = optional_secret(&section, "token").and_then(|token| usable(&section, "token", token));
        it.vars = texts(&section, "vars").collect();
        it.environments = texts(&section, "environments")
            .map(|(name, value)| {
                section
                    .report
                    .secret(format!("{}.environments.{name}", section.path));
                (name, Secret::new(value))
            })
            .collect();
        it.headers = headers(&section);
        section.ranged("timeout", &mut it.timeout, TIMEOUT);
        it.lookup = there(&section, "lookup").map(lookup);
        if let Some(read) = there(&section, "read_back") {
            it.read_url = read.required("url", "write the URL of a GET that shows the flag");
            it.read_defaults = checks(&read, "defaults");
            read.finish();
        }
        let actions = section.section_or_empty("actions");
        for name in HTTP_ACTIONS {
            if let Some(read) = there(&actions, name) {
                it.actions.insert(name, action(read));
            }
        }
        if it.actions.is_empty() {
            section.problem("actions", "describe one at least, or name a preset");
        }
        actions.finish();
        if let Some(approval) = there(&section, "needs_approval") {
            let mut text = String::new();
            approval.field("text", &mut text);
            it.needs_approval = Some((statuses(&approval, "status"), text));
            approval.finish();
        }
        check_names(&merged, &section, &it);
        section.finish();
        endpoint?.0.trim_end_matches('/').clone_into(&mut it.endpoint);
        Some(it)
    }
}

/// What the user wrote, over the preset that it names.
fn with_preset(section: &Section<'_>) -> Option<Node> {
    let own = Node::new(Value::Map(section.entries().to_vec()), section.at);
    let named = own
        .entry("preset")
        .map(|entry| text(&entry.node).unwrap_or_default().to_owned());
    let Some(name) = named else { return Some(own) };
    let Some((_, yaml)) = HTTP_PRESETS.iter().find(|(known, _)| *known == name) else {
        let known = HTTP_PRESETS.map(|(known, _)| known);
        section.problem(
            "preset",
            format!("no preset of that name; {}", suggestion(&name, &known)),
        );
        return None;
    };
    match parse(yaml) {
        Ok(mut merged) => {
            // A line in the preset would be looked for in the user's file.
            merged.replant(section.at);
            merged.merge(own);
            Some(merged)
        }
        Err(error) => {
            section.problem("preset", format!("cannot be read: {}", error.message));
            None
        }
    }
}

/// A mapping that is there and not null: a null takes away what a preset has.
fn there<'s>(section: &Section<'s>, key: &'static str) -> Option<Section<'s>> {
    let is_null = section.node(key).is_some_and(|node| node.value == Value::Null);
    section.section(key).filter(|_| !is_null)
}

fn texts<'s>(section: &Section<'s>, key: &'static str) -> impl Iterator<Item = (String, String)> + 's {
    let inside = section.section(key);
    let mut read = Vec::new();
    for entry in inside.iter().flat_map(Section::entries) {
        match text(&entry.node) {
            Some(value) if !value.trim().is_empty() => read.push((entry.key.clone(), value.to_owned())),
            _ => {
                if let Some(inside) = &inside {
                    inside.problem(&entry.key, "expected text with something in it");
                }
            }
        }
    }
    read.into_iter()
}

fn lookup(section: Section<'_>) -> HttpLookup {
    let mut it = HttpLookup::default();
    if let Some(url) = section.required("url", "write the URL of a GET that finds the flag") {
        it.url = url;
    }
    section.field("list", &mut it.list);
    it.matching = checks(&section, "where");
    if let Some(take) = section.required("take", "write the JSON pointer of the id, such as /id") {
        it.take = take;
    }
    section.finish();
    it
}

fn action(section: Section<'_>) -> HttpAction {
    let mut it = HttpAction {
        method: "POST".to_owned(),
        ..HttpAction::default()
    };
    section.field("method", &mut it.method);
    if !matches!(it.method.as_str(), "POST" | "PUT" | "PATCH" | "DELETE") {
        section.problem("method", "expected POST, PUT, PATCH or DELETE");
    }
    if let Some(url) = section.required("url", "write the URL of the call, from {{endpoint}} on") {
        it.url = url;
    }
    section.field("body", &mut it.body);
    if let Some(edit) = section.section("edit") {
        let mut read = HttpEdit::default();
        edit.field("url", &mut read.url);
        edit.field("take", &mut read.take);
        read.set = checks(&edit, "set");
        edit.field("revision", &mut read.revision);
        if read.set.is_empty() {
            edit.problem("set", "required; JSON pointers, and what to set there");
        }
        edit.finish();
        it.edit = Some(read);
    }
    it.success = statuses(&section, "success");
    it.expect = checks(&section, "expect");
    it.no_change = statuses(&section, "no_change");
    it.already = checks(&section, "already");
    it.safe = checks(&section, "safe");
    section.finish();
    it
}

fn statuses(section: &Section<'_>, key: &'static str) -> Vec<u16> {
    let mut written: Vec<String> = Vec::new();
    section.field(key, &mut written);
    let read: Vec<u16> = written.iter().filter_map(|it| it.parse().ok()).collect();
    if read.len() != written.len() || read.iter().any(|it| !(100..600).contains(it)) {
        section.problem(key, "expected a list of HTTP statuses such as [200, 204]");
    }
    read
}

/// `{/a/b: value}`.
fn checks(section: &Section<'_>, key: &'static str) -> Checks {
    let Some(inside) = section.section(key) else {
        return Vec::new();
    };
    let mut read = Vec::new();
    for entry in inside.entries() {
        if !entry.key.starts_with('/') {
            inside.problem(&entry.key, "expected a JSON pointer, such as /data/enabled");
        }
        read.push((entry.key.clone(), json(&entry.node)));
    }
    read
}

fn json(node: &Node) -> Json {
    match node.any() {
        Any::Null => Json::Null,
        Any::Bool(it) => it.into(),
        Any::Int(it) => it.into(),
        Any::Float(it) => it.into(),
        Any::Text(it) => it.into(),
        Any::List(items) => items.iter().map(json).collect(),
        Any::Map(entries) => {
            let pairs = entries.iter().map(|it| (it.key.clone(), json(&it.node)));
            Json::Object(pairs.collect::<Map<_, _>>())
        }
    }
}

/// Values that templates want and nobody gave, where they would be given.
fn check_names(node: &Node, section: &Section<'_>, it: &HttpApiExporter) {
    let mut wanted = BTreeMap::new();
    collect(node, &mut wanted);
    for (name, _) in wanted {
        if let Some(var) = name.strip_prefix("vars.") {
            if !it.vars.contains_key(var) {
                section.problem("vars", format!("lacks `{var}`, which a template uses"));
            }
        } else if name.starts_with("token") && it.token.is_none() {
            section.problem("token", "required; a template uses it");
        }
    }
}

fn collect(node: &Node, wanted: &mut BTreeMap<String, Place>) {
    match &node.value {
        Value::Null => {}
        Value::List(items) => items.iter().for_each(|item| collect(item, wanted)),
        Value::Map(entries) => entries.iter().for_each(|entry| collect(&entry.node, wanted)),
        Value::Scalar(text) => {
            for piece in text.split("{{").skip(1) {
                if let Some((name, _)) = piece.split_once("}}") {
                    wanted.insert(name.trim().to_owned(), node.at);
                }
            }
        }
    }
}
