//! The sockets that a gateway listens on: every one is bound before any of them answers, and a reload keeps
//! those whose address stays.
//!
//! A socket is kept open here and lent to servers as a clone, so that a server can be replaced while clients
//! wait in the kernel's queue; what is kept is let go when the shutdown begins, or the queue would go on
//! taking clients.

use super::GatewayError;
use crate::config::Endpoint;
use crate::receive::Bound;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// Where something is to listen, by the name that the start prints, such as `otlp/grpc`.
pub(super) type Wanted = BTreeMap<String, Endpoint>;

/// Where each listener ended up, by name; unix sockets are not among them.
pub(super) type Addresses = BTreeMap<String, SocketAddr>;

/// One bound socket.
#[derive(Clone, Debug)]
struct Socket {
    wanted: Endpoint,
    bound: Arc<Bound>,
}

/// The bound sockets, by name.
#[derive(Debug, Default)]
pub(super) struct Sockets(BTreeMap<String, Socket>);

impl Sockets {
    /// Binds what is `wanted` and not among `former`; one port that is taken refuses all of it, unless the
    /// listener is optional.
    pub(super) fn bind(
        wanted: &Wanted,
        former: &Self,
        is_optional: impl Fn(&str) -> bool,
    ) -> Result<Self, GatewayError> {
        let mut sockets = BTreeMap::new();
        for (name, endpoint) in wanted {
            let bound = match former.same(name, endpoint) {
                Some(socket) => socket.bound.clone(),
                None => match Bound::bind(endpoint) {
                    Ok(bound) => Arc::new(bound),
                    Err(error) if is_optional(name) => {
                        tracing::warn!(listener = name, %endpoint, %error, "taken; nobody asked for it, going on without");
                        continue;
                    }
                    Err(source) => {
                        return Err(GatewayError::Bind {
                            name: name.clone(),
                            endpoint: endpoint.to_string(),
                            source,
                        });
                    }
                },
            };
            let wanted = endpoint.clone();
            sockets.insert(name.clone(), Socket { wanted, bound });
        }
        Ok(Self(sockets))
    }

    /// A socket that can go on: the same address, and for "any free port" the same name as well.
    fn same(&self, name: &str, endpoint: &Endpoint) -> Option<&Socket> {
        let is_free = endpoint.address().is_some_and(|address| address.port() == 0);
        self.0
            .iter()
            .find(|(of, socket)| socket.wanted == *endpoint && (!is_free || *of == name))
            .map(|(_, socket)| socket)
    }

    /// The socket `name`, for a server.
    pub(super) fn lend(&self, name: &str) -> Option<&Bound> {
        self.0.get(name).map(|socket| socket.bound.as_ref())
    }

    /// Whether `name` listens where `other` has it listen.
    pub(super) fn agrees(&self, other: &Self, name: &str) -> bool {
        let place = |sockets: &Self| sockets.lend(name).map(ToString::to_string);
        place(self) == place(other)
    }

    pub(super) fn addresses(&self) -> Addresses {
        self.0
            .iter()
            .filter_map(|(name, socket)| Some((name.clone(), socket.bound.address()?)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any() -> Endpoint {
        SocketAddr::from(([127, 0, 0, 1], 0)).into()
    }

    #[test]
    fn a_socket_whose_address_stays_is_kept_and_another_is_bound() {
        let wanted: Wanted = [("a".to_owned(), any()), ("b".to_owned(), any())].into();
        let first = Sockets::bind(&wanted, &Sockets::default(), |_| false).unwrap();
        let moved: Wanted = [("a".to_owned(), any()), ("c".to_owned(), any())].into();
        let second = Sockets::bind(&moved, &first, |_| false).unwrap();
        assert!(first.agrees(&second, "a"));
        assert!(second.lend("b").is_none());
        assert_ne!(first.addresses()["b"], second.addresses()["c"]);
        // A named port that is taken by ourselves can change its name.
        let port = first.addresses()["b"];
        let renamed: Wanted = [("d".to_owned(), port.into())].into();
        let taken = Sockets::bind(&renamed, &second, |_| false)
            .unwrap_err()
            .to_string();
        assert!(taken.contains("d cannot listen on"), "{taken}");
        let without = Sockets::bind(&renamed, &second, |name| name == "d").unwrap();
        assert!(without.lend("d").is_none());
    }
}
