//! gRPC and HTTP in, admission, decompression, the answers that OTLP owes its clients.
//!
//! Both receivers end in one [`Consume`]: whatever transport, compression and encoding a request came in, its
//! protobuf bytes come out, once, as one [`Batch`]. What each failure means to a client stands in one table
//! (`failure`), so that gRPC and HTTP never disagree on whether to retry.

mod admission;
mod auth;
mod body;
mod claims;
mod connections;
mod context;
mod decompress;
mod failure;
mod gate;
mod grpc;
mod http;
mod intake;
mod io;
pub mod json;
mod listener;
mod meters;
mod pings;
mod pulse;
mod reload;
mod response;
mod tls;

use crate::pipeline::{Accepted, Batch, Consume, Refusal, Signal, Signals};

pub use self::http::serve_http;
pub use admission::Admission;
pub use auth::{AuthError, Authenticators};
pub use connections::End;
pub use context::Context;
pub use gate::{Gate, GateError};
pub use grpc::serve_grpc;
pub use listener::{Bound, Listener};
pub use reload::Reload;
pub use tls::TlsError;
