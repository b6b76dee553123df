//! Values and patterns as policies write them.

use std::fmt;

/// A value that a field is compared with.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// A whole number.
    Int(i64),
    /// Any other finite number.
    Float(f64),
    /// `true` or `false`.
    Bool(bool),
    /// A text. It also equals the number or boolean that it spells.
    Text(String),
    /// A duration, in nanoseconds.
    DurationNanos(u64),
}

impl Literal {
    /// What a bare word means as a value: a number, a boolean, else a text.
    pub fn from_word(word: &str) -> Self {
        match word {
            "true" => Self::Bool(true),
            "false" => Self::Bool(false),
            _ => Self::number(word).unwrap_or_else(|| Self::Text(word.to_owned())),
        }
    }

    /// The finite number that `text` spells in decimal notation.
    pub fn number(text: &str) -> Option<Self> {
        if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'))
            || !text.contains(|c: char| c.is_ascii_digit())
            || text.contains(['n', 'N', 'f', 'F'])
        {
            return None;
        }
        if let Ok(whole) = text.parse() {
            return Some(Self::Int(whole));
        }
        text.parse()
            .ok()
            .filter(|float: &f64| float.is_finite())
            .map(Self::Float)
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(whole) => write!(f, "{whole}"),
            // Debug keeps the point, so that the value is read back as a float.
            Self::Float(float) => write!(f, "{float:?}"),
            Self::Bool(boolean) => write!(f, "{boolean}"),
            Self::Text(text) => quote(f, text),
            Self::DurationNanos(nanos) => f.write_str(&crate::sli::duration::format_nanos(*nanos)),
        }
    }
}

fn quote(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    write!(f, "\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A regular expression that compiles within its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegexPattern(String);

/// Bytes that a compiled regular expression and its cache may take, each.
const REGEX_BYTES_MAX: usize = 1 << 20;

impl RegexPattern {
    /// Checks the pattern; the error is the compiler's own words.
    pub fn new(pattern: impl Into<String>) -> Result<Self, String> {
        let this = Self(pattern.into());
        this.compile().map(|_| this)
    }

    /// The compiled expression, over bytes.
    pub(in crate::sli) fn compile(&self) -> Result<regex::bytes::Regex, String> {
        regex::bytes::RegexBuilder::new(&self.0)
            .size_limit(REGEX_BYTES_MAX)
            .dfa_size_limit(REGEX_BYTES_MAX)
            .build()
            .map_err(|error| match error {
                regex::Error::CompiledTooBig(_) => {
                    format!("needs more than {REGEX_BYTES_MAX} bytes when compiled")
                }
                // The parser draws the pattern with a caret over several lines; its last line says what is
                // wrong.
                other => other
                    .to_string()
                    .lines()
                    .last()
                    .unwrap_or_default()
                    .trim_start_matches("error: ")
                    .to_owned(),
            })
    }

    /// The pattern's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RegexPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        quote(f, &self.0)
    }
}

/// A glob: `*` is any run of characters (also none, also slashes), `?` is one character, a backslash takes
/// the next character as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlobPattern(pub String);

impl GlobPattern {
    /// Whether the text has a wildcard in it.
    pub fn has_wildcard(text: &str) -> bool {
        text.contains(['*', '?'])
    }
}

impl fmt::Display for GlobPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        quote(f, &self.0)
    }
}
