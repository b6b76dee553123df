//! Leading indicators on `/metrics`.
//!
//! The part is made when somebody scrapes: it changes every ten seconds as a whole, and what has left must
//! not stay. It is bounded by the board, which is bounded by the settings of the indicators, and by
//! [`INDICATORS_MAX`].

use crate::indicate::{IndicatorBoard, IndicatorStatus};
use metrics::{Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::PrometheusBuilder;

/// Indicators on one page: those beyond are in the API.
const INDICATORS_MAX: usize = 10_000;

const VALUE: &str = "burngate_indicator_value";
const STATE: &str = "burngate_indicator_state";

static METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, None);

/// The part as text, in Prometheus' exposition format; empty without indicators.
pub(super) fn page(board: &IndicatorBoard) -> String {
    let all = board.snapshot();
    if all.is_empty() {
        return String::new();
    }
    let recorder = PrometheusBuilder::new().build_recorder();
    recorder.describe_gauge(
        VALUE.into(),
        None,
        "Value of a leading indicator; of several groups the worst. NaN without a value.".into(),
    );
    recorder.describe_gauge(
        STATE.into(),
        None,
        "-1 no_data, 0 calm, 1 entering, 2 leaving, 3 active; from 2 on it is active.".into(),
    );
    for status in all.iter().take(INDICATORS_MAX) {
        let set = |name: &'static str, value: f64| {
            let key = Key::from_parts(name, labels(status));
            recorder.register_gauge(&key, &METADATA).set(value);
        };
        set(VALUE, status.value.unwrap_or(f64::NAN));
        set(STATE, f64::from(status.state.code()));
    }
    recorder.handle().render()
}

fn labels(status: &IndicatorStatus) -> Vec<Label> {
    let mut labels = vec![
        Label::new("service", status.service.clone()),
        Label::new("indicator", status.name.clone()),
    ];
    labels.extend(status.environment.clone().map(|it| Label::new("environment", it)));
    labels
}
