//! Log records as events of an SLI.
//!
//! ```yaml
//! sli: { logs: { event: order.placed } , bad: "severity >= 17" }
//! sli:
//!   logs:
//!     severity: info                          # at least
//!     body: "order *"                         # a glob, as everywhere
//!     event: order.placed                     # the event's name, or else the attribute event.name
//!     scope: shop.orders
//!     match: { order.kind: [ retail, b2b ], resource.cloud.region: eu-1, body.step: pay }
//!   good: "order.outcome == ok"
//! ```
//!
//! Each record that the selectors let through is one event; `bad`, `good`, or (without either) a severity of
//! at least ERROR say whether it is bad. A record is judged as a span is: its event name is the name, the
//! text of its severity the status message, and its severity and body stand among its attributes under keys
//! that no SDK sends. So one engine judges both, and conditions read alike. Rejected: a second engine for
//! records.

use super::expr::{Check, Expr, Field, Literal, Order, Place, Test};
use super::matcher::Matcher;
use crate::wire::{BODY_KEY, BODY_MEMBER_PREFIX, SEVERITY_KEY};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Names of severities and the first of the four numbers that each has.
const SEVERITIES: [(&str, i64); 6] = [
    ("trace", 1),
    ("debug", 5),
    ("info", 9),
    ("warn", 13),
    ("error", 17),
    ("fatal", 21),
];

/// From here on a record is bad, unless the policy says otherwise.
const ERROR: i64 = 17;

/// The records that are events.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(try_from = "RawLogs")]
pub struct LogSelector {
    /// What must hold, all of it.
    pub conditions: Vec<Expr>,
}

/// `logs:` as it is written.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawLogs {
    severity: Option<String>,
    body: Option<Matcher>,
    event: Option<Matcher>,
    scope: Option<Matcher>,
    r#match: BTreeMap<String, Matcher>,
}

impl TryFrom<RawLogs> for LogSelector {
    type Error = String;

    fn try_from(raw: RawLogs) -> Result<Self, String> {
        let mut conditions = Vec::new();
        if let Some(severity) = raw.severity {
            conditions.push(at_least(severity_number(&severity)?));
        }
        for (field, matcher) in [
            (own(BODY_KEY), raw.body),
            (Field::Name, raw.event),
            (Field::ScopeName, raw.scope),
        ] {
            conditions.extend(matcher.map(|matcher| matcher.into_expr(&field)).transpose()?);
        }
        for (name, matcher) in raw.r#match {
            if name.is_empty() {
                return Err("match names an empty attribute".to_owned());
            }
            let condition = matcher
                .into_expr(&Field::from_name(&name))
                .and_then(of_records)
                .map_err(|problem| format!("match {name:?}: {problem}"))?;
            conditions.push(condition);
        }
        Ok(Self { conditions })
    }
}

/// A record is bad that is an error.
pub(super) fn is_error() -> Expr {
    at_least(ERROR)
}

fn at_least(severity: i64) -> Expr {
    Expr::Test(Test {
        field: own(SEVERITY_KEY),
        negated: false,
        check: Check::Ordered(Order::AtLeast, Literal::Int(severity)),
    })
}

/// `error`, `ERROR2` or `18` as a number.
fn severity_number(text: &str) -> Result<i64, String> {
    let lower = text.trim().to_ascii_lowercase();
    let number = lower.parse().ok().filter(|number| (1..=24).contains(number));
    let named = SEVERITIES.iter().find_map(|(name, first)| {
        let step = match lower.strip_prefix(name)? {
            "" => 0,
            digit @ ("1" | "2" | "3" | "4") => i64::from(digit.as_bytes()[0] - b'1'),
            _ => return None,
        };
        Some(first + step)
    });
    number.or(named).ok_or_else(|| {
        let names = SEVERITIES.map(|(name, _)| name).join(", ");
        format!("{text:?} is no severity; expected one of {names} or a number from 1 to 24")
    })
}

/// The expression, with the names that records have: `severity` (or `severity_number`), `severity_text`,
/// `body`, `body.<key>` and `event_name` (or `name`).
pub(super) fn of_records(expr: Expr) -> Result<Expr, String> {
    let all = |terms: Vec<Expr>| terms.into_iter().map(of_records).collect::<Result<Vec<_>, _>>();
    Ok(match expr {
        Expr::And(terms) => Expr::And(all(terms)?),
        Expr::Or(terms) => Expr::Or(all(terms)?),
        Expr::Not(inner) => Expr::Not(Box::new(of_records(*inner)?)),
        Expr::Test(test) => Expr::Test(of_record(test)?),
    })
}

fn of_record(test: Test) -> Result<Test, String> {
    let lacks = |what: &str| {
        Err(format!(
            "a log record has no {what}; it has severity, severity_text, body, event_name, attributes, scope, resource"
        ))
    };
    let Field::Attribute { place, key } = &test.field else {
        return match test.field {
            Field::Name | Field::ScopeName | Field::ScopeVersion => Ok(test),
            Field::Kind => lacks("kind"),
            Field::Status | Field::StatusMessage => lacks("status"),
            _ => lacks("duration"),
        };
    };
    if *place != Place::Any {
        return Ok(test);
    }
    match key.as_str() {
        "severity" | "severity_number" => {
            return Ok(Test {
                check: severities(test.check)?,
                field: own(SEVERITY_KEY),
                negated: test.negated,
            });
        }
        _ => {}
    }
    let field = match key.as_str() {
        "severity_text" => Field::StatusMessage,
        "event_name" => Field::Name,
        "body" => own(BODY_KEY),
        other => match other.strip_prefix("body.").filter(|member| !member.is_empty()) {
            Some(member) => own(&format!("{BODY_MEMBER_PREFIX}{member}")),
            None => return Ok(test),
        },
    };
    Ok(Test { field, ..test })
}

/// Names of severities stand for the four numbers that each has.
fn severities(check: Check) -> Result<Check, String> {
    let numbers = |literal: &Literal| -> Result<Vec<Literal>, String> {
        let Literal::Text(text) = literal else {
            return Ok(vec![literal.clone()]);
        };
        let first = severity_number(text)?;
        let is_name = SEVERITIES
            .iter()
            .any(|(name, _)| text.trim().eq_ignore_ascii_case(name));
        let last = if is_name { first + 3 } else { first };
        Ok((first..=last).map(Literal::Int).collect())
    };
    Ok(match check {
        Check::Equals(literal) => Check::OneOf(numbers(&literal)?),
        Check::OneOf(literals) => {
            let all: Result<Vec<_>, _> = literals.iter().map(numbers).collect();
            Check::OneOf(all?.concat())
        }
        Check::Ordered(..) | Check::Exists => check,
        Check::Regex(_) | Check::Glob(_) => {
            return Err(
                "a severity is a number: compare it with numbers or names, or use severity_text".to_owned(),
            );
        }
    })
}

/// What stands under a key of ours.
fn own(key: &str) -> Field {
    Field::Attribute {
        place: Place::Span,
        key: key.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sli::spec::{SliSpec, Source};

    #[test]
    fn severities_have_names_and_numbers() {
        for (text, number) in [
            ("error", 17),
            ("ERROR", 17),
            ("warn4", 16),
            ("24", 24),
            ("Trace", 1),
        ] {
            assert_eq!(severity_number(text), Ok(number));
        }
        for bad in ["", "0", "25", "error5", "loud"] {
            assert!(severity_number(bad).unwrap_err().contains("severity"), "{bad}");
        }
    }

    fn spec(yaml: &str) -> Result<SliSpec, String> {
        serde_saphyr::from_str(yaml).map_err(|error| error.to_string())
    }

    #[test]
    fn what_a_record_has_not_is_refused_with_what_it_has() {
        for (bad, why) in [
            ("logs: {match: {kind: server}}", "no kind"),
            ("logs: {}\nbad: \"duration > 1s\"", "no duration"),
            ("logs: {}\nbad: \"status == error\"", "no status"),
            ("logs: {}\nfaster_than: 1s", "spans"),
            ("logs: {}\nsuccess_codes: [200]", "spans"),
            ("logs: {}\nspans: {}", "one source"),
            ("logs: {severity: loud}", "no severity"),
            ("logs: {colour: red}", "colour"),
        ] {
            let said = spec(bad).unwrap_err();
            assert!(said.contains(why), "{bad}: {said}");
        }
        assert!(matches!(
            spec("logs: {event: a}").unwrap().source,
            Source::Logs(_)
        ));
    }
}
