//! What an exporter says about us: the client side of `bearertokenauth` and `basicauth`.
//!
//! A token in a file is read again when somebody asks for it more than ten seconds after the last reading,
//! because mounted tokens are renewed while we run; a file that cannot be read leaves the former token in
//! use.

use crate::config::{Authenticator, Secret};
use crate::forward::Authorize;
use crate::time::{Clock, UnixNanos};
use base64::Engine as _;
use http::{HeaderName, HeaderValue, header};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Seconds between two readings of a file.
const LOOK_EVERY_SECS: u64 = 10;

/// Why an exporter cannot use an authenticator.
#[derive(Debug, thiserror::Error)]
pub enum AuthorizeError {
    /// A name that no extension has.
    #[error("auth.authenticator: no extension `{0}` (service.extensions must name it)")]
    Unknown(String),
    /// An extension that only knows whom to let in.
    #[error("auth.authenticator: `{0}` says nothing of us (it has no `client_auth`)")]
    NoCredentials(String),
    /// A token's file.
    #[error("auth.authenticator: {0}")]
    File(String),
    /// Text that no header can carry.
    #[error("auth.authenticator: `{0}` holds what no header can carry")]
    NotAHeader(String),
}

/// A header for every call.
pub(super) struct Credentials {
    name: HeaderName,
    scheme: String,
    file: Option<PathBuf>,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

struct State {
    value: HeaderValue,
    read_at: UnixNanos,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// The credentials that the extension `id` has for exporters.
pub(super) fn credentials(
    id: &str,
    extensions: &[(&str, Authenticator)],
    clock: &Arc<dyn Clock>,
) -> Result<Arc<Credentials>, AuthorizeError> {
    let found = extensions.iter().find(|(name, _)| *name == id);
    let Some((_, extension)) = found else {
        return Err(AuthorizeError::Unknown(id.to_owned()));
    };
    let not_a_header = || AuthorizeError::NotAHeader(id.to_owned());
    let (name, scheme, secret, file) = match extension {
        Authenticator::Bearer(bearer) => {
            let name = HeaderName::from_bytes(bearer.header.as_bytes()).map_err(|_| not_a_header())?;
            let token = match (&bearer.filename, bearer.tokens.first()) {
                (Some(file), _) => token_of(file).map_err(AuthorizeError::File)?,
                (None, Some(token)) => token.clone(),
                (None, None) => return Err(AuthorizeError::NoCredentials(id.to_owned())),
            };
            (name, bearer.scheme.clone(), token, bearer.filename.clone())
        }
        Authenticator::Basic(basic) => {
            let Some(client) = &basic.client_auth else {
                return Err(AuthorizeError::NoCredentials(id.to_owned()));
            };
            let pair = format!("{}:{}", client.username, client.password.expose());
            let packed = base64::engine::general_purpose::STANDARD.encode(pair);
            (
                header::AUTHORIZATION,
                "Basic".to_owned(),
                Secret::new(packed),
                None,
            )
        }
    };
    let value = header_value(&scheme, &secret).ok_or_else(not_a_header)?;
    let state = State {
        value,
        read_at: clock.now(),
    };
    Ok(Arc::new(Credentials {
        name,
        scheme,
        file,
        clock: clock.clone(),
        state: Mutex::new(state),
    }))
}

fn header_value(scheme: &str, secret: &Secret) -> Option<HeaderValue> {
    let text = match scheme {
        "" => secret.expose().to_owned(),
        scheme => format!("{scheme} {}", secret.expose()),
    };
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The first line that is not empty.
fn token_of(file: &Path) -> Result<Secret, String> {
    let text = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
    let line = text.lines().map(str::trim).find(|line| !line.is_empty());
    line.map(Secret::new)
        .ok_or_else(|| format!("{}: holds no token", file.display()))
}

impl Authorize for Credentials {
    fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &self.file {
            let now = self.clock.now();
            if now.secs_since(state.read_at) >= LOOK_EVERY_SECS {
                state.read_at = now;
                match token_of(file).map(|token| header_value(&self.scheme, &token)) {
                    Ok(Some(value)) => state.value = value,
                    Ok(None) => tracing::warn!(file = %file.display(), "a token that no header can carry"),
                    Err(error) => tracing::warn!(%error, "the former token stays in use"),
                }
            }
        }
        Some((self.name.clone(), state.value.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{BasicAuth, BearerTokenAuth, ClientAuth};
    use std::sync::atomic::{AtomicU64, Ordering};

    #[derive(Debug, Default)]
    struct Hands(AtomicU64);

    impl Clock for Hands {
        fn now(&self) -> UnixNanos {
            UnixNanos(self.0.load(Ordering::Relaxed) * 1_000_000_000)
        }
    }

    fn bearer(tokens: &[&str], filename: Option<PathBuf>) -> Authenticator {
        Authenticator::Bearer(BearerTokenAuth {
            header: "Authorization".into(),
            scheme: "Bearer".into(),
            tokens: tokens.iter().copied().map(Secret::new).collect(),
            filename,
        })
    }

    fn said(credentials: &Credentials) -> String {
        credentials.header().unwrap().1.to_str().unwrap().to_owned()
    }

    #[test]
    fn a_token_file_is_read_again_and_a_missing_one_leaves_the_former_token() {
        let hands = Arc::new(Hands::default());
        let clock: Arc<dyn Clock> = hands.clone();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "\none\n").unwrap();
        let extension = bearer(&[], Some(file.clone()));
        let credentials = credentials("b", &[("b", extension)], &clock).unwrap();
        assert_eq!(said(&credentials), "Bearer one");
        std::fs::write(&file, "two").unwrap();
        assert_eq!(said(&credentials), "Bearer one");
        hands.0.store(10, Ordering::Relaxed);
        assert_eq!(said(&credentials), "Bearer two");
        std::fs::remove_file(&file).unwrap();
        hands.0.store(20, Ordering::Relaxed);
        assert_eq!(said(&credentials), "Bearer two");
    }

    #[test]
    fn basic_is_packed_and_what_has_no_credentials_is_refused_by_name() {
        let clock: Arc<dyn Clock> = Arc::new(Hands::default());
        let mut basic = BasicAuth {
            client_auth: Some(ClientAuth {
                username: "Aladdin".into(),
                password: Secret::new("open sesame"),
            }),
            ..BasicAuth::default()
        };
        // The example of RFC 7617.
        let extension = Authenticator::Basic(basic.clone());
        let built = credentials("x", &[("x", extension.clone())], &clock).unwrap();
        assert_eq!(said(&built), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        basic.client_auth = None;
        let extension = Authenticator::Basic(basic);
        let refused = |id: &str| {
            credentials(id, &[("x", extension.clone())], &clock)
                .unwrap_err()
                .to_string()
        };
        assert!(refused("x").contains("no `client_auth`"));
        assert!(refused("y").contains("no extension `y`"));
        let bad = bearer(&["a\nb"], None);
        assert!(credentials("z", &[("z", bad)], &clock).is_err());
    }
}
