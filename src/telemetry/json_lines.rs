//! Log lines as JSON, with the names that the Collector's lines have: `level`, `ts`, `caller`, `msg`,
//! `resource`.

use super::OwnResource;
use crate::config::LogsConfig;
use serde_json::{Map, Value, json};
use std::fmt;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// One object a line.
#[derive(Debug)]
pub(super) struct JsonLines {
    caller: bool,
    resource: Value,
    fixed: Map<String, Value>,
}

impl JsonLines {
    pub(super) fn new(config: &LogsConfig, resource: &OwnResource) -> Self {
        let text = |(name, value): &(String, String)| (name.clone(), Value::from(value.as_str()));
        Self {
            caller: !config.disable_caller,
            resource: resource
                .iter()
                .map(|(key, value)| (key.to_owned(), Value::from(value)))
                .collect(),
            fixed: config.initial_fields.iter().map(text).collect(),
        }
    }

    /// The line without its end.
    fn line(&self, event: &Event<'_>, ts: &str) -> Value {
        let metadata = event.metadata();
        let level = match *metadata.level() {
            Level::ERROR => "error",
            Level::WARN => "warn",
            Level::INFO => "info",
            Level::DEBUG | Level::TRACE => "debug",
        };
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut line = Map::new();
        line.insert("level".to_owned(), Value::from(level));
        line.insert("ts".to_owned(), Value::from(ts));
        if let Some(caller) = self
            .caller
            .then(|| caller(metadata.file(), metadata.line()))
            .flatten()
        {
            line.insert("caller".to_owned(), Value::from(caller));
        }
        line.insert("msg".to_owned(), Value::from(fields.message));
        line.insert("resource".to_owned(), self.resource.clone());
        // A field must not stand in for what every line has.
        for (name, value) in self.fixed.clone().into_iter().chain(fields.others) {
            line.entry(name).or_insert(value);
        }
        Value::Object(line)
    }
}

/// The last folder and the file, as the Collector's: `gateway/tick.rs:12`.
fn caller(file: Option<&str>, line: Option<u32>) -> Option<String> {
    let file = file?;
    let mut slashes = file.rmatch_indices('/').map(|(at, _)| at + 1);
    let from = slashes.nth(1).unwrap_or(0);
    Some(format!("{}:{}", &file[from..], line?))
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Map<String, Value>,
}

impl Fields {
    fn take(&mut self, field: &Field, value: Value) {
        if field.name() == "message" {
            self.message = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        } else {
            self.others
                .insert(field.name().trim_start_matches("r#").to_owned(), value);
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, Value::from(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, Value::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.take(field, Value::from(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.take(field, Value::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.take(field, Value::from(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no NaN and no infinity.
        let value =
            serde_json::Number::from_f64(value).map_or_else(|| json!(value.to_string()), Value::Number);
        self.take(field, value);
    }
}

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut ts = String::new();
        SystemTime.format_time(&mut Writer::new(&mut ts))?;
        writeln!(out, "{}", self.line(event, &ts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{LogOutput, SelfResource};
    use tracing_subscriber::layer::SubscriberExt as _;

    fn lines(config: &LogsConfig, speak: impl FnOnce()) -> Vec<Value> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let config = LogsConfig {
            output_paths: vec![LogOutput::File(path.clone())],
            encoding: crate::config::LogEncoding::Json,
            ..config.clone()
        };
        let resource = OwnResource::new(&SelfResource::default());
        let (layer, _filter) = super::super::logs::log_layer(&config, &resource).unwrap();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), speak);
        let text = std::fs::read_to_string(path).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[test]
    fn a_line_has_the_names_that_log_pipelines_look_for() {
        let config = LogsConfig {
            initial_fields: vec![("region".to_owned(), "eu".to_owned())],
            ..LogsConfig::default()
        };
        let said = lines(&config, || {
            let burn = f64::NAN;
            tracing::warn!(flag = "new", count = 3_u64, burn, level = "mine", error = %"a \"b\"\n", "it burns");
            tracing::debug!("not at this level");
        });
        let [line] = &said[..] else { panic!("{said:?}") };
        assert_eq!(line["level"], "warn");
        assert_eq!(line["msg"], "it burns");
        assert_eq!(
            (&line["flag"], &line["count"], &line["burn"]),
            (&json!("new"), &json!(3), &json!("NaN"))
        );
        assert_eq!(
            (&line["region"], &line["error"]),
            (&json!("eu"), &json!("a \"b\"\n"))
        );
        assert_eq!(line["resource"]["service.name"], "burngate");
        assert!(line["ts"].as_str().unwrap().ends_with('Z'), "{line}");
        assert!(
            line["caller"]
                .as_str()
                .unwrap()
                .starts_with("telemetry/json_lines.rs:"),
            "{line}"
        );
    }

    #[test]
    fn the_place_can_be_left_out_and_spans_are_no_lines() {
        let config = LogsConfig {
            disable_caller: true,
            ..LogsConfig::default()
        };
        let said = lines(&config, || {
            let span = crate::pipeline::receiver_span("otlp", "grpc", crate::pipeline::Signal::Traces);
            assert!(span.is_disabled(), "nobody listens to spans");
            tracing::info!("here");
        });
        assert_eq!(said.len(), 1);
        assert_eq!(said[0].get("caller"), None);
    }
}
