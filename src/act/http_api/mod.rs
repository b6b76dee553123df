//! Switches a flag of any service that has an HTTP API, as a configuration (or a preset) describes it.
//!
//! A description says how the flag is read, what is sent for each action, and by what in an answer one knows
//! that it is done. Services that replace a flag as a whole are read first, edited in place and sent back,
//! with the revision that was read where there is one, so that a change of somebody else in between is
//! refused by the service. Only the configured endpoint is ever called, and every name is encoded as one
//! segment, key or JSON string. Rejected: a language of steps and conditions; what cannot be said in one read
//! and one write deserves an exporter of its own, or a webhook.

mod fill;
mod plan;

use self::fill::Fill;
use self::plan::{Checks, Compiler, Edit, Lookup, Plan};
use super::ability::{Abilities, Ability};
use super::exporter::{Actuator, FlagState, Outcome, ReadBack, Warnings};
use super::http::{Caller, Reply, parse_url};
use super::pattern::Pattern;
use super::scrub::Scrubber;
use super::trouble::Trouble;
use super::webhook::sensitive;
use super::{ActError, RuleTarget};
use crate::config::{HttpApiExporter, Secret};
use crate::decide::{Decision, FailureReason};
use crate::time::UnixNanos;
use http::Method;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;

/// Shorter texts of a configuration are words rather than secrets.
const MIN_SECRET: usize = 8;

/// One configured API.
pub struct HttpApi {
    config: HttpApiExporter,
    base: reqwest::Url,
    headers: Vec<(HeaderName, Pattern)>,
    lookup: Option<Lookup>,
    read: Option<Pattern>,
    defaults: Checks,
    plans: BTreeMap<Ability, Plan>,
    caller: Caller,
}

impl HttpApi {
    /// Checks a configuration; nothing is called.
    pub fn new(config: &HttpApiExporter) -> Result<Self, ActError> {
        let id = config.id.as_str();
        if config.token.as_ref().is_some_and(Secret::is_blank) {
            return Err(ActError::EmptySecret {
                exporter: id.to_owned(),
                key: "token".to_owned(),
            });
        }
        let compiler = Compiler::new(config);
        let mut headers = Vec::new();
        for (name, text) in &config.headers {
            let key = format!("headers.{name}");
            let parsed = name.trim().parse::<HeaderName>();
            let name = parsed.map_err(|_| compiler.invalid(&key, "is not a header name"))?;
            headers.push((name, compiler.text(&key, text.expose(), &[])?));
        }
        let literal = |pattern: &Pattern| {
            pattern
                .as_plain()
                .filter(|it| it.len() >= MIN_SECRET)
                .map(Secret::new)
        };
        let mut secrets: Vec<Secret> = headers.iter().filter_map(|(_, it)| literal(it)).collect();
        let environments = config.environments.values();
        secrets.extend(environments.filter(|it| it.expose().len() >= MIN_SECRET).cloned());
        secrets.extend(config.token.clone());
        let read = config.read_url.as_deref();
        let base = parse_url(id, "endpoint", &config.endpoint, "https://flags.example.com")?;
        Ok(Self {
            headers,
            lookup: compiler.lookup()?,
            read: read
                .map(|url| compiler.url("read_back.url", url, &["id"]))
                .transpose()?,
            defaults: compiler.checks("read_back.defaults", &config.read_defaults, &["id"])?,
            plans: compiler.plans()?,
            caller: Caller::new(id, config.timeout, Scrubber::new(&secrets), [&base])?,
            base,
            config: config.clone(),
        })
    }

    fn fill<'a>(&'a self, flag: &'a str, environment: &'a str) -> Fill<'a> {
        Fill {
            config: &self.config,
            flag,
            environment,
            decision: None,
            id: "",
            document: None,
            revision: None,
        }
    }

    fn plan(&self, ability: Ability) -> Result<&Plan, Trouble> {
        let plan = self.plans.get(&ability);
        plan.ok_or_else(|| rejected("the exporter does not describe this action".to_owned()))
    }

    async fn exchange(
        &self,
        method: Method,
        url: &Pattern,
        body: Option<String>,
        fill: &Fill<'_>,
    ) -> Result<Reply, Trouble> {
        let cannot = |what: &str| rejected(format!("{what}; is a name in it odd?"));
        let url = reqwest::Url::parse(&fill.url(url)).map_err(|_| cannot("the URL cannot be called"))?;
        if url.origin() != self.base.origin() {
            return Err(cannot("the URL leads elsewhere"));
        }
        let mut request = self.caller.request(method, url);
        if let Some(body) = body {
            request = request
                .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
                .body(body);
        }
        let mut headers = http::HeaderMap::new();
        for (name, text) in &self.headers {
            let value = sensitive(&fill.header(text)).ok_or_else(|| cannot("a header cannot be sent"))?;
            headers.insert(name, value);
        }
        // These replace what is there: a description may send another content type.
        self.caller.exchange(request.headers(headers)).await
    }

    async fn get(&self, url: &Pattern, fill: &Fill<'_>, now: UnixNanos) -> Result<Value, Trouble> {
        let reply = self.exchange(Method::GET, url, None, fill).await?;
        if !reply.status.is_success() {
            return Err(self.caller.trouble(&reply, now));
        }
        serde_json::from_slice(&reply.body).map_err(|_| {
            let cut = if reply.cut { "cut off, " } else { "" };
            Trouble::down(format!(
                "the answer is no JSON ({cut}{} bytes); is `endpoint` right?",
                reply.body.len()
            ))
        })
    }

    /// The id that URLs need; empty where none does.
    async fn id(&self, fill: &Fill<'_>, now: UnixNanos) -> Result<String, Trouble> {
        let Some(lookup) = &self.lookup else {
            return Ok(String::new());
        };
        let answer = self.get(&lookup.url, fill, now).await?;
        let list = answer.pointer(&fill.pointer(&lookup.list));
        let items: &[Value] = match list {
            Some(Value::Array(items)) => items,
            Some(one) => std::slice::from_ref(one),
            None => &[],
        };
        let mut found = items
            .iter()
            .filter(|item| fill.holds(&lookup.matching, item) == Some(true));
        match found
            .next()
            .and_then(|item| item.pointer(&fill.pointer(&lookup.take)))
        {
            Some(Value::String(id)) => Ok(id.clone()),
            Some(Value::Number(id)) => Ok(id.to_string()),
            _ => Err(Trouble::Permanent {
                reason: FailureReason::NotFound,
                detail: "the look-up finds no such flag".to_owned(),
            }),
        }
    }

    /// Reads the flag: `None` where that is not described.
    async fn look(
        &self,
        safe: &Checks,
        fill: &Fill<'_>,
        now: UnixNanos,
    ) -> Result<Option<FlagState>, Trouble> {
        let Some(read) = self.read.as_ref().filter(|_| !safe.is_empty()) else {
            return Ok(None);
        };
        let mut answer = self.get(read, fill, now).await?;
        for (pointer, value) in &self.defaults {
            let pointer = fill.pointer(pointer);
            if answer.pointer(&pointer).is_none() {
                set(&mut answer, &pointer, fill.expected(value));
            }
        }
        match fill.holds(safe, &answer) {
            Some(true) => Ok(Some(FlagState::Safe)),
            Some(false) => Ok(Some(FlagState::Exposed)),
            None => Err(rejected(
                "what the service shows of the flag lacks a place that `safe` names; has it this environment?".to_owned(),
            )),
        }
    }

    /// The document as the service has it and as it should be, and its revision.
    async fn edited(
        &self,
        edit: &Edit,
        fill: &Fill<'_>,
        now: UnixNanos,
    ) -> Result<(Value, Value, bool), Trouble> {
        let answer = self.get(&edit.url, fill, now).await?;
        let lacks = |what: &str| rejected(format!("what the service shows of the flag has no {what}"));
        let at = |pattern: &Pattern| answer.pointer(&fill.pointer(pattern)).cloned();
        let before = at(&edit.take).ok_or_else(|| lacks("document where `edit.take` says"))?;
        let revision = match &edit.revision {
            None => Value::Null,
            Some(pointer) => at(pointer).ok_or_else(|| lacks("revision where `edit.revision` says"))?,
        };
        let mut after = before.clone();
        for (pointer, value) in &edit.set {
            if !set(&mut after, &fill.pointer(pointer), fill.expected(value)) {
                return Err(lacks("place that `edit.set` names"));
            }
        }
        let is_new = after != before;
        Ok((after, revision, is_new))
    }

    /// What an answer to an action means.
    fn judge(&self, plan: &Plan, reply: &Reply, fill: &Fill<'_>, now: UnixNanos) -> Outcome {
        let status = reply.status.as_u16();
        if let Some((statuses, text)) = &self.config.needs_approval {
            let body = String::from_utf8_lossy(&reply.body).to_lowercase();
            if statuses.contains(&status) && body.contains(&text.to_lowercase()) {
                return Err(Trouble::Permanent {
                    reason: FailureReason::NeedsApproval,
                    detail: self.caller.words(reply),
                });
            }
        }
        if plan.no_change.contains(&status) {
            return Ok(());
        }
        let answer: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        let is_success = if plan.success.is_empty() {
            reply.status.is_success()
        } else {
            plan.success.contains(&status)
        };
        if is_success {
            if fill.holds(&plan.expect, &answer) == Some(true) {
                return Ok(());
            }
            let words = self.caller.words(reply);
            return Err(rejected(format!(
                "the answer does not say what `expect` says: {words}"
            )));
        }
        if !plan.already.is_empty() && fill.holds(&plan.already, &answer) == Some(true) {
            return Ok(());
        }
        if reply.status.is_success() {
            let words = self.caller.words(reply);
            return Err(rejected(format!("{words}: not among the statuses of `success`")));
        }
        Err(self.caller.trouble(reply, now))
    }
}

impl Actuator for HttpApi {
    fn abilities(&self) -> Abilities {
        let more = "describe it under `actions` and it can do more";
        Abilities::of(self.plans.keys().copied()).or(more)
    }

    /// Finds the flag and reads it; where no read is described it only connects.
    async fn preflight(&self, target: &RuleTarget, now: UnixNanos) -> Warnings {
        let mut fill = self.fill(&target.flag, &target.environment);
        let id = self.id(&fill, now).await?;
        fill.id = &id;
        match &self.read {
            Some(read) => drop(self.get(read, &fill, now).await?),
            None if self.lookup.is_some() => {}
            None => self.caller.reach(&self.base).await?,
        }
        Ok(Vec::new())
    }

    async fn carry_out(&self, decision: &Decision, _: Option<&str>, now: UnixNanos) -> Outcome {
        let plan = self.plan(Ability::of(&decision.action))?;
        let mut fill = self.fill(&decision.flag, &decision.environment);
        let id = self.id(&fill, now).await?;
        fill.id = &id;
        fill.decision = Some(decision);
        let edited = match &plan.edit {
            None => None,
            Some(edit) => Some(self.edited(edit, &fill, now).await?),
        };
        if let Some((document, revision, is_new)) = &edited {
            if !is_new {
                return Ok(());
            }
            fill.document = Some(document);
            fill.revision = Some(revision);
        }
        let body = plan.body.as_ref().map(|body| fill.body(body));
        let reply = self.exchange(plan.method.clone(), &plan.url, body, &fill).await?;
        self.judge(plan, &reply, &fill, now)
    }

    async fn read_back(&self, decision: &Decision, now: UnixNanos) -> ReadBack {
        let plan = self.plan(Ability::of(&decision.action))?;
        if self.read.is_none() || plan.safe.is_empty() {
            return Ok(None);
        }
        let mut fill = self.fill(&decision.flag, &decision.environment);
        let id = self.id(&fill, now).await?;
        fill.id = &id;
        fill.decision = Some(decision);
        let state = self.look(&plan.safe, &fill, now).await?;
        Ok(state.map(Into::into))
    }
}

impl fmt::Debug for HttpApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpApi")
            .field("id", &self.config.id)
            .field("endpoint", &super::http::origin(&self.base))
            .field("actions", &self.plans.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// Sets a place that is there, or a new key of an object that is; false where there is neither.
fn set(document: &mut Value, pointer: &str, value: Value) -> bool {
    if let Some(place) = document.pointer_mut(pointer) {
        *place = value;
        return true;
    }
    let Some((parent, key)) = pointer.rsplit_once('/') else {
        return false;
    };
    let Some(Value::Object(parent)) = document.pointer_mut(parent) else {
        return false;
    };
    parent.insert(key.replace("~1", "/").replace("~0", "~"), value);
    true
}

fn rejected(detail: String) -> Trouble {
    Trouble::Permanent {
        reason: FailureReason::Rejected,
        detail,
    }
}
