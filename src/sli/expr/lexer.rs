//! Text to tokens.

use super::ExprError;
use std::fmt;

/// One token.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A bare word: name, keyword, number, duration or text.
    Word(String),
    /// A key in backticks, with the prefix before it.
    Key(String, String),
    /// A string in quotes.
    Quoted(String),
    /// An operator, bracket or comma.
    Symbol(&'static str),
    /// Behind the last token.
    End,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(text) | Self::Quoted(text) => write!(f, "{text:?}"),
            Self::Key(prefix, key) => write!(f, "{prefix}`{key}`"),
            Self::Symbol(symbol) => write!(f, "{symbol:?}"),
            Self::End => f.write_str("the end"),
        }
    }
}

/// Longest first, so that `<=` is not read as `<`.
const SYMBOLS: [&str; 16] = [
    "==", "=~", "!=", "!~", "<=", ">=", "&&", "||", "=", "<", ">", "!", "(", ")", "[", "]",
];

/// Words with a meaning of their own.
pub(super) const KEYWORDS: [&str; 6] = ["and", "or", "not", "in", "glob", "exists"];

fn is_word_char(c: char) -> bool {
    c.is_alphanumeric()
        || matches!(
            c,
            '_' | '.' | '-' | '+' | '/' | ':' | '@' | '#' | '$' | '%' | '{' | '}' | '*'
        )
}

/// Whether `name` can stand in an expression without backticks.
pub(super) fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(is_word_char) && !KEYWORDS.contains(&name)
}

/// Tokens with their columns, counted in characters from 1; the last is [`Token::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<(usize, Token)>, ExprError> {
    let mut lexer = Lexer {
        rest: text,
        column: 1,
    };
    let mut tokens = Vec::new();
    loop {
        let blank = lexer
            .rest
            .find(|c: char| !c.is_whitespace())
            .unwrap_or(lexer.rest.len());
        lexer.take(blank);
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
    /// Takes `bytes` bytes, which must end on a character.
    fn take(&mut self, bytes: usize) -> &'t str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        self.column += taken.chars().count();
        taken
    }

    fn token(&mut self) -> Result<Token, ExprError> {
        let Some(first) = self.rest.chars().next() else {
            return Ok(Token::End);
        };
        if first == '"' || first == '\'' {
            return self.quoted(first);
        }
        if first == ',' {
            self.take(1);
            return Ok(Token::Symbol(","));
        }
        if let Some(symbol) = SYMBOLS.into_iter().find(|symbol| self.rest.starts_with(symbol)) {
            self.take(symbol.len());
            return Ok(Token::Symbol(symbol));
        }
        let len = self
            .rest
            .find(|c: char| !is_word_char(c))
            .unwrap_or(self.rest.len());
        let word = self.take(len);
        if self.rest.starts_with('`') && super::Place::of_prefix(word).is_some() {
            return self.key(word);
        }
        if word.is_empty() {
            return Err(ExprError::Unexpected {
                column: self.column,
                expected: "a name, a value or an operator".to_owned(),
                found: format!("{first:?}"),
            });
        }
        Ok(Token::Word(word.to_owned()))
    }

    /// A key in backticks; two backticks in a row are one that belongs to it.
    fn key(&mut self, prefix: &str) -> Result<Token, ExprError> {
        let column = self.column;
        let mut key = String::new();
        self.take(1);
        loop {
            let Some(end) = self.rest.find('`') else {
                return Err(unclosed(column, "a closing backtick"));
            };
            key.push_str(self.take(end));
            self.take(1);
            if !self.rest.starts_with('`') {
                break;
            }
            key.push_str(self.take(1));
        }
        if key.is_empty() {
            return Err(unclosed(column, "a key between the backticks"));
        }
        Ok(Token::Key(prefix.to_owned(), key))
    }

    /// A string. A backslash escapes the quote and itself and otherwise stays, so that `"\d+"` is the regular
    /// expression that it looks like.
    fn quoted(&mut self, quote: char) -> Result<Token, ExprError> {
        let column = self.column;
        let mut text = String::new();
        self.take(1);
        loop {
            let Some(end) = self.rest.find([quote, '\\']) else {
                return Err(unclosed(column, "a closing quote"));
            };
            text.push_str(self.take(end));
            if self.take(1) != "\\" {
                return Ok(Token::Quoted(text));
            }
            if !self.rest.starts_with([quote, '\\']) {
                text.push('\\');
                continue;
            }
            text.push_str(self.take(1));
        }
    }
}

fn unclosed(column: usize, expected: &str) -> ExprError {
    ExprError::Unexpected {
        column,
        expected: format!("{expected} for what begins"),
        found: "the end".to_owned(),
    }
}
