//! The streams of metrics that policies name, over restarts.

use super::GatewayError;
use crate::config::Config;
use crate::ledger::Tap;
use crate::store::Keeper;
use crate::time::UnixNanos;
use std::sync::PoisonError;

/// Brings the streams of metrics back, and lets the keeper write them from now on. Without a store a stream
/// is known as long as the process lives.
pub(super) fn open_streams(
    config: &Config,
    tap: &Tap,
    keeper: &mut Keeper,
    now: UnixNanos,
) -> Result<(), GatewayError> {
    let mut streams = tap.streams().lock().unwrap_or_else(PoisonError::into_inner);
    streams.set_limits((&config.error_budget.metrics).into());
    if config.storage.is_some() {
        let unread = keeper.restore_streams(&mut streams)?;
        streams.resume_slices(now);
        keeper.keep_streams(tap.streams().clone());
        tracing::info!(streams = streams.len(), unread, "streams of metrics read");
    } else {
        streams.keep_no_rows();
    }
    drop(streams);
    tap.watch(now);
    Ok(())
}
