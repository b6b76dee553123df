//! What the language means: one span, one condition or statement.

use super::{Context, Group, OttlError};
use crate::config::{ErrorMode, FilterGroup, FilterProcessor, Statement, StatementGroup, TransformProcessor};
use crate::pipeline::{Batch, Process, Refusal};
use crate::process::filter::Filter;
use crate::process::testing::{
    attribute, batch_of_metrics, batch_of_records, batch_of_spans, records, spans,
};
use crate::process::transform::Transform;
use crate::wire::Request;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{Metric, NumberDataPoint, Sum, number_data_point};
use opentelemetry_proto::tonic::trace::v1::{Span, Status};

fn text(text: &str) -> Statement {
    Statement {
        text: text.to_owned(),
        at: crate::config::Place::default(),
        path: "here".to_owned(),
    }
}

fn filter_of(signal: &'static str, context: &str, condition: &str) -> FilterProcessor {
    FilterProcessor {
        error_mode: ErrorMode::Propagate,
        groups: vec![FilterGroup {
            signal,
            context: Some(text(context)),
            conditions: vec![text(condition)],
            error_mode: None,
        }],
    }
}

/// Whether the only item of the batch goes.
fn drops(signal: &'static str, context: &str, condition: &str, batch: Batch) -> Result<bool, Refusal> {
    let filter = Filter::new("filter", &filter_of(signal, context, condition))
        .unwrap_or_else(|error| panic!("{condition}: {error}"));
    filter.process(batch).map(|processed| processed.batch.is_none())
}

fn nested(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn span() -> Span {
    let list = ArrayValue {
        values: vec![AnyValue {
            value: Some(Value::StringValue("a".to_owned())),
        }],
    };
    let map = KeyValueList {
        values: vec![attribute("inner", 5)],
    };
    Span {
        trace_id: vec![0xab; 16],
        span_id: vec![0xcd; 8],
        name: "GET /cart".to_owned(),
        kind: 2,
        start_time_unix_nano: 1_000,
        end_time_unix_nano: 301_000_000,
        status: Some(Status {
            code: 2,
            message: "boom".to_owned(),
        }),
        attributes: vec![
            attribute("route", "/cart"),
            attribute("code", 503),
            attribute("share", 0.5),
            attribute("retry", true),
            nested("list", Value::ArrayValue(list)),
            nested("map", Value::KvlistValue(map)),
        ],
        ..Span::default()
    }
}

fn holds(condition: &str) -> bool {
    drops("traces", "span", condition, batch_of_spans(vec![span()])).unwrap()
}

#[test]
fn conditions_on_a_span_hold() {
    for condition in [
        r#"name == "GET /cart""#,
        r#"span.name == "GET /cart" and attributes["code"] >= 500"#,
        r#"attributes["code"] == 503.0"#,
        r#"attributes["share"] < 1"#,
        r#"attributes["retry"] == true"#,
        r#"attributes["nope"] == nil"#,
        r#"attributes["code"] != nil"#,
        r#"attributes["code"] != "503""#,
        r#"attributes["list"][0] == "a""#,
        r#"attributes["map"]["inner"] == 5"#,
        r#"attributes["map"]["other"] == nil"#,
        r#"resource.attributes["service.name"] == "checkout""#,
        r#"instrumentation_scope.name == "" and scope.version == """#,
        "kind == SPAN_KIND_SERVER and status.code == STATUS_CODE_ERROR",
        r#"kind.string == "Server" and status.message == "boom""#,
        "end_time_unix_nano - start_time_unix_nano > 300000000",
        r#"end_time - start_time > Duration("250ms")"#,
        "(1 + 2) * 3 == 9 and 7 / 2 == 3 and 7.0 / 2 == 3.5",
        r#"IsMatch(name, "^GET /c.*")"#,
        r#"IsMatch(attributes["code"], "^5\d\d$")"#,
        r#"not IsMatch(attributes["nope"], ".*")"#,
        r#"IsString(attributes["route"]) and IsInt(attributes["code"]) and IsDouble(attributes["share"])"#,
        r#"IsBool(attributes["retry"]) and IsList(attributes["list"]) and IsMap(attributes["map"])"#,
        "IsRootSpan()",
        r"trace_id == TraceID(0xabababababababababababababababab)",
        r#"trace_id.string == "abababababababababababababababab""#,
        r#"span_id == "cdcdcdcdcdcdcdcd" and span_id == 0xcdcdcdcdcdcdcdcd"#,
        r#"not (name == "x") and (false or true)"#,
        r#"not not (name != "x")"#,
        r#"Len(name) == 9 and Len(attributes["list"]) == 1"#,
        r#"Int("12") == 12 and Double("1.5") == 1.5 and String(5) == "5" and Int("x") == nil"#,
        r#"Concat([name, attributes["code"]], ":") == "GET /cart:503""#,
        r#"ToLowerCase(name) == "get /cart" and ToUpperCase("a") == "A""#,
        r#"SHA256("x") == "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881""#,
        r#"name > "GET" and name <= "GET /cart""#,
        "-1 < 0 and 1e3 == 1000",
    ] {
        assert!(holds(condition), "{condition}");
    }
}

#[test]
fn conditions_on_a_span_do_not_hold() {
    for condition in [
        r#"name == "get /cart""#,
        r#"attributes["nope"] > 1 or attributes["nope"] < 1"#,
        r#"attributes["code"] == "503""#,
        r#"attributes["code"] > "5""#,
        "nil != nil",
        "nil < 5 or nil <= nil",
        r#"name == "GET /cart" and false"#,
        r#"resource.attributes["service.name"] != "checkout""#,
        "false",
    ] {
        assert!(!holds(condition), "{condition}");
    }
}

#[test]
fn conditions_on_records_and_points_hold() {
    let record = || {
        batch_of_records(vec![LogRecord {
            severity_number: 9,
            severity_text: "INFO".to_owned(),
            body: nested("", Value::StringValue("user 7 logged in".to_owned())).value,
            ..LogRecord::default()
        }])
    };
    for condition in [
        "severity_number < SEVERITY_NUMBER_WARN",
        r#"log.severity_text == "INFO" and IsMatch(body, "user [0-9]+")"#,
        r#"body.string == "user 7 logged in" and body["x"] == nil"#,
        "trace_id.string == \"\"",
    ] {
        assert_eq!(
            drops("logs", "log_record", condition, record()),
            Ok(true),
            "{condition}"
        );
    }
    let metric = || {
        let point = NumberDataPoint {
            attributes: vec![attribute("k", "v")],
            value: Some(number_data_point::Value::AsInt(-7)),
            ..NumberDataPoint::default()
        };
        batch_of_metrics(vec![Metric {
            name: "jobs".to_owned(),
            unit: "1".to_owned(),
            data: Some(Data::Sum(Sum {
                data_points: vec![point],
                aggregation_temporality: 1,
                is_monotonic: true,
            })),
            ..Metric::default()
        }])
    };
    for (context, condition) in [
        ("metric", r#"name == "jobs" and unit == "1""#),
        ("metric", "type == METRIC_DATA_TYPE_SUM and is_monotonic"),
        (
            "metric",
            "metric.aggregation_temporality == AGGREGATION_TEMPORALITY_DELTA",
        ),
        (
            "metric",
            r#"HasAttrKeyOnDatapoint("k") and HasAttrOnDatapoint("k", "v")"#,
        ),
        ("metric", r#"not HasAttrOnDatapoint("k", "w")"#),
        ("datapoint", r#"attributes["k"] == "v" and metric.name == "jobs""#),
        (
            "datapoint",
            "value_int == -7 and value_double == 0.0 and count == nil",
        ),
    ] {
        let condition = condition.replace("is_monotonic", "is_monotonic == true");
        assert_eq!(
            drops("metrics", context, &condition, metric()),
            Ok(true),
            "{condition}"
        );
    }
}

/// What is wrong with a condition in the context span.
fn refused(condition: &str) -> OttlError {
    Group::new(Context::Span, ErrorMode::Propagate)
        .condition(condition)
        .expect_err(condition)
}

#[test]
fn what_is_not_understood_is_refused_by_name_and_place() {
    for (condition, column, message) in [
        ("name", 1, "expected a condition"),
        (
            "name == ",
            9,
            "expected a path, a value or a function, found the end",
        ),
        (
            "nome == 1",
            1,
            "not supported: the path `nome` in the context span",
        ),
        (
            "name == 1 and status == 2",
            15,
            "not supported: the path `status`",
        ),
        ("name[\"x\"] == 1", 1, "not supported: the path `name[\"x\"]`"),
        (
            "kind == SPAN_KIND_ROBOT",
            9,
            "not supported: the enum `SPAN_KIND_ROBOT`",
        ),
        (
            "Split(name, \"/\") == nil",
            1,
            "not supported: the function `Split`",
        ),
        ("IsMatch(name, \"(\")", 15, "not a regular expression"),
        (
            "IsMatch(name)",
            1,
            "IsMatch takes a value and a regular expression",
        ),
        ("Len(name)", 1, "`Len` is a value; compare it"),
        (
            "log.body == 1",
            1,
            "`log.body`: log cannot be seen in the context span",
        ),
        (
            "spanevent.name == \"x\"",
            1,
            "spanevent cannot be seen in the context span",
        ),
        ("(name == \"x\") == 1", 7, "expected a value, found a condition"),
        ("name == \"x", 9, "a text without its closing quote"),
        ("name = \"x\"", 6, "expected the end, found `=`"),
        ("attributes == nil", 1, "`attributes` as a whole is no value"),
        (
            "trace_id == \"zz\"",
            13,
            "compared with a text that is no hexadecimal id",
        ),
        ("trace_id == TraceID(0xab)", 13, "TraceID: expected 0x and 32"),
        ("Duration(\"x\") == 1", 1, "Duration: expected a duration"),
        ("HasAttrKeyOnDatapoint(\"k\")", 1, "belongs in the context metric"),
        ("name == #", 9, "'#' has no meaning here"),
    ] {
        let error = refused(condition);
        assert!(error.message.contains(message), "{condition}: {error}");
        assert_eq!(error.column, column, "{condition}: {error}");
    }
    assert!(refused(&"(".repeat(100)).message.contains("nested deeper"));
    assert!(refused(&"not ".repeat(100)).message.contains("nested deeper"));
    assert!(refused(&"1+".repeat(100)).message.contains("in a row"));
}

fn transform_of(signal: &'static str, context: &str, statements: &[&str]) -> TransformProcessor {
    TransformProcessor {
        error_mode: ErrorMode::Propagate,
        groups: vec![StatementGroup {
            signal,
            context: Some(text(context)),
            conditions: Vec::new(),
            statements: statements.iter().map(|one| text(one)).collect(),
            error_mode: None,
        }],
    }
}

fn transformed(statements: &[&str]) -> Span {
    let transform = Transform::new("transform", &transform_of("traces", "span", statements))
        .unwrap_or_else(|error| panic!("{statements:?}: {error}"));
    let processed = transform.process(batch_of_spans(vec![span()])).unwrap();
    spans(&processed.batch.unwrap()).remove(0)
}

#[test]
fn statements_write_what_they_say_and_nothing_else() {
    let mut expected = span();
    "/cart".clone_into(&mut expected.name);
    expected.kind = 3;
    expected.status = Some(Status {
        code: 1,
        message: String::new(),
    });
    expected.end_time_unix_nano = 5;
    expected.attributes[1] = attribute("code", "503");
    expected.attributes.remove(0);
    expected.attributes.push(attribute("svc", "checkout"));
    let done = transformed(&[
        r#"set(name, attributes["route"])"#,
        "set(kind, SPAN_KIND_CLIENT)",
        r"set(status.code, STATUS_CODE_OK) where status.code == STATUS_CODE_ERROR",
        r#"set(status.message, "")"#,
        "set(end_time_unix_nano, 2 + 3)",
        r#"set(attributes["code"], String(attributes["code"]))"#,
        r#"delete_key(attributes, "route")"#,
        r#"set(attributes["svc"], resource.attributes["service.name"])"#,
        r#"set(attributes["none"], attributes["nope"])"#,
        r#"set(name, "never") where attributes["route"] == "/cart""#,
    ]);
    assert_eq!(done, expected);
}

#[test]
fn keys_are_kept_and_deleted_by_name_and_pattern() {
    let keys = |statement| -> Vec<String> {
        let span = transformed(&[statement]);
        span.attributes
            .into_iter()
            .map(|attribute| attribute.key)
            .collect()
    };
    assert_eq!(
        keys(r#"keep_keys(attributes, ["code", "list"])"#),
        ["code", "list"]
    );
    assert_eq!(
        keys(r#"delete_matching_keys(span.attributes, "^(r|l)")"#),
        ["code", "share", "map"]
    );
    assert_eq!(
        keys(r#"keep_matching_keys(attributes, "^r")"#),
        ["route", "retry"]
    );
}

#[test]
fn statements_that_cannot_be_carried_out_are_refused() {
    for (statement, message) in [
        ("set(name, 5)", "`name` takes text, found a whole number"),
        ("set(name, nil)", "setting nil does nothing"),
        ("set(trace_id, \"ab\")", "not supported: writing `trace_id`"),
        ("set(attributes[\"a\"][\"b\"], 1)", "not supported: writing"),
        (
            "set(resource.attributes[\"a\"], 1)",
            "write this statement in the context resource",
        ),
        (
            "replace_pattern(name, \"a\", \"b\")",
            "not supported: the function `replace_pattern`",
        ),
        ("set(name)", "set takes two arguments"),
        ("delete_key(name, \"a\")", "expected attributes, found `name`"),
        ("delete_key(attributes, 5)", "takes keys in quotes"),
        ("name == \"x\"", "expected `(`"),
        ("set(name, \"x\") where name", "expected a condition"),
    ] {
        let error = Group::new(Context::Span, ErrorMode::Propagate)
            .statement(statement)
            .expect_err(statement);
        assert!(error.message.contains(message), "{statement}: {error}");
    }
}

#[test]
fn a_context_is_said_by_the_paths() {
    let of = |statement| Group::context_of_statement(Request::Traces, statement);
    assert_eq!(of(r#"set(resource.attributes["a"], 1)"#), Ok(Context::Resource));
    assert_eq!(
        of(r#"set(span.attributes["a"], resource.attributes["b"])"#),
        Ok(Context::Span)
    );
    assert_eq!(
        of(r#"set(scope.name, "x") where spanevent.name == "y""#),
        Ok(Context::SpanEvent)
    );
    let error = of(r#"set(attributes["a"], 1)"#).unwrap_err();
    assert!(error.message.contains("needs its context in front"), "{error}");
    let error = of(r"set(log.body, 1)").unwrap_err();
    assert!(
        error.message.contains("one of resource, scope, span, spanevent"),
        "{error}"
    );
}

#[test]
fn a_failure_follows_the_error_mode() {
    let condition = r#"attributes["route"] + 1 == 2"#;
    let refusal = drops("traces", "span", condition, batch_of_spans(vec![span()])).unwrap_err();
    assert_eq!(
        refusal,
        Refusal::Malformed("filter: no arithmetic with text and a whole number".into())
    );
    let mut config = filter_of("traces", "span", condition);
    for mode in [ErrorMode::Ignore, ErrorMode::Silent] {
        config.error_mode = mode;
        let batch = batch_of_spans(vec![span()]);
        let processed = Filter::new("filter", &config)
            .unwrap()
            .process(batch.clone())
            .unwrap();
        assert!(processed.batch.unwrap().same_bytes(&batch));
    }
}

#[test]
fn groups_run_one_after_the_other() {
    let mut config = transform_of("traces", "span", &[r#"set(name, "one")"#]);
    config.groups.extend(
        transform_of(
            "traces",
            "resource",
            &[r#"set(attributes["service.name"], "two")"#],
        )
        .groups,
    );
    config.groups.extend(
        transform_of(
            "traces",
            "span",
            &[r#"set(attributes["seen"], resource.attributes["service.name"]) where name == "one""#],
        )
        .groups,
    );
    let transform = Transform::new("transform", &config).unwrap();
    let processed = transform.process(batch_of_spans(vec![span()])).unwrap();
    let span = spans(&processed.batch.unwrap()).remove(0);
    assert_eq!(span.attributes.last(), Some(&attribute("seen", "two")));
}

#[test]
fn a_body_can_be_rewritten() {
    let config = transform_of(
        "logs",
        "log",
        &[r#"set(body, Concat(["hidden", attributes["id"]], " "))"#],
    );
    let record = LogRecord {
        attributes: vec![attribute("id", 7)],
        ..LogRecord::default()
    };
    let transform = Transform::new("transform", &config).unwrap();
    let processed = transform.process(batch_of_records(vec![record])).unwrap();
    let body = records(&processed.batch.unwrap()).remove(0).body;
    assert_eq!(body, nested("", Value::StringValue("hidden 7".to_owned())).value);
}
