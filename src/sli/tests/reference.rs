//! Compiled expressions against a naive evaluator over decoded messages.

use crate::sli::expr::{Check, Expr, Field, Literal, Order, Place, Test, arbitrary};
use crate::sli::predicate::Predicate;
use crate::sli::testing::{Sample, array, int, sample, text};
use crate::wire::KeyTableBuilder;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use proptest::prelude::*;

fn naive(expr: &Expr, sample: &Sample) -> bool {
    match expr {
        Expr::And(terms) => !terms.iter().any(|term| !naive(term, sample)),
        Expr::Or(terms) => terms.iter().any(|term| naive(term, sample)),
        Expr::Not(inner) => !naive(inner, sample),
        Expr::Test(test) => {
            let Some(value) = lookup(&test.field, sample) else {
                return false;
            };
            holds(test, &value) != test.negated
        }
    }
}

fn lookup(field: &Field, sample: &Sample) -> Option<Value> {
    let span = &sample.span;
    let some = |found: &str| (!found.is_empty()).then(|| text(found));
    let names = |names: &[&str], code: i32| Some(text(names[usize::try_from(code).unwrap()]));
    match field {
        Field::Kind => names(
            &[
                "unspecified",
                "internal",
                "server",
                "client",
                "producer",
                "consumer",
            ],
            span.kind,
        ),
        Field::Status => names(
            &["unset", "ok", "error"],
            span.status.as_ref().map_or(0, |status| status.code),
        ),
        Field::Name => some(&span.name),
        Field::StatusMessage => some(span.status.as_ref().map_or("", |status| &status.message)),
        Field::ScopeName => some(&sample.scope.name),
        Field::ScopeVersion => some(&sample.scope.version),
        Field::Duration => {
            let backwards = span.end_time_unix_nano < span.start_time_unix_nano;
            let nanos = span.end_time_unix_nano.wrapping_sub(span.start_time_unix_nano);
            (!backwards).then(|| int(nanos.cast_signed()))
        }
        Field::Attribute { place, key } => {
            let lists: &[&[KeyValue]] = match place {
                Place::Any => &[&span.attributes, &sample.scope.attributes, &sample.resource],
                Place::Span => &[&span.attributes],
                Place::Scope => &[&sample.scope.attributes],
                Place::Resource => &[&sample.resource],
            };
            let other = match key.as_str() {
                "http.status_code" => "http.response.status_code",
                "http.response.status_code" => "http.status_code",
                _ => key,
            };
            let find = |list: &&[KeyValue], key: &str| {
                list.iter()
                    .rev()
                    .find(|pair| pair.key == key)
                    .and_then(|pair| pair.value.clone()?.value)
            };
            lists
                .iter()
                .find_map(|list| find(list, key).or_else(|| find(list, other)))
        }
    }
}

fn holds(test: &Test, value: &Value) -> bool {
    if let (Value::ArrayValue(items), false) = (value, test.check == Check::Exists) {
        let scalar = |item: &Value| !matches!(item, Value::ArrayValue(_)) && holds(test, item);
        return items
            .values
            .iter()
            .any(|item| item.value.as_ref().is_some_and(scalar));
    }
    match &test.check {
        Check::Exists => true,
        Check::Equals(literal) => equal(value, literal),
        Check::OneOf(literals) => literals.iter().any(|literal| equal(value, literal)),
        Check::Ordered(order, literal) => match (number(&shown(value)), number(&plain(literal))) {
            (Some(a), Some(b)) => match order {
                Order::Less => a < b,
                Order::AtMost => a <= b,
                Order::Greater => a > b,
                Order::AtLeast => a >= b,
            },
            _ => false,
        },
        Check::Regex(pattern) => regex::Regex::new(pattern.as_str())
            .unwrap()
            .is_match(&shown(value)),
        Check::Glob(glob) => {
            let regex = regex::escape(&glob.0).replace(r"\*", ".*").replace(r"\?", ".");
            regex::Regex::new(&format!("^(?s:{regex})$"))
                .unwrap()
                .is_match(&shown(value))
        }
    }
}

/// Two texts are equal as texts, two booleans (or one and its spelling) as texts too, everything else as
/// numbers.
fn equal(value: &Value, literal: &Literal) -> bool {
    let (a, b) = (shown(value), plain(literal));
    let as_texts = matches!(
        (value, literal),
        (Value::StringValue(_), Literal::Text(_)) | (Value::BoolValue(_), _) | (_, Literal::Bool(_))
    );
    if as_texts {
        a == b
    } else {
        number(&a).is_some_and(|a| number(&b) == Some(a))
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::StringValue(text) => text.clone(),
        Value::BoolValue(boolean) => boolean.to_string(),
        Value::IntValue(number) => number.to_string(),
        Value::DoubleValue(number) => number.to_string(),
        other => panic!("{other:?} is not generated"),
    }
}

fn plain(literal: &Literal) -> String {
    match literal {
        Literal::Text(text) => text.clone(),
        Literal::DurationNanos(nanos) => nanos.to_string(),
        other => other.to_string(),
    }
}

/// Floats suffice: the generated integers that differ also differ as floats.
fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        prop::sample::select(vec![200_i64, 500, 503, -1, 0, 2, i64::MAX]).prop_map(Value::IntValue),
        prop::sample::select(vec![0.5_f64, 500.0, -0.0, 2.0]).prop_map(Value::DoubleValue),
        any::<bool>().prop_map(Value::BoolValue),
        prop::sample::select(vec![
            "500", "500.0", "true", "eu-west", "", "a", "5\u{e9}", "1.0", "\"", "1e300"
        ])
        .prop_map(text),
    ]
}

const KEYS: [&str; 4] = ["a", "b", "http.status_code", "http.response.status_code"];

fn pairs() -> impl Strategy<Value = Vec<KeyValue>> {
    let value = prop_oneof![4 => scalar(), 1 => prop::collection::vec(scalar(), 0..3).prop_map(array)];
    let pair = (prop::sample::select(KEYS.to_vec()), value);
    prop::collection::vec(
        pair.prop_map(|(key, value)| crate::sli::testing::pair(key, value)),
        0..4,
    )
}

fn samples() -> impl Strategy<Value = Sample> {
    let texts = prop::sample::select(vec!["", "a", "eu-west", "500"]);
    (
        (0..6_i32, 0..3_i32, -5_i64..150_000_000),
        (texts.clone(), texts),
        (pairs(), pairs(), pairs()),
    )
        .prop_map(
            |((kind, status, nanos), (name, scope), (span, scope_pairs, resource))| {
                let mut sample = sample()
                    .kind(kind)
                    .status(status)
                    .lasting_nanos(nanos)
                    .named(name);
                scope.clone_into(&mut sample.scope.name);
                sample.span.attributes = span;
                sample.scope.attributes = scope_pairs;
                sample.resource = resource;
                sample
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, ..ProptestConfig::default() })]

    #[test]
    fn compiled_expressions_agree_with_the_naive_evaluator(
        expr in arbitrary::expr(prop::sample::select(KEYS.to_vec()).prop_map(str::to_owned)),
        sample in samples(),
    ) {
        let mut keys = KeyTableBuilder::default();
        let predicate = Predicate::compile(&expr, &mut keys).unwrap();
        let found = sample.with_context(&keys.build(), |context| predicate.holds(context));
        prop_assert_eq!(found, naive(&expr, &sample), "{} on {:?}", expr, sample);
    }
}
