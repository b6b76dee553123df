//! Tokens to a formula: recursive descent with one token of look-ahead.

use super::lexer::{Token, tokens};
use super::{FORMULA_DEPTH_MAX, Formula, FormulaError, Measure, Operator, Origin, Source, Trend};
use crate::indicate::SLOT_SECS;
use crate::sli::expr::{Expr, ExprError, Field, Vocabulary};

/// Names of functions, for messages.
const FUNCTIONS: &str =
    "rate, increase, delta, slope, avg, min, max, sum, count, quantile, share, top_share, first";

/// Parses a whole formula.
pub(super) fn parse(text: &str) -> Result<Formula, FormulaError> {
    let mut parser = Parser {
        tokens: tokens(text)?,
        at: 0,
        depth: 0,
    };
    let formula = parser.sum()?;
    match parser.peek() {
        Token::End => Ok(formula),
        _ => Err(parser.unexpected("an operator or the end")),
    }
}

struct Parser {
    /// Never empty: the last is [`Token::End`].
    tokens: Vec<(usize, Token)>,
    at: usize,
    depth: u32,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).map_or(&Token::End, |(_, token)| token)
    }

    fn peek_second(&self) -> &Token {
        self.tokens
            .get(self.at + 1)
            .map_or(&Token::End, |(_, token)| token)
    }

    fn column(&self) -> usize {
        self.tokens.get(self.at).map_or(1, |(column, _)| *column)
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = *self.peek() == Token::Symbol(wanted);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, wanted: char, what: &str) -> Result<(), FormulaError> {
        if self.eat(wanted) {
            Ok(())
        } else {
            Err(self.unexpected(what))
        }
    }

    fn unexpected(&self, expected: &str) -> FormulaError {
        let problem = format!("expected {expected}, found {}", self.peek());
        at(self.column(), problem)
    }

    fn sum(&mut self) -> Result<Formula, FormulaError> {
        let mut left = self.product()?;
        loop {
            let operator = match self.peek() {
                Token::Symbol('+') => Operator::Add,
                Token::Symbol('-') => Operator::Subtract,
                _ => return Ok(left),
            };
            self.at += 1;
            left = Formula::Binary(operator, Box::new(left), Box::new(self.product()?));
        }
    }

    fn product(&mut self) -> Result<Formula, FormulaError> {
        let mut left = self.factor()?;
        loop {
            let operator = match self.peek() {
                Token::Symbol('*') => Operator::Multiply,
                Token::Symbol('/') => Operator::Divide,
                _ => return Ok(left),
            };
            self.at += 1;
            left = Formula::Binary(operator, Box::new(left), Box::new(self.factor()?));
        }
    }

    fn factor(&mut self) -> Result<Formula, FormulaError> {
        if self.depth >= FORMULA_DEPTH_MAX {
            let problem = format!("the formula is nested deeper than {FORMULA_DEPTH_MAX} levels");
            return Err(at(self.column(), problem));
        }
        self.depth += 1;
        let formula = match self.peek().clone() {
            Token::Digits(_) => Formula::Number(self.number("a number")?),
            Token::Symbol('-') => {
                self.at += 1;
                Formula::Negative(Box::new(self.factor()?))
            }
            Token::Symbol('(') => {
                self.at += 1;
                let inner = self.sum()?;
                self.expect(')', "\")\"")?;
                inner
            }
            Token::Name(name) if *self.peek_second() == Token::Symbol('(') => self.call(&name)?,
            Token::Name(name) | Token::Quoted(name) => {
                let problem = format!(
                    "{name} stands without a function; write what of it is meant, such as rate({name}[5m]) or max({name})"
                );
                return Err(at(self.column(), problem));
            }
            _ => return Err(self.unexpected("a number, a function or \"(\"")),
        };
        self.depth -= 1;
        Ok(formula)
    }

    fn call(&mut self, name: &str) -> Result<Formula, FormulaError> {
        let column = self.column();
        self.at += 2;
        let formula = match name {
            "quantile" => self.quantile()?,
            "share" => self.share()?,
            "top_share" => self.top_share()?,
            "first" => {
                let mut all = vec![self.sum()?];
                while self.eat(',') {
                    all.push(self.sum()?);
                }
                Formula::First(all)
            }
            _ => {
                let unknown = || {
                    at(
                        column,
                        format!("there is no function {name:?}; there are {FUNCTIONS}"),
                    )
                };
                self.measure(Measure::named(name).ok_or_else(unknown)?)?
            }
        };
        self.expect(')', "\")\"")?;
        Ok(formula)
    }

    /// Of a source, or of a formula over a window.
    fn measure(&mut self, measure: Measure) -> Result<Formula, FormulaError> {
        let column = self.column();
        if self.is_source() {
            let (source, is_spans) = self.source()?;
            let name = measure.name();
            let is_flow = matches!(measure, Measure::Rate | Measure::Increase);
            if is_spans && !is_flow {
                let problem =
                    format!("spans are events: {name} needs a level; write rate(spans[5m]) or the like");
                return Err(at(column, problem));
            }
            let (needs, takes) = match measure {
                Measure::Sum | Measure::Count => (false, false),
                Measure::Average | Measure::Least | Measure::Greatest => (false, true),
                _ => (true, true),
            };
            return match source.window_secs {
                None if needs => Err(at(column, format!("{name} needs a window, such as [5m]"))),
                Some(_) if !takes => Err(at(column, format!("{name} is of now and takes no window"))),
                _ => Ok(Formula::Measure(measure, source)),
            };
        }
        let Some(trend) = Trend::of(measure) else {
            return Err(self.unexpected("a metric's name or spans"));
        };
        let inner = self.sum()?;
        if inner.has_trend() {
            let problem = "a look over time cannot be part of another; keep one of them";
            return Err(at(column, problem));
        }
        self.expect(',', "\",\" and a window, such as 10m,")?;
        let secs = self.window()?;
        Ok(Formula::Trend(trend, Box::new(inner), secs))
    }

    fn quantile(&mut self) -> Result<Formula, FormulaError> {
        let column = self.column();
        let q = self.number("a number between 0 and 1, such as 0.99,")?;
        if !(q > 0.0 && q < 1.0) {
            return Err(at(column, "a quantile lies above 0 and below 1, such as 0.99"));
        }
        self.expect(',', "\",\"")?;
        let source = self.windowed("quantile")?;
        let at_least = self.at_least()?;
        Ok(Formula::Quantile { q, source, at_least })
    }

    fn share(&mut self) -> Result<Formula, FormulaError> {
        let column = self.column();
        let Token::Braces(text) = self.peek().clone() else {
            return Err(self.unexpected("a condition in braces, such as {http.response.status_code == 503},"));
        };
        self.at += 1;
        self.expect(',', "\",\"")?;
        let source = self.windowed("share")?;
        let of = condition(&text, column + 1, vocabulary(&source.origin))?.ok_or_else(|| {
            at(
                column,
                "the condition is empty, so that the share would always be 1",
            )
        })?;
        let at_least = self.at_least()?;
        Ok(Formula::Share { of, source, at_least })
    }

    fn top_share(&mut self) -> Result<Formula, FormulaError> {
        let column = self.column();
        let (name, quoted) = match self.peek().clone() {
            Token::Name(name) => (name, false),
            Token::Quoted(name) => (name, true),
            _ => return Err(self.unexpected("an attribute, such as client.address,")),
        };
        self.at += 1;
        self.expect(',', "\",\"")?;
        let source = self.windowed("top_share")?;
        let key = if quoted {
            Field::attribute(&name)
        } else {
            vocabulary(&source.origin).field(&name)
        };
        if matches!(key, Field::Duration) {
            return Err(at(
                column,
                "a duration has no value that many share; name an attribute",
            ));
        }
        let at_least = self.at_least()?;
        Ok(Formula::TopShare {
            key,
            source,
            at_least,
        })
    }

    /// The number of events below which there is no value.
    fn at_least(&mut self) -> Result<f64, FormulaError> {
        if !self.eat(',') {
            return Ok(1.0);
        }
        let column = self.column();
        let least = self.number("the least number of events")?;
        if least < 1.0 {
            return Err(at(column, "the least number of events is 1 or more"));
        }
        Ok(least)
    }

    fn is_source(&self) -> bool {
        match self.peek() {
            Token::Name(_) => *self.peek_second() != Token::Symbol('('),
            Token::Quoted(_) => true,
            _ => false,
        }
    }

    fn windowed(&mut self, function: &str) -> Result<Source, FormulaError> {
        let column = self.column();
        if !self.is_source() {
            return Err(self.unexpected("a metric's name or spans"));
        }
        let (source, _) = self.source()?;
        if source.window_secs.is_none() {
            return Err(at(column, format!("{function} needs a window, such as [5m]")));
        }
        Ok(source)
    }

    /// A source, and whether it is spans.
    fn source(&mut self) -> Result<(Source, bool), FormulaError> {
        let origin = match self.peek().clone() {
            Token::Name(name) if name == "spans" => Origin::Spans,
            Token::Name(name) | Token::Quoted(name) => Origin::Metric(name),
            _ => return Err(self.unexpected("a metric's name or spans")),
        };
        self.at += 1;
        let column = self.column();
        let condition = match self.peek().clone() {
            Token::Braces(text) => {
                self.at += 1;
                condition(&text, column + 1, vocabulary(&origin))?
            }
            _ => None,
        };
        let window_secs = if self.eat('[') {
            let secs = self.window()?;
            self.expect(']', "\"]\"")?;
            Some(secs)
        } else {
            None
        };
        let is_spans = origin == Origin::Spans;
        Ok((
            Source {
                origin,
                condition,
                window_secs,
            },
            is_spans,
        ))
    }

    fn window(&mut self) -> Result<u64, FormulaError> {
        let column = self.column();
        let Token::Digits(text) = self.peek().clone() else {
            return Err(self.unexpected("a duration, such as 5m,"));
        };
        self.at += 1;
        let parsed = crate::config::parse_duration(&text).filter(|it| it.subsec_nanos() == 0);
        let secs = parsed.map_or(0, |it| it.as_secs());
        if secs == 0 || !secs.is_multiple_of(SLOT_SECS) {
            let problem = format!("{text:?} is no window; write whole {SLOT_SECS} s, such as 30s, 5m or 1h");
            return Err(at(column, problem));
        }
        Ok(secs)
    }

    fn number(&mut self, what: &str) -> Result<f64, FormulaError> {
        let column = self.column();
        let Token::Digits(text) = self.peek().clone() else {
            return Err(self.unexpected(what));
        };
        self.at += 1;
        let number = text.parse().ok().filter(|it: &f64| it.is_finite());
        number.ok_or_else(|| at(column, format!("{text:?} is no number")))
    }
}

fn at(column: usize, problem: impl Into<String>) -> FormulaError {
    FormulaError::At {
        column,
        problem: problem.into(),
    }
}

/// The names that a condition on this origin may use.
fn vocabulary(origin: &Origin) -> Vocabulary {
    match origin {
        Origin::Spans => Vocabulary::Span,
        Origin::Metric(_) => Vocabulary::Attributes,
    }
}

/// A condition, or several with commas between them, as PromQL writes them. None when there is nothing.
fn condition(text: &str, column: usize, vocabulary: Vocabulary) -> Result<Option<Expr>, FormulaError> {
    let mut terms = Vec::new();
    let mut before = 0;
    for part in split(text) {
        let begin = column + before;
        before += part.chars().count() + 1;
        if part.trim().is_empty() {
            continue;
        }
        terms.push(vocabulary.parse(part).map_err(|error| moved(error, begin - 1))?);
    }
    Ok(if terms.len() > 1 {
        Some(Expr::And(terms))
    } else {
        terms.pop()
    })
}

/// The parts between commas that stand in no brackets and no quotes.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut begin, mut depth) = (Vec::new(), 0, 0_i32);
    let (mut quote, mut escaped) = (None, false);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some('"' | '\''), '\\') => escaped = true,
            (Some(closing), _) if c == closing => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'' | '`') => quote = Some(c),
            (None, '(' | '[' | '{') => depth += 1,
            (None, ')' | ']' | '}') => depth -= 1,
            (None, ',') if depth <= 0 => {
                parts.push(text.get(begin..at).unwrap_or_default());
                begin = at + 1;
            }
            (None, _) => {}
        }
    }
    parts.push(text.get(begin..).unwrap_or_default());
    parts
}

/// An error of the condition's own language, in the columns of the formula.
fn moved(error: ExprError, by: usize) -> FormulaError {
    match error {
        ExprError::Unexpected {
            column,
            expected,
            found,
        } => at(
            column + by,
            format!("in the condition: expected {expected}, found {found}"),
        ),
        ExprError::Value { column, problem } => at(column + by, format!("in the condition: {problem}")),
        ExprError::TooDeep { column } => at(column + by, "the condition is nested too deep"),
        other @ ExprError::TooLong { .. } => at(by + 1, other.to_string()),
    }
}
