//! Serving the small listeners: `/metrics`, health, the API.
//!
//! The framework's own `serve` waits for a client's headers without end and takes any number of connections;
//! these ports are often open to a whole cluster.

use crate::api::Peer;
use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tower::ServiceExt as _;

/// Connections at once; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 256;
/// Time for a request's headers.
const HEADERS_WITHIN: Duration = Duration::from_secs(10);
/// Pause after a failed accept, such as when file descriptors run out.
const BACK_OFF: Duration = Duration::from_millis(100);
/// Time that requests in flight have at the end.
const DRAIN_WITHIN: Duration = Duration::from_secs(2);

/// Serves `router` on `listener` (HTTP/1.1 and HTTP/2) until `shutdown`, and then the requests in flight.
pub(super) async fn serve(listener: TcpListener, router: Router, shutdown: impl Future<Output = ()>) {
    let mut http = Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_WITHIN);
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(64)
        .keep_alive_interval(Some(Duration::from_secs(30)));
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let connections = GracefulShutdown::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = async {
                let slot = slots.clone().acquire_owned().await;
                (slot, listener.accept().await)
            } => accepted,
        };
        let (Ok(slot), Ok((stream, peer))) = accepted else {
            tokio::time::sleep(BACK_OFF).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let service = router.clone().map_request(move |mut request: http::Request<_>| {
            request.extensions_mut().insert(Peer(peer));
            request
        });
        let service = TowerToHyperService::new(service);
        let connection = http.serve_connection(TokioIo::new(stream), service).into_owned();
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            // A client that goes away or speaks nonsense is its own affair.
            let _ = connection.await;
            drop(slot);
        });
    }
    drop(listener);
    let _ = tokio::time::timeout(DRAIN_WITHIN, connections.shutdown()).await;
}
