//! How our own messages are written as JSON: instants as RFC 3339, alert states as lower-case names.

use super::proto::{AlertState, IndicatorState};
use crate::time::{NANOS_PER_SEC, UnixNanos};
use serde::Serializer;

/// An instant as RFC 3339 in UTC, or null.
#[expect(clippy::ref_option, reason = "serde hands over a reference")]
pub(super) fn timestamp<S: Serializer>(
    at: &Option<prost_types::Timestamp>,
    out: S,
) -> Result<S::Ok, S::Error> {
    match at {
        None => out.serialize_none(),
        Some(at) => {
            let secs = u64::try_from(at.seconds).unwrap_or(0);
            let nanos = u64::try_from(at.nanos).unwrap_or(0);
            out.collect_str(&UnixNanos(
                secs.saturating_mul(NANOS_PER_SEC).saturating_add(nanos),
            ))
        }
    }
}

/// The name of an alert state, as in the metric `slo_alert_state`'s documentation.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
pub(super) fn state<S: Serializer>(state: &i32, out: S) -> Result<S::Ok, S::Error> {
    let state = AlertState::try_from(*state).unwrap_or(AlertState::Unspecified);
    let name = state
        .as_str_name()
        .strip_prefix("ALERT_STATE_")
        .unwrap_or_default();
    out.collect_str(&name.to_ascii_lowercase())
}

/// The name of an indicator's state.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
pub(super) fn indicator_state<S: Serializer>(state: &i32, out: S) -> Result<S::Ok, S::Error> {
    let state = IndicatorState::try_from(*state).unwrap_or(IndicatorState::Unspecified);
    let name = state
        .as_str_name()
        .strip_prefix("INDICATOR_STATE_")
        .unwrap_or_default();
    out.collect_str(&name.to_ascii_lowercase())
}
