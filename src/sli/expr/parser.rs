//! Tokens to an expression: recursive descent with one token of look-ahead.

use super::lexer::{KEYWORDS, Token, tokens};
use super::{
    Check, EXPRESSION_BYTES_MAX, EXPRESSION_DEPTH_MAX, Expr, ExprError, Field, GlobPattern, Literal, Order,
    Place, RegexPattern, Test, Vocabulary,
};

/// Parses a whole expression.
pub(super) fn parse(text: &str, vocabulary: Vocabulary) -> Result<Expr, ExprError> {
    if text.len() > EXPRESSION_BYTES_MAX {
        return Err(ExprError::TooLong { bytes: text.len() });
    }
    let mut parser = Parser {
        tokens: tokens(text)?,
        at: 0,
        depth: 0,
        vocabulary,
    };
    let expr = parser.or()?;
    match parser.peek() {
        Token::End => Ok(expr),
        _ => Err(parser.unexpected("\"and\", \"or\" or the end")),
    }
}

struct Parser {
    /// Never empty: the last is [`Token::End`].
    tokens: Vec<(usize, Token)>,
    at: usize,
    depth: u32,
    vocabulary: Vocabulary,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).map_or(&Token::End, |(_, token)| token)
    }

    fn column(&self) -> usize {
        self.tokens.get(self.at).map_or(1, |(column, _)| *column)
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    /// Takes the next token if it is this symbol or keyword.
    fn eat(&mut self, wanted: &str) -> bool {
        let found = match self.peek() {
            Token::Symbol(symbol) => *symbol == wanted,
            Token::Word(word) => KEYWORDS.contains(&wanted) && word == wanted,
            _ => false,
        };
        self.at += usize::from(found);
        found
    }

    fn unexpected(&self, expected: impl Into<String>) -> ExprError {
        ExprError::Unexpected {
            column: self.column(),
            expected: expected.into(),
            found: self.peek().to_string(),
        }
    }

    fn or(&mut self) -> Result<Expr, ExprError> {
        let first = self.and()?;
        let mut terms = vec![first];
        while self.eat("or") || self.eat("||") {
            terms.push(self.and()?);
        }
        Ok(single_or(terms, Expr::Or))
    }

    fn and(&mut self) -> Result<Expr, ExprError> {
        let first = self.unary()?;
        let mut terms = vec![first];
        while self.eat("and") || self.eat("&&") {
            terms.push(self.unary()?);
        }
        Ok(single_or(terms, Expr::And))
    }

    fn unary(&mut self) -> Result<Expr, ExprError> {
        if self.depth >= EXPRESSION_DEPTH_MAX {
            return Err(ExprError::TooDeep {
                column: self.column(),
            });
        }
        self.depth += 1;
        let expr = if self.eat("not") || self.eat("!") {
            Expr::Not(Box::new(self.unary()?))
        } else if self.eat("(") {
            let inner = self.or()?;
            if !self.eat(")") {
                return Err(self.unexpected("\")\""));
            }
            inner
        } else {
            Expr::Test(self.test()?)
        };
        self.depth -= 1;
        Ok(expr)
    }

    fn test(&mut self) -> Result<Test, ExprError> {
        let column = self.column();
        if self.eat("exists") {
            if !self.eat("(") {
                return Err(self.unexpected("\"(\" and a field after \"exists\""));
            }
            let field = self.field()?;
            if !self.eat(")") {
                return Err(self.unexpected("\")\""));
            }
            return located(column, Test::new(field, false, Check::Exists));
        }
        let field = self.field()?;
        self.check(field)
    }

    fn field(&mut self) -> Result<Field, ExprError> {
        let field = match self.peek() {
            Token::Word(word) if !KEYWORDS.contains(&word.as_str()) => self.vocabulary.field(word),
            Token::Key(prefix, key) => Field::Attribute {
                place: Place::of_prefix(prefix).unwrap_or(Place::Any),
                key: key.clone(),
            },
            _ => return Err(self.unexpected("a field such as http.response.status_code, \"not\" or \"(\"")),
        };
        self.at += 1;
        Ok(field)
    }

    /// What stands behind a field.
    fn check(&mut self, field: Field) -> Result<Test, ExprError> {
        let negated = self.eat("not");
        if self.eat("in") {
            return self.list(field, negated);
        }
        if self.eat("glob") {
            let column = self.column();
            let glob = GlobPattern(self.string("a glob in quotes")?);
            return located(column, Test::new(field, negated, Check::Glob(glob)));
        }
        let column = self.column();
        if self.eat("exists") {
            return located(column, Test::new(field, negated, Check::Exists));
        }
        if negated {
            return Err(self.unexpected(format!("\"in\", \"glob\" or \"exists\" after \"{field} not\"")));
        }
        let Token::Symbol(symbol) = *self.peek() else {
            return Err(self.unexpected(format!("a comparison after \"{field}\"")));
        };
        let order = match symbol {
            "==" | "=" => return self.equality(field, false),
            "!=" => return self.equality(field, true),
            "=~" => return self.regex(field, false),
            "!~" => return self.regex(field, true),
            "<" => Order::Less,
            "<=" => Order::AtMost,
            ">" => Order::Greater,
            ">=" => Order::AtLeast,
            _ => return Err(self.unexpected(format!("a comparison after \"{field}\""))),
        };
        self.at += 1;
        let column = self.column();
        let value = self.value(&field)?;
        located(column, Test::new(field, false, Check::Ordered(order, value)))
    }

    fn equality(&mut self, field: Field, negated: bool) -> Result<Test, ExprError> {
        self.at += 1;
        let column = self.column();
        let value = self.value(&field)?;
        located(column, Test::new(field, negated, Check::Equals(value)))
    }

    fn regex(&mut self, field: Field, negated: bool) -> Result<Test, ExprError> {
        self.at += 1;
        let column = self.column();
        let pattern = self.string("a regular expression in quotes")?;
        let check = RegexPattern::new(pattern)
            .map(Check::Regex)
            .map_err(|problem| ExprError::Value {
                column,
                problem: format!("bad regular expression: {problem}"),
            })?;
        located(column, Test::new(field, negated, check))
    }

    fn list(&mut self, field: Field, negated: bool) -> Result<Test, ExprError> {
        let column = self.column();
        let close = if self.eat("(") {
            ")"
        } else if self.eat("[") {
            "]"
        } else {
            return Err(self.unexpected("\"(\" after \"in\""));
        };
        let mut values = vec![self.value(&field)?];
        while self.eat(",") {
            values.push(self.value(&field)?);
        }
        if !self.eat(close) {
            return Err(self.unexpected(format!("\",\" or \"{close}\"")));
        }
        located(column, Test::new(field, negated, Check::OneOf(values)))
    }

    fn string(&mut self, what: &str) -> Result<String, ExprError> {
        match self.peek() {
            Token::Quoted(_) => {}
            _ => return Err(self.unexpected(what)),
        }
        match self.next() {
            Token::Quoted(text) => Ok(text),
            _ => Err(self.unexpected(what)),
        }
    }

    /// A value. A bare `2xx` is refused: as a text it would never equal a status code.
    fn value(&mut self, field: &Field) -> Result<Literal, ExprError> {
        let column = self.column();
        let value = match self.peek() {
            Token::Quoted(text) => Literal::Text(text.clone()),
            Token::Word(word) if !KEYWORDS.contains(&word.as_str()) => {
                if matches!(word.as_bytes(), [b'1'..=b'5', b'x' | b'X', b'x' | b'X']) {
                    let digit = &word[..1];
                    let problem =
                        format!("{word:?} is no value; write {field} >= {digit}00 and {field} <= {digit}99");
                    return Err(ExprError::Value { column, problem });
                }
                Literal::from_word(word)
            }
            _ => return Err(self.unexpected(format!("a value to compare \"{field}\" with"))),
        };
        self.at += 1;
        Ok(value)
    }
}

fn single_or(mut terms: Vec<Expr>, join: impl Fn(Vec<Expr>) -> Expr) -> Expr {
    match terms.pop() {
        Some(only) if terms.is_empty() => only,
        Some(last) => {
            terms.push(last);
            join(terms)
        }
        None => join(terms),
    }
}

fn located(column: usize, test: Result<Test, String>) -> Result<Test, ExprError> {
    test.map_err(|problem| ExprError::Value { column, problem })
}
