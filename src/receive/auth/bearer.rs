//! `bearertokenauth`: a token in a header.

use super::{AuthError, Claims, read_file};
use crate::config::BearerTokenAuth;
use crate::receive::failure::Failure;
use arc_swap::ArcSwap;
use sha2::{Digest, Sha256};
use std::path::PathBuf;
use std::sync::Arc;
use subtle::{ConditionallySelectable, ConstantTimeEq};

/// A token's hash: all of one length, so that a comparison tells nothing, not even a length.
type Hash = [u8; 32];

/// The tokens that are taken.
#[derive(Debug)]
pub(in crate::receive) struct Bearer {
    id: String,
    header: String,
    scheme: String,
    file: Option<PathBuf>,
    tokens: ArcSwap<Vec<Hash>>,
}

impl Bearer {
    pub(super) fn build(id: &str, settings: &BearerTokenAuth) -> Result<Self, AuthError> {
        let tokens = match &settings.filename {
            Some(path) => from_file(id, path)?,
            None => settings.tokens.iter().map(|t| hash(t.expose())).collect(),
        };
        Ok(Self {
            id: id.to_owned(),
            header: settings.header.clone(),
            scheme: settings.scheme.clone(),
            file: settings.filename.clone(),
            tokens: ArcSwap::from_pointee(tokens),
        })
    }

    /// The sender is named after the token's place in the list; the token itself is a secret.
    pub(super) fn verify(&self, claims: &impl Claims) -> Result<Option<Box<str>>, Failure> {
        let Some(value) = claims.claim(&self.header) else {
            return Err(self.refuse(format!("missing or empty authorization header: {}", self.header)));
        };
        let Some(token) = after_scheme(&value, &self.scheme) else {
            return Err(self.refuse(format!(
                "the header {} is not of the scheme asked for",
                self.header
            )));
        };
        let (given, tokens) = (hash(token), self.tokens.load());
        // All are compared, so that the time does not tell which one was near.
        let mut found = 0_u32;
        for (nth, known) in (1_u32..).zip(tokens.iter()) {
            found.conditional_assign(&nth, known.ct_eq(&given));
        }
        if found == 0 {
            return Err(self.refuse("provided authorization does not match expected scheme or token".into()));
        }
        Ok(Some(format!("{}#{found}", self.id).into()))
    }

    fn refuse(&self, message: String) -> Failure {
        let challenge = if self.scheme.is_empty() {
            "Bearer"
        } else {
            &self.scheme
        };
        Failure::Unauthenticated {
            message: message.into(),
            challenge: challenge.to_owned().into(),
        }
    }

    pub(super) fn refresh(&self) -> Result<bool, AuthError> {
        let Some(path) = &self.file else { return Ok(false) };
        let now = from_file(&self.id, path)?;
        let is_new = now != **self.tokens.load();
        if is_new {
            self.tokens.store(Arc::new(now));
        }
        Ok(is_new)
    }

    pub(super) const fn has_file(&self) -> bool {
        self.file.is_some()
    }
}

fn from_file(id: &str, path: &std::path::Path) -> Result<Vec<Hash>, AuthError> {
    let text = read_file(id, path)?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let tokens: Vec<_> = lines.map(hash).collect();
    if tokens.is_empty() {
        return Err(AuthError::Content {
            id: id.to_owned(),
            what: format!("{} has no token in it", path.display()),
        });
    }
    Ok(tokens)
}

fn hash(token: &str) -> Hash {
    Sha256::digest(token.as_bytes()).into()
}

/// What stands behind the scheme; schemes are the same in any case (RFC 9110, 11.1).
pub(super) fn after_scheme<'a>(value: &'a str, scheme: &str) -> Option<&'a str> {
    if scheme.is_empty() {
        return Some(value.trim());
    }
    let (head, rest) = value.trim().split_at_checked(scheme.len())?;
    (head.eq_ignore_ascii_case(scheme) && rest.starts_with(' ')).then(|| rest.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;
    use std::borrow::Cow;

    struct One(&'static str, &'static str);

    impl Claims for One {
        fn claim(&self, name: &str) -> Option<Cow<'_, str>> {
            name.eq_ignore_ascii_case(self.0).then(|| self.1.into())
        }
    }

    fn bearer(tokens: &[&str]) -> Bearer {
        let settings = BearerTokenAuth {
            tokens: tokens.iter().copied().map(Secret::new).collect(),
            ..BearerTokenAuth::default()
        };
        Bearer::build("bearertokenauth/x", &settings).unwrap()
    }

    #[test]
    fn each_token_is_taken_and_names_its_place() {
        let bearer = bearer(&["one", "two"]);
        let identity = |value| bearer.verify(&One("authorization", value)).unwrap().unwrap();
        assert_eq!(&*identity("Bearer one"), "bearertokenauth/x#1");
        assert_eq!(&*identity("bearer  two"), "bearertokenauth/x#2");
    }

    #[test]
    fn nothing_else_is() {
        let bearer = bearer(&["one", "two"]);
        for value in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer on",
            "Bearer onee",
            "Bearerone",
            "Basic one",
            "one",
        ] {
            let refused = bearer.verify(&One("Authorization", value)).unwrap_err();
            assert_eq!(refused.reason(), "unauthenticated", "{value}");
            assert!(!refused.message().contains("one"), "{value}");
        }
        assert!(bearer.verify(&One("x-token", "Bearer one")).is_err());
    }

    #[test]
    fn a_file_has_a_token_a_line_and_an_empty_one_changes_nothing() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "one\n\n two \n").unwrap();
        let settings = BearerTokenAuth {
            filename: Some(file.path().to_owned()),
            ..BearerTokenAuth::default()
        };
        let bearer = Bearer::build("b", &settings).unwrap();
        assert!(bearer.verify(&One("authorization", "Bearer two")).is_ok());
        std::fs::write(&file, "three").unwrap();
        assert!(bearer.refresh().unwrap());
        assert!(bearer.verify(&One("authorization", "Bearer two")).is_err());
        std::fs::write(&file, "\n").unwrap();
        assert!(bearer.refresh().is_err());
        assert!(bearer.verify(&One("authorization", "Bearer three")).is_ok());
    }
}
