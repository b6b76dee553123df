//! SLIs from metrics: which points count, and what of them is good.
//!
//! ```yaml
//! sli: { metrics: http.server.request.duration }                          # availability by conventions
//! sli: { metrics: http.server.request.duration, faster_than: 250ms }      # share of a histogram
//! sli: { metrics: 'http_requests_total{job="shop"}', bad: 'code =~ "5.."' }
//! sli: { metrics: { bad: 'http_requests_total{code=~"5.."}', total: http_requests_total } }
//! sli: { metrics: { good: 'duration_seconds_bucket{le="0.5"}', total: duration_seconds_count } }
//! sli: { metrics: { gauge: kafka.consumer_group.lag, at_most: 1000, slice: 1m, missing: bad } }
//! ```
//!
//! A policy may say what it means in OpenTelemetry's names or in those that Prometheus gives them. Both end
//! as terms: a name, conditions, and a [`Measure`] of the points that pass. What a point adds is worked out
//! where its stream is known (`ledger::points`); here nothing has a memory.

mod judge;
mod labels;
mod naming;
mod selector;
mod source;

pub use judge::{MetricJudge, PointUse, Verdict};
pub use naming::Measure;
pub use selector::{LabelMatcher, Selector};
pub use source::{GaugeLimit, GaugeSource, MetricSource, Missing, PointSelector};

pub(super) use source::of_points;
