//! Expressions for property tests.

use super::{Check, Expr, Field, GlobPattern, Literal, Order, Place, RegexPattern, Test};
use proptest::prelude::*;

/// Any expression over attributes whose keys `key` makes, and over reserved fields.
pub(in crate::sli) fn expr(
    key: impl Strategy<Value = String> + Clone + 'static,
) -> impl Strategy<Value = Expr> {
    test(key).prop_map(Expr::Test).prop_recursive(4, 24, 3, |inner| {
        let several = prop::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            several.clone().prop_map(Expr::And),
            several.prop_map(Expr::Or),
            inner.prop_map(|inner| Expr::Not(Box::new(inner))),
        ]
    })
}

fn test(key: impl Strategy<Value = String> + Clone + 'static) -> impl Strategy<Value = Test> {
    let attribute = (place(), key).prop_map(|(place, key)| Field::Attribute { place, key });
    let reserved = prop::sample::select(vec![
        Field::Kind,
        Field::Name,
        Field::Status,
        Field::StatusMessage,
        Field::Duration,
        Field::ScopeName,
        Field::ScopeVersion,
    ]);
    let kind_or_status = prop_oneof![Just(Field::Kind), Just(Field::Status)];
    let number = (0_i64..3).prop_map(Literal::Int);
    let nanos = prop_oneof![Just(50_000_000_u64), Just(100_000_000), 1_u64..200_000_000];
    prop_oneof![
        6 => (attribute, any::<bool>(), check(literal())),
        1 => (reserved, any::<bool>(), check(literal())),
        1 => (kind_or_status, any::<bool>(), check(number)),
        1 => (Just(Field::Duration), any::<bool>(), check(nanos.prop_map(Literal::DurationNanos))),
    ]
    .prop_filter_map("the field cannot be compared so", |(field, negated, check)| {
        Test::new(field, negated, check).ok()
    })
}

fn place() -> impl Strategy<Value = Place> {
    prop::sample::select(vec![Place::Any, Place::Span, Place::Scope, Place::Resource])
}

fn literal() -> impl Strategy<Value = Literal> + Clone {
    prop_oneof![
        prop::sample::select(vec![200_i64, 500, 503, i64::MAX, i64::MIN]).prop_map(Literal::Int),
        (-3_i64..3).prop_map(Literal::Int),
        prop::sample::select(vec![0.5_f64, 500.0, -0.0, 1e300, 5e-324]).prop_map(Literal::Float),
        any::<bool>().prop_map(Literal::Bool),
        prop::sample::select(vec!["500", "true", "eu-west", "", "5xx", "1.0"])
            .prop_map(|t| Literal::Text(t.into())),
        "[\"'\\\\`a \n\u{e9}]{0,4}".prop_map(Literal::Text),
    ]
}

fn check(literal: impl Strategy<Value = Literal> + Clone + 'static) -> impl Strategy<Value = Check> {
    let order = prop::sample::select(vec![Order::Less, Order::AtMost, Order::Greater, Order::AtLeast]);
    let patterns = prop::sample::select(vec!["5..", "^eu", "a|b", r"\d+$", "\"", r"\\", ""]);
    prop_oneof![
        1 => Just(Check::Exists),
        3 => literal.clone().prop_map(Check::Equals),
        2 => prop::collection::vec(literal.clone(), 1..4).prop_map(Check::OneOf),
        2 => (order, literal).prop_map(|(order, literal)| Check::Ordered(order, literal)),
        1 => patterns.prop_map(|pattern| Check::Regex(RegexPattern::new(pattern).expect("a valid pattern"))),
        1 => "[5?*a\\-eu\u{e9}]{0,4}".prop_map(|glob| Check::Glob(GlobPattern(glob))),
    ]
}
