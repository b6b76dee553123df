//! The record of decisions as OTLP log records: one `burngate.decision` an entry.
//!
//! Names are the semantic conventions' where these have one. The figures of the evidence come under
//! `burngate.evidence.`, whatever they are: a figure that is new needs no line here.

use crate::audit::{About, Entry};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;
use serde_json::Value;

/// What every such record is called.
pub(crate) const EVENT_NAME: &str = "burngate.decision";

/// Figures of one record at most; further ones are left out.
const FIGURES_MAX: usize = 64;

/// The entries as one ExportLogsServiceRequest.
pub fn decision_log<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Vec<u8> {
    let resource = Resource {
        attributes: vec![
            text("service.name", "burngate"),
            text("service.version", env!("CARGO_PKG_VERSION")),
        ],
        ..Resource::default()
    };
    let scope = InstrumentationScope {
        name: "burngate.audit".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let request = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(resource),
            scope_logs: vec![ScopeLogs {
                scope: Some(scope),
                log_records: entries.into_iter().map(log_record).collect(),
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    };
    request.encode_to_vec()
}

fn log_record(entry: &Entry) -> LogRecord {
    let severity = severity(entry);
    LogRecord {
        time_unix_nano: entry.unix_nanos,
        observed_time_unix_nano: entry.unix_nanos,
        severity_number: severity.into(),
        severity_text: match severity {
            SeverityNumber::Error => "ERROR",
            SeverityNumber::Warn => "WARN",
            _ => "INFO",
        }
        .to_owned(),
        body: Some(AnyValue {
            value: Some(Any::StringValue(sentence(entry))),
        }),
        attributes: attributes(entry),
        event_name: EVENT_NAME.to_owned(),
        ..LogRecord::default()
    }
}

/// What failed needs a human; what changes a flag, or tries to, is worth a look; the rest is for the record.
fn severity(entry: &Entry) -> SeverityNumber {
    let says = |word: &str| entry.kind.contains(word);
    if says("fail") || says("escalat") {
        SeverityNumber::Error
    } else if entry.decision.is_none() || says("observ") {
        SeverityNumber::Info
    } else {
        SeverityNumber::Warn
    }
}

/// One sentence for people.
fn sentence(entry: &Entry) -> String {
    let words = if entry.said.is_empty() {
        entry.kind.replace('_', " ")
    } else {
        entry.said.join("; ")
    };
    match (&entry.about, &entry.facts) {
        (Some(about), _) => format!("{}: {words}", subject(about)),
        (None, Some(facts)) => format!("{words}: {facts}"),
        (None, None) => words,
    }
}

fn subject(about: &About) -> String {
    let place = |text: &str, before: &str| match text {
        "" => String::new(),
        text => format!("{before}{text}"),
    };
    let what = if about.flag.is_empty() {
        format!("deployment {}", about.sha)
    } else {
        format!("flag {}{}", about.flag, place(&about.variant, ", variant "))
    };
    let (of, within) = (place(&about.service, " of "), place(&about.environment, " in "));
    format!("{what}{of}{within} ({})", about.action)
}

fn attributes(entry: &Entry) -> Vec<KeyValue> {
    let mut found = vec![
        text("burngate.decision.kind", &entry.kind),
        number("burngate.audit.seq", entry.seq),
        text("burngate.audit.hash", &entry.hash),
        text("burngate.policy.hash", &entry.policy),
    ];
    let mut add = |key: &str, value: &str| {
        if !value.is_empty() {
            found.push(text(key, value));
        }
    };
    add(
        "burngate.decision.id",
        entry.decision.as_deref().unwrap_or_default(),
    );
    let said = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    if let Some(state) = &entry.state {
        add("burngate.decision.state", &said(state, "state"));
        add("burngate.decision.reason", &said(state, "reason"));
    }
    add("burngate.actor.kind", &said(&entry.actor, "kind"));
    add("burngate.actor.name", &said(&entry.actor, "name"));
    if let Some(about) = &entry.about {
        for (key, value) in [
            ("burngate.decision.action", &about.action),
            ("burngate.decision.exporter", &about.exporter),
            ("burngate.slo", &about.slo),
            ("feature_flag.key", &about.flag),
            ("feature_flag.result.variant", &about.variant),
            ("service.name", &about.service),
            ("deployment.environment.name", &about.environment),
            ("deployment.sha", &about.sha),
        ] {
            add(key, value);
        }
    }
    let mut figures = Vec::new();
    if let Some(evidence) = &entry.evidence {
        flatten("burngate.evidence", evidence, &mut figures);
    }
    found.append(&mut figures);
    found
}

/// Every number, word and truth in `value`, by its path; lists are left to the record itself.
fn flatten(path: &str, value: &Value, figures: &mut Vec<KeyValue>) {
    if figures.len() >= FIGURES_MAX {
        return;
    }
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                flatten(&format!("{path}.{key}"), value, figures);
            }
        }
        Value::String(word) => figures.push(text(path, word)),
        Value::Bool(truth) => figures.push(pair(path, Any::BoolValue(*truth))),
        Value::Number(number) => {
            let whole = number.as_i64().map(Any::IntValue);
            let any = whole.or_else(|| number.as_f64().map(Any::DoubleValue));
            figures.extend(any.map(|any| pair(path, any)));
        }
        Value::Array(_) | Value::Null => {}
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    pair(key, Any::StringValue(value.to_owned()))
}

fn number(key: &str, value: u64) -> KeyValue {
    pair(key, Any::IntValue(i64::try_from(value).unwrap_or(i64::MAX)))
}

fn pair(key: &str, value: Any) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Draft, GENESIS};
    use crate::time::UnixNanos;
    use std::collections::BTreeMap;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "prost is the oracle")]
    fn an_entry_is_an_event_with_its_figures_and_one_sentence() {
        let draft = Draft {
            at: UnixNanos::from_secs(1_795_300_000),
            kind: "failed".to_owned(),
            decision: Some("d1".to_owned()),
            actor: serde_json::json!({ "kind": "rule" }),
            about: Some(About {
                exporter: "unleash".to_owned(),
                environment: "production".to_owned(),
                action: "off".to_owned(),
                flag: "new-checkout".to_owned(),
                variant: "on".to_owned(),
                service: "checkout".to_owned(),
                ..About::default()
            }),
            state: Some(serde_json::json!({ "state": "failed", "reason": "forbidden" })),
            said: vec!["failed: 403 Forbidden".to_owned()],
            evidence: Some(serde_json::json!({
                "burn": 14.5, "cohort": { "good": 9, "bad": 1 }, "signatures": [1], "log_e": 12.25
            })),
            facts: None,
        };
        let sealed = draft.seal(4, "policy", GENESIS).unwrap();
        let entry = Entry::read(&sealed.line).unwrap();
        let request = ExportLogsServiceRequest::decode(&*decision_log([&entry])).unwrap();
        let record = &request.resource_logs[0].scope_logs[0].log_records[0];
        assert_eq!(
            (record.event_name.as_str(), record.severity_number()),
            (EVENT_NAME, SeverityNumber::Error)
        );
        let Some(Any::StringValue(body)) = record.body.clone().and_then(|it| it.value) else {
            panic!("no body")
        };
        assert_eq!(
            body,
            "flag new-checkout, variant on of checkout in production (off): failed: 403 Forbidden"
        );
        let attributes: BTreeMap<_, _> = record
            .attributes
            .iter()
            .map(|it| (it.key.as_str(), it.value.clone().unwrap().value.unwrap()))
            .collect();
        for (key, value) in [
            ("feature_flag.key", Any::StringValue("new-checkout".to_owned())),
            (
                "burngate.decision.reason",
                Any::StringValue("forbidden".to_owned()),
            ),
            ("burngate.audit.hash", Any::StringValue(sealed.hash)),
            ("burngate.audit.seq", Any::IntValue(4)),
            ("burngate.evidence.burn", Any::DoubleValue(14.5)),
            ("burngate.evidence.cohort.bad", Any::IntValue(1)),
            ("burngate.evidence.log_e", Any::DoubleValue(12.25)),
        ] {
            assert_eq!(attributes.get(key), Some(&value), "{key}");
        }
        assert!(
            !attributes.contains_key("deployment.sha"),
            "what is not known is not said"
        );
    }
}
