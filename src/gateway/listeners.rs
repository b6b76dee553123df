//! Binding, announcing and serving: every port is bound before any of them answers.

use super::GatewayError;
use crate::config::Config;
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};

/// The listeners of one gateway, bound and not yet served.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    pub(super) grpc: Option<TcpListener>,
    pub(super) http: Option<TcpListener>,
    pub(super) prometheus: Option<TcpListener>,
    pub(super) health: Option<TcpListener>,
    pub(super) api: Option<TcpListener>,
}

/// Where each listener ended up, by name.
pub(super) type Addresses = BTreeMap<&'static str, SocketAddr>;

impl Listeners {
    /// Binds what the configuration names; one port that is taken refuses the start.
    pub(super) fn bind(config: &Config) -> Result<(Self, Addresses), GatewayError> {
        let mut addresses = Addresses::new();
        let mut bind = |name, endpoint: Option<SocketAddr>| -> Result<Option<TcpListener>, GatewayError> {
            let Some(endpoint) = endpoint else { return Ok(None) };
            let failed = |source| GatewayError::Bind {
                name,
                endpoint,
                source,
            };
            let listener = TcpListener::bind(endpoint).map_err(failed)?;
            listener.set_nonblocking(true).map_err(failed)?;
            addresses.insert(name, listener.local_addr().map_err(failed)?);
            Ok(Some(listener))
        };
        let listeners = Self {
            grpc: bind("otlp/grpc", config.grpc.as_ref().map(|c| c.endpoint))?,
            http: bind("otlp/http", config.http.as_ref().map(|c| c.endpoint))?,
            prometheus: bind("prometheus", config.prometheus.as_ref().map(|c| c.endpoint))?,
            health: bind("health", config.health.as_ref().map(|c| c.endpoint))?,
            api: bind("api", config.api.as_ref().map(|c| c.endpoint))?,
        };
        Ok((listeners, addresses))
    }
}
