//! The gateway's own logs and metrics.

mod announce;
mod logs;
mod metrics;

pub use announce::announce;
pub use logs::init_logs;
pub use metrics::metrics_handle;
