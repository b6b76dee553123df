//! Lines of `user:hash`, as Apache's `htpasswd` writes them.
//!
//! bcrypt (`htpasswd -B`) is what to use; SHA-1 (`-s`) and plain text are read because files have them. What
//! `htpasswd` writes without an option (`$apr1$`, a thousand rounds of MD5) is refused by name, as are the
//! system's own formats: no maintained library reads them, and passwords are no place for code of our own.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha1::{Digest, Sha1};
use std::collections::HashMap;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A password's hash.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Hash {
    /// `$2y$...`: slow on purpose.
    Bcrypt(Box<str>),
    /// `{SHA}...`, and plain text, which is kept as its hash.
    Sha1([u8; 20]),
}

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Hash {
    /// Whether a check takes long enough to be kept off the workers that move bytes.
    pub(super) const fn is_slow(&self) -> bool {
        matches!(self, Self::Bcrypt(_))
    }

    /// Whether `password` is the one.
    pub(super) fn matches(&self, password: &str) -> bool {
        match self {
            Self::Bcrypt(hash) => bcrypt::verify(password, hash).unwrap_or(false),
            Self::Sha1(hash) => sha1(password).ct_eq(hash).into(),
        }
    }
}

/// The users, by name.
pub(super) type Users = HashMap<Box<str>, Hash>;

/// Reads lines; says which line is wrong, and never what it says.
pub(super) fn parse(text: &str) -> Result<Users, String> {
    let mut users = Users::new();
    for (nth, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((user, hash)) = line
            .split_once(':')
            .filter(|(user, hash)| !user.is_empty() && !hash.is_empty())
        else {
            return Err(format!("line {nth} is not `user:hash`"));
        };
        let hash = read(hash).map_err(|why| format!("line {nth}: {why}"))?;
        users.insert(user.into(), hash);
    }
    if users.is_empty() {
        return Err("no user in it".to_owned());
    }
    Ok(users)
}

fn read(hash: &str) -> Result<Hash, String> {
    if ["$2y$", "$2a$", "$2b$", "$2x$"]
        .iter()
        .any(|prefix| hash.starts_with(prefix))
    {
        let whole: Result<bcrypt::HashParts, _> = hash.parse();
        return match whole {
            Ok(_) => Ok(Hash::Bcrypt(hash.into())),
            Err(_) => Err("not a whole bcrypt hash".to_owned()),
        };
    }
    if let Some(encoded) = hash.strip_prefix("{SHA}") {
        let digest = BASE64_STANDARD
            .decode(encoded)
            .ok()
            .and_then(|d| d.try_into().ok());
        return digest
            .map(Hash::Sha1)
            .ok_or_else(|| "not a whole {SHA} hash".to_owned());
    }
    if hash.starts_with('$') || hash.starts_with("{SSHA}") {
        let kind: String = hash.chars().take_while(char::is_ascii).take(6).collect();
        return Err(format!(
            "hashes that begin with `{kind}` are not read; write bcrypt (htpasswd -B)"
        ));
    }
    Ok(Hash::Sha1(sha1(hash)))
}

fn sha1(password: &str) -> [u8; 20] {
    let password = Zeroizing::new(password.to_owned());
    Sha1::digest(password.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formats_of_apache_are_read() {
        let bcrypt = bcrypt::hash("s3cret", 4).unwrap();
        let text = format!("# users\nann:{bcrypt}\n\nbob:{{SHA}}5en6G6MezRroT3XKqkdPOmY/BfQ=\ncyd:s3cret\n");
        let users = parse(&text).unwrap();
        assert_eq!(users.len(), 3);
        for user in ["ann", "cyd"] {
            assert!(users[user].matches("s3cret"), "{user}");
            assert!(!users[user].matches("S3cret"), "{user}");
        }
        assert!(users["bob"].matches("secret") && !users["bob"].matches(""));
    }

    #[test]
    fn what_cannot_be_read_is_refused_without_being_shown() {
        for (text, why) in [
            ("ann", "line 1 is not"),
            ("\nann:", "line 2 is not"),
            (":x", "line 1 is not"),
            ("ann:$apr1$abc$s3cret", "`$apr1$` are not read"),
            ("ann:$6$abc$s3cret", "`$6$abc`"),
            ("ann:$2y$10$s3cret", "not a whole bcrypt"),
            ("ann:{SHA}s3cret", "not a whole {SHA}"),
            ("", "no user"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}
