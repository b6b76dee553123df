//! Tells somebody else's program what to do, about a flag or a deployment: method, URL, headers and a JSON
//! body from a template.
//!
//! Every attempt of one decision carries the same `Idempotency-Key` and `webhook-id` and the same body, so
//! that a receiver can tell a retry from a second decision. A signing key signs twice. As Standard Webhooks
//! has it, with a key `whsec_<base64>`: `webhook-signature: v1,<base64>` is the HMAC-SHA256 of
//! `<webhook-id>.<webhook-timestamp>.<body>`; and with any key, in `X-Burngate-Signature: t=<unix
//! seconds>,v1=<hex>`, that of `<t>.<body>`. A receiver recomputes one of them, compares in constant time and
//! refuses a time older than five minutes. 2xx is done; there is nothing to read back.
//!
//! A body that does not say the action can only mean one: such a webhook is never told of anything but *off*.

use super::ability::{Abilities, Ability};
use super::exporter::{Actuator, Outcome, ReadBack, Warnings};
use super::http::{Caller, origin, parse_url};
use super::scrub::Scrubber;
use super::template::{DEFAULT_BODY, DEFAULT_DEPLOY_BODY, Template};
use super::{ActError, RuleTarget};
use crate::config::{Secret, WebhookExporter};
use crate::decide::{Action, Decision};
use crate::time::UnixNanos;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use sha2::Sha256;
use std::fmt;

/// Header of the signature.
pub const SIGNATURE_HEADER: &str = "x-burngate-signature";

/// Header that carries the decision's id.
pub const IDEMPOTENCY_HEADER: &str = "idempotency-key";

/// Headers of Standard Webhooks: the decision's id, the time of the attempt, the signature.
pub const STANDARD_HEADERS: [&str; 3] = ["webhook-id", "webhook-timestamp", "webhook-signature"];

/// Before the base64 of a key of Standard Webhooks.
const STANDARD_KEY: &str = "whsec_";

/// Methods that may change something at the other end.
const METHODS: [&str; 4] = ["POST", "PUT", "PATCH", "DELETE"];

/// Length from which the path of a URL may be a credential.
const MIN_SECRET_PATH: usize = 16;

/// Headers that the call itself sets.
const RESERVED: [&str; 10] = [
    SIGNATURE_HEADER,
    IDEMPOTENCY_HEADER,
    STANDARD_HEADERS[0],
    STANDARD_HEADERS[1],
    STANDARD_HEADERS[2],
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
];

/// One configured webhook.
pub struct Webhook {
    id: String,
    url: reqwest::Url,
    method: http::Method,
    headers: HeaderMap,
    body: Template,
    deploy_body: Template,
    signing_key: Option<Secret>,
    /// The bytes of a key of Standard Webhooks.
    standard_key: Option<Secret>,
    caller: Caller,
}

impl Webhook {
    /// Checks a configuration; nothing is called.
    pub fn new(config: &WebhookExporter) -> Result<Self, ActError> {
        let id = config.id.as_str();
        let url = parse_url(id, "url", &config.url, "https://flags.internal/api/kill")?;
        for (key, secret) in [("token", &config.token), ("signing_key", &config.signing_key)] {
            if secret.as_ref().is_some_and(Secret::is_blank) {
                return Err(ActError::EmptySecret {
                    exporter: id.to_owned(),
                    key: key.to_owned(),
                });
            }
        }
        let template = |key, text: &Option<String>, default: &str| {
            Template::parse(text.as_deref().unwrap_or(default)).map_err(|source| ActError::Template {
                exporter: id.to_owned(),
                key: String::from(key),
                source,
            })
        };
        let body = template("body", &config.body, DEFAULT_BODY)?;
        let deploy_body = template("deploy_body", &config.deploy_body, DEFAULT_DEPLOY_BODY)?;
        // Path and query count as secret: the URL of a trigger is its only credential.
        // A short one is an ordinary word, and would only make messages unreadable.
        let address = Some(path_and_query(&url))
            .filter(|path| path.len() >= MIN_SECRET_PATH)
            .map(Secret::new);
        let secrets = config.headers.iter().map(|(_, value)| value);
        let scrubber = Scrubber::new(
            secrets
                .chain(&config.token)
                .chain(&config.signing_key)
                .chain(&address),
        );
        Ok(Self {
            method: method(id, &config.method)?,
            headers: headers(config)?,
            caller: Caller::new(id, config.timeout, scrubber, [&url])?,
            standard_key: standard_key(id, config.signing_key.as_ref())?,
            signing_key: config.signing_key.clone(),
            id: config.id.clone(),
            url,
            body,
            deploy_body,
        })
    }
}

impl Actuator for Webhook {
    fn abilities(&self) -> Abilities {
        if self.body.names("action") {
            // A probation goes by what the service says of the flag, and a webhook says nothing.
            return Abilities::of(Ability::ALL.into_iter().filter(|it| *it != Ability::Probation));
        }
        let more = "write {{action}} into its body and it is told of `on`, `rollout` and `serve` too";
        Abilities::of([Ability::Off, Ability::Rollback, Ability::Pause]).or(more)
    }

    /// Opens a connection and closes it: a webhook offers nothing that could be read without a risk.
    async fn preflight(&self, _: &RuleTarget, _: UnixNanos) -> Warnings {
        self.caller.reach(&self.url).await?;
        Ok(Vec::new())
    }

    /// One call.
    async fn carry_out(&self, decision: &Decision, _: Option<&str>, now: UnixNanos) -> Outcome {
        let body = match decision.action {
            Action::Switch { .. } | Action::Expose { .. } => self.body.render(decision),
            Action::Rollback | Action::Pause => self.deploy_body.render(decision),
        };
        let [id, timestamp, signed] = STANDARD_HEADERS;
        let mut request = self
            .caller
            .request(self.method.clone(), self.url.clone())
            .headers(self.headers.clone())
            .header(IDEMPOTENCY_HEADER, &decision.id)
            .header(id, &decision.id)
            .header(timestamp, now.secs());
        if let Some(key) = &self.signing_key {
            request = request.header(SIGNATURE_HEADER, signature(key, now, &body));
        }
        if let Some(key) = &self.standard_key {
            request = request.header(signed, standard_signature(key, &decision.id, now, &body));
        }
        self.caller.call(request.body(body), now).await.map(|_| ())
    }

    /// A webhook cannot say.
    async fn read_back(&self, _: &Decision, _: UnixNanos) -> ReadBack {
        Ok(None)
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook")
            .field("id", &self.id)
            .field("origin", &origin(&self.url))
            .field("method", &self.method)
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("signed", &self.signing_key.is_some())
            .finish_non_exhaustive()
    }
}

/// `t=<unix seconds>,v1=<hex HMAC-SHA256 of "<t>.<body>">`.
pub fn signature(key: &Secret, now: UnixNanos, body: &str) -> String {
    let t = now.secs();
    let signed = hmac_of(key.expose().as_bytes(), &format!("{t}.{body}"));
    format!("t={t},v1={}", hex::encode(signed))
}

/// `v1,<base64 HMAC-SHA256 of "<id>.<unix seconds>.<body>">`, under the base64 of a key, as Standard Webhooks
/// has it.
pub fn standard_signature(key: &Secret, id: &str, now: UnixNanos, body: &str) -> String {
    let key = STANDARD.decode(key.expose()).unwrap_or_default();
    let signed = hmac_of(&key, &format!("{id}.{}.{body}", now.secs()));
    format!("v1,{}", STANDARD.encode(signed))
}

fn hmac_of(key: &[u8], text: &str) -> Vec<u8> {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return Vec::new();
    };
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// The base64 of a key that says it is one of Standard Webhooks; other keys are for the other signature only.
fn standard_key(id: &str, key: Option<&Secret>) -> Result<Option<Secret>, ActError> {
    let Some(base64) = key.and_then(|key| key.expose().trim().strip_prefix(STANDARD_KEY)) else {
        return Ok(None);
    };
    match STANDARD.decode(base64) {
        Ok(bytes) if !bytes.is_empty() => Ok(Some(Secret::new(base64))),
        _ => Err(ActError::Invalid {
            exporter: id.to_owned(),
            key: "signing_key".to_owned(),
            problem: "begins with `whsec_`, and what follows is no base64".to_owned(),
        }),
    }
}

fn path_and_query(url: &reqwest::Url) -> String {
    let path = url.path().trim_start_matches('/');
    url.query()
        .map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"))
}

fn method(id: &str, name: &str) -> Result<http::Method, ActError> {
    let upper = name.trim().to_ascii_uppercase();
    METHODS
        .iter()
        .find(|m| **m == upper)
        .and_then(|m| m.parse().ok())
        .ok_or_else(|| ActError::Invalid {
            exporter: id.to_owned(),
            key: "method".to_owned(),
            problem: format!(
                "`{name}` cannot switch anything; expected one of {}",
                METHODS.join(", ")
            ),
        })
}

fn headers(config: &WebhookExporter) -> Result<HeaderMap, ActError> {
    let mut map = HeaderMap::new();
    map.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let mut seen = Vec::new();
    for (name, value) in &config.headers {
        let key = format!("headers.{name}");
        let refuse = |problem: &str| ActError::Invalid {
            exporter: config.id.clone(),
            key: key.clone(),
            problem: problem.to_owned(),
        };
        let header: HeaderName = name.trim().parse().map_err(|_| refuse("is not a header name"))?;
        if RESERVED.contains(&header.as_str()) {
            return Err(refuse("is set by the call itself"));
        }
        if seen.contains(&header) {
            return Err(refuse("stands there twice"));
        }
        if value.is_blank() {
            return Err(ActError::EmptySecret {
                exporter: config.id.clone(),
                key,
            });
        }
        map.insert(
            header.clone(),
            sensitive(value.expose()).ok_or_else(|| refuse("cannot be sent in a header"))?,
        );
        seen.push(header);
    }
    if let Some(token) = &config.token {
        let refuse = |problem: &str| ActError::Invalid {
            exporter: config.id.clone(),
            key: "token".to_owned(),
            problem: problem.to_owned(),
        };
        if map.contains_key(AUTHORIZATION) {
            return Err(refuse("is set beside a header Authorization; keep one of them"));
        }
        let value = sensitive(&format!("Bearer {}", token.expose().trim()));
        map.insert(
            AUTHORIZATION,
            value.ok_or_else(|| refuse("cannot be sent in a header"))?,
        );
    }
    Ok(map)
}

/// A header value that debug prints hide.
pub(crate) fn sensitive(value: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(value.trim()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks specification's own libraries.
    #[test]
    fn the_standard_signature_is_that_of_standard_webhooks() {
        let key = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let key = standard_key("w", Some(&key)).unwrap().unwrap();
        let now = UnixNanos::from_secs(1_614_265_330);
        let made = standard_signature(
            &key,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            now,
            r#"{"test": 2432232314}"#,
        );
        assert_eq!(made, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(standard_key("w", Some(&Secret::new("plain"))).unwrap(), None);
        assert!(standard_key("w", Some(&Secret::new("whsec_?"))).is_err());
    }

    /// Worked out with another implementation.
    #[test]
    fn the_signature_is_the_hmac_of_time_and_body() {
        let body = r#"{"flag":"f","reason":"burn-rate>7x/5m"}"#;
        let made = signature(&Secret::new("whsec-1"), UnixNanos::from_secs(1795300440), body);
        assert_eq!(
            made,
            "t=1795300440,v1=199bf6bcf3cc704ed6643ecd50bb6d624f9b322c59fd9b4adb5f21ecee3b21c6"
        );
    }
}
