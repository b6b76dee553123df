//! Formulas for property tests.

use super::{Formula, Measure, Operator, Origin, Source, Trend};
use crate::sli::expr::{Expr, Field, Vocabulary};
use proptest::prelude::*;

/// Any formula that reads something, nested no deeper than is possible.
pub(super) fn formula() -> impl Strategy<Value = Formula> {
    let leaf = prop_oneof![1 => number(), 4 => measure(), 2 => over_events()];
    let nested = leaf.prop_recursive(3, 12, 3, |inner| {
        let operator = prop::sample::select(vec![
            Operator::Add,
            Operator::Subtract,
            Operator::Multiply,
            Operator::Divide,
        ]);
        prop_oneof![
            (operator, inner.clone(), inner.clone()).prop_map(|(operator, left, right)| Formula::Binary(
                operator,
                Box::new(left),
                Box::new(right)
            )),
            inner.clone().prop_map(|inner| Formula::Negative(Box::new(inner))),
            prop::collection::vec(inner, 1..3).prop_map(Formula::First),
        ]
    });
    let trend = prop::sample::select(vec![
        Trend::Delta,
        Trend::Slope,
        Trend::Average,
        Trend::Least,
        Trend::Greatest,
    ]);
    (nested, prop::option::of((trend, window()))).prop_filter_map(
        "reads nothing, or too much",
        |(inner, trend)| {
            let formula = match trend {
                Some((trend, secs)) => Formula::Trend(trend, Box::new(inner), secs),
                None => inner,
            };
            let sources = formula.sources().len();
            (sources > 0 && sources <= super::FORMULA_SOURCES_MAX).then_some(formula)
        },
    )
}

fn number() -> impl Strategy<Value = Formula> {
    prop::sample::select(vec![0.0, 1.0, 60.0, 0.5, 1e-9, 1e300, 123.456]).prop_map(Formula::Number)
}

fn window() -> impl Strategy<Value = u64> {
    (1_u64..100).prop_map(|slots| slots * 10)
}

fn condition(vocabulary: Vocabulary) -> impl Strategy<Value = Expr> {
    let texts = vec![
        "status == 500",
        "code =~ \"5..\"",
        "state in (used, idle) or not (a exists)",
        "http.route == \"/users/{id}\"",
        "`odd key` != x",
        "resource.host.name glob 'a,b*'",
    ];
    // What is a part of a span cannot be compared with everything.
    let texts: Vec<_> = texts
        .into_iter()
        .filter_map(move |text| vocabulary.parse(text).ok())
        .collect();
    prop::sample::select(texts)
}

fn source(is_windowed: bool) -> impl Strategy<Value = Source> {
    let names = vec![
        "a",
        "http.server.request.duration",
        "a:b_total",
        "odd-name/x",
        "spans",
        "9lives",
        "rate",
    ];
    let metric = (
        prop::sample::select(names),
        prop::option::of(condition(Vocabulary::Attributes)),
    )
        .prop_map(|(name, condition)| (Origin::Metric(name.to_owned()), condition));
    (metric, window()).prop_map(move |((origin, condition), secs)| Source {
        origin,
        condition,
        window_secs: is_windowed.then_some(secs),
    })
}

fn events() -> impl Strategy<Value = (Source, Vocabulary)> {
    let spans = (prop::option::of(condition(Vocabulary::Span)), window()).prop_map(|(condition, secs)| {
        let origin = Origin::Spans;
        let window_secs = Some(secs);
        (
            Source {
                origin,
                condition,
                window_secs,
            },
            Vocabulary::Span,
        )
    });
    prop_oneof![
        source(true).prop_map(|source| (source, Vocabulary::Attributes)),
        spans
    ]
}

fn measure() -> impl Strategy<Value = Formula> {
    let windowed = prop::sample::select(vec![
        Measure::Rate,
        Measure::Increase,
        Measure::Delta,
        Measure::Slope,
        Measure::Average,
        Measure::Least,
        Measure::Greatest,
    ]);
    let now = prop::sample::select(vec![
        Measure::Sum,
        Measure::Count,
        Measure::Average,
        Measure::Least,
        Measure::Greatest,
    ]);
    prop_oneof![
        (windowed, source(true)).prop_map(|(measure, source)| Formula::Measure(measure, source)),
        (now, source(false)).prop_map(|(measure, source)| Formula::Measure(measure, source)),
    ]
}

fn over_events() -> impl Strategy<Value = Formula> {
    let at_least = prop::sample::select(vec![1.0, 2.0, 50.0, 12.5]);
    let key = prop::sample::select(vec!["client.address", "status", "resource.host.name", "odd key"]);
    (
        events(),
        at_least,
        key,
        0_u8..3,
        condition(Vocabulary::Attributes),
    )
        .prop_map(|((source, vocabulary), at_least, key, which, of)| match which {
            0 => Formula::Quantile {
                q: 0.99,
                source,
                at_least,
            },
            1 if vocabulary == Vocabulary::Attributes => Formula::Share { of, source, at_least },
            _ => Formula::TopShare {
                key: Field::attribute(key),
                source,
                at_least,
            },
        })
}
