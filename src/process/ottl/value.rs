//! Values while conditions and statements run, and how they compare.

use super::ast::{CompareOp, MathOp};
use crate::process::edits::Halt;
use crate::process::text::{as_text, double};
use crate::wire::edit::Held;
use crate::wire::{AnyValue, Value};
use std::borrow::Cow;
use std::cmp::Ordering;

/// A value.
#[derive(Clone, Debug)]
pub(super) enum Val<'s> {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Cow<'s, [u8]>),
    Bytes(Cow<'s, [u8]>),
    /// A list or map, encoded.
    Tree(Held<'s>),
}

impl<'s> Val<'s> {
    /// An attribute's value. One that was sent without content is nil.
    pub(super) fn of(value: AnyValue<'s>) -> Result<Self, Halt> {
        Ok(match value.value()? {
            Value::Empty => Self::Nil,
            Value::Str(text) => Self::Text(Cow::Borrowed(text)),
            Value::Bool(yes) => Self::Bool(yes),
            Value::Int(number) => Self::Int(number),
            Value::Double(number) => Self::Float(number),
            Value::Bytes(bytes) => Self::Bytes(Cow::Borrowed(bytes)),
            Value::Array(_) | Value::KvList(_) => Self::Tree(Held::Wire(value)),
        })
    }

    /// What it is, in words.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::Bool(_) => "true or false",
            Self::Int(_) => "a whole number",
            Self::Float(_) => "a number",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::Tree(_) => "a list or map",
        }
    }

    /// As an attribute holds it; `None` for nil.
    pub(super) fn held(&self) -> Option<Held<'static>> {
        Some(match self {
            Self::Nil => return None,
            Self::Bool(yes) => Held::bool(*yes),
            Self::Int(number) => Held::int(*number),
            Self::Float(number) => Held::double(*number),
            Self::Text(text) => Held::text(text),
            Self::Bytes(bytes) => Held::bytes(bytes),
            Self::Tree(tree) => Held::Own(tree.any().encoded().into_owned()),
        })
    }

    /// As text; `None` for nil. Bytes are hexadecimal, as OTTL has them.
    pub(super) fn text(&self) -> Result<Option<Cow<'_, [u8]>>, Halt> {
        Ok(Some(match self {
            Self::Nil => return Ok(None),
            Self::Bool(yes) => Cow::Owned(yes.to_string().into_bytes()),
            Self::Int(number) => Cow::Owned(number.to_string().into_bytes()),
            Self::Float(number) => Cow::Owned(double(*number).into_bytes()),
            Self::Text(text) => Cow::Borrowed(text),
            Self::Bytes(bytes) => Cow::Owned(hex::encode(bytes).into_bytes()),
            Self::Tree(tree) => as_text(tree.any())?,
        }))
    }

    fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Nil, Self::Nil) => Some(Ordering::Equal),
            (Self::Bool(a), Self::Bool(b)) => Some(a.cmp(b)),
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(b)),
            (Self::Int(a), Self::Float(b)) => (*a as f64).partial_cmp(b),
            (Self::Float(a), Self::Int(b)) => a.partial_cmp(&(*b as f64)),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(b),
            (Self::Text(a), Self::Text(b)) | (Self::Bytes(a), Self::Bytes(b)) => Some(a.cmp(b)),
            (Self::Tree(a), Self::Tree(b)) => {
                (a.any().encoded() == b.any().encoded()).then_some(Ordering::Equal)
            }
            _ => None,
        }
    }

    /// Whether `self op other` holds. Values of different types are different, and in no order; nil is only
    /// equal to nil, and in no order either.
    pub(super) fn compares(&self, op: CompareOp, other: &Self) -> bool {
        let order = self.order(other);
        match op {
            CompareOp::Eq => order == Some(Ordering::Equal),
            CompareOp::Ne => order != Some(Ordering::Equal),
            _ if matches!(self, Self::Nil | Self::Tree(_)) => false,
            CompareOp::Lt => order.is_some_and(Ordering::is_lt),
            CompareOp::Le => order.is_some_and(Ordering::is_le),
            CompareOp::Gt => order.is_some_and(Ordering::is_gt),
            CompareOp::Ge => order.is_some_and(Ordering::is_ge),
        }
    }

    /// `self op other`, of numbers.
    pub(super) fn math(&self, op: MathOp, other: &Self) -> Result<Val<'static>, Halt> {
        let (left, right) = match (self, other) {
            (Self::Int(a), Self::Int(b)) => return whole(op, *a, *b),
            (Self::Int(a), Self::Float(b)) => (*a as f64, *b),
            (Self::Float(a), Self::Int(b)) => (*a, *b as f64),
            (Self::Float(a), Self::Float(b)) => (*a, *b),
            _ => {
                let message = format!("no arithmetic with {} and {}", self.kind(), other.kind());
                return Err(Halt::Failed(message));
            }
        };
        Ok(Val::Float(match op {
            MathOp::Add => left + right,
            MathOp::Sub => left - right,
            MathOp::Mul => left * right,
            MathOp::Div if right == 0.0 => return Err(Halt::Failed("division by zero".to_owned())),
            MathOp::Div => left / right,
        }))
    }
}

fn whole(op: MathOp, left: i64, right: i64) -> Result<Val<'static>, Halt> {
    Ok(Val::Int(match op {
        MathOp::Add => left.wrapping_add(right),
        MathOp::Sub => left.wrapping_sub(right),
        MathOp::Mul => left.wrapping_mul(right),
        MathOp::Div if right == 0 => return Err(Halt::Failed("division by zero".to_owned())),
        MathOp::Div => left.wrapping_div(right),
    }))
}
