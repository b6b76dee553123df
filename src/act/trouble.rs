//! What an answer means for the decision: done, a human must look, or try again.

use crate::decide::FailureReason;
use crate::time::UnixNanos;
use http::StatusCode;
use std::time::Duration;

/// Why a call did not do its work. `detail` is scrubbed and short.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// A retry will not change the answer.
    #[error("{detail}")]
    Permanent {
        /// The class of the answer.
        reason: FailureReason,
        /// The service's words.
        detail: String,
    },
    /// 408, 409, 429, 5xx, a timeout or a broken connection: what happened at the service is unknown.
    #[error("{detail}")]
    Retry {
        /// The service's own wish for the wait.
        after: Option<Duration>,
        /// Whether the service itself seems down, which is what the circuit breaker counts.
        down: bool,
        /// The service's words, or the network's.
        detail: String,
    },
}

impl Trouble {
    /// A broken connection, a timeout, or an answer that cannot be read.
    pub(crate) fn down(detail: impl Into<String>) -> Self {
        Self::Retry {
            after: None,
            down: true,
            detail: detail.into(),
        }
    }
}

/// Words by which services say that a human must approve the change first.
const APPROVAL_MARKS: [&str; 3] = ["SKIP_CHANGE_REQUEST", "change request", "approval"];

/// Classifies an answer other than 2xx. `body` decides only between a missing right and a missing approval.
pub(crate) fn classify(
    status: StatusCode,
    retry_after: Option<Duration>,
    body: &str,
    detail: String,
) -> Trouble {
    let permanent = |reason| Trouble::Permanent {
        reason,
        detail: detail.clone(),
    };
    match status.as_u16() {
        401 => permanent(FailureReason::Unauthorized),
        403 if APPROVAL_MARKS.iter().any(|mark| body.contains(mark)) => {
            permanent(FailureReason::NeedsApproval)
        }
        403 => permanent(FailureReason::Forbidden),
        404 => permanent(FailureReason::NotFound),
        408 | 409 | 429 => Trouble::Retry {
            after: retry_after,
            down: false,
            detail,
        },
        500..=599 => Trouble::Retry {
            after: retry_after,
            down: true,
            detail,
        },
        _ => permanent(FailureReason::Rejected),
    }
}

/// Reads `Retry-After`: seconds, or a date of HTTP.
pub(crate) fn retry_after(value: &str, now: UnixNanos) -> Option<Duration> {
    let value = value.trim();
    if let Ok(secs) = value.parse::<u64>() {
        return Some(Duration::from_secs(secs));
    }
    let date = jiff::fmt::rfc2822::parse(value).ok()?;
    let at = u64::try_from(date.timestamp().as_nanosecond()).ok()?;
    Some(Duration::from_nanos(at.saturating_sub(now.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(status: u16, body: &str) -> Trouble {
        classify(
            StatusCode::from_u16(status).unwrap(),
            None,
            body,
            "words".to_owned(),
        )
    }

    #[test]
    fn permanent_answers_name_their_reason() {
        let rows = [
            (400, "", FailureReason::Rejected),
            (401, "", FailureReason::Unauthorized),
            (403, "", FailureReason::Forbidden),
            (
                403,
                "you need the \"SKIP_CHANGE_REQUEST\" permission.",
                FailureReason::NeedsApproval,
            ),
            (404, "", FailureReason::NotFound),
            (405, "", FailureReason::Rejected),
            (302, "", FailureReason::Rejected),
        ];
        for (status, body, want) in rows {
            match class(status, body) {
                Trouble::Permanent { reason, .. } => assert_eq!(reason, want, "{status}"),
                other @ Trouble::Retry { .. } => panic!("{status}: {other:?}"),
            }
        }
    }

    #[test]
    fn transient_answers_are_retried_and_only_5xx_count_as_down() {
        for (status, is_down) in [
            (408, false),
            (409, false),
            (429, false),
            (500, true),
            (502, true),
            (503, true),
        ] {
            match class(status, "") {
                Trouble::Retry { down, .. } => assert_eq!(down, is_down, "{status}"),
                other @ Trouble::Permanent { .. } => panic!("{status}: {other:?}"),
            }
        }
    }

    #[test]
    fn retry_after_reads_seconds_and_dates() {
        let now = UnixNanos::from_secs(784_111_777 - 90); // Sun, 06 Nov 1994 08:49:37 GMT, less 90 s
        assert_eq!(retry_after("7", now), Some(Duration::from_secs(7)));
        assert_eq!(
            retry_after("Sun, 06 Nov 1994 08:49:37 GMT", now),
            Some(Duration::from_secs(90))
        );
        assert_eq!(
            retry_after("Sun, 06 Nov 1994 08:40:37 GMT", now),
            Some(Duration::ZERO)
        );
        assert_eq!(retry_after("soon", now), None);
        assert_eq!(retry_after("-3", now), None);
    }
}
