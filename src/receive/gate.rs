//! A receiver's gate: TLS and an authenticator, or neither.

use super::auth::{AuthError, Authenticators, Verifier};
use super::tls::{GRPC_ALPN, HTTP_ALPN, Tls, TlsError};
use crate::config::{GrpcReceiver, HttpReceiver, ReceiverAuth, TlsServer};
use std::sync::Arc;
use std::time::Duration;

/// Time between two looks at files of tokens and passwords.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Why a gate cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// TLS.
    #[error("tls.{0}")]
    Tls(#[from] TlsError),
    /// The authenticator.
    #[error(transparent)]
    Auth(#[from] AuthError),
}

/// Who may come in. The default lets everybody in.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) auth: Option<Auth>,
}

/// An authenticator, as one receiver uses it.
#[derive(Clone, Debug)]
pub(super) struct Auth {
    pub(super) verifier: Arc<Verifier>,
    pub(super) request_params: Arc<[String]>,
}

impl Gate {
    /// For a gRPC receiver; reads its certificates.
    pub fn grpc(config: &GrpcReceiver, authenticators: &Authenticators) -> Result<Self, GateError> {
        Self::build(
            config.tls.as_ref(),
            GRPC_ALPN,
            config.auth.as_ref(),
            authenticators,
        )
    }

    /// For an HTTP receiver; reads its certificates.
    pub fn http(config: &HttpReceiver, authenticators: &Authenticators) -> Result<Self, GateError> {
        Self::build(
            config.tls.as_ref(),
            HTTP_ALPN,
            config.auth.as_ref(),
            authenticators,
        )
    }

    fn build(
        tls: Option<&TlsServer>,
        alpn: &'static [&'static [u8]],
        auth: Option<&ReceiverAuth>,
        authenticators: &Authenticators,
    ) -> Result<Self, GateError> {
        let tls = tls.map(|tls| Tls::load(tls, alpn)).transpose()?.map(Arc::new);
        let auth = match auth {
            None => None,
            Some(auth) => Some(Auth {
                verifier: authenticators.get(&auth.authenticator)?,
                request_params: auth.request_params.as_slice().into(),
            }),
        };
        Ok(Self { tls, auth })
    }

    /// Time between two looks at its files; `None` where it has none.
    pub(super) fn look_every(&self) -> Option<Duration> {
        let tls = self.tls.as_ref().and_then(|tls| tls.look_every());
        let auth = self
            .auth
            .as_ref()
            .filter(|auth| auth.verifier.has_file())
            .map(|_| LOOK_EVERY);
        tls.into_iter().chain(auth).min()
    }

    /// Reads its files again, on a thread that may block: what is new, and what could not be used.
    pub(super) fn refresh(&self) -> Vec<Result<&'static str, GateError>> {
        let mut outcomes = Vec::new();
        let mut note = |what, outcome: Result<bool, GateError>| match outcome {
            Ok(false) => {}
            Ok(true) => outcomes.push(Ok(what)),
            Err(error) => outcomes.push(Err(error)),
        };
        if let Some(tls) = &self.tls {
            note("certificates", tls.refresh().map_err(GateError::from));
        }
        if let Some(auth) = &self.auth {
            note("credentials", auth.verifier.refresh().map_err(GateError::from));
        }
        outcomes
    }
}
