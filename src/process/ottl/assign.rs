//! The functions that statements may call: they write.

use super::OttlError;
use super::ast::{Ast, Node, StatementAst};
use super::compile::{Compiler, Condition, Constant, Expr};
use super::context::Context;
use super::functions::regex;
use super::path::{Path, What};
use super::value::Val;
use crate::process::edits::Halt;
use crate::wire::edit::{Field, Level, Levels, Message};
use regex::bytes::Regex;
use std::borrow::Cow;

/// A statement.
#[derive(Clone, Debug)]
pub(super) struct Statement {
    action: Action,
    condition: Option<Condition>,
}

#[derive(Clone, Debug)]
enum Action {
    /// `set(path, value)`
    Set(Path, Expr),
    /// `delete_key(attributes, "key")`
    Delete(Context, Box<[u8]>),
    /// `delete_matching_keys(attributes, "regex")`, and `keep_matching_keys`.
    Matching { of: Context, regex: Regex, keep: bool },
    /// `keep_keys(attributes, ["key"])`
    Keep(Context, Vec<Box<[u8]>>),
}

impl Statement {
    pub(super) fn compile(compiler: &mut Compiler, statement: &StatementAst) -> Result<Self, OttlError> {
        let (name, column, args) = (statement.name.as_str(), statement.column, &statement.args[..]);
        let action = match (name, args) {
            ("set", [target, value]) => set(compiler, target, value)?,
            ("delete_key", [map, key]) => Action::Delete(attributes(compiler, map)?, text(name, key)?),
            ("delete_matching_keys" | "keep_matching_keys", [map, pattern]) => Action::Matching {
                of: attributes(compiler, map)?,
                regex: regex(name, pattern)?,
                keep: name == "keep_matching_keys",
            },
            ("keep_keys", [map, keys]) => {
                let Ast::List(keys) = &keys.ast else {
                    return Err(OttlError::new(
                        keys.column,
                        "keep_keys takes a list such as [\"a\", \"b\"]",
                    ));
                };
                let keys = keys.iter().map(|key| text(name, key)).collect::<Result<_, _>>()?;
                Action::Keep(attributes(compiler, map)?, keys)
            }
            ("set" | "delete_key" | "delete_matching_keys" | "keep_matching_keys" | "keep_keys", _) => {
                return Err(OttlError::new(column, format!("{name} takes two arguments")));
            }
            _ => {
                let message = format!(
                    "not supported: the function `{name}`; here are set, delete_key, delete_matching_keys, \
                     keep_keys and keep_matching_keys"
                );
                return Err(OttlError::new(column, message));
            }
        };
        let condition = match &statement.condition {
            Some(node) => Some(compiler.condition(node)?),
            None => None,
        };
        Ok(Self { action, condition })
    }

    /// Carries it out, where its condition holds.
    pub(super) fn run(&self, at: &mut Levels<'_>) -> Result<(), Halt> {
        if let Some(condition) = &self.condition
            && !condition.holds(at)?
        {
            return Ok(());
        }
        match &self.action {
            Action::Set(path, value) => assign(path, value, at)?,
            Action::Delete(of, key) => drop(target(at, *of).attributes_mut().remove(key)),
            Action::Matching { of, regex, keep } => target(at, *of)
                .attributes_mut()
                .retain(|key| regex.is_match(key) == *keep),
            Action::Keep(of, keys) => target(at, *of)
                .attributes_mut()
                .retain(|key| keys.iter().any(|one| **one == *key)),
        }
        Ok(())
    }
}

fn target<'s, 'a>(at: &'s mut Levels<'a>, context: Context) -> &'s mut Message<'a> {
    match context.level() {
        Level::Resource => &mut at.resource,
        Level::Scope => &mut at.scope,
        Level::Item => &mut at.item,
        Level::Part => &mut at.part,
    }
}

fn text(name: &str, node: &Node) -> Result<Box<[u8]>, OttlError> {
    match &node.ast {
        Ast::Text(text) => Ok(text.as_bytes().into()),
        _ => Err(OttlError::new(
            node.column,
            format!("{name} takes keys in quotes"),
        )),
    }
}

/// Only what the statement is about can be written: what lies around it is written by a statement of its own.
fn own(compiler: &Compiler, column: usize, path: &Path) -> Result<(), OttlError> {
    if path.context == compiler.context {
        return Ok(());
    }
    let message = format!(
        "not supported: writing `{}` in the context {}; write this statement in the context {}",
        path.text,
        compiler.context.name(),
        path.context.name()
    );
    Err(OttlError::new(column, message))
}

fn path(compiler: &Compiler, node: &Node) -> Result<Path, OttlError> {
    let Ast::Path(path) = &node.ast else {
        return Err(OttlError::new(node.column, "expected a path to write to"));
    };
    let path = Path::read(node.column, path, compiler.context)?;
    own(compiler, node.column, &path)?;
    Ok(path)
}

fn attributes(compiler: &mut Compiler, node: &Node) -> Result<Context, OttlError> {
    let path = path(compiler, node)?;
    if path.what != What::Attributes {
        let message = format!("expected attributes, found `{}`", path.text);
        return Err(OttlError::new(node.column, message));
    }
    compiler.needs.path(&path);
    Ok(path.context)
}

fn set(compiler: &mut Compiler, target: &Node, value: &Node) -> Result<Action, OttlError> {
    let path = path(compiler, target)?;
    let writable = match &path.what {
        What::Attribute(_, keys) | What::Body(keys) => keys.is_empty(),
        What::Text(_) | What::Int(_) => true,
        What::Long(field) => !matches!(field, Field::IntValue | Field::Count),
        _ => false,
    };
    let on_point = path.context == Context::DataPoint && !matches!(path.what, What::Attribute(..));
    let read_only = matches!(path.what, What::Int(Field::Temporality)) || on_point;
    if !writable || read_only {
        let message = format!("not supported: writing `{}`", path.text);
        return Err(OttlError::new(target.column, message));
    }
    compiler.needs.path(&path);
    let value_column = value.column;
    let value = compiler.value(value)?;
    if let Expr::Constant(Constant::Nil) = &value {
        return Err(OttlError::new(
            value_column,
            "setting nil does nothing; use delete_key",
        ));
    }
    if let Expr::Constant(constant) = &value
        && let Some(message) = mismatch(&path, &constant.value())
    {
        return Err(OttlError::new(value_column, message));
    }
    Ok(Action::Set(path, value))
}

/// What is wrong with writing `value` to `path`.
fn mismatch(path: &Path, value: &Val<'_>) -> Option<String> {
    let expected = match (&path.what, value) {
        (What::Text(_), Val::Text(_)) | (What::Int(_) | What::Long(_), Val::Int(_)) => return None,
        (What::Text(_), _) => "text",
        (What::Int(_) | What::Long(_), _) => "a whole number",
        _ => return None,
    };
    Some(format!(
        "`{}` takes {expected}, found {}",
        path.text,
        value.kind()
    ))
}

/// Nil writes nothing.
fn assign(path: &Path, expr: &Expr, at: &mut Levels<'_>) -> Result<(), Halt> {
    let value = expr.value(at)?;
    if matches!(value, Val::Nil) {
        return Ok(());
    }
    if let Some(message) = mismatch(path, &value) {
        return Err(Halt::Failed(message));
    }
    match (&path.what, value) {
        (What::Attribute(key, _), value) => {
            if let Some(held) = value.held() {
                target(at, path.context).attributes_mut().set(key.to_vec(), held);
            }
        }
        (What::Body(_), value) => {
            if let Some(held) = value.held() {
                target(at, path.context).set_body(&held);
            }
        }
        (What::Text(field), Val::Text(text)) => {
            let text = text.into_owned();
            target(at, path.context).set_bytes(*field, Cow::Owned(text));
        }
        (What::Int(field) | What::Long(field), Val::Int(number)) => {
            target(at, path.context).set_number(*field, number.cast_unsigned());
        }
        _ => {}
    }
    Ok(())
}
