//! A strict JSON cursor over text that is known to be UTF-8. Values are read in place; only strings with
//! escapes are copied.

use super::error::{Error, ErrorKind};
use super::number;
use std::borrow::Cow;

/// Levels of objects and lists. OTLP's own nesting is two levels for one of protobuf's, so what passes here
/// stays under the 100 levels at which common protobuf libraries give up.
pub(super) const MAX_DEPTH: usize = 128;

/// The cursor.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    /// At the start of `text`.
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Bytes read.
    pub(super) fn offset(&self) -> usize {
        self.at
    }

    fn syntax<T>(&self, why: &'static str) -> Result<T, Error> {
        Err(ErrorKind::Syntax(why).at(self.at))
    }

    /// The next byte that is not white space, which stays.
    pub(super) fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    /// Takes `byte` if it comes next.
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Takes `byte`, which must come next.
    pub(super) fn expect(&mut self, byte: u8, why: &'static str) -> Result<(), Error> {
        if self.take(byte) {
            Ok(())
        } else {
            self.unexpected(why)
        }
    }

    /// The error for whatever is here instead of what `why` asks for.
    pub(super) fn unexpected<T>(&mut self, why: &'static str) -> Result<T, Error> {
        match self.peek() {
            None => self.syntax("the text ends too early"),
            // A value, but of another type.
            Some(b'"' | b'{' | b'[' | b't' | b'f' | b'n' | b'-' | b'0'..=b'9') => {
                Err(ErrorKind::Value(why).at(self.at))
            }
            Some(_) => self.syntax(why),
        }
    }

    /// Nothing but white space may follow.
    pub(super) fn end(&mut self) -> Result<(), Error> {
        if self.peek().is_none() {
            Ok(())
        } else {
            self.syntax("text after the end of the message")
        }
    }

    /// After an element: `true` if another follows, `false` if `close` came.
    pub(super) fn more(&mut self, close: u8) -> Result<bool, Error> {
        if self.take(b',') {
            if self.peek() == Some(close) {
                return self.syntax("a comma before the end of the list or object");
            }
            return Ok(true);
        }
        if self.take(close) {
            return Ok(false);
        }
        self.syntax("a comma or the end of the list or object is expected")
    }

    /// A member's name and its colon.
    pub(super) fn name(&mut self) -> Result<Cow<'a, str>, Error> {
        if self.peek() != Some(b'"') {
            return self.syntax("a member's name is expected");
        }
        let name = self.string()?;
        if !self.take(b':') {
            return self.syntax("a colon is expected");
        }
        Ok(name)
    }

    /// Takes `null` if it comes next.
    pub(super) fn null(&mut self) -> Result<bool, Error> {
        if self.peek() != Some(b'n') {
            return Ok(false);
        }
        self.literal("null")?;
        Ok(true)
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self) -> Result<bool, Error> {
        match self.peek() {
            Some(b't') => self.literal("true").map(|()| true),
            Some(b'f') => self.literal("false").map(|()| false),
            _ => self.unexpected("true or false is expected"),
        }
    }

    fn literal(&mut self, word: &'static str) -> Result<(), Error> {
        let rest = &self.text.as_bytes()[self.at..];
        let ends = rest.get(word.len()).is_none_or(|b| !b.is_ascii_alphanumeric());
        if !rest.starts_with(word.as_bytes()) || !ends {
            return self.syntax("true, false or null is expected");
        }
        self.at += word.len();
        Ok(())
    }

    /// A number, as it is written.
    pub(super) fn number(&mut self) -> Result<&'a str, Error> {
        if !matches!(self.peek(), Some(b'-' | b'0'..=b'9')) {
            return self.unexpected("a number is expected");
        }
        let rest = &self.text[self.at..];
        match number::scan(rest.as_bytes()) {
            Some(len) if !matches!(rest.as_bytes().get(len), Some(b'0'..=b'9' | b'.')) => {
                self.at += len;
                Ok(&rest[..len])
            }
            _ => self.syntax("not a number"),
        }
    }

    /// A string.
    pub(super) fn string(&mut self) -> Result<Cow<'a, str>, Error> {
        if self.peek() != Some(b'"') {
            return self.unexpected("a string is expected");
        }
        self.at += 1;
        let start = self.at;
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(self.at) {
                Some(b'"') => {
                    let text = &self.text[start..self.at];
                    self.at += 1;
                    return Ok(Cow::Borrowed(text));
                }
                Some(b'\\') => return self.escaped(start).map(Cow::Owned),
                Some(0..0x20) => return self.syntax("a control character in a string"),
                Some(_) => self.at += 1,
                None => return self.syntax("the text ends within a string"),
            }
        }
    }

    /// The rest of a string whose first escape is here.
    #[cold]
    fn escaped(&mut self, start: usize) -> Result<String, Error> {
        let bytes = self.text.as_bytes();
        let mut out = String::with_capacity(self.at - start + 32);
        let mut from = start;
        loop {
            match bytes.get(self.at) {
                Some(b'"') => {
                    out.push_str(&self.text[from..self.at]);
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => {
                    out.push_str(&self.text[from..self.at]);
                    out.push(self.escape()?);
                    from = self.at;
                }
                Some(0..0x20) => return self.syntax("a control character in a string"),
                Some(_) => self.at += 1,
                None => return self.syntax("the text ends within a string"),
            }
        }
    }

    /// One escape; the cursor is at its backslash.
    fn escape(&mut self) -> Result<char, Error> {
        let simple = match self.text.as_bytes().get(self.at + 1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            _ => return self.syntax("an unknown escape in a string"),
        };
        self.at += 2;
        Ok(simple)
    }

    /// `\uXXXX`, or two of them for one character beyond the first 65,536.
    fn unicode_escape(&mut self) -> Result<char, Error> {
        let Some(first) = self.code_unit(self.at) else {
            return self.syntax("four hex digits are expected");
        };
        let (code, len) = match first {
            0xD800..0xDC00 => match self.code_unit(self.at + 6) {
                Some(second @ 0xDC00..0xE000) => (0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00), 12),
                _ => return self.syntax("a lone surrogate in a string"),
            },
            other => (other, 6),
        };
        let Some(character) = char::from_u32(code) else {
            return self.syntax("a lone surrogate in a string");
        };
        self.at += len;
        Ok(character)
    }

    fn code_unit(&self, at: usize) -> Option<u32> {
        let escape = self.text.as_bytes().get(at..at + 6)?;
        let digits = escape.strip_prefix(b"\\u")?;
        digits.iter().try_fold(0, |code, digit| {
            Some(code << 4 | char::from(*digit).to_digit(16)?)
        })
    }

    /// Hops over a value of any type, checking it on the way; `depth` levels are open around it. Not
    /// recursive: a member that nobody knows may be as deep as its sender likes.
    pub(super) fn skip(&mut self, depth: usize) -> Result<(), Error> {
        let mut open = Vec::new();
        loop {
            match self.peek() {
                Some(byte @ (b'{' | b'[')) => {
                    self.at += 1;
                    if depth + open.len() >= MAX_DEPTH {
                        return Err(ErrorKind::TooDeep.at(self.at));
                    }
                    // The byte that closes it: two above in ASCII.
                    let close = byte + 2;
                    if !self.take(close) {
                        open.push(close);
                        if close == b'}' {
                            self.name()?;
                        }
                        continue;
                    }
                }
                Some(b'"') => drop(self.string()?),
                Some(b't' | b'f') => drop(self.boolean()?),
                Some(b'n') => drop(self.null()?),
                _ => drop(self.number()?),
            }
            // A value has ended: close what ends with it, then go on to the next one.
            loop {
                let Some(close) = open.last().copied() else {
                    return Ok(());
                };
                if self.more(close)? {
                    if close == b'}' {
                        self.name()?;
                    }
                    break;
                }
                open.pop();
            }
        }
    }
}
