//! The gateway's own metrics, `burngate_*`: one recorder for the process, because the macros of `metrics` speak to one.

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::sync::OnceLock;

static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();

/// Installs the recorder at the first call; the handle renders what was recorded.
pub fn metrics_handle() -> PrometheusHandle {
    let install = || {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        // Another recorder is there only in a test that brought its own: what we record then goes to that one.
        let _ = metrics::set_global_recorder(recorder);
        metrics::gauge!("burngate_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        handle
    };
    HANDLE.get_or_init(install).clone()
}
