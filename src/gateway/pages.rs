//! The listeners of Prometheus metrics: budgets and our own metrics on one, received metrics on it or on
//! others.

use super::GatewayError;
use super::graph::Graph;
use super::servers::{Change, Start};
use crate::config::{Config, Forwarder, PrometheusExporter};
use crate::publish::{MetricsPage, PageHandle, metrics_page};

/// One listener of Prometheus metrics.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Page {
    pub(super) name: String,
    pub(super) exporter: PrometheusExporter,
    /// Whether budgets and the gateway's own metrics are on it.
    budgets: bool,
    /// The exporter that pipelines of received metrics name.
    received: Option<String>,
}

/// The page of the budgets (`prometheus`), with what is received for the same exporter; then the others.
pub(super) fn pages(config: &Config) -> Vec<Page> {
    let mut pages: Vec<Page> = Vec::new();
    if let Some(exporter) = &config.prometheus {
        pages.push(Page {
            name: "prometheus".to_owned(),
            exporter: exporter.clone(),
            budgets: true,
            received: None,
        });
    }
    for named in &config.graph.forwarders {
        let Forwarder::Prometheus(exporter) = &named.config else {
            continue;
        };
        match pages.iter_mut().find(|page| page.exporter == *exporter) {
            Some(page) => page.received = Some(named.id.clone()),
            None => pages.push(Page {
                name: named.id.clone(),
                exporter: exporter.clone(),
                budgets: false,
                received: Some(named.id.clone()),
            }),
        }
    }
    pages
}

impl Change<'_> {
    /// Those that must be started (anew); `budgets` is a page that has changed.
    pub(super) fn pages(
        &self,
        starts: &mut Vec<Start>,
        budgets: Option<&PageHandle>,
        graph: &Graph,
    ) -> Result<(), GatewayError> {
        let own = crate::telemetry::metrics_handle();
        for page in pages(self.config) {
            let same = |c: &Config| pages(c).into_iter().find(|other| other.name == page.name);
            if self.stays(&page.name, same) {
                continue;
            }
            let shown = MetricsPage {
                budgets: budgets.filter(|_| page.budgets).cloned(),
                received: page.received.as_deref().and_then(|id| graph.received(id)),
                own: page.budgets.then(|| own.clone()),
            };
            self.serve(starts, &page.name, metrics_page(shown))?;
        }
        Ok(())
    }
}
