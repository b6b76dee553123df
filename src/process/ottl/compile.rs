//! From a tree of names to conditions and values that can only be evaluated.

use super::OttlError;
use super::ast::{Ast, CompareOp, MathOp, Node};
use super::context::Context;
use super::enums;
use super::functions::{self, Function};
use super::path::{Path, What};
use super::program::Needs;
use crate::wire::edit::Held;

/// A condition.
#[derive(Clone, Debug)]
pub(super) enum Condition {
    Always(bool),
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Not(Box<Condition>),
    Compare(CompareOp, Expr, Expr),
    Test(Box<Function>),
}

/// A value to be worked out.
#[derive(Clone, Debug)]
pub(super) enum Expr {
    Constant(Constant),
    Path(Path),
    Call(Box<Function>),
    Math(MathOp, Box<Expr>, Box<Expr>),
}

#[derive(Clone, Debug)]
pub(super) enum Constant {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Box<[u8]>),
    Bytes(Box<[u8]>),
    List(Held<'static>),
}

/// Gives names their meaning in one context, and notes what will be read.
#[derive(Debug)]
pub(super) struct Compiler {
    pub(super) context: Context,
    pub(super) needs: Needs,
}

impl Compiler {
    pub(super) fn new(context: Context) -> Self {
        Self {
            context,
            needs: Needs::of(context),
        }
    }

    /// A node that must hold or not hold.
    pub(super) fn condition(&mut self, node: &Node) -> Result<Condition, OttlError> {
        let mut all = |nodes: &[Node]| {
            nodes
                .iter()
                .map(|node| self.condition(node))
                .collect::<Result<_, _>>()
        };
        Ok(match &node.ast {
            Ast::And(nodes) => Condition::And(all(nodes)?),
            Ast::Or(nodes) => Condition::Or(all(nodes)?),
            Ast::Not(inner) => Condition::Not(Box::new(self.condition(inner)?)),
            Ast::Bool(yes) => Condition::Always(*yes),
            Ast::Compare(op, left, right) => {
                let (mut a, mut b) = (self.value(left)?, self.value(right)?);
                id_from_text(&a, &mut b, right.column)?;
                id_from_text(&b, &mut a, left.column)?;
                Condition::Compare(*op, a, b)
            }
            Ast::Call(name, args) => {
                let function = functions::compile(self, node.column, name, args)?;
                if !function.is_test() {
                    let message = format!("`{name}` is a value; compare it, such as {name}(...) == 1");
                    return Err(OttlError::new(node.column, message));
                }
                Condition::Test(Box::new(function))
            }
            _ => {
                let message = "expected a condition; compare the value, such as ... != nil";
                return Err(OttlError::new(node.column, message));
            }
        })
    }

    /// A node that has a value.
    pub(super) fn value(&mut self, node: &Node) -> Result<Expr, OttlError> {
        Ok(match &node.ast {
            Ast::Nil => Expr::Constant(Constant::Nil),
            Ast::Bool(yes) => Expr::Constant(Constant::Bool(*yes)),
            Ast::Int(number) => Expr::Constant(Constant::Int(*number)),
            Ast::Float(number) => Expr::Constant(Constant::Float(*number)),
            Ast::Text(text) => Expr::Constant(Constant::Text(text.as_bytes().into())),
            Ast::Bytes(bytes) => Expr::Constant(Constant::Bytes(bytes.as_slice().into())),
            Ast::Enum(name) => {
                let unknown = || OttlError::new(node.column, format!("not supported: the enum `{name}`"));
                let number = enums::number(name).ok_or_else(unknown)?;
                Expr::Constant(Constant::Int(number))
            }
            Ast::List(nodes) => Expr::Constant(Constant::List(self.list(nodes)?)),
            Ast::Path(path) => {
                let path = Path::read(node.column, path, self.context)?;
                if path.what == What::Attributes {
                    let message = format!("`{}` as a whole is no value; write a key", path.text);
                    return Err(OttlError::new(node.column, message));
                }
                self.needs.path(&path);
                Expr::Path(path)
            }
            Ast::Call(name, args) => match functions::constant(name, node.column, args)? {
                Some(constant) => Expr::Constant(constant),
                None => Expr::Call(Box::new(functions::compile(self, node.column, name, args)?)),
            },
            Ast::Math(op, left, right) => {
                Expr::Math(*op, Box::new(self.value(left)?), Box::new(self.value(right)?))
            }
            Ast::Compare(..) | Ast::And(_) | Ast::Or(_) | Ast::Not(_) => {
                return Err(OttlError::new(node.column, "expected a value, found a condition"));
            }
        })
    }

    /// A list of constants.
    fn list(&mut self, nodes: &[Node]) -> Result<Held<'static>, OttlError> {
        let mut items = Vec::new();
        for node in nodes {
            items.push(match self.value(node)? {
                Expr::Constant(constant) => constant.held(),
                _ => {
                    return Err(OttlError::new(
                        node.column,
                        "not supported: a list of anything but constants",
                    ));
                }
            });
        }
        Ok(Held::list(items))
    }
}

impl Constant {
    fn held(self) -> Held<'static> {
        match self {
            Self::Nil => Held::Own(Vec::new()),
            Self::Bool(yes) => Held::bool(yes),
            Self::Int(number) => Held::int(number),
            Self::Float(number) => Held::double(number),
            Self::Text(text) => Held::text(&text),
            Self::Bytes(bytes) => Held::bytes(&bytes),
            Self::List(list) => list,
        }
    }
}

/// An id that is compared with a text means the hexadecimal digits of it: a comparison that could only be
/// false is a mistake.
fn id_from_text(id: &Expr, other: &mut Expr, column: usize) -> Result<(), OttlError> {
    let (Expr::Path(path), Expr::Constant(Constant::Text(text))) = (id, &*other) else {
        return Ok(());
    };
    if !matches!(path.what, What::Id(_)) {
        return Ok(());
    }
    let Ok(bytes) = hex::decode(text) else {
        let message = format!(
            "`{}` is compared with a text that is no hexadecimal id",
            path.text
        );
        return Err(OttlError::new(column, message));
    };
    *other = Expr::Constant(Constant::Bytes(bytes.into()));
    Ok(())
}
