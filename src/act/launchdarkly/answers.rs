//! What LaunchDarkly's answers mean, where they differ from those of everybody else.

use crate::act::http::{Caller, Reply};
use crate::act::trouble::{Trouble, retry_after};
use crate::decide::FailureReason;
use crate::time::UnixNanos;
use http::HeaderMap;
use http::header::RETRY_AFTER;
use serde::Deserialize;
use std::time::Duration;

/// Headers that say when a limit is over, in milliseconds of the epoch.
const RESETS: [&str; 2] = ["x-ratelimit-reset", "x-ratelimit-auth-token-reset"];

/// Every error body.
#[derive(Debug, Default, Deserialize)]
struct ErrorBody {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// Why a write was refused, as far as it makes a difference.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Something is pending that the change would break; it may be overruled.
    Pending(Trouble),
    /// Somebody must approve it.
    Approval(String),
    /// Anything else.
    Other(Trouble),
}

/// An answer to a write that was not 2xx.
pub(super) fn refusal(caller: &Caller, reply: &Reply, now: UnixNanos) -> Refusal {
    let detail = caller.words(reply);
    let said: ErrorBody = serde_json::from_slice(&reply.body).unwrap_or_default();
    let message = said.message.to_ascii_lowercase();
    let again = |detail: String| Trouble::Retry {
        after: None,
        down: false,
        detail,
    };
    match reply.status.as_u16() {
        // Before "pending": the text of a failed test may speak of a conflict.
        400 | 422 if said.code == "patch_failed" || message.contains("test") => {
            Refusal::Other(again(format!("the flag has changed since it was read: {detail}")))
        }
        400 if ["pending", "scheduled", "conflict"]
            .iter()
            .any(|it| message.contains(it)) =>
        {
            Refusal::Pending(Trouble::Permanent {
                reason: FailureReason::Rejected,
                detail,
            })
        }
        405 => Refusal::Approval(detail),
        403 if message.contains("approval") => Refusal::Approval(detail),
        _ => Refusal::Other(trouble(caller, reply, now)),
    }
}

/// An answer to a read that was not 2xx, or to a write for which nothing else is known.
pub(super) fn trouble(caller: &Caller, reply: &Reply, now: UnixNanos) -> Trouble {
    match caller.trouble(reply, now) {
        Trouble::Retry { down, detail, .. } => Trouble::Retry {
            after: wait(&reply.headers, now),
            down,
            detail,
        },
        permanent @ Trouble::Permanent { .. } => permanent,
    }
}

/// `Retry-After` must be obeyed; else the latest of the limits' ends. `None` where they are over by our
/// clock.
fn wait(headers: &HeaderMap, now: UnixNanos) -> Option<Duration> {
    let header = |name: &str| headers.get(name)?.to_str().ok();
    if let Some(wait) = header(RETRY_AFTER.as_str()).and_then(|value| retry_after(value, now)) {
        return Some(wait);
    }
    let resets = RESETS
        .iter()
        .filter_map(|name| header(name)?.trim().parse::<u64>().ok());
    let last = Duration::from_millis(resets.max()?);
    last.checked_sub(Duration::from_nanos(now.0))
        .filter(|wait| !wait.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn limits_end_when_the_last_of_them_does() {
        let now = UnixNanos::from_secs(1_795_300_000);
        let headers = |all: &[(&'static str, &'static str)]| {
            let all = all.iter();
            all.map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
                .collect::<HeaderMap>()
        };
        let both = headers(&[
            ("X-Ratelimit-Reset", "1795300002500"),
            ("X-Ratelimit-Auth-Token-Reset", "1795300007000"),
        ]);
        assert_eq!(wait(&both, now), Some(Duration::from_secs(7)));
        let over = headers(&[("X-Ratelimit-Reset", "1795299999000")]);
        assert_eq!(wait(&over, now), None);
        let asked = headers(&[("X-Ratelimit-Reset", "1795300002500"), ("Retry-After", "20")]);
        assert_eq!(wait(&asked, now), Some(Duration::from_secs(20)));
        assert_eq!(wait(&headers(&[]), now), None);
    }
}
