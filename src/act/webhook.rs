//! Switches a flag through any HTTP API: method, URL, headers and a JSON body from a template.
//!
//! Every attempt of one decision carries the same `Idempotency-Key` and the same body, so that a receiver can
//! tell a retry from a second decision. With a signing key, `X-Burngate-Signature: t=<unix seconds>,v1=<hex>`
//! carries the HMAC-SHA256 of `<t>.<body>` under that key: a receiver recomputes it, compares in constant
//! time and refuses a `t` older than five minutes. 2xx is done; there is nothing to read back.

use super::exporter::{FlagState, FlagWarning, Outcome};
use super::http::{CONNECT_TIMEOUT, Caller, origin, parse_url};
use super::scrub::Scrubber;
use super::template::{DEFAULT_BODY, Template};
use super::trouble::Trouble;
use super::{ActError, RuleTarget};
use crate::config::{Secret, WebhookExporter};
use crate::decide::Decision;
use crate::time::UnixNanos;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use sha2::Sha256;
use std::fmt;

/// Header of the signature.
pub const SIGNATURE_HEADER: &str = "x-burngate-signature";

/// Header that carries the decision's id.
pub const IDEMPOTENCY_HEADER: &str = "idempotency-key";

/// Methods that may change something at the other end.
const METHODS: [&str; 4] = ["POST", "PUT", "PATCH", "DELETE"];

/// Length from which the path of a URL may be a credential.
const MIN_SECRET_PATH: usize = 16;

/// Headers that the call itself sets.
const RESERVED: [&str; 7] = [
    SIGNATURE_HEADER,
    IDEMPOTENCY_HEADER,
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
    signing_key: Option<Secret>,
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
        let body = Template::parse(config.body.as_deref().unwrap_or(DEFAULT_BODY)).map_err(|source| {
            ActError::Template {
                exporter: id.to_owned(),
                source,
            }
        })?;
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
            caller: Caller::new(id, config.timeout, scrubber)?,
            signing_key: config.signing_key.clone(),
            id: config.id.clone(),
            url,
            body,
        })
    }

    /// Opens a connection and closes it: a webhook offers nothing that could be read without a risk.
    pub(crate) async fn preflight(&self, _: &RuleTarget, _: UnixNanos) -> Result<Vec<FlagWarning>, Trouble> {
        let host = self.url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let port = self.url.port_or_known_default().unwrap_or(80);
        let connect = tokio::net::TcpStream::connect((host, port));
        match tokio::time::timeout(CONNECT_TIMEOUT, connect).await {
            Ok(Ok(_)) => Ok(Vec::new()),
            Ok(Err(e)) => Err(Trouble::down(self.caller.clean(&format!("cannot connect: {e}")))),
            Err(_) => Err(Trouble::down("timed out while connecting")),
        }
    }

    /// One call.
    pub(crate) async fn switch_off(&self, decision: &Decision, now: UnixNanos) -> Outcome {
        let body = self.body.render(decision);
        let mut request = self
            .caller
            .request(self.method.clone(), self.url.clone())
            .headers(self.headers.clone());
        request = request.header(IDEMPOTENCY_HEADER, &decision.id);
        if let Some(key) = &self.signing_key {
            request = request.header(SIGNATURE_HEADER, signature(key, now, &body));
        }
        self.caller.call(request.body(body), now).await.map(|_| ())
    }

    /// A webhook cannot say.
    #[allow(clippy::unused_async, reason = "the same shape as every exporter")]
    pub(crate) async fn read_back(&self, _: &Decision, _: UnixNanos) -> Result<Option<FlagState>, Trouble> {
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
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.expose().as_bytes()) else {
        return String::new();
    };
    mac.update(format!("{t}.{body}").as_bytes());
    format!("t={t},v1={}", hex::encode(mac.finalize().into_bytes()))
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
