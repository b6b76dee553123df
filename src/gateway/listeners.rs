//! The sockets that a gateway listens on: every one is bound before any of them answers, and a reload keeps those
//! whose address stays.
//!
//! A socket is kept open here and lent to servers as a clone, so that a server can be replaced while clients wait in
//! the kernel's queue; what is kept is let go when the shutdown begins, or the queue would go on taking clients.

use super::GatewayError;
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};

/// Where something is to listen, by the name that the start prints, such as `otlp/grpc`.
pub(super) type Wanted = BTreeMap<String, SocketAddr>;

/// Where each listener ended up, by name.
pub(super) type Addresses = BTreeMap<String, SocketAddr>;

/// One bound socket.
#[derive(Debug)]
struct Socket {
    wanted: SocketAddr,
    address: SocketAddr,
    listener: TcpListener,
}

/// The bound sockets, by name.
#[derive(Debug, Default)]
pub(super) struct Sockets(BTreeMap<String, Socket>);

impl Sockets {
    /// Binds what is `wanted` and not among `former`; one port that is taken refuses all of it.
    pub(super) fn bind(wanted: &Wanted, former: &Self) -> Result<Self, GatewayError> {
        let mut sockets = BTreeMap::new();
        for (name, &endpoint) in wanted {
            let failed = |source| GatewayError::Bind {
                name: name.clone(),
                endpoint,
                source,
            };
            let listener = match former.same(name, endpoint) {
                Some(socket) => socket.listener.try_clone().map_err(failed)?,
                None => TcpListener::bind(endpoint).map_err(failed)?,
            };
            listener.set_nonblocking(true).map_err(failed)?;
            let address = listener.local_addr().map_err(failed)?;
            let socket = Socket {
                wanted: endpoint,
                address,
                listener,
            };
            sockets.insert(name.clone(), socket);
        }
        Ok(Self(sockets))
    }

    /// A socket that can go on: the same address, and for "any free port" the same name as well.
    fn same(&self, name: &str, endpoint: SocketAddr) -> Option<&Socket> {
        self.0
            .iter()
            .find(|(of, socket)| socket.wanted == endpoint && (endpoint.port() != 0 || *of == name))
            .map(|(_, socket)| socket)
    }

    /// A clone of the socket `name` for a server.
    pub(super) fn lend(&self, name: &str) -> Result<Option<TcpListener>, GatewayError> {
        let Some(socket) = self.0.get(name) else {
            return Ok(None);
        };
        let lent = socket.listener.try_clone();
        lent.map(Some).map_err(|source| GatewayError::System {
            what: "a listener",
            source,
        })
    }

    /// Whether `name` listens where `other` has it listen.
    pub(super) fn agrees(&self, other: &Self, name: &str) -> bool {
        self.0.get(name).map(|s| s.address) == other.0.get(name).map(|s| s.address)
    }

    pub(super) fn addresses(&self) -> Addresses {
        self.0
            .iter()
            .map(|(name, socket)| (name.clone(), socket.address))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }

    #[test]
    fn a_socket_whose_address_stays_is_kept_and_another_is_bound() {
        let wanted: Wanted = [("a".to_owned(), any()), ("b".to_owned(), any())].into();
        let first = Sockets::bind(&wanted, &Sockets::default()).unwrap();
        let moved: Wanted = [("a".to_owned(), any()), ("c".to_owned(), any())].into();
        let second = Sockets::bind(&moved, &first).unwrap();
        assert!(first.agrees(&second, "a"));
        assert!(second.lend("b").unwrap().is_none());
        assert_ne!(first.addresses()["b"], second.addresses()["c"]);
        // A named port that is taken by ourselves can change its name.
        let port = first.addresses()["b"];
        let renamed: Wanted = [("d".to_owned(), port)].into();
        let taken = Sockets::bind(&renamed, &second).unwrap_err().to_string();
        assert!(taken.contains("d cannot listen on"), "{taken}");
    }
}
