//! What is done where a change must be approved by somebody else.

use super::answers::trouble;
use super::{At, LaunchDarkly, comment, refused};
use crate::act::trouble::Trouble;
use crate::config::OnApproval;
use crate::decide::{Decision, FailureReason};
use crate::time::UnixNanos;
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct ApprovalRequests {
    items: Vec<ApprovalRequest>,
}

#[derive(Deserialize)]
struct ApprovalRequest {
    #[serde(rename = "_id")]
    id: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    status: String,
}

impl LaunchDarkly {
    fn approvals_url(&self, at: At<'_>) -> reqwest::Url {
        let environments = ["environments", at.environment, "approval-requests"];
        let mut segments = vec!["projects", self.project.as_str(), "flags", at.flag];
        segments.extend(environments);
        self.url(&segments)
    }

    /// What ends as "needs approval", after a request for it where one is wanted.
    pub(super) async fn without_approval(
        &self,
        at: At<'_>,
        decision: &Decision,
        instructions: &[Value],
        detail: String,
        now: UnixNanos,
    ) -> Trouble {
        let needs = |words: String| refused(FailureReason::NeedsApproval, &self.caller.clean(&words));
        if self.on_approval == OnApproval::Fail {
            return needs(detail);
        }
        match self.request_approval(at, decision, instructions, now).await {
            Ok(id) => needs(format!("approval request {id} waits for a human; {detail}")),
            Err(transient @ Trouble::Retry { .. }) => transient,
            Err(why) => needs(format!("{detail}; and none could be requested: {why}")),
        }
    }

    /// The id of the request for this decision, which is made only once, also over restarts.
    async fn request_approval(
        &self,
        at: At<'_>,
        decision: &Decision,
        instructions: &[Value],
        now: UnixNanos,
    ) -> Result<String, Trouble> {
        let url = self.approvals_url(at);
        let there: ApprovalRequests = self.get(url.clone(), now).await?;
        let ours = |it: &&ApprovalRequest| {
            it.description.contains(&decision.id) && matches!(it.status.as_str(), "pending" | "scheduled")
        };
        if let Some(request) = there.items.iter().find(ours) {
            return Ok(request.id.clone());
        }
        let body = json!({
            "description": comment(decision),
            "comment": comment(decision),
            "instructions": instructions,
        });
        let reply = self
            .send(Method::POST, url, Some((&body, "application/json")))
            .await?;
        if !reply.status.is_success() {
            return Err(trouble(&self.caller, &reply, now));
        }
        let made: Result<ApprovalRequest, _> = serde_json::from_slice(&reply.body);
        made.map(|it| it.id)
            .map_err(|_| Trouble::down("the answer to an approval request has no id in it"))
    }
}
