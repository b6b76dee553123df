use super::*;
use proptest::prelude::*;

fn parsed(text: &str) -> Expr {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refused(text: &str) -> String {
    text.parse::<Expr>().expect_err(text).to_string()
}

fn attribute(key: &str) -> Field {
    Field::Attribute {
        place: Place::Any,
        key: key.to_owned(),
    }
}

fn test(field: Field, negated: bool, check: Check) -> Expr {
    Expr::Test(Test {
        field,
        negated,
        check,
    })
}

#[test]
fn and_binds_closer_than_or_and_not_closest() {
    assert_eq!(
        parsed("a == 1 or b == 2 and not c == 3"),
        parsed("(a == 1) or ((b == 2) and (not (c == 3)))")
    );
    assert_eq!(
        parsed("a == 1 || b == 2 && ! c == 3"),
        parsed("a == 1 or b == 2 and not c == 3")
    );
    assert_eq!(parsed("a = 1"), parsed("a == 1"));
}

#[test]
fn every_form_of_test_is_read() {
    let code = || attribute("http.response.status_code");
    let ints = |ints: &[i64]| ints.iter().map(|&int| Literal::Int(int)).collect::<Vec<_>>();
    let cases = [
        (
            "http.response.status_code >= 500",
            false,
            Check::Ordered(Order::AtLeast, Literal::Int(500)),
        ),
        (
            "http.response.status_code >= \"500\"",
            false,
            Check::Ordered(Order::AtLeast, Literal::Int(500)),
        ),
        (
            "http.response.status_code<-1.5",
            false,
            Check::Ordered(Order::Less, Literal::Float(-1.5)),
        ),
        (
            "http.response.status_code != 'x'",
            true,
            Check::Equals(Literal::Text("x".into())),
        ),
        (
            "http.response.status_code == eu-west-1",
            false,
            Check::Equals(Literal::Text("eu-west-1".into())),
        ),
        (
            "http.response.status_code == true",
            false,
            Check::Equals(Literal::Bool(true)),
        ),
        (
            "http.response.status_code in (200, 201)",
            false,
            Check::OneOf(ints(&[200, 201])),
        ),
        (
            "http.response.status_code in [200]",
            false,
            Check::OneOf(ints(&[200])),
        ),
        (
            "http.response.status_code not in (200)",
            true,
            Check::OneOf(ints(&[200])),
        ),
        (
            "http.response.status_code glob \"5*\"",
            false,
            Check::Glob(GlobPattern("5*".into())),
        ),
        (
            "http.response.status_code not glob \"5*\"",
            true,
            Check::Glob(GlobPattern("5*".into())),
        ),
        ("exists(http.response.status_code)", false, Check::Exists),
        ("http.response.status_code exists", false, Check::Exists),
        ("http.response.status_code not exists", true, Check::Exists),
    ];
    for (text, negated, check) in cases {
        assert_eq!(parsed(text), test(code(), negated, check), "{text}");
    }
    let regex = Check::Regex(RegexPattern::new(r"^\d+$").unwrap());
    assert_eq!(
        parsed(r#"a =~ "^\d+$""#),
        test(attribute("a"), false, regex.clone())
    );
    assert_eq!(parsed(r#"a !~ "^\\d+$""#), test(attribute("a"), true, regex));
}

#[test]
fn fields_say_what_and_where() {
    let at = |place, key: &str| Field::Attribute {
        place,
        key: key.to_owned(),
    };
    let cases = [
        ("kind", Field::Kind),
        ("span.kind", Field::Kind),
        ("name", Field::Name),
        ("status", Field::Status),
        ("status.code", Field::Status),
        ("span.status.code", Field::Status),
        ("status.message", Field::StatusMessage),
        ("duration", Field::Duration),
        ("scope", Field::ScopeName),
        ("scope.version", Field::ScopeVersion),
        ("scope.library", at(Place::Scope, "library")),
        ("span.http.route", at(Place::Span, "http.route")),
        ("resource.service.name", at(Place::Resource, "service.name")),
        ("resource.kind", at(Place::Resource, "kind")),
        ("resource.", at(Place::Any, "resource.")),
        ("statuses", at(Place::Any, "statuses")),
    ];
    for (name, field) in cases {
        assert_eq!(Field::from_name(name), field, "{name}");
    }
    assert_eq!(
        parsed("span.`kind` == 1"),
        test(at(Place::Span, "kind"), false, Check::Equals(Literal::Int(1)))
    );
    assert_eq!(
        parsed("`a ``b` exists"),
        test(at(Place::Any, "a `b"), false, Check::Exists)
    );
}

#[test]
fn status_kind_and_duration_take_their_own_values() {
    for text in [
        "status == error",
        "status == ERROR",
        "status.code == STATUS_CODE_ERROR",
        "status = 2",
    ] {
        assert_eq!(
            parsed(text),
            test(Field::Status, false, Check::Equals(Literal::Text("error".into()))),
            "{text}"
        );
    }
    for text in [
        "kind in (server)",
        "kind in (SPAN_KIND_SERVER)",
        "kind in [2]",
        "kind in (\"Server\")",
    ] {
        assert_eq!(
            parsed(text),
            test(
                Field::Kind,
                false,
                Check::OneOf(vec![Literal::Text("server".into())])
            ),
            "{text}"
        );
    }
    for text in ["duration > 250ms", "duration > 0.25s", "duration > \"250ms\""] {
        let check = Check::Ordered(Order::Greater, Literal::DurationNanos(250_000_000));
        assert_eq!(parsed(text), test(Field::Duration, false, check), "{text}");
        assert!(parsed(text).reads_duration());
    }
    assert!(!parsed("kind == server and status == error").reads_duration());
}

#[test]
fn errors_name_the_column_what_was_found_and_what_was_expected() {
    let cases = [
        (
            "",
            "expected a field such as http.response.status_code, \"not\" or \"(\" at column 1, found the end",
        ),
        (
            "http.response.status_code 500",
            "expected a comparison after \"http.response.status_code\" at column 27, found \"500\"",
        ),
        (
            "http.route",
            "expected a comparison after \"http.route\" at column 11, found the end",
        ),
        (
            "a >=",
            "expected a value to compare \"a\" with at column 5, found the end",
        ),
        (
            "a == 1 b == 2",
            "expected \"and\", \"or\" or the end at column 8, found \"b\"",
        ),
        ("(a == 1", "expected \")\" at column 8, found the end"),
        (
            "a == 1)",
            "expected \"and\", \"or\" or the end at column 7, found \")\"",
        ),
        (
            "a in 200",
            "expected \"(\" after \"in\" at column 6, found \"200\"",
        ),
        (
            "a in (200 201)",
            "expected \",\" or \")\" at column 11, found \"201\"",
        ),
        (
            "a in ()",
            "expected a value to compare \"a\" with at column 7, found \")\"",
        ),
        (
            "a not 5",
            "expected \"in\", \"glob\" or \"exists\" after \"a not\" at column 7, found \"5\"",
        ),
        (
            "a =~ b",
            "expected a regular expression in quotes at column 6, found \"b\"",
        ),
        (
            "a == \"x",
            "expected a closing quote for what begins at column 6, found the end",
        ),
        (
            "\u{e9} == 1 ; b",
            "expected a name, a value or an operator at column 8, found ';'",
        ),
        (
            "exists a",
            "expected \"(\" and a field after \"exists\" at column 8, found \"a\"",
        ),
        (
            "a == in",
            "expected a value to compare \"a\" with at column 6, found \"in\"",
        ),
        (
            "status == broken",
            "\"broken\" is no status; expected one of unset, ok, error at column 11",
        ),
        (
            "status > 1",
            "status can only be compared with ==, != and in at column 10",
        ),
        (
            "duration > 250",
            "250 is no duration; expected a number with a unit, such as 250ms or 1.5s at column 12",
        ),
        (
            "size > 5ms",
            "size > \"5ms\" compares with no number; only duration takes a unit at column 8",
        ),
        (
            "code == 5xx",
            "\"5xx\" is no value; write code >= 500 and code <= 599 at column 9",
        ),
    ];
    for (text, message) in cases {
        assert_eq!(refused(text), message, "{text}");
    }
    assert!(
        refused("a =~ \"(\"").starts_with("bad regular expression: unclosed group at column 6"),
        "{}",
        refused("a =~ \"(\"")
    );
    assert!(refused("a =~ \"(a{999}){999}\"").contains("bytes when compiled"));
}

#[test]
fn size_is_bounded() {
    let deepest = format!("{}a == 1{}", "(".repeat(31), ")".repeat(31));
    assert_eq!(parsed(&deepest), parsed("a == 1"));
    assert!(refused(&format!("({deepest})")).contains("nested deeper than 32 levels"));
    assert!(refused(&"not ".repeat(40)).contains("nested deeper than 32 levels"));
    assert!(refused(&" ".repeat(4097)).contains("4097 bytes long"));
}

proptest! {
    #[test]
    fn parsing_never_panics(text in "\\PC{0,60}") {
        let _ = text.parse::<Expr>();
    }

    #[test]
    fn parsing_token_soup_never_panics(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "a", "kind", "status", "duration", "and", "or", "not", "in", "glob", "exists", "(", ")", "[",
                "]", ",", "==", "!=", "<", ">=", "=~", "!~", "!", "&&", "500", "250ms", "error", "\"x\"",
                "\"", "`", "`k`", "\\",
            ]),
            0..20,
        ),
    ) {
        let _ = words.concat().parse::<Expr>();
        let spaced = words.join(" ");
        if let Ok(expr) = spaced.parse::<Expr>() {
            prop_assert_eq!(parsed(&expr.to_string()), expr);
        }
    }

    #[test]
    fn printing_and_parsing_are_inverse(
        expr in arbitrary::expr("[a.`\"' \u{e9}-]{1,6}|span\\.kind|not|name|scope"),
    ) {
        let text = expr.to_string();
        prop_assume!(text.len() <= EXPRESSION_BYTES_MAX);
        prop_assert_eq!(text.parse::<Expr>(), Ok(expr), "{}", text);
    }
}
