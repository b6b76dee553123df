//! Expressions, compiled to slots.
//!
//! Terms of a conjunction or disjunction are sorted by cost, cheapest first: tests have no side effects, so
//! only the price changes, and a regular expression runs only on spans that everything cheaper let through.

use super::SpanContext;
use super::check::Check;
use super::expr::{self, Expr, Field, KINDS, Literal, Order, Place, STATUSES, Test};
use crate::wire::{AnyValue, KeyTableBuilder, Slot, Span, Value};

/// A compiled expression.
#[derive(Debug)]
pub(super) enum Predicate {
    All(Box<[Predicate]>),
    Any(Box<[Predicate]>),
    Not(Box<Predicate>),
    /// Bit n stands for kind n.
    Kind {
        admitted: u8,
    },
    /// Bit n stands for status code n.
    Status {
        admitted: u8,
    },
    Duration {
        check: DurationCheck,
        negated: bool,
    },
    Value {
        source: Source,
        check: Check,
        negated: bool,
    },
}

/// A comparison with a duration in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) enum DurationCheck {
    Equals(u64),
    Ordered(Order, u64),
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    Name,
    StatusMessage,
    ScopeName,
    ScopeVersion,
    Attribute {
        place: Place,
        slot: Slot,
        renamed: Option<Slot>,
    },
}

/// Attributes that the semantic conventions renamed without a change of meaning. A policy written with one
/// name also reads telemetry with the other: half a fleet with an older SDK must not count as good because
/// its status codes go unseen.
const RENAMED: [(&str, &str); 4] = [
    ("http.response.status_code", "http.status_code"),
    ("http.request.method", "http.method"),
    ("deployment.environment.name", "deployment.environment"),
    ("rpc.system.name", "rpc.system"),
];

/// The other name of a renamed attribute.
pub(super) fn other_name(key: &str) -> Option<&'static str> {
    RENAMED.iter().find_map(|&(new, old)| match key {
        _ if key == new => Some(old),
        _ if key == old => Some(new),
        _ => None,
    })
}

/// End minus start in nanoseconds; `None` when the span ends before it starts or has no start.
pub fn duration_nanos(span: &Span<'_>) -> Option<u64> {
    let start = Some(span.start_time_unix_nano).filter(|&start| start > 0)?;
    span.end_time_unix_nano.checked_sub(start)
}

impl Predicate {
    /// Compiles an expression; the error is a regular expression and what is wrong with it.
    pub(super) fn compile(expr: &Expr, keys: &mut KeyTableBuilder) -> Result<Self, (String, String)> {
        Ok(match expr {
            Expr::And(terms) => Self::All(Self::compile_all(terms, keys)?),
            Expr::Or(terms) => Self::Any(Self::compile_all(terms, keys)?),
            Expr::Not(inner) => Self::Not(Box::new(Self::compile(inner, keys)?)),
            Expr::Test(test) => Self::compile_test(test, keys)?,
        })
    }

    /// Compiles terms and sorts them, cheapest first.
    pub(super) fn compile_all(
        terms: &[Expr],
        keys: &mut KeyTableBuilder,
    ) -> Result<Box<[Self]>, (String, String)> {
        let mut compiled = terms
            .iter()
            .map(|term| Self::compile(term, keys))
            .collect::<Result<Vec<_>, _>>()?;
        compiled.sort_by_key(Self::cost);
        Ok(compiled.into())
    }

    fn compile_test(test: &Test, keys: &mut KeyTableBuilder) -> Result<Self, (String, String)> {
        let Test {
            field,
            negated,
            check,
        } = test;
        let source = match field {
            Field::Kind => {
                return Ok(Self::Kind {
                    admitted: admitted(check, &KINDS, *negated),
                });
            }
            Field::Status => {
                return Ok(Self::Status {
                    admitted: admitted(check, &STATUSES, *negated),
                });
            }
            _ => Source::compile(field, keys),
        };
        let Some(source) = source else {
            return Ok(duration_check(check, *negated));
        };
        Ok(Self::Value {
            source,
            check: Check::compile(check)?,
            negated: *negated,
        })
    }

    fn cost(&self) -> u32 {
        match self {
            Self::All(terms) | Self::Any(terms) => terms.iter().map(Self::cost).sum(),
            Self::Not(inner) => inner.cost(),
            Self::Kind { .. } | Self::Status { .. } | Self::Duration { .. } => 0,
            Self::Value { source, check, .. } => source.cost() + check.cost(),
        }
    }

    /// Whether it holds of the span.
    pub(super) fn holds(&self, context: &SpanContext<'_, '_>) -> bool {
        match self {
            Self::All(terms) => terms.iter().all(|term| term.holds(context)),
            Self::Any(terms) => terms.iter().any(|term| term.holds(context)),
            Self::Not(inner) => !inner.holds(context),
            Self::Kind { admitted } => has_bit(*admitted, context.span.kind),
            Self::Status { admitted } => has_bit(*admitted, context.span.status_code),
            Self::Duration { check, negated } => {
                duration_nanos(context.span).is_some_and(|nanos| check.holds(nanos) != *negated)
            }
            Self::Value {
                source,
                check,
                negated,
            } => source
                .value(context)
                .is_some_and(|value| check.holds(value) != *negated),
        }
    }
}

impl DurationCheck {
    fn holds(self, nanos: u64) -> bool {
        match self {
            Self::Equals(wanted) => nanos == wanted,
            Self::Ordered(order, limit) => order.admits(nanos.cmp(&limit)),
        }
    }
}

impl Source {
    /// Where the value of a field comes from; kind, status and duration are no such values.
    pub(super) fn compile(field: &Field, keys: &mut KeyTableBuilder) -> Option<Self> {
        Some(match field {
            Field::Kind | Field::Status | Field::Duration => return None,
            Field::Name => Self::Name,
            Field::StatusMessage => Self::StatusMessage,
            Field::ScopeName => Self::ScopeName,
            Field::ScopeVersion => Self::ScopeVersion,
            Field::Attribute { place, key } => Self::Attribute {
                place: *place,
                slot: keys.key(key),
                renamed: other_name(key).map(|other| keys.key(other)),
            },
        })
    }

    fn cost(self) -> u32 {
        match self {
            Self::Attribute {
                place: Place::Any, ..
            } => 3,
            Self::Attribute { .. } => 2,
            _ => 1,
        }
    }

    /// The value, if there is one. A value that was sent without content, or is broken, is none.
    pub(super) fn value<'a>(self, context: &SpanContext<'_, 'a>) -> Option<Value<'a>> {
        let text = |text: &'a [u8]| (!text.is_empty()).then_some(Value::Str(text));
        let (place, slot, renamed) = match self {
            Self::Name => return text(context.span.name),
            Self::StatusMessage => return text(context.span.status_message),
            Self::ScopeName => return text(context.scope.name),
            Self::ScopeVersion => return text(context.scope.version),
            Self::Attribute { place, slot, renamed } => (place, slot, renamed),
        };
        let at = |attributes: &crate::wire::Attributes<'a>| {
            content(attributes.get(slot)).or_else(|| content(attributes.get(renamed?)))
        };
        match place {
            Place::Any => at(context.attributes)
                .or_else(|| at(context.scope.attributes))
                .or_else(|| at(context.resource)),
            Place::Span => at(context.attributes),
            Place::Scope => at(context.scope.attributes),
            Place::Resource => at(context.resource),
        }
    }
}

fn content(value: Option<AnyValue<'_>>) -> Option<Value<'_>> {
    value?.value().ok().filter(|value| *value != Value::Empty)
}

/// The bits of the named values that a check admits. Values that have no name yet (bit 7) pass only a negated
/// check.
fn admitted(check: &expr::Check, names: &[&str], negated: bool) -> u8 {
    let bit = |literal: &Literal| {
        let named = |name: &&str| matches!(literal, Literal::Text(text) if text == name);
        names.iter().position(named).map_or(0, |index| 1 << index)
    };
    let bits = match check {
        expr::Check::Equals(literal) => bit(literal),
        expr::Check::OneOf(literals) => literals.iter().map(bit).fold(0, |all, bit| all | bit),
        _ => 0,
    };
    if negated { !bits } else { bits }
}

fn has_bit(bits: u8, code: i32) -> bool {
    let bit = u32::try_from(code).map_or(7, |code| code.min(7));
    bits >> bit & 1 == 1
}

fn duration_check(check: &expr::Check, negated: bool) -> Predicate {
    let check = match check {
        expr::Check::Equals(Literal::DurationNanos(nanos)) => DurationCheck::Equals(*nanos),
        expr::Check::Ordered(order, Literal::DurationNanos(nanos)) => DurationCheck::Ordered(*order, *nanos),
        // No duration lies below zero: never.
        _ => DurationCheck::Ordered(Order::Less, 0),
    };
    Predicate::Duration { check, negated }
}
