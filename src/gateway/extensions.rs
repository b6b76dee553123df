//! The extensions about the process itself: `pprof` and `zpages`.

use super::listeners::Wanted;
use super::servers::{Change, Start};
use super::{GatewayError, Stage};
use crate::config::Config;
use crate::extend::{Pages, Profiler, zpages_router};
use crate::telemetry;
use std::sync::Arc;

/// The service that profiles the whole life of the process.
pub(super) const PROFILER: &str = "profiler";

/// Where they want to listen.
pub(super) fn wanted(config: &Config, wanted: &mut Wanted) {
    if let Some(pprof) = &config.pprof {
        wanted.insert("pprof".to_owned(), pprof.endpoint.into());
    }
    if let Some(zpages) = &config.zpages {
        wanted.insert("zpages".to_owned(), zpages.endpoint.into());
    }
}

impl Change<'_> {
    /// Those that must be started (anew), and what zpages show from now on.
    pub(super) fn extensions(&self, starts: &mut Vec<Start>) -> Result<(), GatewayError> {
        if let Some(config) = &self.config.pprof
            && !self.stays("pprof", |c| c.pprof.clone())
        {
            let profiler = Profiler::new(config)?;
            self.serve(starts, "pprof", profiler.router())?;
            let run = |ending| profiler.run(ending);
            starts.push(Start::new(PROFILER, &self.planes.control, Stage::Closing, run));
        }
        if self.config.zpages.is_some() && !self.stays("zpages", |c| c.zpages.clone()) {
            let pages = self.core.pages.clone();
            let components = self.core.health.components().clone();
            let router = zpages_router(pages, components, telemetry::recent_spans());
            self.serve(starts, "zpages", router)?;
        }
        Ok(())
    }

    /// Shows this configuration from now on.
    pub(super) fn show(&self) {
        self.core.pages.store(Arc::new(Pages::of(self.config)));
    }
}
