//! Text to tokens.

use super::OttlError;
use std::fmt;

/// Longest text, in bytes.
const TEXT_BYTES_MAX: usize = 16 * 1024;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A name or keyword.
    Word(String),
    /// A text in quotes.
    Text(String),
    /// `0x0af7...`
    Bytes(Vec<u8>),
    Int(i64),
    Float(f64),
    Symbol(&'static str),
    End,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => write!(f, "`{word}`"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Bytes(bytes) => write!(f, "`0x{}`", hex::encode(bytes)),
            Self::Int(number) => write!(f, "`{number}`"),
            Self::Float(number) => write!(f, "`{number}`"),
            Self::Symbol(symbol) => write!(f, "`{symbol}`"),
            Self::End => f.write_str("the end"),
        }
    }
}

/// Longest first, so that `<=` is not read as `<`.
const SYMBOLS: [&str; 18] = [
    "==", "!=", "<=", ">=", "<", ">", "(", ")", "[", "]", ",", ".", "+", "-", "*", "/", "=", ":",
];

/// Tokens with their columns; the last is [`Token::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<(usize, Token)>, OttlError> {
    if text.len() > TEXT_BYTES_MAX {
        let message = format!("longer than {TEXT_BYTES_MAX} bytes");
        return Err(OttlError::new(1, message));
    }
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
    fn take(&mut self, bytes: usize) -> &'t str {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.rest = rest;
        self.column += taken.chars().count();
        taken
    }

    fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> &'t str {
        let end = self.rest.find(|c: char| !belongs(c)).unwrap_or(self.rest.len());
        self.take(end)
    }

    fn token(&mut self) -> Result<Token, OttlError> {
        let Some(first) = self.rest.chars().next() else {
            return Ok(Token::End);
        };
        if first == '"' {
            return self.text();
        }
        if first.is_ascii_digit() {
            return self.number();
        }
        if first.is_ascii_alphabetic() || first == '_' {
            let word = self.take_while(|c| c.is_ascii_alphanumeric() || c == '_');
            return Ok(Token::Word(word.to_owned()));
        }
        if let Some(symbol) = SYMBOLS.into_iter().find(|symbol| self.rest.starts_with(symbol)) {
            self.take(symbol.len());
            return Ok(Token::Symbol(symbol));
        }
        let message = format!("{first:?} has no meaning here");
        Err(OttlError::new(self.column, message))
    }

    fn number(&mut self) -> Result<Token, OttlError> {
        let column = self.column;
        if self.rest.starts_with("0x") {
            let text = self.take_while(|c| c.is_ascii_alphanumeric());
            let bytes = hex::decode(text.trim_start_matches("0x"));
            return bytes.map(Token::Bytes).map_err(|_| {
                let message = format!("`{text}` is no even number of hexadecimal digits");
                OttlError::new(column, message)
            });
        }
        let is_number = |c: char| c.is_ascii_digit() || c == '.';
        let mut text = self.take_while(is_number).to_owned();
        let power = self
            .rest
            .strip_prefix(['e', 'E'])
            .map(|rest| rest.trim_start_matches(['+', '-']));
        if power.is_some_and(|digits| digits.starts_with(|c: char| c.is_ascii_digit())) {
            text.push_str(self.take(1));
            text.push_str(self.take_while(|c| matches!(c, '+' | '-')));
            text.push_str(self.take_while(|c| c.is_ascii_digit()));
        }
        let whole = text.parse().ok().map(Token::Int);
        whole
            .or_else(|| text.parse().ok().map(Token::Float))
            .ok_or_else(|| OttlError::new(column, format!("`{text}` is not a number")))
    }

    /// A text. Escapes are Go's; a backslash before anything else stays, so that `"\d+"` is the regular
    /// expression that it looks like.
    fn text(&mut self) -> Result<Token, OttlError> {
        let column = self.column;
        let mut text = String::new();
        self.take(1);
        loop {
            text.push_str(self.take_while(|c| c != '"' && c != '\\'));
            match self.take(1) {
                "\"" => return Ok(Token::Text(text)),
                "" => return Err(OttlError::new(column, "a text without its closing quote")),
                _ => {}
            }
            let Some(escaped) = self.rest.chars().next() else {
                continue;
            };
            match escaped {
                '"' | '\\' => text.push(escaped),
                'n' => text.push('\n'),
                't' => text.push('\t'),
                'r' => text.push('\r'),
                other => {
                    text.push('\\');
                    text.push(other);
                }
            }
            self.take(escaped.len_utf8());
        }
    }
}
