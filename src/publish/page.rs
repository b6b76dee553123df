//! The budget half of `/metrics`: series by series, through metrics-exporter-prometheus.
//!
//! A recorder of its own, apart from the gateway's own metrics: series of cohorts come and go, and the
//! library can only drop a series by wall-clock idleness. So when cohorts leave, the page is built anew from
//! the board, at most once a tick; time stays an argument. Gauges are set through handles that are looked up
//! once a series, not once a tick.

use super::indicators;
use super::samples::{self, DashboardNames, Kind, Sample, Value};
use crate::cohort::{CohortId, Level, ObjectiveId};
use crate::config::PrometheusExporter;
use crate::indicate::IndicatorBoard;
use crate::policy::{Board, BudgetStatus};
use metrics::{Counter, Gauge, Key, Label, Metadata, Recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock, RwLock};

static METADATA: Metadata<'static> = Metadata::new(module_path!(), metrics::Level::INFO, None);

/// What a scrape reads: always the newest page.
#[derive(Clone)]
pub struct PageHandle {
    budgets: Arc<RwLock<PrometheusHandle>>,
    /// Set once the gateway has them; every clone of the handle sees it.
    indicators: Arc<OnceLock<Arc<IndicatorBoard>>>,
}

impl PageHandle {
    /// The page as text, in Prometheus' exposition format.
    pub fn render(&self) -> String {
        let handle = self
            .budgets
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone();
        let mut page = handle.render();
        if let Some(board) = self.indicators.get() {
            page.push_str(&indicators::page(board));
        }
        page
    }
}

impl fmt::Debug for PageHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PageHandle")
    }
}

enum Handle {
    Gauge(Gauge),
    Counter(Counter),
}

type SeriesId = (ObjectiveId, CohortId);

/// The budgets' page; owned by the tick.
pub struct BudgetPage {
    dashboard: Option<DashboardNames>,
    max_cohorts: usize,
    recorder: PrometheusRecorder,
    handle: PageHandle,
    series: HashMap<SeriesId, Vec<Handle>>,
    cohorts: usize,
    omitted: std::collections::HashSet<SeriesId>,
}

impl fmt::Debug for BudgetPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BudgetPage")
            .field("series", &self.series.len())
            .finish_non_exhaustive()
    }
}

impl BudgetPage {
    /// An empty page.
    pub fn new(config: &PrometheusExporter) -> Self {
        let recorder = new_recorder();
        let handle = PageHandle {
            budgets: Arc::new(RwLock::new(recorder.handle())),
            indicators: Arc::default(),
        };
        Self {
            dashboard: config.dashboard_names.then_some(DashboardNames {
                fast_secs: config.burn_rate_fast.as_secs(),
                slow_secs: config.burn_rate_slow.as_secs(),
                critical_secs: config.burn_rate_critical.as_secs(),
            }),
            max_cohorts: config.max_cohort_series,
            recorder,
            handle,
            series: HashMap::new(),
            cohorts: 0,
            omitted: std::collections::HashSet::new(),
        }
    }

    /// Shows leading indicators as well.
    #[must_use]
    pub fn with_indicators(self, board: Arc<IndicatorBoard>) -> Self {
        let _ = self.handle.indicators.set(board);
        self
    }

    /// What a scrape reads.
    pub fn handle(&self) -> PageHandle {
        self.handle.clone()
    }

    /// Shows the statuses that changed.
    pub fn apply(&mut self, changed: &[Arc<BudgetStatus>]) {
        for status in changed {
            self.show(status);
        }
        metrics::gauge!("burngate_publish_cohorts_omitted").set(self.omitted.len() as f64);
    }

    /// Drops the series of cohorts that have left: the page is built anew from what is still on the board.
    pub fn rebuild(&mut self, board: &Board) {
        self.recorder = new_recorder();
        self.series.clear();
        self.omitted.clear();
        self.cohorts = 0;
        for status in board.snapshot() {
            self.show(&status);
        }
        let mut shown = self
            .handle
            .budgets
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        *shown = self.recorder.handle();
    }

    fn show(&mut self, status: &BudgetStatus) {
        let id = (status.objective_id, status.cohort_id);
        let samples = samples::samples(status, self.dashboard);
        if let Some(handles) = self
            .series
            .get(&id)
            .filter(|handles| handles.len() == samples.len())
        {
            for (handle, sample) in handles.iter().zip(&samples) {
                set(handle, sample);
            }
            return;
        }
        // The overflow says how much a page of cohorts does not: it is never left out, and there is one a
        // service.
        let always = matches!(status.cohort.level, Level::Total | Level::Overflow);
        if !always && !self.series.contains_key(&id) {
            if self.cohorts >= self.max_cohorts {
                self.omitted.insert(id);
                return;
            }
            self.cohorts += 1;
        }
        let identity = samples::identity(status);
        let handles = samples
            .iter()
            .map(|sample| self.register(&identity, sample))
            .collect::<Vec<_>>();
        for (handle, sample) in handles.iter().zip(&samples) {
            set(handle, sample);
        }
        self.series.insert(id, handles);
    }

    fn register(&self, identity: &[(&'static str, Arc<str>)], sample: &Sample) -> Handle {
        let labels = identity.iter().chain(&sample.label);
        let labels: Vec<Label> = labels
            .map(|(name, value)| Label::new(*name, value.clone()))
            .collect();
        let key = Key::from_parts(sample.metric.name, labels);
        match sample.metric.kind {
            Kind::Gauge => Handle::Gauge(self.recorder.register_gauge(&key, &METADATA)),
            Kind::Counter => Handle::Counter(self.recorder.register_counter(&key, &METADATA)),
        }
    }
}

fn set(handle: &Handle, sample: &Sample) {
    match (handle, sample.value) {
        (Handle::Gauge(gauge), Value::Gauge(value)) => gauge.set(value),
        (Handle::Counter(counter), Value::Count(value)) => counter.absolute(value),
        (Handle::Gauge(gauge), Value::Count(value)) => gauge.set(value as f64),
        (Handle::Counter(_), Value::Gauge(_)) => {}
    }
}

fn new_recorder() -> PrometheusRecorder {
    let recorder = PrometheusBuilder::new().build_recorder();
    for metric in samples::ALL {
        match metric.kind {
            Kind::Gauge => recorder.describe_gauge(metric.name.into(), None, metric.help.into()),
            Kind::Counter => recorder.describe_counter(metric.name.into(), None, metric.help.into()),
        }
    }
    recorder
}

#[cfg(test)]
#[path = "page_tests.rs"]
mod tests;
