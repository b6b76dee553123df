//! What conditions and values come to, at one place of a request.

use super::compile::{Condition, Constant, Expr};
use super::functions::{Case, Function, Type};
use super::value::Val;
use crate::process::edits::Halt;
use crate::process::text::as_text;
use crate::wire::edit::{Field, Held, Levels};
use crate::wire::{AnyValue, Value};
use sha2::{Digest, Sha256};
use std::borrow::Cow;

impl Condition {
    pub(super) fn holds(&self, at: &Levels<'_>) -> Result<bool, Halt> {
        match self {
            Self::Always(yes) => Ok(*yes),
            Self::And(all) => {
                for one in all {
                    if !one.holds(at)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::Or(all) => {
                for one in all {
                    if one.holds(at)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Self::Not(inner) => Ok(!inner.holds(at)?),
            Self::Compare(op, left, right) => Ok(left.value(at)?.compares(*op, &right.value(at)?)),
            Self::Test(function) => Ok(matches!(function.value(at)?, Val::Bool(true))),
        }
    }
}

impl Expr {
    pub(super) fn value<'s>(&'s self, at: &'s Levels<'_>) -> Result<Val<'s>, Halt> {
        match self {
            Self::Constant(constant) => Ok(constant.value()),
            Self::Path(path) => path.value(at),
            Self::Call(function) => function.value(at),
            Self::Math(op, left, right) => left.value(at)?.math(*op, &right.value(at)?),
        }
    }
}

impl Constant {
    pub(super) fn value(&self) -> Val<'_> {
        match self {
            Self::Nil => Val::Nil,
            Self::Bool(yes) => Val::Bool(*yes),
            Self::Int(number) => Val::Int(*number),
            Self::Float(number) => Val::Float(*number),
            Self::Text(text) => Val::Text(Cow::Borrowed(text)),
            Self::Bytes(bytes) => Val::Bytes(Cow::Borrowed(bytes)),
            Self::List(list) => Val::Tree(Held::Wire(list.any())),
        }
    }
}

impl Function {
    fn value<'s>(&'s self, at: &'s Levels<'_>) -> Result<Val<'s>, Halt> {
        Ok(match self {
            Self::IsMatch(target, regex) => {
                let target = target.value(at)?;
                Val::Bool(target.text()?.is_some_and(|text| regex.is_match(&text)))
            }
            Self::Is(of, expr) => Val::Bool(of.is_of(&expr.value(at)?)?),
            Self::IsRootSpan => Val::Bool(at.item.bytes(Field::ParentSpanId).is_empty()),
            Self::AnyPoint(key, value) => Val::Bool(any_point(at, key, value.as_deref())?),
            Self::Len(expr) => len(&expr.value(at)?)?,
            Self::Int(expr) => int(&expr.value(at)?),
            Self::Double(expr) => float(&expr.value(at)?),
            Self::Text(expr) => mapped(&expr.value(at)?, <[u8]>::to_vec)?,
            Self::Case(case, expr) => mapped(&expr.value(at)?, |text| {
                let text = String::from_utf8_lossy(text);
                match case {
                    Case::Lower => text.to_lowercase(),
                    Case::Upper => text.to_uppercase(),
                }
                .into_bytes()
            })?,
            Self::Sha256(expr) => mapped(&expr.value(at)?, |text| {
                hex::encode(Sha256::digest(text)).into_bytes()
            })?,
            Self::Concat(items, delimiter) => {
                let mut out = Vec::new();
                for (nth, item) in items.iter().enumerate() {
                    if nth > 0 {
                        out.extend_from_slice(delimiter);
                    }
                    match item.value(at)?.text()? {
                        Some(text) => out.extend_from_slice(&text),
                        None => out.extend_from_slice(b"<nil>"),
                    }
                }
                Val::Text(Cow::Owned(out))
            }
        })
    }
}

impl Type {
    fn is_of(self, value: &Val<'_>) -> Result<bool, Halt> {
        Ok(match (self, value) {
            (Self::Text, Val::Text(_)) => true,
            (Self::Bool, Val::Bool(_)) => true,
            (Self::Int, Val::Int(_)) => true,
            (Self::Double, Val::Float(_)) => true,
            (Self::Map, Val::Tree(tree)) => matches!(tree.any().value()?, Value::KvList(_)),
            (Self::List, Val::Tree(tree)) => matches!(tree.any().value()?, Value::Array(_)),
            _ => false,
        })
    }
}

fn any_point(at: &Levels<'_>, key: &[u8], value: Option<&[u8]>) -> Result<bool, Halt> {
    let mut broken = false;
    let found = at.item.any_point(|point| {
        let Some(found) = point.attributes().get(key) else {
            return false;
        };
        let Some(value) = value else { return true };
        let text = as_text(found);
        broken |= text.is_err();
        text.is_ok_and(|text| text == value)
    })?;
    if broken { Err(Halt::Malformed) } else { Ok(found) }
}

fn len(value: &Val<'_>) -> Result<Val<'static>, Halt> {
    let count = match value {
        Val::Text(bytes) | Val::Bytes(bytes) => bytes.len(),
        Val::Tree(tree) => match tree.any().value()? {
            Value::Array(list) => AnyValue::array_items(list).count(),
            Value::KvList(list) => AnyValue::kvlist_items(list).count(),
            _ => 0,
        },
        other => return Err(Halt::Failed(format!("{} has no length", other.kind()))),
    };
    Ok(Val::Int(i64::try_from(count).unwrap_or(i64::MAX)))
}

#[allow(clippy::cast_possible_truncation, reason = "Int() cuts")]
fn int(value: &Val<'_>) -> Val<'static> {
    match value {
        Val::Int(number) => Val::Int(*number),
        Val::Float(number) => Val::Int(*number as i64),
        Val::Bool(yes) => Val::Int(i64::from(*yes)),
        Val::Text(text) => parsed(text).map_or(Val::Nil, Val::Int),
        _ => Val::Nil,
    }
}

fn float(value: &Val<'_>) -> Val<'static> {
    match value {
        Val::Int(number) => Val::Float(*number as f64),
        Val::Float(number) => Val::Float(*number),
        Val::Bool(yes) => Val::Float(f64::from(u8::from(*yes))),
        Val::Text(text) => parsed(text).map_or(Val::Nil, Val::Float),
        _ => Val::Nil,
    }
}

fn parsed<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Nil of nil, else a text made of the value as text.
fn mapped(value: &Val<'_>, map: impl FnOnce(&[u8]) -> Vec<u8>) -> Result<Val<'static>, Halt> {
    Ok(value
        .text()?
        .map_or(Val::Nil, |text| Val::Text(Cow::Owned(map(&text)))))
}
