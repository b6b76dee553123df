//! Where a receiver listens: an address, a name that is resolved when it is bound, or a unix socket.

use super::section::{Section, shown};
use super::setting::{Setting, text};
use super::tree::Node;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A place to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// An IP address and port.
    Address(SocketAddr),
    /// A host name and port, resolved when it is bound: `otel-collector:4317`.
    Name(String, u16),
    /// A unix socket.
    Unix {
        /// Path of the socket file.
        path: PathBuf,
        /// Permissions of the socket file.
        mode: u32,
    },
}

impl Endpoint {
    /// The address, where it is one.
    pub const fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Address(address) => Some(*address),
            Self::Name(..) | Self::Unix { .. } => None,
        }
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self::Address(address)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(host, port) => write!(f, "{host}:{port}"),
            Self::Unix { path, .. } => write!(f, "unix:{}", path.display()),
        }
    }
}

/// An address or a name, over TCP.
struct Tcp(Endpoint);

impl Setting for Tcp {
    const EXPECTED: &'static str = SocketAddr::EXPECTED;

    fn read(node: &Node) -> Result<Self, String> {
        if let Ok(address) = SocketAddr::read(node) {
            return Ok(Self(address.into()));
        }
        let named = text(node).and_then(|text| {
            let (host, port) = text.rsplit_once(':')?;
            let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            let looks_like_a_name =
                host.contains(|c: char| c.is_ascii_alphabetic()) && host.chars().all(valid);
            looks_like_a_name.then_some(())?;
            Some(Self(Endpoint::Name(host.to_owned(), port.parse().ok()?)))
        });
        named.ok_or_else(|| shown(node))
    }
}

/// Octal permissions, such as `0660`.
struct Mode(u32);

impl Setting for Mode {
    const EXPECTED: &'static str = "permissions in octal such as \"0660\"";

    fn read(node: &Node) -> Result<Self, String> {
        text(node)
            .and_then(|text| u32::from_str_radix(text, 8).ok())
            .filter(|mode| *mode <= 0o777)
            .map(Self)
            .ok_or_else(|| shown(node))
    }
}

/// Reads `endpoint`, `transport` and `socket_mode`.
pub(super) fn read(section: &Section<'_>, slot: &mut Endpoint) {
    let mut transport = "tcp".to_owned();
    section.field("transport", &mut transport);
    let mut mode = Mode(0o660);
    section.field("socket_mode", &mut mode);
    match transport.as_str() {
        "tcp" | "tcp4" | "tcp6" => {
            let mut tcp = Tcp(slot.clone());
            section.field("endpoint", &mut tcp);
            *slot = tcp.0;
        }
        "unix" => {
            let hint = "the path of the unix socket";
            if let Some(path) = section.required("endpoint", hint) {
                *slot = Endpoint::Unix { path, mode: mode.0 };
            }
        }
        _ => section.problem(
            "transport",
            format!("expected tcp or unix, found `{transport:.20}`"),
        ),
    }
}
