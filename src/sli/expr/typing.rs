//! Which checks a field can have, and what its values must be.
//!
//! A comparison that can never hold is a policy that counts nothing, so it is refused when the policy is
//! read.

use super::{Check, Field, Literal, Test};
use crate::sli::duration::parse_nanos;

/// Names of span kinds; the index is the wire's number.
pub const KINDS: [&str; 6] = [
    "unspecified",
    "internal",
    "server",
    "client",
    "producer",
    "consumer",
];
/// Names of span status codes; the index is the wire's number.
pub const STATUSES: [&str; 3] = ["unset", "ok", "error"];

impl Test {
    /// A test, with its values brought into the form of its field (`SPAN_KIND_SERVER` and `2` become
    /// `server`); the error says what the field can be compared with.
    pub fn new(field: Field, negated: bool, check: Check) -> Result<Self, String> {
        if negated && matches!(check, Check::Ordered(..)) {
            return Err("an order has no negation; use the opposite order".to_owned());
        }
        let check = match field {
            Field::Kind => named(&field, check, &KINDS, "SPAN_KIND_")?,
            Field::Status => named(&field, check, &STATUSES, "STATUS_CODE_")?,
            Field::Duration => of_duration(check)?,
            _ => of_value(&field, check)?,
        };
        Ok(Self {
            field,
            negated,
            check,
        })
    }
}

/// The check on a field that has only a few named values.
fn named(field: &Field, check: Check, names: &[&str], prefix: &str) -> Result<Check, String> {
    let canonical = |literal: Literal| -> Result<Literal, String> {
        let index = match &literal {
            Literal::Int(number) => usize::try_from(*number).ok().filter(|&index| index < names.len()),
            Literal::Text(text) => {
                let lower = text.to_ascii_lowercase();
                let bare = lower.strip_prefix(&prefix.to_ascii_lowercase()).unwrap_or(&lower);
                names.iter().position(|name| *name == bare)
            }
            _ => None,
        };
        let name = index.and_then(|index| names.get(index));
        name.map(|name| Literal::Text((*name).to_owned()))
            .ok_or_else(|| format!("{literal} is no {field}; expected one of {}", names.join(", ")))
    };
    match check {
        Check::Equals(literal) => canonical(literal).map(Check::Equals),
        Check::OneOf(literals) => literals
            .into_iter()
            .map(canonical)
            .collect::<Result<_, _>>()
            .map(Check::OneOf),
        _ => Err(format!("{field} can only be compared with ==, != and in")),
    }
}

fn of_duration(check: Check) -> Result<Check, String> {
    let nanos = |literal: Literal| -> Result<Literal, String> {
        let parsed = match &literal {
            Literal::DurationNanos(nanos) => Some(*nanos),
            Literal::Text(text) => parse_nanos(text),
            _ => None,
        };
        parsed.map(Literal::DurationNanos).ok_or_else(|| {
            format!("{literal} is no duration; expected a number with a unit, such as 250ms or 1.5s")
        })
    };
    match check {
        Check::Equals(literal) => nanos(literal).map(Check::Equals),
        Check::Ordered(order, literal) => nanos(literal).map(|literal| Check::Ordered(order, literal)),
        _ => Err("duration can only be compared with <, <=, >, >=, == and !=".to_owned()),
    }
}

fn of_value(field: &Field, check: Check) -> Result<Check, String> {
    let Check::Ordered(order, literal) = check else {
        return Ok(check);
    };
    let number = match &literal {
        Literal::Int(_) | Literal::Float(_) => Some(literal.clone()),
        Literal::Text(text) => Literal::number(text),
        _ => None,
    };
    match number {
        Some(number) => Ok(Check::Ordered(order, number)),
        None => Err(format!(
            "{field} {order} {literal} compares with no number; only duration takes a unit"
        )),
    }
}
