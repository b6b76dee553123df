//! Globs over bytes.
//!
//! `*` is any run of characters (slashes too: a route, a region and a service name are not paths in a file
//! system), `?` is one character. Rejected: globset, which matches paths and turns every pattern into a
//! regular expression.

/// A compiled glob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Glob(Box<[Token]>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Byte(u8),
    AnyChar,
    AnyRun,
}

impl Glob {
    /// Compiles a pattern; every text is one. A backslash takes the next character as it stands.
    pub(super) fn new(pattern: &str) -> Self {
        let mut tokens = Vec::with_capacity(pattern.len());
        let mut bytes = pattern.bytes().peekable();
        while let Some(byte) = bytes.next() {
            let token = match byte {
                b'*' => Token::AnyRun,
                b'?' => Token::AnyChar,
                b'\\' => Token::Byte(bytes.next().unwrap_or(b'\\')),
                _ => Token::Byte(byte),
            };
            // Two stars in a row say no more than one, and cost a level of backtracking.
            if token != Token::AnyRun || tokens.last() != Some(&Token::AnyRun) {
                tokens.push(token);
            }
        }
        Self(tokens.into())
    }

    /// How many characters of it stand for themselves: the more, the more specific it is.
    pub(super) fn literal_len(&self) -> usize {
        self.0
            .iter()
            .filter(|token| matches!(token, Token::Byte(_)))
            .count()
    }

    /// Whether the whole text matches. Only the last star is ever retried, so that this takes at most pattern
    /// times text.
    pub(super) fn matches(&self, text: &[u8]) -> bool {
        let (mut token, mut at) = (0, 0);
        let mut retry = None;
        loop {
            let next = match (self.0.get(token), text.get(at)) {
                (None, None) => return true,
                (Some(Token::AnyRun), _) => {
                    retry = Some((token, at));
                    token += 1;
                    continue;
                }
                (Some(Token::Byte(wanted)), Some(byte)) if wanted == byte => Some(at + 1),
                (Some(Token::AnyChar), Some(_)) => Some(at + char_len(text, at)),
                _ => None,
            };
            if let Some(next) = next {
                token += 1;
                at = next;
                continue;
            }
            // The last star takes one character more.
            let Some((star, from)) = retry.filter(|&(_, from)| from < text.len()) else {
                return false;
            };
            at = from + char_len(text, from);
            retry = Some((star, at));
            token = star + 1;
        }
    }
}

/// Bytes of the UTF-8 character at `at`; bytes that are no UTF-8 count one by one.
fn char_len(text: &[u8], at: usize) -> usize {
    1 + text
        .iter()
        .skip(at + 1)
        .take(3)
        .take_while(|&&byte| byte & 0xC0 == 0x80)
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stars_and_question_marks_mean_what_they_do_in_a_shell() {
        let cases = [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("eu-*", "eu-west-1", true),
            ("eu-*", "us-east-1", false),
            ("*-west-*", "eu-west-1", true),
            ("/users/*/orders", "/users/1/2/orders", true),
            ("/users/*/orders", "/users/1/orders/2", false),
            ("?x", "\u{e9}x", true),
            ("??x", "\u{e9}x", false),
            ("*?x", "\u{e9}x", true),
            (r"a\*b", "a*b", true),
            (r"a\*b", "axb", false),
            ("a\\", "a\\", true),
            ("*ab*ab", "abxab", true),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(
                Glob::new(pattern).matches(text.as_bytes()),
                expected,
                "{pattern} on {text}"
            );
        }
    }

    #[test]
    fn many_stars_do_not_explode() {
        let pattern = "*a".repeat(500);
        let text = "a".repeat(5_000) + "b";
        assert!(!Glob::new(&pattern).matches(text.as_bytes()));
    }

    proptest! {
        #[test]
        fn agrees_with_a_regular_expression(pattern in "[ab\u{e9}*?]{0,8}", text in "[ab\u{e9}]{0,8}") {
            let regex = format!("^(?s:{})$", pattern.replace('*', ".*").replace('?', "."));
            let expected = regex::Regex::new(&regex).unwrap().is_match(&text);
            prop_assert_eq!(Glob::new(&pattern).matches(text.as_bytes()), expected);
        }

        #[test]
        fn never_panics(pattern in "\\PC{0,12}", text in prop::collection::vec(any::<u8>(), 0..24)) {
            let _ = Glob::new(&pattern).matches(&text);
        }
    }
}
