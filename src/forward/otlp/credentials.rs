//! What an authenticator adds to a call; whoever knows the extensions implements it.

use http::{HeaderName, HeaderValue};

/// Credentials of an authenticator (`auth`), asked for once a call, because tokens change.
pub trait Authorize: Send + Sync + std::fmt::Debug + 'static {
    /// The header to add; `None` adds none.
    fn header(&self) -> Option<(HeaderName, HeaderValue)>;
}
