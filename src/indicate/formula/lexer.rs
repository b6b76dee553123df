//! Text to tokens. What stands in braces is one token: a condition has a language of its own.

use super::FormulaError;
use std::fmt;

/// One token.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A metric's name or a function's.
    Name(String),
    /// A name in backticks, which is never a function nor `spans`.
    Quoted(String),
    /// What begins with a digit: a number or a duration.
    Digits(String),
    /// What stands between braces.
    Braces(String),
    /// An operator, bracket or comma.
    Symbol(char),
    /// Behind the last token.
    End,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(text) | Self::Digits(text) => write!(f, "{text:?}"),
            Self::Quoted(text) => write!(f, "`{text}`"),
            Self::Braces(_) => f.write_str("a condition in braces"),
            Self::Symbol(symbol) => write!(f, "\"{symbol}\""),
            Self::End => f.write_str("the end"),
        }
    }
}

/// Whether `c` may stand in a name that has no backticks. No `-` and no `/`: these are operators.
pub(super) fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':')
}

/// Tokens with their columns, counted in characters from 1; the last is [`Token::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<(usize, Token)>, FormulaError> {
    let mut lexer = Lexer {
        rest: text,
        column: 1,
    };
    let mut tokens = Vec::new();
    loop {
        lexer.take_while(char::is_whitespace);
        let column = lexer.column;
        let token = lexer.token()?;
        let done = token == Token::End;
        tokens.push((column, token));
        if done {
            return Ok(tokens);
        }
    }
}

struct Lexer<'t> {
    rest: &'t str,
    column: usize,
}

impl<'t> Lexer<'t> {
    fn take_while(&mut self, is: impl Fn(char) -> bool) -> &'t str {
        let end = self.rest.find(|c: char| !is(c)).unwrap_or(self.rest.len());
        self.take(end)
    }

    /// Takes `bytes` bytes, which must end on a character.
    fn take(&mut self, bytes: usize) -> &'t str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        self.column += taken.chars().count();
        taken
    }

    fn error<T>(column: usize, problem: impl Into<String>) -> Result<T, FormulaError> {
        let problem = problem.into();
        Err(FormulaError::At { column, problem })
    }

    fn token(&mut self) -> Result<Token, FormulaError> {
        let column = self.column;
        let Some(first) = self.rest.chars().next() else {
            return Ok(Token::End);
        };
        match first {
            '{' => self.braces(),
            '`' => self.backticks(),
            '+' | '-' | '*' | '/' | '(' | ')' | '[' | ']' | ',' => {
                self.take(1);
                Ok(Token::Symbol(first))
            }
            '0'..='9' | '.' => Ok(Token::Digits(self.digits().to_owned())),
            c if is_name_char(c) => Ok(Token::Name(self.take_while(is_name_char).to_owned())),
            other => Self::error(
                column,
                format!("{other:?} means nothing here; a metric with odd characters stands in backticks"),
            ),
        }
    }

    /// A number or a duration; `1e-3` holds a sign, and `5m-1` does not.
    fn digits(&mut self) -> &'t str {
        let mut end = 0;
        let mut before = ' ';
        for (at, c) in self.rest.char_indices() {
            let is_sign = matches!(c, '+' | '-') && matches!(before, 'e' | 'E');
            if !is_name_char(c) && c != '\u{b5}' && c != '\u{3bc}' && !is_sign {
                break;
            }
            before = c;
            end = at + c.len_utf8();
        }
        self.take(end)
    }

    fn backticks(&mut self) -> Result<Token, FormulaError> {
        let column = self.column;
        self.take(1);
        let Some(end) = self.rest.find('`') else {
            return Self::error(column, "expected a closing backtick for what begins");
        };
        let name = self.take(end).to_owned();
        self.take(1);
        if name.is_empty() {
            return Self::error(column, "expected a name between the backticks");
        }
        Ok(Token::Quoted(name))
    }

    /// Everything up to the brace that closes; braces in quotes and pairs of braces belong to it.
    fn braces(&mut self) -> Result<Token, FormulaError> {
        let column = self.column;
        self.take(1);
        let (mut open, mut quote, mut escaped) = (1, None, false);
        for (at, c) in self.rest.char_indices() {
            match (quote, c) {
                (Some(_), _) if escaped => escaped = false,
                (Some('"' | '\''), '\\') => escaped = true,
                (Some(closing), _) if c == closing => quote = None,
                (Some(_), _) => {}
                (None, '"' | '\'' | '`') => quote = Some(c),
                (None, '{') => open += 1,
                (None, '}') => {
                    open -= 1;
                    if open == 0 {
                        let inner = self.take(at).to_owned();
                        self.take(1);
                        return Ok(Token::Braces(inner));
                    }
                }
                (None, _) => {}
            }
        }
        Self::error(column, "expected a closing brace for what begins")
    }
}
