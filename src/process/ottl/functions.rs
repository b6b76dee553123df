//! The functions that conditions and values may call.

use super::OttlError;
use super::ast::{Ast, Node};
use super::compile::{Compiler, Constant, Expr};
use super::context::Context;
use crate::config::parse_duration;
use regex::bytes::Regex;

/// A function with its arguments.
#[derive(Clone, Debug)]
pub(super) enum Function {
    /// Whether a regular expression occurs in a value as text.
    IsMatch(Expr, Regex),
    /// Whether a value is of a type.
    Is(Type, Expr),
    /// Whether the span has no parent.
    IsRootSpan,
    /// Whether a data point of the metric has the key, and the value if one is given.
    AnyPoint(Box<[u8]>, Option<Box<[u8]>>),
    /// Bytes of a text, elements of a list or map.
    Len(Expr),
    /// A number, cut to a whole one.
    Int(Expr),
    /// A number.
    Double(Expr),
    /// A text.
    Text(Expr),
    /// Several values as one text.
    Concat(Vec<Expr>, Box<[u8]>),
    /// Letters of ASCII and beyond, in lower or upper case.
    Case(Case, Expr),
    /// The digest of a value as text, in hexadecimal.
    Sha256(Expr),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Text,
    Bool,
    Int,
    Double,
    Map,
    List,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    Lower,
    Upper,
}

/// All names, for errors.
const NAMES: &str = "IsMatch, IsString, IsBool, IsInt, IsDouble, IsMap, IsList, IsRootSpan, \
                     HasAttrOnDatapoint, HasAttrKeyOnDatapoint, Len, Int, Double, String, Concat, \
                     ToLowerCase, ToUpperCase, SHA256, TraceID, SpanID and Duration";

impl Function {
    /// Whether it holds or does not hold.
    pub(super) const fn is_test(&self) -> bool {
        matches!(
            self,
            Self::IsMatch(..) | Self::Is(..) | Self::IsRootSpan | Self::AnyPoint(..)
        )
    }
}

/// A call of one argument that stands for a constant.
pub(super) fn constant(name: &str, column: usize, args: &[Node]) -> Result<Option<Constant>, OttlError> {
    let wrong = |message: &str| Err(OttlError::new(column, format!("{name}: {message}")));
    match (name, args.first().map(|node| &node.ast), args.len()) {
        ("TraceID", Some(Ast::Bytes(bytes)), 1) if bytes.len() == 16 => {
            Ok(Some(Constant::Bytes(bytes.as_slice().into())))
        }
        ("SpanID", Some(Ast::Bytes(bytes)), 1) if bytes.len() == 8 => {
            Ok(Some(Constant::Bytes(bytes.as_slice().into())))
        }
        ("TraceID", _, _) => wrong("expected 0x and 32 hexadecimal digits"),
        ("SpanID", _, _) => wrong("expected 0x and 16 hexadecimal digits"),
        ("Duration", Some(Ast::Text(text)), 1) => {
            let nanos = parse_duration(text).and_then(|it| i64::try_from(it.as_nanos()).ok());
            nanos.map_or_else(
                || wrong("expected a duration such as \"250ms\""),
                |nanos| Ok(Some(Constant::Int(nanos))),
            )
        }
        ("Duration", _, _) => wrong("expected a duration such as \"250ms\""),
        _ => Ok(None),
    }
}

/// Finds the function, and gives its arguments their meaning.
pub(super) fn compile(
    compiler: &mut Compiler,
    column: usize,
    name: &str,
    args: &[Node],
) -> Result<Function, OttlError> {
    let types = [
        ("IsString", Type::Text),
        ("IsBool", Type::Bool),
        ("IsInt", Type::Int),
        ("IsDouble", Type::Double),
        ("IsMap", Type::Map),
        ("IsList", Type::List),
    ];
    if let Some((_, of)) = types.iter().find(|(known, _)| *known == name) {
        return Ok(Function::Is(*of, one(compiler, column, name, args)?));
    }
    Ok(match name {
        "IsMatch" => is_match(compiler, column, args)?,
        "IsRootSpan" if args.is_empty() && compiler.context.sees(Context::Span) => Function::IsRootSpan,
        "IsRootSpan" => {
            return Err(OttlError::new(
                column,
                "IsRootSpan() stands alone, in the context span",
            ));
        }
        "HasAttrKeyOnDatapoint" | "HasAttrOnDatapoint" => any_point(compiler, column, name, args)?,
        "Len" => Function::Len(one(compiler, column, name, args)?),
        "Int" => Function::Int(one(compiler, column, name, args)?),
        "Double" => Function::Double(one(compiler, column, name, args)?),
        "String" => Function::Text(one(compiler, column, name, args)?),
        "ToLowerCase" => Function::Case(Case::Lower, one(compiler, column, name, args)?),
        "ToUpperCase" => Function::Case(Case::Upper, one(compiler, column, name, args)?),
        "SHA256" => Function::Sha256(one(compiler, column, name, args)?),
        "Concat" => concat(compiler, column, args)?,
        _ => {
            let message = format!("not supported: the function `{name}`; here are {NAMES}");
            return Err(OttlError::new(column, message));
        }
    })
}

fn one(compiler: &mut Compiler, column: usize, name: &str, args: &[Node]) -> Result<Expr, OttlError> {
    match args {
        [arg] => compiler.value(arg),
        _ => Err(OttlError::new(column, format!("{name} takes one argument"))),
    }
}

/// A regular expression in quotes.
pub(super) fn regex(name: &str, node: &Node) -> Result<Regex, OttlError> {
    let Ast::Text(pattern) = &node.ast else {
        let message = format!("{name} takes a regular expression in quotes");
        return Err(OttlError::new(node.column, message));
    };
    Regex::new(pattern).map_err(|error| {
        let error = error.to_string();
        let last = error
            .lines()
            .last()
            .unwrap_or_default()
            .trim_start_matches("error: ");
        OttlError::new(node.column, format!("not a regular expression: {last}"))
    })
}

fn is_match(compiler: &mut Compiler, column: usize, args: &[Node]) -> Result<Function, OttlError> {
    let [target, pattern] = args else {
        return Err(OttlError::new(
            column,
            "IsMatch takes a value and a regular expression",
        ));
    };
    Ok(Function::IsMatch(
        compiler.value(target)?,
        regex("IsMatch", pattern)?,
    ))
}

fn any_point(
    compiler: &mut Compiler,
    column: usize,
    name: &str,
    args: &[Node],
) -> Result<Function, OttlError> {
    if compiler.context != Context::Metric {
        let message =
            format!("{name} looks at the data points of a metric: it belongs in the context metric");
        return Err(OttlError::new(column, message));
    }
    let texts: Option<Vec<Box<[u8]>>> = args
        .iter()
        .map(|arg| match &arg.ast {
            Ast::Text(text) => Some(text.as_bytes().into()),
            _ => None,
        })
        .collect();
    match (name, texts.as_deref()) {
        ("HasAttrKeyOnDatapoint", Some([key])) => Ok(Function::AnyPoint(key.clone(), None)),
        ("HasAttrOnDatapoint", Some([key, value])) => {
            Ok(Function::AnyPoint(key.clone(), Some(value.clone())))
        }
        ("HasAttrKeyOnDatapoint", _) => Err(OttlError::new(
            column,
            "HasAttrKeyOnDatapoint takes a key in quotes",
        )),
        _ => Err(OttlError::new(
            column,
            "HasAttrOnDatapoint takes a key and a value in quotes",
        )),
    }
}

fn concat(compiler: &mut Compiler, column: usize, args: &[Node]) -> Result<Function, OttlError> {
    let [list, delimiter] = args else {
        return Err(OttlError::new(
            column,
            "Concat takes a list and a text between its elements",
        ));
    };
    let (Ast::List(items), Ast::Text(delimiter)) = (&list.ast, &delimiter.ast) else {
        return Err(OttlError::new(
            column,
            "Concat takes a list and a text between its elements",
        ));
    };
    let items = items
        .iter()
        .map(|item| compiler.value(item))
        .collect::<Result<_, _>>()?;
    Ok(Function::Concat(items, delimiter.as_bytes().into()))
}
