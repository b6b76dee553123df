//! Availability by semantic conventions, for policies that say nothing of their own.
//!
//! | the span has | bad, for a server (also consumer, internal) | bad, for a client (also producer) |
//! | --- | --- | --- |
//! | an RPC status | one of 2, 4, 12, 13, 14, 15 (below) | all but OK |
//! | else an HTTP status | 500 and above | 400 and above |
//! | else | span status Error | span status Error |
//!
//! The RPC statuses that blame the server are UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL,
//! UNAVAILABLE and DATA_LOSS. The RPC status comes first because gRPC answers HTTP 200 whatever became of the
//! call. A status code beats the span's status: an SDK that marks every 404 as Error must not burn a server's
//! budget. A status code that is none (0, a text, out of range) is passed over, so that a connection that
//! died without an answer is judged by the span's status.

use super::SpanContext;
use crate::wire::{AnyValue, Attributes, KeyTableBuilder, Slot, Value};

/// A gRPC (or Connect) status code, 0 to 16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RpcCode(u8);

/// Names of the gRPC status codes; the index is the number.
const RPC_NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// The codes by which a server says that it, not its caller, failed: 2, 4, 12, 13, 14 and 15.
const SERVER_FAULTS: u32 = 1 << 2 | 1 << 4 | 1 << 12 | 1 << 13 | 1 << 14 | 1 << 15;

impl RpcCode {
    /// The code of a number from 0 to 16.
    pub fn from_number(number: i64) -> Option<Self> {
        u8::try_from(number)
            .ok()
            .filter(|&code| usize::from(code) < RPC_NAMES.len())
            .map(Self)
    }

    /// The code of a name in any case (`DEADLINE_EXCEEDED`, Connect's `deadline_exceeded`, `CANCELED`), or of
    /// a number as text.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        if name.first().is_some_and(u8::is_ascii_digit) {
            return integer(name).and_then(Self::from_number);
        }
        if name.eq_ignore_ascii_case(b"CANCELED") {
            return Some(Self(1));
        }
        let index = RPC_NAMES
            .iter()
            .position(|known| name.eq_ignore_ascii_case(known.as_bytes()))?;
        u8::try_from(index).ok().map(Self)
    }

    fn is_server_fault(self) -> bool {
        SERVER_FAULTS >> self.0 & 1 == 1
    }

    fn is_ok(self) -> bool {
        self.0 == 0
    }
}

/// The slots that outcomes by convention are read from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conventions {
    http: [Slot; 2],
    rpc: [Slot; 4],
}

impl Conventions {
    /// Asks `keys` for the slots.
    pub(super) fn compile(keys: &mut KeyTableBuilder) -> Self {
        Self {
            // Current name, then the one before HTTP conventions became stable.
            http: [
                keys.key("http.response.status_code"),
                keys.key("http.status_code"),
            ],
            // Older SDKs, current conventions, Connect's, and Envoy's own.
            rpc: [
                keys.key("rpc.grpc.status_code"),
                keys.key("rpc.response.status_code"),
                keys.key("rpc.connect_rpc.error_code"),
                keys.key("grpc.status_code"),
            ],
        }
    }

    /// The HTTP status of the span, if it has a valid one.
    pub(super) fn http_status(&self, attributes: &Attributes<'_>) -> Option<u16> {
        self.http
            .iter()
            .find_map(|&slot| http_status(attributes.get(slot)?))
    }

    /// The RPC status of the span, if it has a known one.
    pub(super) fn rpc_code(&self, attributes: &Attributes<'_>) -> Option<RpcCode> {
        self.rpc.iter().find_map(|&slot| rpc_code(attributes.get(slot)?))
    }

    /// Whether the request failed.
    pub(super) fn failed(&self, context: &SpanContext<'_, '_>) -> bool {
        let caller = is_caller(context.span.kind);
        if let Some(code) = self.rpc_code(context.attributes) {
            if caller {
                !code.is_ok()
            } else {
                code.is_server_fault()
            }
        } else if let Some(status) = self.http_status(context.attributes) {
            status >= if caller { 400 } else { 500 }
        } else {
            context.span.status_code == STATUS_ERROR
        }
    }
}

/// `STATUS_CODE_ERROR`.
const STATUS_ERROR: i32 = 2;
/// `SPAN_KIND_CLIENT`.
const CLIENT: i32 = 3;
/// `SPAN_KIND_PRODUCER`.
const PRODUCER: i32 = 4;

/// Client and producer spans see their callee's failures as theirs.
fn is_caller(kind: i32) -> bool {
    kind == CLIENT || kind == PRODUCER
}

fn http_status(value: AnyValue<'_>) -> Option<u16> {
    let number = match value.value().ok()? {
        Value::Int(number) => number,
        Value::Str(text) => integer(text)?,
        Value::Double(number) if number.fract() == 0.0 => super::number::truncated(number)?,
        _ => return None,
    };
    u16::try_from(number)
        .ok()
        .filter(|status| (100..=999).contains(status))
}

fn rpc_code(value: AnyValue<'_>) -> Option<RpcCode> {
    match value.value().ok()? {
        Value::Int(number) => RpcCode::from_number(number),
        Value::Str(text) => RpcCode::from_name(text),
        _ => None,
    }
}

fn integer(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::RpcCode;
    use crate::sli::Judgement::{Bad, Good};
    use crate::sli::testing::{CLIENT, CONSUMER, INTERNAL, PRODUCER, SERVER, Sample, int, sample, text};
    use opentelemetry_proto::tonic::common::v1::any_value::Value;

    const ANY: &str = "{ spans: { kind: any } }";
    const UNSET: i32 = 0;
    const OK: i32 = 1;
    const ERROR: i32 = 2;

    fn bad(sample: &Sample) -> bool {
        match sample.judged_by(ANY) {
            Bad => true,
            Good => false,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn http_servers_are_bad_from_500_and_clients_from_400() {
        for (status, server, client) in [
            (100, false, false),
            (200, false, false),
            (302, false, false),
            (404, false, true),
            (429, false, true),
            (499, false, true),
            (500, true, true),
            (503, true, true),
            (599, true, true),
        ] {
            for key in ["http.response.status_code", "http.status_code"] {
                for value in [
                    int(status),
                    text(&status.to_string()),
                    Value::DoubleValue(status as f64),
                ] {
                    for (kind, expected) in [
                        (SERVER, server),
                        (CONSUMER, server),
                        (INTERNAL, server),
                        (CLIENT, client),
                        (PRODUCER, client),
                    ] {
                        let sample = sample().kind(kind).attr(key, value.clone());
                        assert_eq!(bad(&sample), expected, "{key} {value:?} kind {kind}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_status_code_beats_the_status_of_the_span() {
        let key = "http.response.status_code";
        assert!(!bad(&sample().attr(key, int(404)).status(ERROR)));
        assert!(!bad(&sample().attr(key, int(200)).status(ERROR)));
        assert!(bad(&sample().attr(key, int(500)).status(OK)));
        assert!(!bad(&sample().attr("rpc.grpc.status_code", int(5)).status(ERROR)));
    }

    #[test]
    fn without_a_valid_code_the_status_of_the_span_decides() {
        let key = "http.response.status_code";
        for value in [
            int(0),
            int(-1),
            int(70_000),
            text("none"),
            text(""),
            Value::BoolValue(true),
        ] {
            assert!(bad(&sample().attr(key, value.clone()).status(ERROR)), "{value:?}");
            assert!(
                !bad(&sample().attr(key, value.clone()).status(UNSET)),
                "{value:?}"
            );
        }
        for (status, expected) in [(UNSET, false), (OK, false), (ERROR, true), (7, false)] {
            assert_eq!(bad(&sample().status(status)), expected);
            assert_eq!(bad(&sample().kind(CONSUMER).status(status)), expected);
        }
        assert!(bad(&sample().attr("rpc.grpc.status_code", int(99)).status(ERROR)));
    }

    #[test]
    fn the_current_name_comes_before_the_old_one() {
        let both = sample()
            .attr("http.status_code", int(200))
            .attr("http.response.status_code", int(500));
        assert!(bad(&both));
        let broken = sample()
            .attr("http.response.status_code", int(0))
            .attr("http.status_code", int(500));
        assert!(bad(&broken));
    }

    #[test]
    fn grpc_codes_are_judged_as_the_conventions_say() {
        // code, name, an error of a server
        let table = [
            (0, "OK", false),
            (1, "CANCELLED", false),
            (2, "UNKNOWN", true),
            (3, "INVALID_ARGUMENT", false),
            (4, "DEADLINE_EXCEEDED", true),
            (5, "NOT_FOUND", false),
            (6, "ALREADY_EXISTS", false),
            (7, "PERMISSION_DENIED", false),
            (8, "RESOURCE_EXHAUSTED", false),
            (9, "FAILED_PRECONDITION", false),
            (10, "ABORTED", false),
            (11, "OUT_OF_RANGE", false),
            (12, "UNIMPLEMENTED", true),
            (13, "INTERNAL", true),
            (14, "UNAVAILABLE", true),
            (15, "DATA_LOSS", true),
            (16, "UNAUTHENTICATED", false),
        ];
        for (code, name, server) in table {
            let spellings = [
                ("rpc.grpc.status_code", int(code)),
                ("rpc.grpc.status_code", text(&code.to_string())),
                ("rpc.response.status_code", text(name)),
                ("rpc.connect_rpc.error_code", text(&name.to_lowercase())),
                ("grpc.status_code", text(&code.to_string())),
            ];
            for (key, value) in spellings {
                let sample = sample().attr("rpc.system", text("grpc")).attr(key, value.clone());
                assert_eq!(bad(&sample), server, "{key} {value:?}");
                assert_eq!(bad(&sample.kind(CLIENT)), code != 0, "client {key} {value:?}");
            }
        }
        assert_eq!(RpcCode::from_name(b"canceled"), RpcCode::from_number(1));
    }

    #[test]
    fn grpc_over_http_200_is_judged_by_its_own_code() {
        let sample = sample()
            .attr("http.response.status_code", int(200))
            .attr("rpc.grpc.status_code", int(14));
        assert!(bad(&sample));
    }
}
