//! Tokens to a tree.
//!
//! Conditions and values share one grammar, so that `(a + b) > c` and `(a == b) or c` need no looking ahead;
//! what must be a condition and what a value is checked when names get their meaning.

use super::OttlError;
use super::ast::{Ast, CompareOp, Key, MathOp, Node, Path, StatementAst};
use super::lexer::{Token, tokens};

/// Deepest nesting of brackets, calls and negations.
const DEPTH_MAX: u32 = 32;

/// A condition.
pub(super) fn condition(text: &str) -> Result<Node, OttlError> {
    let mut parser = Parser::new(text)?;
    let node = parser.or()?;
    parser.end()?;
    Ok(node)
}

/// A statement.
pub(super) fn statement(text: &str) -> Result<StatementAst, OttlError> {
    let mut parser = Parser::new(text)?;
    let column = parser.column();
    let Token::Word(name) = parser.next() else {
        return Err(OttlError::new(column, "expected a function such as set(...)"));
    };
    parser.expect("(")?;
    let args = parser.values(")")?;
    let condition = if parser.take_word("where") {
        Some(parser.or()?)
    } else {
        None
    };
    parser.end()?;
    Ok(StatementAst {
        column,
        name,
        args,
        condition,
    })
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    at: usize,
    depth: u32,
}

impl Parser {
    fn new(text: &str) -> Result<Self, OttlError> {
        Ok(Self {
            tokens: tokens(text)?,
            at: 0,
            depth: 0,
        })
    }

    fn peek(&self) -> &Token {
        self.tokens.get(self.at).map_or(&Token::End, |(_, token)| token)
    }

    fn column(&self) -> usize {
        let last = self.tokens.last();
        self.tokens.get(self.at).or(last).map_or(1, |(column, _)| *column)
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn take(&mut self, symbol: &'static str) -> bool {
        let found = *self.peek() == Token::Symbol(symbol);
        self.at += usize::from(found);
        found
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Token::Word(found) if found == word);
        self.at += usize::from(found);
        found
    }

    fn unexpected(&self, expected: &str) -> OttlError {
        let message = format!("expected {expected}, found {}", self.peek());
        OttlError::new(self.column(), message)
    }

    fn expect(&mut self, symbol: &'static str) -> Result<(), OttlError> {
        if self.take(symbol) {
            return Ok(());
        }
        Err(self.unexpected(&format!("`{symbol}`")))
    }

    fn end(&self) -> Result<(), OttlError> {
        match self.peek() {
            Token::End => Ok(()),
            _ => Err(self.unexpected("the end")),
        }
    }

    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, OttlError>) -> Result<T, OttlError> {
        if self.depth == DEPTH_MAX {
            let message = format!("nested deeper than {DEPTH_MAX} levels");
            return Err(OttlError::new(self.column(), message));
        }
        self.depth += 1;
        let found = inner(self);
        self.depth -= 1;
        found
    }

    fn or(&mut self) -> Result<Node, OttlError> {
        self.terms("or", Self::and, Ast::Or)
    }

    fn and(&mut self) -> Result<Node, OttlError> {
        self.terms("and", Self::not, Ast::And)
    }

    fn terms(
        &mut self,
        word: &str,
        term: impl Fn(&mut Self) -> Result<Node, OttlError>,
        make: impl Fn(Vec<Node>) -> Ast,
    ) -> Result<Node, OttlError> {
        let column = self.column();
        let first = term(self)?;
        if !matches!(self.peek(), Token::Word(found) if found == word) {
            return Ok(first);
        }
        let mut all = vec![first];
        while self.take_word(word) {
            all.push(term(self)?);
        }
        Ok(Node {
            column,
            ast: make(all),
        })
    }

    fn not(&mut self) -> Result<Node, OttlError> {
        let column = self.column();
        if self.take_word("not") {
            let inner = self.deeper(Self::not)?;
            return Ok(Node {
                column,
                ast: Ast::Not(Box::new(inner)),
            });
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Node, OttlError> {
        let left = self.sum()?;
        let column = self.column();
        let op = match self.peek() {
            Token::Symbol("==") => CompareOp::Eq,
            Token::Symbol("!=") => CompareOp::Ne,
            Token::Symbol("<") => CompareOp::Lt,
            Token::Symbol("<=") => CompareOp::Le,
            Token::Symbol(">") => CompareOp::Gt,
            Token::Symbol(">=") => CompareOp::Ge,
            _ => return Ok(left),
        };
        self.at += 1;
        let right = self.sum()?;
        Ok(Node {
            column,
            ast: Ast::Compare(op, Box::new(left), Box::new(right)),
        })
    }

    fn sum(&mut self) -> Result<Node, OttlError> {
        self.math(Self::product, [("+", MathOp::Add), ("-", MathOp::Sub)])
    }

    fn product(&mut self) -> Result<Node, OttlError> {
        self.math(Self::primary, [("*", MathOp::Mul), ("/", MathOp::Div)])
    }

    fn math(
        &mut self,
        term: impl Fn(&mut Self) -> Result<Node, OttlError>,
        ops: [(&'static str, MathOp); 2],
    ) -> Result<Node, OttlError> {
        let mut left = term(self)?;
        let mut terms = 0;
        loop {
            let column = self.column();
            let Some((_, op)) = ops.into_iter().find(|(symbol, _)| self.take(symbol)) else {
                return Ok(left);
            };
            terms += 1;
            if terms > DEPTH_MAX {
                return Err(OttlError::new(
                    column,
                    format!("more than {DEPTH_MAX} operations in a row"),
                ));
            }
            let right = term(self)?;
            left = Node {
                column,
                ast: Ast::Math(op, Box::new(left), Box::new(right)),
            };
        }
    }

    fn primary(&mut self) -> Result<Node, OttlError> {
        let column = self.column();
        if matches!(self.peek(), Token::End) {
            return Err(self.unexpected("a path, a value or a function"));
        }
        let ast = match self.next() {
            Token::Int(number) => Ast::Int(number),
            Token::Float(number) => Ast::Float(number),
            Token::Text(text) => Ast::Text(text),
            Token::Bytes(bytes) => Ast::Bytes(bytes),
            Token::Symbol("-") => match self.next() {
                Token::Int(number) => Ast::Int(number.wrapping_neg()),
                Token::Float(number) => Ast::Float(-number),
                _ => return Err(OttlError::new(column, "expected a number behind `-`")),
            },
            Token::Symbol("(") => {
                let inner = self.deeper(Self::or)?;
                self.expect(")")?;
                return Ok(inner);
            }
            Token::Symbol("[") => Ast::List(self.values("]")?),
            Token::Word(word) => self.word(word)?,
            _ => {
                self.at -= 1;
                return Err(self.unexpected("a path, a value or a function"));
            }
        };
        Ok(Node { column, ast })
    }

    fn values(&mut self, close: &'static str) -> Result<Vec<Node>, OttlError> {
        let mut all = Vec::new();
        if self.take(close) {
            return Ok(all);
        }
        loop {
            all.push(self.deeper(Self::or)?);
            if self.take(close) {
                return Ok(all);
            }
            if !self.take(",") {
                return Err(self.unexpected(&format!("`,` or `{close}`")));
            }
        }
    }

    fn word(&mut self, word: String) -> Result<Ast, OttlError> {
        match word.as_str() {
            "nil" => return Ok(Ast::Nil),
            "true" => return Ok(Ast::Bool(true)),
            "false" => return Ok(Ast::Bool(false)),
            "and" | "or" | "not" | "where" => {
                self.at -= 1;
                return Err(self.unexpected("a path, a value or a function"));
            }
            _ => {}
        }
        if self.take("(") {
            return Ok(Ast::Call(word, self.values(")")?));
        }
        let capitals = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        if word.chars().all(capitals) {
            return Ok(Ast::Enum(word));
        }
        let mut path = Path {
            names: vec![word],
            keys: Vec::new(),
        };
        while self.take(".") {
            match self.peek().clone() {
                Token::Word(name) => path.names.push(name),
                _ => return Err(self.unexpected("a name behind `.`")),
            }
            self.at += 1;
        }
        while self.take("[") {
            match self.peek().clone() {
                Token::Text(text) => path.keys.push(Key::Text(text)),
                Token::Int(index) => path
                    .keys
                    .push(Key::Index(usize::try_from(index).unwrap_or(usize::MAX))),
                _ => return Err(self.unexpected("a key in quotes, or an index")),
            }
            self.at += 1;
            self.expect("]")?;
        }
        if *self.peek() == Token::Symbol(".") {
            return Err(OttlError::new(
                self.column(),
                "not supported: a name behind a key",
            ));
        }
        Ok(Ast::Path(path))
    }
}
