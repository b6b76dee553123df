//! Who sent a request.

use std::net::SocketAddr;

/// The other end of a connection, and who it says and proved that it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sender<'a> {
    /// `None` for a local peer without an address.
    pub peer: Option<SocketAddr>,
    /// What the receiver's authenticator calls it; `None` where none asked.
    pub identity: Option<&'a str>,
}

impl Sender<'_> {
    /// The source of resources that name no instance. A port is new with each connection and would make every
    /// one a source of its own.
    pub(super) fn source(&self) -> Option<String> {
        self.peer.map(|peer| peer.ip().to_string())
    }
}

impl From<Option<SocketAddr>> for Sender<'_> {
    fn from(peer: Option<SocketAddr>) -> Self {
        Self { peer, identity: None }
    }
}
