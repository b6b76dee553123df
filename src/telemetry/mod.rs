//! The gateway's own logs and metrics.

mod announce;
mod logs;

pub use announce::announce;
pub use logs::init_logs;
