//! One way to call a service over HTTP: bounded in time and size, never somewhere else than configured.
//!
//! Redirects are off (a redirected kill would hand its headers to a stranger), proxies of the process's
//! environment are not used, answers are read up to a cap, and every text that leaves this file is scrubbed.
//! Hosts come from the configuration only, never from telemetry, so they may be loopback or private. Requests
//! are never repeated here: whether to send again is the delivery's decision, after reading the flag back.

use super::guard::{Bound, Screened};
use super::scrub::Scrubber;
use super::trouble::{Trouble, classify, retry_after};
use super::{ActError, scrub};
use crate::decide::FailureReason;
use crate::time::UnixNanos;
use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};
use std::time::Duration;

/// Time to open a connection.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Bytes read of an answer; an environment of a flag with its strategies takes a few KiB.
pub const MAX_ANSWER_BYTES: usize = 1 << 20;

/// A client and the secrets that must not come back from it.
#[derive(Clone, Debug)]
pub struct Caller {
    client: reqwest::Client,
    scrubber: Scrubber,
    bound: Bound,
}

/// An answer, whatever it says.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// The body went on beyond [`MAX_ANSWER_BYTES`], or broke off.
    pub(crate) cut: bool,
}

/// An answer that was 2xx.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) body: Vec<u8>,
    /// The body went on beyond [`MAX_ANSWER_BYTES`], or broke off.
    pub(crate) cut: bool,
}

impl Caller {
    /// A client for the exporter `id` whose calls take at most `timeout`, answer included, and go to the
    /// hosts of `places` only.
    pub(crate) fn new<'a>(
        id: &str,
        timeout: Duration,
        scrubber: Scrubber,
        places: impl IntoIterator<Item = &'a reqwest::Url>,
    ) -> Result<Self, ActError> {
        if timeout.is_zero() {
            return Err(ActError::Invalid {
                exporter: id.to_owned(),
                key: "timeout".to_owned(),
                problem: "must be more than 0; the default is 5s".to_owned(),
            });
        }
        // An error means that one is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .dns_resolver(Screened)
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT.min(timeout))
            .timeout(timeout)
            .pool_max_idle_per_host(2)
            .pool_idle_timeout(Duration::from_secs(10))
            .user_agent(concat!("burngate/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| ActError::Client {
                exporter: id.to_owned(),
                problem: chain(&e.without_url()),
            })?;
        Ok(Self {
            client,
            scrubber,
            bound: Bound::to(places),
        })
    }

    /// Starts a request.
    pub(crate) fn request(&self, method: http::Method, url: reqwest::Url) -> reqwest::RequestBuilder {
        self.client.request(method, url)
    }

    /// Sends it. 2xx is an [`Answer`]; anything else is classified. `now` turns a date in `Retry-After` into
    /// a wait.
    pub(crate) async fn call(
        &self,
        request: reqwest::RequestBuilder,
        now: UnixNanos,
    ) -> Result<Answer, Trouble> {
        let reply = self.exchange(request).await?;
        if reply.status.is_success() {
            let Reply { body, cut, .. } = reply;
            return Ok(Answer { body, cut });
        }
        Err(self.trouble(&reply, now))
    }

    /// Sends it, for a caller that knows more of its answers than their class.
    pub(crate) async fn exchange(&self, request: reqwest::RequestBuilder) -> Result<Reply, Trouble> {
        let request = match request.build() {
            Ok(request) if self.bound.admits(request.url()) => request,
            Ok(request) => {
                let detail = format!("{} is not the configured host", origin(request.url()));
                return Err(Trouble::Permanent {
                    reason: FailureReason::Rejected,
                    detail,
                });
            }
            Err(e) => return Err(Trouble::down(self.network_words(e))),
        };
        let mut response = match self.client.execute(request).await {
            Ok(response) => response,
            Err(e) => return Err(Trouble::down(self.network_words(e))),
        };
        let Answer { body, cut } = read_capped(&mut response).await;
        Ok(Reply {
            status: response.status(),
            headers: std::mem::take(response.headers_mut()),
            body,
            cut,
        })
    }

    /// Opens a connection to where `url` leads, and closes it.
    pub(crate) async fn reach(&self, url: &reqwest::Url) -> Result<(), Trouble> {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let port = url.port_or_known_default().unwrap_or(80);
        let connect = tokio::net::TcpStream::connect((host, port));
        match tokio::time::timeout(CONNECT_TIMEOUT, connect).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(e)) => Err(Trouble::down(self.clean(&format!("cannot connect: {e}")))),
            Err(_) => Err(Trouble::down("timed out while connecting")),
        }
    }

    /// Status and words of an answer, made safe.
    pub(crate) fn words(&self, reply: &Reply) -> String {
        let body = String::from_utf8_lossy(&reply.body);
        self.scrubber
            .clean(&format!("{}{}", status_words(reply.status), message_of(&body)))
    }

    /// An answer by its class.
    pub(crate) fn trouble(&self, reply: &Reply, now: UnixNanos) -> Trouble {
        let wait = reply.headers.get(RETRY_AFTER).and_then(|v| v.to_str().ok());
        let wait = wait.and_then(|v| retry_after(v, now));
        let body = String::from_utf8_lossy(&reply.body);
        classify(reply.status, wait, &body, self.words(reply))
    }

    /// A text for the record, made safe.
    pub(crate) fn clean(&self, text: &str) -> String {
        self.scrubber.clean(text)
    }

    fn network_words(&self, error: reqwest::Error) -> String {
        let (timeout, connect) = (error.is_timeout(), error.is_connect());
        let words = match (timeout, connect) {
            (true, true) => "timed out while connecting",
            (true, false) => "no answer in time",
            (false, true) => "cannot connect",
            (false, false) => "the connection broke",
        };
        self.scrubber
            .clean(&format!("{words}: {}", chain(&error.without_url())))
    }
}

/// Reads up to the cap; a body that hangs or breaks off does not change what the status line has said.
async fn read_capped(response: &mut reqwest::Response) -> Answer {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                let room = MAX_ANSWER_BYTES - body.len();
                body.extend_from_slice(chunk.get(..room.min(chunk.len())).unwrap_or_default());
                if chunk.len() > room {
                    return Answer { body, cut: true };
                }
            }
            Ok(None) => return Answer { body, cut: false },
            Err(_) => return Answer { body, cut: true },
        }
    }
}

fn status_words(status: StatusCode) -> String {
    let what = status.canonical_reason().unwrap_or("");
    if status.is_redirection() {
        return format!(
            "{} {what} (redirects are not followed; configure the final URL)",
            status.as_u16()
        );
    }
    format!("{} {what}", status.as_u16())
}

/// The words of an error body: its `message` (Unleash and many others), its first detail, or the raw text.
fn message_of(body: &str) -> String {
    let body = body.trim();
    if body.is_empty() {
        return String::new();
    }
    let json: Option<serde_json::Value> = serde_json::from_str(body).ok();
    let words = json.as_ref().and_then(|v| {
        ["message", "error", "detail", "title"]
            .iter()
            .find_map(|key| v.get(key).and_then(|m| m.as_str()))
    });
    format!(": {}", words.unwrap_or(body))
}

/// An error and what caused it, in one line, without repetition.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_words = cause.to_string();
        if !words.contains(&cause_words) {
            words.push_str(": ");
            words.push_str(&cause_words);
        }
        next = cause.source();
    }
    words
}

/// Parses a configured URL: http or https, with a host, without credentials in it.
pub(crate) fn parse_url(
    exporter: &str,
    key: &'static str,
    text: &str,
    example: &'static str,
) -> Result<reqwest::Url, ActError> {
    let refuse = |problem: String| ActError::InvalidUrl {
        exporter: exporter.to_owned(),
        key,
        problem,
        example,
    };
    if text.trim().is_empty() {
        return Err(refuse("is empty".to_owned()));
    }
    // The text is not quoted: the URL of a trigger is a secret itself.
    let url = reqwest::Url::parse(text.trim()).map_err(|e| refuse(format!("is not a URL ({e})")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refuse(format!(
            "has the scheme `{}`, not http or https",
            url.scheme()
        )));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(refuse("names no host".to_owned()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse(
            "holds credentials; put them into `token` or `headers`".to_owned(),
        ));
    }
    Ok(url)
}

/// Scheme, host and port: what may be shown of a URL.
pub(crate) fn origin(url: &reqwest::Url) -> String {
    url.origin().ascii_serialization()
}

/// `base` plus path segments, each encoded as one segment.
pub(crate) fn join(base: &reqwest::Url, segments: &[&str]) -> reqwest::Url {
    let mut url = base.clone();
    let mut path = url.path().trim_end_matches('/').to_owned();
    for segment in segments {
        path.push('/');
        path.push_str(&scrub::percent_encoded(segment));
    }
    url.set_path(&path);
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_cannot_work_are_refused_without_being_quoted() {
        for bad in [
            "",
            "unleash.internal",
            "ftp://x/secret-path",
            "http://u:secret-path@host/",
        ] {
            let error = parse_url("unleash", "endpoint", bad, "https://x")
                .unwrap_err()
                .to_string();
            assert!(error.contains("exporters.unleash.endpoint"), "{error}");
            assert!(!error.contains("secret-path"), "{error}");
        }
        assert!(parse_url("unleash", "endpoint", "http://127.0.0.1:4242", "x").is_ok());
    }

    #[test]
    fn names_are_encoded_as_one_segment() {
        let base = reqwest::Url::parse("http://h/base/").unwrap();
        let url = join(&base, &["features", "a/../b c", "off"]);
        assert_eq!(url.as_str(), "http://h/base/features/a%2F..%2Fb%20c/off");
        let dots = join(&base, &["features", "..", "off"]);
        assert!(!dots.as_str().contains("base/off"), "{dots}");
    }

    #[test]
    fn the_message_of_a_json_error_is_used() {
        assert_eq!(
            message_of(r#"{"name":"X","message":"no such flag"}"#),
            ": no such flag"
        );
        assert_eq!(message_of("<html>"), ": <html>");
        assert_eq!(message_of(" "), "");
    }
}
