//! `exporters.launchdarkly`: a project of LaunchDarkly.

use super::Secret;
use super::exporters::{TIMEOUT, usable};
use super::section::Section;
use super::setting::{HttpUrl, Setting, parsed};
use super::tree::Node;
use std::time::Duration;

/// What is done where an environment wants every change approved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnApproval {
    /// The decision fails, and says so.
    #[default]
    Fail,
    /// The same, and an approval request with the change in it waits for a human.
    Request,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct LaunchDarklyExporter {
    /// Name in the configuration, such as `launchdarkly` or `launchdarkly/eu`.
    pub id: String,
    /// Base URL of the API.
    pub endpoint: String,
    /// Access token.
    pub token: Secret,
    /// Key of the project.
    pub project: String,
    /// Timeout of one call.
    pub timeout: Duration,
    /// URLs of flag triggers that switch off, by `environment/flag`.
    pub trigger_urls: Vec<(String, Secret)>,
    /// What is done where a change must be approved.
    pub on_approval: OnApproval,
}

impl Setting for OnApproval {
    const EXPECTED: &'static str = "fail or request";

    fn read(node: &Node) -> Result<Self, String> {
        parsed(node, |text| match text {
            "fail" => Some(Self::Fail),
            "request" => Some(Self::Request),
            _ => None,
        })
    }
}

impl LaunchDarklyExporter {
    /// The defaults, with this token.
    pub fn new(id: impl Into<String>, token: Secret) -> Self {
        Self {
            id: id.into(),
            endpoint: "https://app.launchdarkly.com".to_owned(),
            token,
            project: "default".to_owned(),
            timeout: Duration::from_secs(5),
            trigger_urls: Vec::new(),
            on_approval: OnApproval::Fail,
        }
    }

    pub(super) fn read(id: &str, section: Section<'_>) -> Option<Self> {
        let token = section.required::<Secret>(
            "token",
            "an access token that may switch the project's flags (action `updateOn`)",
        );
        let token = token.and_then(|token| usable(&section, "token", token));
        let mut it = Self::new(id, Secret::default());
        let mut endpoint = HttpUrl(std::mem::take(&mut it.endpoint));
        section.field("endpoint", &mut endpoint);
        endpoint.0.trim_end_matches('/').clone_into(&mut it.endpoint);
        section.field("project", &mut it.project);
        if it.project.trim().is_empty() || it.project.contains('/') {
            section.problem("project", "expected the key of a project, such as default");
        }
        section.ranged("timeout", &mut it.timeout, TIMEOUT);
        it.trigger_urls = triggers(&section);
        section.field("on_approval", &mut it.on_approval);
        section.unsupported(&["tls", "headers"]);
        section.finish();
        it.token = token?;
        Some(it)
    }
}

/// `trigger_urls: {environment/flag: url}`; the URL is a secret, and never shown.
fn triggers(section: &Section<'_>) -> Vec<(String, Secret)> {
    let Some(urls) = section.section("trigger_urls") else {
        return Vec::new();
    };
    let mut read = Vec::new();
    for entry in urls.entries() {
        urls.report.secret(urls.path_of(&entry.key));
        let names = entry.key.split_once('/');
        if names.is_none_or(|(environment, flag)| environment.is_empty() || flag.is_empty()) {
            urls.problem(
                &entry.key,
                "a trigger is of one flag in one environment: write environment/flag",
            );
            continue;
        }
        match HttpUrl::read(&entry.node) {
            Ok(HttpUrl(url)) => read.push((entry.key.clone(), Secret::new(url))),
            Err(_) => urls.problem(&entry.key, "expected the URL of a flag trigger"),
        }
    }
    read
}
