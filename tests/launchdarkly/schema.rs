//! LaunchDarkly's own description of its API, from beside the project.

use super::Exchange;
use serde_json::{Value, json};
use std::path::Path;

#[derive(Debug)]
pub struct Schemas(Value);

impl Schemas {
    /// `None`, out loud, where the description is not here.
    pub fn load(folder: &Path) -> Option<Self> {
        let file = folder.join("reference/launchdarkly-openapi.json");
        let Ok(text) = std::fs::read_to_string(&file) else {
            assert!(
                std::env::var_os("BURNGATE_NO_SKIP").is_none(),
                "cannot skip here: LaunchDarkly's description is not here"
            );
            eprintln!("skipped: LaunchDarkly's description is not here");
            return None;
        };
        Some(Self(serde_json::from_str(&text).unwrap()))
    }

    /// What is wrong with a value, by the schema of that name.
    pub fn findings(&self, name: &str, value: &Value) -> Vec<String> {
        let root = json!({
            "$ref": format!("#/components/schemas/{name}"),
            "components": self.0["components"],
        });
        let options = jsonschema::options().with_draft(jsonschema::Draft::Draft4);
        let validator = options.build(&root).unwrap();
        let errors = validator.iter_errors(value);
        errors
            .map(|it| format!("{name} {}: {it}", it.instance_path()))
            .collect()
    }

    /// The same of both sides of an exchange. Requests of the semantic patch are not described.
    pub fn check(&self, it: &Exchange) -> Vec<String> {
        let path = it.path.split('?').next().unwrap();
        if path.starts_with("/webhook") || it.status == 503 {
            return Vec::new();
        }
        let body = match (it.status, it.method.as_str()) {
            (400, _) => "InvalidRequestErrorRep",
            (401, _) => "UnauthorizedErrorRep",
            (403, _) => "ForbiddenErrorRep",
            (404, _) => "NotFoundErrorRep",
            (405, _) => "MethodNotAllowedErrorRep",
            (409, _) => "StatusConflictErrorRep",
            (422, _) => "PatchFailedErrorRep",
            (429, _) => "RateLimitedErrorRep",
            (201, _) => "FlagConfigApprovalRequestResponse",
            (_, "GET") if path.ends_with("/approval-requests") => "FlagConfigApprovalRequestsResponse",
            (_, "GET") if path.ends_with("/auditlog") => "AuditLogEntryListingRepCollection",
            _ => "FeatureFlag",
        };
        let mut findings = self.findings(body, &it.answer);
        if it.method == "PATCH" && !it.headers["content-type"].contains("semanticpatch") {
            findings.extend(self.findings("PatchWithComment", &it.body));
        }
        if it.method == "POST" && path.ends_with("/approval-requests") {
            findings.extend(self.findings("createFlagConfigApprovalRequestRequest", &it.body));
        }
        findings
    }
}
