use super::*;
use proptest::prelude::*;

fn parsed(text: &str) -> Formula {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refused(text: &str) -> String {
    match text.parse::<Formula>() {
        Ok(formula) => panic!("{text} is read as {formula}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn operators_bind_as_in_school() {
    let shown = |text: &str| parsed(text).to_string();
    assert_eq!(shown("sum(a)+sum(b)*2-1"), "sum(a) + sum(b) * 2.0 - 1.0");
    assert_eq!(shown("(sum(a)+sum(b))*2"), "(sum(a) + sum(b)) * 2.0");
    assert_eq!(shown("sum(a)-(sum(b)-1)"), "sum(a) - (sum(b) - 1.0)");
    assert_eq!(shown("sum(a)-sum(b)-1"), "sum(a) - sum(b) - 1.0");
    assert_eq!(shown("-sum(a)/-(1+2)"), "-sum(a) / -(1.0 + 2.0)");
}

#[test]
fn a_source_has_a_name_a_condition_and_a_window() {
    let Formula::Measure(Measure::Rate, source) =
        parsed("rate(http_requests_total{code=~\"5..\", method!=GET}[5m])")
    else {
        panic!()
    };
    assert_eq!(source.origin, Origin::Metric("http_requests_total".to_owned()));
    assert_eq!(source.window_secs, Some(300));
    assert_eq!(
        source.condition.unwrap().to_string(),
        "code =~ \"5..\" and method != \"GET\""
    );
    // Attributes of points may be called as parts of spans are.
    let Formula::Share { of, .. } = parsed("share({status == 500 and kind == x}, m[1m])") else {
        panic!()
    };
    assert_eq!(of.to_string(), "`status` == 500 and `kind` == \"x\"");
    assert!(refused("share({status == 500}, spans[1m])").contains("no status"));
    // Braces in values, and commas in lists and quotes, are none of ours.
    parsed("rate(m{http.route == /users/{id}, x in (1, 2), y == \"a,}\"}[10s])");
}

#[test]
fn metrics_with_odd_names_stand_in_backticks() {
    let formula = parsed("max(`cpu-use/host`) - min(`spans`)");
    assert_eq!(formula.to_string(), "max(`cpu-use/host`) - min(`spans`)");
    assert!(
        formula
            .sources()
            .iter()
            .all(|(source, ..)| source.origin != Origin::Spans)
    );
}

#[test]
fn how_far_back_a_formula_looks_is_known() {
    assert_eq!(parsed("rate(a[5m]) + sum(b)").reach_secs(), 300);
    assert_eq!(parsed("slope(quantile(0.99, a[1m]), 10m)").reach_secs(), 660);
    assert!(refused("slope(rate(a[50m]), 20m)").contains("looks back 4200 s"));
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_column() {
    for (text, says) in [
        (
            "",
            "expected a number, a function or \"(\", found the end at column 1",
        ),
        ("rate(a)", "rate needs a window, such as [5m] at column 6"),
        ("sum(a[5m])", "sum is of now and takes no window at column 5"),
        (
            "a + 1",
            "a stands without a function; write what of it is meant, such as rate(a[5m]) or max(a) at column 1",
        ),
        ("deriv(a[5m])", "there is no function \"deriv\"; there are rate"),
        ("max(spans)", "spans are events: max needs a level"),
        (
            "rate(a[7s])",
            "\"7s\" is no window; write whole 10 s, such as 30s, 5m or 1h at column 8",
        ),
        ("rate(a[0s])", "is no window"),
        (
            "quantile(99, a[5m])",
            "a quantile lies above 0 and below 1, such as 0.99 at column 10",
        ),
        (
            "quantile(0.99, a)",
            "quantile needs a window, such as [5m] at column 16",
        ),
        ("share(a, b[5m])", "expected a condition in braces"),
        ("share({}, b[5m])", "the condition is empty"),
        (
            "rate(a{x ==}[5m])",
            "in the condition: expected a value to compare \"x\" with, found the end at column 12",
        ),
        ("rate(a{b == 1, c ~ 2}[5m])", "at column 18"),
        (
            "slope(slope(sum(a), 5m), 5m)",
            "a look over time cannot be part of another",
        ),
        (
            "sum(a) sum(b)",
            "expected an operator or the end, found \"sum\" at column 8",
        ),
        ("rate(sum(a), 5m)", "expected a metric's name or spans"),
        ("1 + 2", "reads no metric and no spans"),
        (
            "top_share(duration, spans[5m])",
            "a duration has no value that many share",
        ),
        (
            "share({a == 1}, b[5m], 0)",
            "the least number of events is 1 or more",
        ),
        ("sum(a) ? 1", "'?' means nothing here"),
        ("rate(a{b == 1[5m])", "expected a closing brace"),
        ("max(`)", "expected a closing backtick"),
        ("1e999 * sum(a)", "\"1e999\" is no number"),
    ] {
        let error = refused(text);
        assert!(error.contains(says), "{text}: {error}");
    }
    let deep = format!("{}sum(a){}", "(".repeat(40), ")".repeat(40));
    assert!(refused(&deep).contains("nested deeper than 16 levels"));
    assert!(refused(&"-".repeat(5000)).contains("5000 bytes long"));
    let wide = vec!["sum(a)"; 17].join("+");
    assert!(refused(&wide).contains("reads 17 metrics"));
}

proptest! {
    #[test]
    fn printing_and_reading_are_inverse(formula in arbitrary::formula()) {
        let text = formula.to_string();
        prop_assume!(text.len() <= FORMULA_BYTES_MAX && formula.reach_secs() <= REACH_SECS_MAX);
        let read = text.parse::<Formula>();
        prop_assert_eq!(read.as_ref().ok(), Some(&formula), "{} {:?}", text, read);
    }

    #[test]
    fn no_text_panics_and_what_is_read_prints_and_is_read_again(
        text in "(rate|slope|share|sum|first|quantile|a\\.b|spans|[0-9]{1,2}m|0\\.9|[-+*/(){}\\[\\],` \"'=<>\u{e9}x]){0,20}",
    ) {
        if let Ok(formula) = text.parse::<Formula>() {
            prop_assert_eq!(formula.to_string().parse::<Formula>(), Ok(formula));
        }
    }

    #[test]
    fn columns_lie_within_the_text(text in "[a-z(){}\\[\\],.0-9 +*/=\u{e9}-]{0,40}") {
        if let Err(FormulaError::At { column, .. }) = text.parse::<Formula>() {
            prop_assert!(column >= 1 && column <= text.chars().count() + 1, "{}", column);
        }
    }
}
