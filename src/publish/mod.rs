//! Exporters of budget metrics: Prometheus, OTLP; and the record of decisions as log events.
//!
//! What is published is worked out once, as [`samples`]; an exporter only carries it. Names are the field's
//! (SRE Workbook), labels are positional parts of a cohort: a part that a cohort does not have is a label
//! that its series do not have.

mod decision_log;
mod decision_source;
mod indicators;
mod instruments;
mod otlp;
mod page;
mod samples;
mod server;
mod source;
#[cfg(test)]
pub(crate) mod testing;

pub use decision_log::decision_log;
pub use decision_source::DecisionSource;
pub use otlp::{OtlpPublishError, OtlpPublisher};
pub use page::{BudgetPage, PageHandle};
pub(crate) use samples::window_name;
pub use server::{MetricsPage, metrics_page, metrics_router};
pub use source::BudgetSource;
