//! `basicauth`: user name and password.
//!
//! A password is hashed slowly once; from then on its keyed digest (with a key that lives as long as the
//! process) stands for it, so that a busy client does not pay fifty milliseconds a request. A name that does
//! not exist costs the same as a wrong password, and both are throttled.

use super::bearer::after_scheme;
use super::htpasswd::{self, Hash, Users};
use super::throttle::Throttle;
use super::{AuthError, Claims, read_file};
use crate::config::Htpasswd;
use crate::receive::failure::Failure;
use arc_swap::ArcSwap;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// Slow hashes at once.
const SLOW_AT_ONCE: usize = 2;
/// Time that a request waits for its turn.
const TURN_WITHIN: Duration = Duration::from_secs(2);
/// Advice to a client that guesses too often, or found no turn.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// The users of one extension.
#[derive(Debug)]
pub(in crate::receive) struct Basic {
    id: String,
    settings: Htpasswd,
    users: ArcSwap<Users>,
    /// Digests of passwords that were right; at most one a user.
    proven: Mutex<HashMap<Box<str>, [u8; 32]>>,
    key: Zeroizing<[u8; 32]>,
    /// What a name that does not exist is checked against; as slow as the slowest that does.
    nobody: Option<Hash>,
    turns: Arc<Semaphore>,
    throttle: Throttle,
}

impl Basic {
    pub(super) fn build(id: &str, settings: &Htpasswd) -> Result<Self, AuthError> {
        let users = read(id, settings)?;
        let mut key = Zeroizing::new([0_u8; 32]);
        let random = rustls::crypto::ring::default_provider().secure_random;
        random.fill(key.as_mut()).map_err(|_| AuthError::Content {
            id: id.to_owned(),
            what: "the system gives no random numbers".to_owned(),
        })?;
        Ok(Self {
            id: id.to_owned(),
            settings: settings.clone(),
            nobody: users.values().find(|hash| hash.is_slow()).cloned(),
            users: ArcSwap::from_pointee(users),
            proven: Mutex::default(),
            key,
            turns: Arc::new(Semaphore::new(SLOW_AT_ONCE)),
            throttle: Throttle::default(),
        })
    }

    pub(super) async fn verify(
        &self,
        claims: &impl Claims,
        peer: Option<IpAddr>,
    ) -> Result<Option<Box<str>>, Failure> {
        let value = claims
            .claim("authorization")
            .ok_or_else(|| refused("no basic auth provided"))?;
        let (user, password) = decode(&value).ok_or_else(|| refused("invalid authorization header"))?;
        let users = self.users.load_full();
        let known = users.get(user.as_str());
        let digest = self.digest(&user, &password);
        if known.is_some() && self.is_proven(&user, &digest) {
            return Ok(Some(user.as_str().into()));
        }
        if !self.throttle.allows(peer) {
            return Err(Failure::Overloaded {
                message: "too many wrong passwords from this address; retry later".into(),
                retry_after: RETRY_AFTER,
            });
        }
        let exists = known.is_some();
        let is_right = match known.cloned().or_else(|| self.nobody.clone()) {
            Some(hash) if hash.is_slow() => self.check_slowly(hash, password).await?,
            Some(hash) => hash.matches(&password),
            None => false,
        };
        if !(exists && is_right) {
            self.throttle.wrong(peer);
            return Err(refused("invalid credentials"));
        }
        let name: Box<str> = user.as_str().into();
        let mut proven = self.proven.lock().unwrap_or_else(PoisonError::into_inner);
        // The users may have changed meanwhile; then this password proves nothing.
        if Arc::ptr_eq(&users, &self.users.load()) {
            proven.insert(name.clone(), digest);
        }
        Ok(Some(name))
    }

    async fn check_slowly(&self, hash: Hash, password: Zeroizing<String>) -> Result<bool, Failure> {
        let turn = Arc::clone(&self.turns).acquire_owned();
        let Ok(Ok(turn)) = tokio::time::timeout(TURN_WITHIN, turn).await else {
            return Err(Failure::Overloaded {
                message: "too many passwords to check; retry later".into(),
                retry_after: RETRY_AFTER,
            });
        };
        let check = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            hash.matches(&password)
        });
        Ok(check.await.unwrap_or(false))
    }

    fn digest(&self, user: &str, password: &str) -> [u8; 32] {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.key.as_ref()) else {
            return [0; 32];
        };
        // A name has no colon, so this cannot be read in two ways.
        for part in [user, ":", password] {
            mac.update(part.as_bytes());
        }
        mac.finalize().into_bytes().into()
    }

    fn is_proven(&self, user: &str, digest: &[u8; 32]) -> bool {
        let proven = self.proven.lock().unwrap_or_else(PoisonError::into_inner);
        proven.get(user).is_some_and(|known| known.ct_eq(digest).into())
    }

    pub(super) fn refresh(&self) -> Result<bool, AuthError> {
        if self.settings.file.is_none() {
            return Ok(false);
        }
        let now = read(&self.id, &self.settings)?;
        let is_new = now != **self.users.load();
        if is_new {
            let mut proven = self.proven.lock().unwrap_or_else(PoisonError::into_inner);
            self.users.store(Arc::new(now));
            proven.clear();
        }
        Ok(is_new)
    }

    pub(super) const fn has_file(&self) -> bool {
        self.settings.file.is_some()
    }
}

fn refused(message: &'static str) -> Failure {
    Failure::Unauthenticated {
        message: message.into(),
        challenge: "Basic realm=\"burngate\", charset=\"UTF-8\"".into(),
    }
}

/// The file's users, and over them those of the configuration.
fn read(id: &str, settings: &Htpasswd) -> Result<Users, AuthError> {
    let content = |what: String| AuthError::Content {
        id: id.to_owned(),
        what: format!("htpasswd: {what}"),
    };
    let mut users = Users::new();
    if let Some(path) = &settings.file {
        let text = read_file(id, path)?;
        let read = htpasswd::parse(&text).map_err(|why| content(format!("{}: {why}", path.display())))?;
        users.extend(read);
    }
    if let Some(inline) = &settings.inline {
        users.extend(htpasswd::parse(inline.expose()).map_err(|why| content(format!("inline: {why}")))?);
    }
    Ok(users)
}

fn decode(value: &str) -> Option<(Zeroizing<String>, Zeroizing<String>)> {
    let decoded = BASE64_STANDARD.decode(after_scheme(value, "Basic")?).ok()?;
    let text = Zeroizing::new(String::from_utf8(decoded).ok()?);
    let (user, password) = text.split_once(':')?;
    Some((
        Zeroizing::new(user.to_owned()),
        Zeroizing::new(password.to_owned()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;
    use std::borrow::Cow;

    struct Login(String);

    impl Claims for Login {
        fn claim(&self, name: &str) -> Option<Cow<'_, str>> {
            (name == "authorization").then(|| self.0.as_str().into())
        }
    }

    fn login(text: &str) -> Login {
        Login(format!("Basic {}", BASE64_STANDARD.encode(text)))
    }

    fn basic(lines: &str) -> Basic {
        let settings = Htpasswd {
            inline: Some(Secret::new(lines)),
            file: None,
        };
        Basic::build("basicauth", &settings).unwrap()
    }

    #[tokio::test]
    async fn the_right_password_names_its_user_and_is_hashed_once() {
        let basic = basic(&format!(
            "ann:{}\nbob:plain",
            bcrypt::hash("s3cret:x", 4).unwrap()
        ));
        for _ in 0..2 {
            let identity = basic.verify(&login("ann:s3cret:x"), None).await.unwrap();
            assert_eq!(identity.as_deref(), Some("ann"));
        }
        assert_eq!(basic.proven.lock().unwrap().len(), 1);
        let identity = basic.verify(&login("bob:plain"), None).await.unwrap();
        assert_eq!(identity.as_deref(), Some("bob"));
    }

    #[tokio::test]
    async fn anything_else_is_refused_in_the_same_words() {
        let basic = basic(&format!("ann:{}", bcrypt::hash("s3cret", 4).unwrap()));
        let mut said = Vec::new();
        for wrong in ["ann:wrong", "nobody:s3cret", "ann:"] {
            let failure = basic.verify(&login(wrong), None).await.unwrap_err();
            assert_eq!(failure.reason(), "unauthenticated");
            said.push(failure.message().into_owned());
        }
        said.dedup();
        assert_eq!(said, ["invalid credentials"]);
        for broken in ["Basic", "Basic !!!", "Bearer x", "Basic YW5u"] {
            assert!(
                basic.verify(&Login(broken.to_owned()), None).await.is_err(),
                "{broken}"
            );
        }
    }

    #[tokio::test]
    async fn guesses_are_throttled_and_a_proven_user_is_not() {
        let basic = basic(&format!("ann:{}", bcrypt::hash("s3cret", 4).unwrap()));
        basic.verify(&login("ann:s3cret"), None).await.unwrap();
        for _ in 0..10 {
            assert!(basic.verify(&login("ann:guess"), None).await.is_err());
        }
        let failure = basic.verify(&login("ann:guess"), None).await.unwrap_err();
        assert_eq!(failure.reason(), "overloaded");
        basic.verify(&login("ann:s3cret"), None).await.unwrap();
    }

    #[tokio::test]
    async fn a_new_file_forgets_what_was_proven() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "ann:old").unwrap();
        let settings = Htpasswd {
            file: Some(file.path().to_owned()),
            inline: None,
        };
        let basic = Basic::build("basicauth", &settings).unwrap();
        basic.verify(&login("ann:old"), None).await.unwrap();
        std::fs::write(&file, "ann:new").unwrap();
        assert!(basic.refresh().unwrap());
        assert!(basic.verify(&login("ann:old"), None).await.is_err());
        basic.verify(&login("ann:new"), None).await.unwrap();
        std::fs::write(&file, "ann").unwrap();
        assert!(basic.refresh().is_err());
        basic.verify(&login("ann:new"), None).await.unwrap();
    }
}
