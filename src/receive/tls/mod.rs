//! TLS and mTLS, with certificates that are replaced while connections live.
//!
//! Problem: certificates last weeks, connections last days, and a restart for a new certificate drops
//! telemetry. Property wanted: files are looked at every `reload_interval`; what changed serves the next
//! handshake, those under way finish with what they began with, and a file that cannot be used leaves the old
//! one in place and is reported. Rejected: watching the folder for events, because mounted secrets are
//! symlinks that are swapped above the file, and because a look at three small files a minute costs nothing.

mod load;

pub use load::TlsError;

use super::io::{Raw, Stream};
use crate::config::TlsServer;
use arc_swap::ArcSwap;
use load::{Loaded, Material};
use rustls::ServerConfig;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio_rustls::TlsAcceptor;

/// The TLS of one receiver.
#[derive(Debug)]
pub(super) struct Tls {
    settings: TlsServer,
    alpn: &'static [&'static [u8]],
    current: ArcSwap<ServerConfig>,
    /// What `current` was made from.
    material: Mutex<Material>,
}

/// What the protocols speak inside.
pub(super) const GRPC_ALPN: &[&[u8]] = &[b"h2"];
pub(super) const HTTP_ALPN: &[&[u8]] = &[b"h2", b"http/1.1"];

impl Tls {
    /// Reads the files and checks that they fit each other.
    pub(super) fn load(settings: &TlsServer, alpn: &'static [&'static [u8]]) -> Result<Self, TlsError> {
        let Loaded { config, material } = load::load(settings, alpn, None)?;
        Ok(Self {
            settings: settings.clone(),
            alpn,
            current: ArcSwap::new(config),
            material: Mutex::new(material),
        })
    }

    /// Time between two looks; `None` for never.
    pub(super) fn look_every(&self) -> Option<Duration> {
        let every = self.settings.reload_interval;
        (!every.is_zero()).then_some(every)
    }

    /// Looks at the files, on a thread that may block. `Ok(true)` when something new is in use.
    pub(super) fn refresh(&self) -> Result<bool, TlsError> {
        let mut material = self.material.lock().unwrap_or_else(PoisonError::into_inner);
        let fixed_roots = (!self.settings.client_ca_file_reload).then_some(&*material);
        let now = load::read(&self.settings, fixed_roots)?;
        if now == *material {
            return Ok(false);
        }
        let config = load::build(&self.settings, self.alpn, &now)?;
        self.current.store(config);
        *material = now;
        Ok(true)
    }

    /// Shakes hands, within the time that is set.
    pub(super) async fn accept(&self, raw: Raw) -> io::Result<Stream> {
        let acceptor = TlsAcceptor::from(self.current.load_full());
        match tokio::time::timeout(self.settings.handshake_timeout, acceptor.accept(raw)).await {
            Ok(stream) => stream.map(|stream| Stream::Tls(Box::new(stream))),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

#[cfg(test)]
mod tests;
