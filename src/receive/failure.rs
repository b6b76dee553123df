//! Every way in which a request can fail, and what each transport says to it.
//!
//! One table for gRPC and HTTP (rows G3, G8, G9, H5-H10), so that the two never disagree on whether a client
//! should retry.

use super::Refusal;
use std::borrow::Cow;
use std::time::Duration;
use tonic::Code;

/// Why a request was not taken.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Failure {
    /// The bytes are not what they claim to be: framing, compression, protobuf or JSON.
    Malformed(Cow<'static, str>),
    /// Over a limit on size, before or after decompression, or on items. Retrying would not help.
    TooLarge(Cow<'static, str>),
    /// No room now.
    Overloaded {
        /// What is full.
        message: Cow<'static, str>,
        /// When to come back.
        retry_after: Duration,
    },
    /// The request took longer than the client or the configuration allow, or its body stopped coming.
    Deadline(Cow<'static, str>),
    /// The receiver is shutting down.
    ShuttingDown {
        /// When to come back.
        retry_after: Duration,
    },
    /// The client went away in the middle of its request.
    Disconnected,
    /// No such service, method, path or signal here.
    NotHere(Cow<'static, str>),
    /// A compression that is not spoken here.
    UnknownEncoding(Cow<'static, str>),
    /// No credentials, or wrong ones.
    Unauthenticated {
        /// What is wrong, without what was sent.
        message: Cow<'static, str>,
        /// `WWW-Authenticate`.
        challenge: Cow<'static, str>,
    },
    /// A verb other than POST.
    Method,
    /// A content type other than the two of OTLP.
    MediaType(Cow<'static, str>),
    /// The consumer panicked; the batch is lost.
    Panicked,
    /// What a backend answered to an exporter that waits for it.
    Downstream {
        /// Its code.
        code: Code,
        /// Its words.
        message: Cow<'static, str>,
        /// When to come back, if it said so.
        retry_after: Option<Duration>,
    },
}

impl Failure {
    /// What it is called in metrics and logs.
    pub(super) const fn reason(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::TooLarge(_) => "too_large",
            Self::Overloaded { .. } => "overloaded",
            Self::Deadline(_) => "deadline",
            Self::ShuttingDown { .. } => "shutting_down",
            Self::Disconnected => "disconnected",
            Self::NotHere(_) => "not_found",
            Self::UnknownEncoding(_) => "unknown_encoding",
            Self::Unauthenticated { .. } => "unauthenticated",
            Self::Method => "method",
            Self::MediaType(_) => "media_type",
            Self::Panicked => "panicked",
            Self::Downstream { .. } => "downstream",
        }
    }

    /// Its place in the list of reasons, for tables of counters.
    pub(super) const REASONS: [&'static str; 13] = [
        "malformed",
        "too_large",
        "overloaded",
        "deadline",
        "shutting_down",
        "disconnected",
        "not_found",
        "unknown_encoding",
        "unauthenticated",
        "method",
        "media_type",
        "panicked",
        "downstream",
    ];

    /// What the client reads.
    pub(super) fn message(&self) -> Cow<'static, str> {
        match self {
            Self::Malformed(m)
            | Self::TooLarge(m)
            | Self::Deadline(m)
            | Self::NotHere(m)
            | Self::UnknownEncoding(m)
            | Self::MediaType(m) => m.clone(),
            Self::Overloaded { message, .. }
            | Self::Unauthenticated { message, .. }
            | Self::Downstream { message, .. } => message.clone(),
            Self::ShuttingDown { .. } => "the receiver is shutting down; retry later".into(),
            Self::Disconnected => "the request body ended early".into(),
            Self::Method => "method not allowed, supported: [POST]".into(),
            Self::Panicked => "the batch could not be processed and was dropped".into(),
        }
    }

    /// The gRPC status code.
    pub(super) const fn code(&self) -> Code {
        match self {
            Self::Malformed(_) | Self::MediaType(_) => Code::InvalidArgument,
            Self::TooLarge(_) => Code::ResourceExhausted,
            Self::Overloaded { .. } | Self::ShuttingDown { .. } => Code::Unavailable,
            Self::Deadline(_) => Code::DeadlineExceeded,
            Self::Disconnected => Code::Cancelled,
            Self::NotHere(_) | Self::UnknownEncoding(_) | Self::Method => Code::Unimplemented,
            Self::Unauthenticated { .. } => Code::Unauthenticated,
            Self::Panicked => Code::Internal,
            Self::Downstream { code, .. } => *code,
        }
    }

    /// The HTTP status: the Collector's mapping of codes (row H10), but an oversize body is 413 (H6) and a
    /// content coding that is not spoken is 400 (H11).
    pub(super) const fn http_status(&self) -> http::StatusCode {
        match self {
            Self::TooLarge(_) => http::StatusCode::PAYLOAD_TOO_LARGE,
            Self::Method => http::StatusCode::METHOD_NOT_ALLOWED,
            Self::Unauthenticated { .. } => http::StatusCode::UNAUTHORIZED,
            Self::MediaType(_) => http::StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::NotHere(_) => http::StatusCode::NOT_FOUND,
            Self::Malformed(_) | Self::UnknownEncoding(_) => http::StatusCode::BAD_REQUEST,
            Self::Overloaded { .. } | Self::ShuttingDown { .. } => http::StatusCode::SERVICE_UNAVAILABLE,
            Self::Deadline(_) | Self::Disconnected => http::StatusCode::SERVICE_UNAVAILABLE,
            Self::Panicked => http::StatusCode::INTERNAL_SERVER_ERROR,
            Self::Downstream { code, .. } => mapped(*code),
        }
    }

    /// When the client should come back, if it should.
    pub(super) const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Overloaded { retry_after, .. } | Self::ShuttingDown { retry_after } => Some(*retry_after),
            Self::Downstream { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// The Collector's table from gRPC to HTTP (row H10).
const fn mapped(code: Code) -> http::StatusCode {
    use http::StatusCode;
    match code {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => StatusCode::SERVICE_UNAVAILABLE,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::InvalidArgument => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::Unimplemented => StatusCode::NOT_FOUND,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Malformed(message) => Self::Malformed(message),
            Refusal::TooLarge(message) => Self::TooLarge(message),
            Refusal::Overloaded {
                message,
                retry_after_secs,
            } => Self::Overloaded {
                message,
                retry_after: Duration::from_secs(retry_after_secs),
            },
            Refusal::Downstream {
                code,
                message,
                retry_after,
            } => Self::Downstream {
                code,
                message,
                retry_after,
            },
        }
    }
}
