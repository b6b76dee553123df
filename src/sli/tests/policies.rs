//! The `sli:` block: what is read, what is refused, and outcomes by expression and allow-list.

use crate::sli::Judgement::{Bad, Good};
use crate::sli::spec::{Failed, Kinds, Latency, Outcome, SliSpec, Source};
use crate::sli::testing::{int, sample, text};

fn refused(yaml: &str) -> String {
    serde_saphyr::from_str::<SliSpec>(yaml)
        .expect_err(yaml)
        .to_string()
}

#[test]
fn nothing_said_is_availability_by_conventions() {
    let spec: SliSpec = serde_saphyr::from_str("{}").unwrap();
    assert_eq!(spec, SliSpec::default());
    assert_eq!((spec.outcome, spec.latency), (Outcome::Conventions, None));
    assert!(
        matches!(&spec.source, Source::Spans(s) if s.kinds == Kinds::default() && s.conditions.is_empty())
    );
}

#[test]
fn a_latency_block_is_read() {
    let spec: SliSpec = serde_saphyr::from_str("faster_than: 1.5s\nfailed: exclude\n").unwrap();
    let expected = Latency {
        faster_than_nanos: 1_500_000_000,
        failed: Failed::Exclude,
    };
    assert_eq!(spec.latency, Some(expected));
}

#[test]
fn what_cannot_work_is_refused_with_the_way_out() {
    for (yaml, part) in [
        (
            "{ bad: a == 1, good: a == 2 }",
            "bad, good and success_codes say the same thing in three ways; keep one",
        ),
        ("{ bad: a == 1, success_codes: [ 200 ] }", "keep one"),
        ("{ failed: exclude }", "add faster_than"),
        (
            "{ faster_than: 250 }",
            "no duration; expected a number with a unit",
        ),
        ("{ faster_than: -1s }", "no duration"),
        ("{ faster_than: 0s }", "no duration"),
        ("{ faster_then: 1s }", "faster_then"),
        ("{ spans: { kinds: [ server ] } }", "kinds"),
        (
            "{ spans: { kind: servers } }",
            "a span kind (unspecified, internal, server, client, producer, consumer or any)",
        ),
        ("{ spans: { kind: [] } }", "a span kind"),
        ("{ spans: { match: { kind: server } } }", "spans.kind"),
        (
            "{ spans: { match: { duration: { gt: 1s } } } }",
            "duration cannot select spans",
        ),
        (
            "{ spans: { match: { status: broken } } }",
            "expected one of unset, ok, error",
        ),
        ("{ spans: { match: { a: [] } } }", "the list is empty"),
        ("{ spans: { match: { a: { in: [] } } } }", "the list is empty"),
        ("{ spans: { match: { a: {} } } }", "the condition is empty"),
        ("{ spans: { match: { a: { like: x } } } }", "like"),
        (
            "{ spans: { match: { a: { gt: x } } } }",
            "compares with no number",
        ),
        ("{ spans: { match: { a: /(/ } } }", "bad regular expression"),
        ("{ spans: { match: { \"\": x } } }", "empty attribute"),
        ("{ events: {}, bad: \"a = 1\" }", "so bad has nothing to judge"),
        ("{ events: {}, spans: {} }", "so spans has nothing to judge"),
        ("{ events: { kind: x } }", "kind"),
        ("{ success_codes: [] }", "success_codes is empty"),
        ("{ success_codes: [ 20 ] }", "an HTTP status (200)"),
        ("{ success_codes: [ 2yy ] }", "an HTTP status (200)"),
        (
            "{ bad: \"http.response.status_code 500\" }",
            "expected a comparison after \"http.response.status_code\" at column 27",
        ),
    ] {
        let message = refused(yaml);
        assert!(
            message.contains(part),
            "{yaml}\n  says: {message}\n  wanted: {part}"
        );
    }
}

#[test]
fn an_error_points_at_its_line() {
    let message = refused("spans:\n  kind: [ server ]\nbad: \"a >\"\n");
    assert!(message.contains("line 3"), "{message}");
}

#[test]
fn bad_and_good_are_each_others_opposite_on_spans_with_the_attribute() {
    for (code, ok) in [(200, true), (201, true), (204, false), (500, false)] {
        let span = sample().attr("http.response.status_code", int(code));
        let expected = if ok { Good } else { Bad };
        assert_eq!(
            span.judged_by("{ good: \"http.response.status_code in (200, 201)\" }"),
            expected
        );
        assert_eq!(
            span.judged_by("{ bad: \"http.response.status_code not in (200, 201)\" }"),
            expected
        );
        assert_eq!(span.judged_by("{ success_codes: [ 200, 201 ] }"), expected);
    }
}

#[test]
fn a_missing_attribute_makes_every_comparison_false() {
    let without = sample();
    for test in [
        "x == 1",
        "x != 1",
        "x < 1",
        "x >= 1",
        "x in (1)",
        "x not in (1)",
        "x =~ \"\"",
        "x !~ \"q\"",
        "x exists",
    ] {
        assert_eq!(without.judged_by(&format!("{{ bad: {test:?} }}")), Good, "{test}");
        assert_eq!(
            without.judged_by(&format!("{{ bad: \"not ({})\" }}", test.replace('"', "'"))),
            Bad,
            "not {test}"
        );
    }
}

#[test]
fn numbers_are_equal_however_they_were_sent() {
    for value in [int(500), text("500"), text("500.0"), text("5e2")] {
        let span = sample().attr("code", value.clone());
        for test in [
            "code == 500",
            "code >= 500",
            "code in (1, 500)",
            "code <= 500.0",
            "not code < 500",
        ] {
            assert_eq!(
                span.judged_by(&format!("{{ bad: {test:?} }}")),
                Bad,
                "{value:?} {test}"
            );
        }
    }
    assert_eq!(
        sample()
            .attr("code", int(500))
            .judged_by("{ bad: \"code == '500'\" }"),
        Bad
    );
    assert_eq!(
        sample()
            .attr("code", text("0500"))
            .judged_by("{ bad: \"code == '500'\" }"),
        Good,
        "texts as they stand"
    );
    assert_eq!(
        sample()
            .attr("code", int(503))
            .judged_by("{ bad: \"code =~ '^5..$'\" }"),
        Bad
    );
    assert_eq!(
        sample()
            .attr("code", int(503))
            .judged_by("{ bad: \"code glob '5*'\" }"),
        Bad
    );
    assert_eq!(
        sample()
            .attr("code", text("abc"))
            .judged_by("{ bad: \"code >= 0\" }"),
        Good
    );
}

#[test]
fn an_allow_list_decides_for_the_protocols_that_it_names() {
    let http = |code| sample().attr("http.response.status_code", int(code));
    let rpc = |code| {
        sample()
            .attr("http.response.status_code", int(200))
            .attr("rpc.grpc.status_code", int(code))
    };
    for (yaml, span, expected) in [
        ("{ success_codes: [ 200, \"3xx\" ] }", http(302), Good),
        ("{ success_codes: [ 200, 3XX ] }", http(404), Bad),
        ("{ success_codes: [ 200 ] }", rpc(14), Bad),
        ("{ success_codes: [ 200 ] }", rpc(5), Good),
        ("{ success_codes: [ OK, 3 ] }", rpc(5), Bad),
        ("{ success_codes: [ OK, not_found ] }", rpc(5), Good),
        ("{ success_codes: [ OK ] }", http(503), Bad),
        ("{ success_codes: [ OK ] }", http(404), Good),
        ("{ success_codes: [ 200 ] }", sample(), Good),
        ("{ success_codes: [ 200 ] }", sample().status(2), Bad),
    ] {
        assert_eq!(
            span.judged_by(yaml),
            expected,
            "{yaml} {:?}",
            span.span.attributes
        );
    }
}
