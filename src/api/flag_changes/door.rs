//! Who may tell of changes: whoever shows the token, or signs with the key.
//!
//! A flood of made-up changes would keep evidence from ever being enough, so nobody may by default.
//! Services differ in what they can send: a header of one's choice (Unleash), a signature of Standard
//! Webhooks, or `X-LD-Signature`, the hex HMAC of the body (LaunchDarkly). What a signature says of the
//! time counts, so that a call that is sent again later says nothing new.

use super::super::guesses::Guesses;
use super::super::http::refusal;
use crate::config::{FlagChangesDoor, Secret};
use crate::time::{NANOS_PER_SEC, UnixNanos};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::sync::Arc;
use subtle::ConstantTimeEq as _;

/// Seconds that a signature may be old, or ahead.
const SIGNED_WITHIN_SECS: u64 = 300;

/// See the module.
#[derive(Clone)]
pub(in crate::api) struct Door {
    token: Option<[u8; 32]>,
    key: Option<Arc<Secret>>,
    guesses: Guesses,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Door")
    }
}

/// Whom a call is from, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Admitted {
    /// When a change happened that does not say so itself; `None` where it must.
    pub(super) at: Option<UnixNanos>,
}

impl Door {
    pub(in crate::api) fn new(config: &FlagChangesDoor) -> Self {
        let usable = |secret: &Option<Secret>| secret.clone().filter(|it| !it.is_blank());
        Self {
            token: usable(&config.token).map(|it| hash(it.expose())),
            key: usable(&config.signing_key).map(Arc::new),
            guesses: Guesses::default(),
        }
    }

    pub(super) fn admit(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: UnixNanos,
    ) -> Result<Admitted, Box<Response>> {
        let refused = |status, told: &str| Err(Box::new(refusal(status, told)));
        if self.token.is_none() && self.key.is_none() {
            let told = "nobody may do this: set token or signing_key in extensions.api.flag_changes";
            return refused(StatusCode::FORBIDDEN, told);
        }
        if !self.guesses.may_try(now.secs()) {
            let told = "too many wrong tokens; try again in a second";
            return refused(StatusCode::TOO_MANY_REQUESTS, told);
        }
        if self.shows_token(headers) {
            return Ok(Admitted { at: Some(now) });
        }
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        if let Some(key) = &self.key {
            if let Some(signed) = Standard::of(&text) {
                return match signed.verify(key, body, now) {
                    Ok(at) => Ok(Admitted { at: Some(at) }),
                    Err(told) => {
                        self.guesses.was_wrong();
                        refused(StatusCode::UNAUTHORIZED, told)
                    }
                };
            }
            if let Some(shown) = text("x-ld-signature").and_then(|it| hex::decode(it.trim()).ok())
                && is_mac(key.expose().trim().as_bytes(), &[body], &shown)
            {
                return Ok(Admitted { at: None });
            }
        }
        self.guesses.was_wrong();
        let told = "expected the header `Authorization: Bearer <token>`, or a signature under signing_key \
                    (webhook-signature of Standard Webhooks, or X-LD-Signature)";
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
        let answer = refusal(StatusCode::UNAUTHORIZED, told);
        Err(Box::new((challenge, answer).into_response()))
    }

    /// With or without the word `Bearer`: not every service can send it.
    fn shows_token(&self, headers: &HeaderMap) -> bool {
        let shown = headers.get(header::AUTHORIZATION).and_then(|it| it.to_str().ok());
        let Some((token, shown)) = self.token.zip(shown) else {
            return false;
        };
        let bare = match shown.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token,
            _ => shown,
        };
        bool::from(hash(bare).ct_eq(&token))
    }
}

/// The headers of Standard Webhooks.
struct Standard<'h> {
    id: &'h str,
    timestamp: &'h str,
    signatures: &'h str,
}

impl<'h> Standard<'h> {
    fn of(text: &impl Fn(&str) -> Option<&'h str>) -> Option<Self> {
        Some(Self {
            id: text("webhook-id")?,
            timestamp: text("webhook-timestamp")?,
            signatures: text("webhook-signature")?,
        })
    }

    /// When it was signed.
    fn verify(&self, key: &Secret, body: &[u8], now: UnixNanos) -> Result<UnixNanos, &'static str> {
        let key = key.expose().trim();
        let key = key
            .strip_prefix("whsec_")
            .and_then(|it| STANDARD.decode(it).ok())
            .unwrap_or_else(|| key.as_bytes().to_vec());
        let parts = [self.id.as_bytes(), b".", self.timestamp.as_bytes(), b".", body];
        let signatures = self.signatures.split_ascii_whitespace();
        let mut ours = signatures.filter_map(|it| STANDARD.decode(it.strip_prefix("v1,")?).ok());
        if !ours.any(|shown| is_mac(&key, &parts, &shown)) {
            return Err("webhook-signature is not that of this body under signing_key");
        }
        let at: Option<u64> = self.timestamp.trim().parse().ok();
        at.filter(|at| now.secs().abs_diff(*at) <= SIGNED_WITHIN_SECS)
            .map(|at| UnixNanos(at.saturating_mul(NANOS_PER_SEC)))
            .ok_or("webhook-timestamp is not within five minutes of this machine's clock")
    }
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.trim().as_bytes()).into()
}

/// Whether `shown` is the HMAC-SHA256 of all parts, compared in constant time.
fn is_mac(key: &[u8], parts: &[&[u8]], shown: &[u8]) -> bool {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return false;
    };
    for part in parts {
        mac.update(part);
    }
    mac.verify_slice(shown).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixNanos = UnixNanos::from_secs(1_795_300_000);
    const BODY: &[u8] = br#"{"flag":"f","environment":"production"}"#;

    fn door(token: Option<&str>, key: Option<&str>) -> Door {
        Door::new(&FlagChangesDoor {
            token: token.map(Secret::new),
            signing_key: key.map(Secret::new),
        })
    }

    fn headers(pairs: &[(&'static str, String)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| {
            let name: http::HeaderName = name.parse().unwrap();
            (name, value.parse().unwrap())
        });
        pairs.collect()
    }

    fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(text);
        mac.finalize().into_bytes().to_vec()
    }

    fn standard(key: &[u8], at: u64, body: &[u8]) -> HeaderMap {
        let text = [format!("id-1.{at}.").as_bytes(), body].concat();
        let signature = format!("v1,AAAA v1,{}", STANDARD.encode(mac(key, &text)));
        headers(&[
            ("webhook-id", "id-1".into()),
            ("webhook-timestamp", at.to_string()),
            ("webhook-signature", signature),
        ])
    }

    fn status(outcome: Result<Admitted, Box<Response>>) -> u16 {
        outcome.map_or_else(|refused| refused.status().as_u16(), |_| 202)
    }

    #[test]
    fn nobody_may_until_somebody_is_named() {
        let shown = headers(&[("authorization", "Bearer x".into())]);
        assert_eq!(status(door(None, None).admit(&shown, BODY, NOW)), 403);
        assert_eq!(status(door(Some(" "), None).admit(&shown, BODY, NOW)), 403);
    }

    #[test]
    fn the_token_is_enough_and_another_is_not_and_guessing_is_held_up() {
        let door = door(Some("t0ken"), None);
        for (shown, want) in [
            ("Bearer t0ken", 202),
            ("bearer t0ken", 202),
            ("t0ken", 202),
            ("Bearer t0kem", 401),
            ("Basic t0ken", 401),
            ("Bearer", 401),
            ("", 401),
        ] {
            let shown = headers(&[("authorization", shown.into())]);
            assert_eq!(status(door.admit(&shown, BODY, NOW)), want, "{shown:?}");
        }
        let wrong = headers(&[("authorization", "Bearer x".into())]);
        for _ in 0..6 {
            assert_eq!(status(door.admit(&wrong, BODY, NOW)), 401);
        }
        let right = headers(&[("authorization", "Bearer t0ken".into())]);
        assert_eq!(status(door.admit(&right, BODY, NOW)), 429);
        assert_eq!(status(door.admit(&right, BODY, NOW.plus_secs(1))), 202);
    }

    #[test]
    fn a_signature_of_standard_webhooks_counts_with_its_time() {
        let at = NOW.secs() - 60;
        let (plain, coded) = ("k3y", format!("whsec_{}", STANDARD.encode("k3y")));
        for key in [plain, &coded] {
            let door = door(None, Some(key));
            let admitted = door.admit(&standard(b"k3y", at, BODY), BODY, NOW).unwrap();
            assert_eq!(admitted.at, Some(UnixNanos::from_secs(at)));
            for (headers, body) in [
                (standard(b"other", at, BODY), BODY),
                (standard(b"k3y", at, BODY), &b"{}"[..]),
                (standard(b"k3y", NOW.secs() - 301, BODY), BODY),
                (standard(b"k3y", NOW.secs() + 301, BODY), BODY),
            ] {
                assert_eq!(status(door.admit(&headers, body, NOW)), 401);
            }
        }
    }

    #[test]
    fn a_signature_of_launchdarkly_counts_and_leaves_the_time_to_the_body() {
        let door = door(None, Some("k3y"));
        let signed = |body| headers(&[("x-ld-signature", hex::encode(mac(b"k3y", body)))]);
        let admitted = door.admit(&signed(BODY), BODY, NOW).unwrap();
        assert_eq!(admitted.at, None);
        assert_eq!(status(door.admit(&signed(b"{}"), BODY, NOW)), 401);
        let none = headers(&[("x-ld-signature", String::new())]);
        assert_eq!(status(door.admit(&none, BODY, NOW)), 401);
    }
}
