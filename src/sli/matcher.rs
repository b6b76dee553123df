//! The values of `match:`, which are conditions without a field.
//!
//! ```yaml
//! match:
//!   http.route: [ /checkout, /pay ]                 # one of; each may be a glob or a /regex/
//!   deployment.region: "eu-*"                       # a glob, because of the star
//!   user_agent.original: /curl|wget/                # a regular expression that occurs in the value
//!   http.response.body.size: { ge: 1000, lt: 5000 } # all of these
//!   url.path: { not: /health }                      # anything else, also spans without it
//!   enduser.id: { exists: true }
//!   tricky: { equals: "/a*b/" }                     # as it stands
//! ```

use super::expr::{Check, Expr, Field, GlobPattern, Literal, Order, RegexPattern, Test};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;

/// One value of `match:`.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Matcher {
    /// One check.
    Check(Check),
    /// At least one.
    Any(Vec<Matcher>),
    /// All.
    All(Vec<Matcher>),
    /// Not this one; also spans without the field.
    Not(Box<Matcher>),
}

impl Matcher {
    /// The condition on `field`.
    pub(super) fn into_expr(self, field: &Field) -> Result<Expr, String> {
        Ok(match self {
            Self::Check(check) => Expr::Test(Test::new(field.clone(), false, check)?),
            Self::Not(inner) => Expr::Not(Box::new(inner.into_expr(field)?)),
            Self::All(all) => Expr::And(
                all.into_iter()
                    .map(|m| m.into_expr(field))
                    .collect::<Result<_, _>>()?,
            ),
            Self::Any(any) => {
                // Plain values become one set, which is one look-up of the field instead of many.
                let (plain, other): (Vec<_>, Vec<_>) = any
                    .into_iter()
                    .partition(|m| matches!(m, Self::Check(Check::Equals(_))));
                let values: Vec<_> = plain.into_iter().filter_map(Self::into_plain).collect();
                let mut terms = other
                    .into_iter()
                    .map(|m| m.into_expr(field))
                    .collect::<Result<Vec<_>, _>>()?;
                if !values.is_empty() {
                    terms.insert(
                        0,
                        Expr::Test(Test::new(field.clone(), false, Check::OneOf(values))?),
                    );
                }
                if terms.len() == 1 {
                    terms.remove(0)
                } else {
                    Expr::Or(terms)
                }
            }
        })
    }

    fn into_plain(self) -> Option<Literal> {
        match self {
            Self::Check(Check::Equals(literal)) => Some(literal),
            _ => None,
        }
    }

    /// A text: `/regex/`, a glob if it has a wildcard, else the text itself.
    fn from_text(text: &str) -> Result<Self, String> {
        if text.len() > 2
            && let Some(pattern) = text.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'))
        {
            return regex(pattern);
        }
        Ok(Self::Check(if GlobPattern::has_wildcard(text) {
            Check::Glob(GlobPattern(text.to_owned()))
        } else {
            Check::Equals(Literal::Text(text.to_owned()))
        }))
    }
}

fn regex(pattern: &str) -> Result<Matcher, String> {
    RegexPattern::new(pattern)
        .map(|regex| Matcher::Check(Check::Regex(regex)))
        .map_err(|problem| format!("bad regular expression {pattern:?}: {problem}"))
}

impl<'de> Deserialize<'de> for Matcher {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MatcherVisitor)
    }
}

struct MatcherVisitor;

impl MatcherVisitor {
    #[allow(clippy::unnecessary_wraps, reason = "the shape that visitors return")]
    fn equals<E>(literal: Literal) -> Result<Matcher, E> {
        Ok(Matcher::Check(Check::Equals(literal)))
    }
}

impl<'de> Visitor<'de> for MatcherVisitor {
    type Value = Matcher;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value, a glob, a /regex/, a list of them, or a map of conditions")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Matcher, E> {
        Self::equals(Literal::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Matcher, E> {
        Self::equals(Literal::Int(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Matcher, E> {
        let whole = i64::try_from(value).map_err(|_| {
            E::invalid_value(
                serde::de::Unexpected::Unsigned(value),
                &"a number of 64 bits with sign",
            )
        })?;
        Self::equals(Literal::Int(whole))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Matcher, E> {
        if !value.is_finite() {
            return Err(E::invalid_value(
                serde::de::Unexpected::Float(value),
                &"a finite number",
            ));
        }
        Self::equals(Literal::Float(value))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Matcher, E> {
        Matcher::from_text(text).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Matcher, A::Error> {
        let mut any = Vec::new();
        while let Some(item) = items.next_element()? {
            any.push(item);
        }
        if any.is_empty() {
            return Err(A::Error::custom(
                "the list is empty, so that nothing could ever match",
            ));
        }
        Ok(Matcher::Any(any))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Matcher, A::Error> {
        let mut all = Vec::new();
        while let Some(key) = map.next_key()? {
            all.push(condition(&key, &mut map)?);
        }
        match all.len() {
            0 => Err(A::Error::custom(
                "the condition is empty; expected equals, glob, regex, exists, not, gt, ge, lt or le",
            )),
            1 => Ok(all.remove(0)),
            _ => Ok(Matcher::All(all)),
        }
    }
}

/// The keys of a map of conditions.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Condition {
    Equals,
    In,
    Glob,
    Regex,
    Exists,
    Not,
    Gt,
    Ge,
    Lt,
    Le,
}

fn condition<'de, A: MapAccess<'de>>(key: &Condition, map: &mut A) -> Result<Matcher, A::Error> {
    let ordered = |order, Value(literal)| Matcher::Check(Check::Ordered(order, literal));
    Ok(match key {
        Condition::Equals => Matcher::Check(Check::Equals(map.next_value::<Value>()?.0)),
        Condition::In => {
            let values: Vec<_> = map
                .next_value::<Vec<Value>>()?
                .into_iter()
                .map(|value| value.0)
                .collect();
            if values.is_empty() {
                return Err(A::Error::custom(
                    "the list is empty, so that nothing could ever match",
                ));
            }
            Matcher::Check(Check::OneOf(values))
        }
        Condition::Glob => Matcher::Check(Check::Glob(GlobPattern(map.next_value()?))),
        Condition::Regex => regex(&map.next_value::<String>()?).map_err(A::Error::custom)?,
        Condition::Exists => {
            let exists = Matcher::Check(Check::Exists);
            if map.next_value()? {
                exists
            } else {
                Matcher::Not(Box::new(exists))
            }
        }
        Condition::Not => Matcher::Not(Box::new(map.next_value()?)),
        Condition::Gt => ordered(Order::Greater, map.next_value()?),
        Condition::Ge => ordered(Order::AtLeast, map.next_value()?),
        Condition::Lt => ordered(Order::Less, map.next_value()?),
        Condition::Le => ordered(Order::AtMost, map.next_value()?),
    })
}

/// A scalar that is taken as it stands.
struct Value(Literal);

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Scalar;
        impl Visitor<'_> for Scalar {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a number or a boolean")
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
                Ok(Value(Literal::Bool(value)))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
                Ok(Value(Literal::Int(value)))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
                self.visit_i64(i64::try_from(value).map_err(E::custom)?)
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
                if value.is_finite() {
                    Ok(Value(Literal::Float(value)))
                } else {
                    Err(E::custom("not a finite number"))
                }
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
                Ok(Value(Literal::Text(text.to_owned())))
            }
        }
        deserializer.deserialize_any(Scalar)
    }
}
