//! What `bearertokenauth` and `basicauth` add to a call.

use crate::config::{Authenticator, BasicAuth, BearerTokenAuth, Secret};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderName, HeaderValue, header};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Credentials of an authenticator (`auth`), asked for once a call, because tokens change.
pub trait Authorize: Send + Sync + std::fmt::Debug + 'static {
    /// The header to add; `None` adds none.
    fn header(&self) -> Option<(HeaderName, HeaderValue)>;
}

/// The client's side of an extension. The text of an error is for the operator.
pub fn authorize(extension: &Authenticator) -> Result<Arc<dyn Authorize>, String> {
    match extension {
        Authenticator::Basic(it) => basic(it),
        Authenticator::Bearer(it) => bearer(it),
    }
}

/// A header that stays as it is.
#[derive(Debug)]
struct Fixed(HeaderName, HeaderValue);

impl Authorize for Fixed {
    fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        Some((self.0.clone(), self.1.clone()))
    }
}

fn basic(it: &BasicAuth) -> Result<Arc<dyn Authorize>, String> {
    let Some(client) = &it.client_auth else {
        return Err("basicauth: without client_auth it has nothing that an exporter could send".to_owned());
    };
    let pair = format!("{}:{}", client.username, client.password.expose());
    let value = sensitive(&format!("Basic {}", BASE64_STANDARD.encode(pair)))?;
    Ok(Arc::new(Fixed(header::AUTHORIZATION, value)))
}

fn bearer(it: &BearerTokenAuth) -> Result<Arc<dyn Authorize>, String> {
    let name = HeaderName::from_bytes(it.header.as_bytes())
        .map_err(|_| format!("bearertokenauth: header {:?} is no name of a header", it.header))?;
    if let Some(path) = &it.filename {
        let (scheme, path) = (it.scheme.clone(), path.clone());
        let value = from_file(&scheme, &path)?;
        let seen = modified(&path);
        return Ok(Arc::new(FromFile {
            name,
            scheme,
            path,
            state: Mutex::new((value, seen, Instant::now())),
        }));
    }
    let token = it.tokens.first().map_or("", Secret::expose);
    Ok(Arc::new(Fixed(name, with_scheme(&it.scheme, token)?)))
}

fn sensitive(text: &str) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| "the credentials have a character that no header may have".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

fn with_scheme(scheme: &str, token: &str) -> Result<HeaderValue, String> {
    sensitive(format!("{scheme} {token}").trim())
}

fn from_file(scheme: &str, path: &Path) -> Result<HeaderValue, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let text = Secret::new(text);
    let token = text.expose().lines().map(str::trim).find(|line| !line.is_empty());
    with_scheme(
        scheme,
        token.ok_or_else(|| format!("{}: no token in it", path.display()))?,
    )
}

fn modified(path: &Path) -> Option<std::time::SystemTime> {
    std::fs::metadata(path).and_then(|it| it.modified()).ok()
}

/// Time between two looks at a file.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The first token of a file, which is rotated by whoever writes it.
#[derive(Debug)]
struct FromFile {
    name: HeaderName,
    scheme: String,
    path: PathBuf,
    state: Mutex<(HeaderValue, Option<std::time::SystemTime>, Instant)>,
}

impl Authorize for FromFile {
    fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.2.elapsed() >= LOOK_EVERY {
            state.2 = Instant::now();
            let seen = modified(&self.path);
            if seen != state.1 {
                match from_file(&self.scheme, &self.path) {
                    Ok(value) => (state.0, state.1) = (value, seen),
                    Err(error) => tracing::error!(error, "a new token cannot be read; the old one is sent"),
                }
            }
        }
        Some((self.name.clone(), state.0.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ClientAuth;

    fn sent(extension: &Authenticator) -> String {
        let (name, value) = authorize(extension).unwrap().header().unwrap();
        assert!(value.is_sensitive());
        format!("{name}: {}", value.to_str().unwrap())
    }

    #[test]
    fn credentials_stand_in_their_headers() {
        let basic = BasicAuth {
            client_auth: Some(ClientAuth {
                username: "Aladdin".to_owned(),
                password: Secret::new("open sesame"),
            }),
            ..BasicAuth::default()
        };
        assert_eq!(
            sent(&Authenticator::Basic(basic)),
            "authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
        );
        let bearer = BearerTokenAuth {
            header: "X-Token".to_owned(),
            scheme: String::new(),
            tokens: vec![Secret::new("t0"), Secret::new("t1")],
            filename: None,
        };
        assert_eq!(sent(&Authenticator::Bearer(bearer)), "x-token: t0");
    }

    #[tokio::test(start_paused = true)]
    async fn token_of_a_file_changes_with_it_and_outlives_its_absence() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "\nfirst\n").unwrap();
        let bearer = BearerTokenAuth {
            filename: Some(path.clone()),
            ..BearerTokenAuth::default()
        };
        let it = authorize(&Authenticator::Bearer(bearer)).unwrap();
        let value = || it.header().unwrap().1;
        assert_eq!(value(), "Bearer first");
        std::fs::write(&path, "second").unwrap();
        let later = std::time::UNIX_EPOCH + Duration::from_secs(4_000_000_000);
        std::fs::File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(later)
            .unwrap();
        tokio::time::advance(LOOK_EVERY).await;
        assert_eq!(value(), "Bearer second");
        std::fs::remove_file(&path).unwrap();
        tokio::time::advance(LOOK_EVERY).await;
        assert_eq!(value(), "Bearer second");
    }

    #[test]
    fn what_cannot_be_sent_is_an_error() {
        assert!(authorize(&Authenticator::Basic(BasicAuth::default())).is_err());
        let bearer = BearerTokenAuth {
            filename: Some("/nowhere/token".into()),
            ..BearerTokenAuth::default()
        };
        assert!(
            authorize(&Authenticator::Bearer(bearer))
                .unwrap_err()
                .contains("/nowhere/token")
        );
    }
}
