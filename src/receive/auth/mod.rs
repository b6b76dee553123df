//! Who may send.
//!
//! Property wanted: a request without the right credentials costs next to nothing and learns next to nothing:
//! it is refused by its headers alone, comparisons take the same time whatever is wrong, and the answer does
//! not repeat what was sent. Files of tokens and passwords are read again when they change; one that cannot
//! be used leaves the old ones in place.

mod basic;
mod bearer;
mod htpasswd;
mod throttle;

use super::failure::Failure;
use crate::config::Authenticator;
use basic::Basic;
use bearer::Bearer;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// Why an authenticator cannot work.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// A file cannot be read.
    #[error("{id}: cannot read {path}: {source}")]
    Read {
        /// The extension.
        id: String,
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file or text has nobody in it, or something that cannot be used.
    #[error("{id}: {what}")]
    Content {
        /// The extension.
        id: String,
        /// What is wrong, without secrets.
        what: String,
    },
    /// A receiver names an extension that is not there.
    #[error("auth.authenticator: no extension `{0}` (service.extensions must name it)")]
    Unknown(String),
    /// A receiver names an extension that only knows what exporters send.
    #[error("auth.authenticator: `{0}` knows no users (it has no `htpasswd`)")]
    NoUsers(String),
}

/// Every authenticator of a configuration, by name.
#[derive(Clone, Debug, Default)]
pub struct Authenticators(BTreeMap<Box<str>, Option<Arc<Verifier>>>);

impl Authenticators {
    /// Reads files and checks that what is in them can be used.
    pub fn build<'a>(
        extensions: impl IntoIterator<Item = (&'a str, &'a Authenticator)>,
    ) -> Result<Self, AuthError> {
        let mut all = BTreeMap::new();
        for (id, settings) in extensions {
            let verifier = match settings {
                Authenticator::Bearer(it) => Some(Verifier::Bearer(Bearer::build(id, it)?)),
                Authenticator::Basic(it) => match &it.htpasswd {
                    Some(users) => Some(Verifier::Basic(Basic::build(id, users)?)),
                    None => None,
                },
            };
            all.insert(id.into(), verifier.map(Arc::new));
        }
        Ok(Self(all))
    }

    /// The authenticator `id`.
    pub(super) fn get(&self, id: &str) -> Result<Arc<Verifier>, AuthError> {
        match self.0.get(id) {
            Some(Some(verifier)) => Ok(Arc::clone(verifier)),
            Some(None) => Err(AuthError::NoUsers(id.to_owned())),
            None => Err(AuthError::Unknown(id.to_owned())),
        }
    }
}

/// What a request says about its sender: a header's (or, over HTTP, a named query parameter's) value by name.
pub(super) trait Claims: Sync {
    /// The first value of `name`, in any case.
    fn claim(&self, name: &str) -> Option<Cow<'_, str>>;
}

/// One authenticator.
#[derive(Debug)]
pub(super) enum Verifier {
    Bearer(Bearer),
    Basic(Basic),
}

impl Verifier {
    /// Who sends, or why not.
    pub(super) async fn verify(
        &self,
        claims: &impl Claims,
        peer: Option<IpAddr>,
    ) -> Result<Option<Box<str>>, Failure> {
        match self {
            Self::Bearer(bearer) => bearer.verify(claims),
            Self::Basic(basic) => basic.verify(claims, peer).await,
        }
    }

    /// Reads its file again, on a thread that may block. `Ok(true)` when something new is in use.
    pub(super) fn refresh(&self) -> Result<bool, AuthError> {
        match self {
            Self::Bearer(bearer) => bearer.refresh(),
            Self::Basic(basic) => basic.refresh(),
        }
    }

    /// Whether it has a file.
    pub(super) fn has_file(&self) -> bool {
        match self {
            Self::Bearer(bearer) => bearer.has_file(),
            Self::Basic(basic) => basic.has_file(),
        }
    }
}

/// A text file of an extension, of at most a mebibyte.
fn read_file(id: &str, path: &std::path::Path) -> Result<zeroize::Zeroizing<String>, AuthError> {
    use std::io::Read;
    let failed = |source| AuthError::Read {
        id: id.to_owned(),
        path: path.display().to_string(),
        source,
    };
    let mut text = zeroize::Zeroizing::new(String::new());
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(1 << 20).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}
