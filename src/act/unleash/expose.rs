//! A flag given back on probation: its one strategy at so many percent, and then on.
//!
//! The share is set while the flag is off, so that nobody ever gets more of it than the step says; a crash
//! between the two calls leaves a flag that is off. Where there are several strategies, or one without a
//! share, "so many percent" would mean nothing, and it is refused.

use super::Unleash;
use super::view::EnvironmentView;
use crate::act::exporter::{Exposure, Outcome, Reading};
use crate::decide::Decision;
use crate::time::UnixNanos;
use http::Method;
use serde_json::json;

impl Unleash {
    /// Gives it to `percent`: the share first.
    pub(super) async fn expose(
        &self,
        decision: &Decision,
        view: &EnvironmentView,
        percent: u8,
        now: UnixNanos,
    ) -> Outcome {
        let (strategy, share) = view.only().map_err(|words| self.rejected(&words))?;
        if (share - f64::from(percent)).abs() > f64::EPSILON {
            self.set_share(decision, strategy, percent, now).await?;
        }
        if view.enabled {
            return Ok(());
        }
        self.switch(decision, "on", now).await
    }

    /// Sets the share of one strategy.
    pub(super) async fn set_share(
        &self,
        decision: &Decision,
        strategy: &str,
        percent: u8,
        now: UnixNanos,
    ) -> Outcome {
        let patch = json!([
            { "op": "replace", "path": "/parameters/rollout", "value": percent.to_string() },
        ]);
        let at = ["environments", &decision.environment, "strategies", strategy];
        let url = self.feature(&decision.flag, &at);
        self.call(Method::PATCH, url, Some(&patch), now).await.map(|_| ())
    }
}

/// Who has the flag, read for a step to `percent`.
pub(super) fn exposure(view: &EnvironmentView, percent: u8) -> Reading {
    let exposure = Exposure {
        is_on: view.enabled,
        percent: view.only().map(|(_, share)| share),
    };
    exposure.reading(percent, None)
}

/// Whether it could be given back at all.
pub(super) fn could_expose(view: &EnvironmentView, first_percent: u8) -> bool {
    view.only()
        .is_ok_and(|(_, share)| share >= f64::from(first_percent))
}
