//! The merged and expanded configuration as YAML, without its secrets: what `burngate print-config` shows.
//!
//! A value is redacted when it was read as a secret, when its name or the variable that it came from says so,
//! and below `headers`. Rather one value too many than one too few: the output ends up in tickets.

use super::report::Report;
use super::section::join;
use super::tree::{Any, Entry, Node};
use regex::Regex;
use serde_json::{Map, Value as Json};
use std::sync::LazyLock;

/// What stands in the place of a secret.
const REDACTED: &str = "[REDACTED]";

/// Names of keys that hold secrets, whole or behind `_`.
const SECRET_NAMES: [&str; 14] = [
    "token",
    "tokens",
    "password",
    "passphrase",
    "secret",
    "secrets",
    "authorization",
    "credentials",
    "api_key",
    "apikey",
    "signing_key",
    "private_key",
    "access_key",
    "key_pem",
];

/// What stands before a host: user name and password.
static USERINFO: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"://[^/?#@\s]+@").ok());
/// Parameters of a URL that are known to be secrets.
static PARAMETER: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?i)([?&][^=&\s]*(?:token|key|secret|password|sig)[^=&\s]*=)[^&\s]+").ok());

/// See the module.
pub(super) fn print(root: &Node, report: &Report) -> String {
    let shown = shown(root, "", report, false);
    serde_saphyr::to_string(&shown).unwrap_or_else(|error| format!("# cannot be written: {error}\n"))
}

/// `node` without its secrets; `hidden` says that it stands inside of one.
fn shown(node: &Node, path: &str, report: &Report, hidden: bool) -> Json {
    let hidden = hidden || report.is_secret(path) || comes_from_secret(node);
    match node.any() {
        Any::Null => Json::Null,
        Any::List(items) => (0..)
            .zip(items)
            .map(|(nth, item)| shown(item, &format!("{path}[{nth}]"), report, hidden))
            .collect(),
        Any::Map(entries) => Json::Object(mapping(entries, path, report, hidden)),
        _ if hidden => Json::String(REDACTED.to_owned()),
        Any::Bool(it) => it.into(),
        Any::Int(it) => it.into(),
        Any::Float(it) => it.into(),
        Any::Text(text) => Json::String(without_credentials(text)),
    }
}

fn mapping(entries: &[Entry], path: &str, report: &Report, hidden: bool) -> Map<String, Json> {
    // `{ name: authorization, value: ... }` and `{ key: api_key, value: ... }` say it beside.
    let named = entries.iter().any(|entry| {
        matches!(entry.key.as_str(), "name" | "key")
            && matches!(entry.node.any(), Any::Text(text) if is_secret_name(text))
    });
    let mut out = Map::new();
    for entry in entries {
        let key = entry.key.as_str();
        let below = join(path, key);
        let hides = match key {
            "name" => false,
            "value" => hidden || named,
            "headers" | "response_headers" => true,
            _ => hidden || is_secret_name(key),
        };
        let value = match entry.node.any() {
            Any::Text(url) if !hides && key == "url" && path.starts_with("exporters.webhook") => {
                Json::String(origin(url))
            }
            _ => shown(&entry.node, &below, report, hides),
        };
        out.insert(key.to_owned(), value);
    }
    out
}

fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace(['-', '.'], "_");
    SECRET_NAMES.iter().any(|secret| {
        name.strip_suffix(secret)
            .is_some_and(|before| before.is_empty() || before.ends_with('_'))
    })
}

/// Whether the variable that it came from is called like a secret.
fn comes_from_secret(node: &Node) -> bool {
    node.expanded.as_ref().is_some_and(|expanded| {
        let mut words = expanded
            .expression
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        words.any(is_secret_name)
    })
}

fn without_credentials(text: &str) -> String {
    let mut out = text.to_owned();
    if let Some(regex) = &*USERINFO {
        out = regex.replace_all(&out, format!("://{REDACTED}@")).into_owned();
    }
    if let Some(regex) = &*PARAMETER {
        out = regex.replace_all(&out, format!("${{1}}{REDACTED}")).into_owned();
    }
    out
}

/// The URL of a webhook may be the secret itself: only who is called is shown.
fn origin(url: &str) -> String {
    match reqwest::Url::parse(url) {
        Ok(url) => match (url.host_str(), url.path()) {
            (Some(_), "/" | "") if url.query().is_none() => without_credentials(url.as_str()),
            (Some(host), _) => {
                let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
                format!("{}://{host}{port}/{REDACTED}", url.scheme())
            }
            (None, _) => REDACTED.to_owned(),
        },
        Err(_) => REDACTED.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::parse;
    use super::*;
    use proptest::prelude::*;

    fn printed(text: &str) -> String {
        print(&parse(text).unwrap(), &Report::default())
    }

    #[test]
    fn secrets_are_redacted_by_the_names_of_their_keys() {
        for text in [
            "token: s3cret",
            "bearer_token: s3cret",
            "client-password: s3cret",
            "tokens: [s3cret, s3cret]",
            "headers: {x-team: s3cret}",
            "headers: [{name: x-team, value: s3cret}]",
            "a: {api_key: s3cret}",
            "tls: {key_pem: s3cret}",
            "endpoint: https://user:s3cret@example.com/x",
            "endpoint: https://s3cret@example.com",
            "url: https://example.com/?api_key=s3cret&b=1",
            "exporters: {webhook/a: {url: 'https://hooks.example.com/s3cret'}}",
            "actions: [{action: upsert, key: db.password, value: s3cret}]",
            "secret: {a: {b: s3cret}}",
        ] {
            let out = printed(text);
            assert!(
                !out.contains("s3cret") && out.contains("[REDACTED]"),
                "{text}:\n{out}"
            );
        }
    }

    #[test]
    fn what_is_no_secret_is_shown() {
        let text = "tls: {key_file: /k}\nactions:\n- {action: upsert, key: deployment.sha, value: abc}\n\
                    exporters:\n  webhook: {url: 'http://localhost:8080'}\n";
        let out = printed(text);
        for expected in ["/k", "abc", "deployment.sha", "http://localhost:8080"] {
            assert!(out.contains(expected), "{expected}:\n{out}");
        }
        assert!(!out.contains(REDACTED), "{out}");
    }

    fn document() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            "[ -~]{0,12}".prop_map(Json::from),
            Just(Json::from("007")),
            Just(Json::from("null")),
            Just(Json::from("1e3")),
            Just(Json::from("a: b # c\n- d")),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
                proptest::collection::btree_map("[a-f:# -]{1,4}", inner, 0..4)
                    .prop_map(|it| Json::Object(it.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// What is printed is the same configuration.
        #[test]
        fn what_is_printed_is_read_back(document in document()) {
            let document = serde_json::json!({ "root": document });
            let tree = parse(&document.to_string()).unwrap();
            let out = print(&tree, &Report::default());
            let again = parse(&out).unwrap_or_else(|error| panic!("{error:?}\n{out}"));
            let report = Report::default();
            prop_assert_eq!(shown(&again, "", &report, false), shown(&tree, "", &report, false), "{}", out);
        }
    }
}
