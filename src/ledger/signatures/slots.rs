//! What went wrong with a bad event, read without allocation.

use super::Signature;
use crate::cohort::label_text;
use crate::sli::SpanContext;
use crate::wire::{AnyValue, Attributes, Event, KeyTableBuilder, Slot, Value};

/// The slots that signatures are read from.
#[derive(Clone, Copy, Debug)]
pub(in crate::ledger) struct SignatureSlots {
    exception: Slot,
    error: Slot,
    http: [Slot; 2],
    rpc: [Slot; 2],
}

/// What went wrong, raw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum What<'a> {
    /// A type of exception, or `error.type`.
    Named(AnyValue<'a>),
    Http(i64),
    Rpc(i64),
    Error,
    NotGood,
}

/// A signature as the wire has it; equal values are one signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::ledger) struct RawSignature<'a> {
    what: What<'a>,
    route: &'a [u8],
    origin: u32,
}

const STATUS_ERROR: i32 = 2;

impl SignatureSlots {
    pub(in crate::ledger) fn compile(keys: &mut KeyTableBuilder) -> Self {
        Self {
            exception: keys.key("exception.type"),
            error: keys.key("error.type"),
            http: ["http.response.status_code", "http.status_code"].map(|name| keys.key(name)),
            rpc: ["rpc.response.status_code", "rpc.grpc.status_code"].map(|name| keys.key(name)),
        }
    }

    /// The signature of a bad event. Of several exceptions the last counts: it is the one that was not
    /// caught.
    pub(in crate::ledger) fn read<'a>(
        &self,
        context: &SpanContext<'_, 'a>,
        events: &[Event<'a>],
        route: &'a [u8],
        origin: u32,
    ) -> RawSignature<'a> {
        let attributes = context.attributes;
        let text = |attributes: &Attributes<'a>, slot| {
            attributes
                .get(slot)
                .filter(|value| value.as_str().is_some_and(|text| !text.is_empty()))
        };
        let number = |slots: &[Slot; 2]| slots.iter().find_map(|slot| number(attributes.get(*slot)?));
        let exception = events
            .iter()
            .rev()
            .find_map(|event| text(&event.attributes, self.exception));
        let named = exception
            .or_else(|| text(attributes, self.exception))
            .or_else(|| text(attributes, self.error));
        let what = if let Some(named) = named {
            What::Named(named)
        } else if let Some(code) = number(&self.rpc).filter(|code| *code != 0) {
            What::Rpc(code)
        } else if let Some(code) = number(&self.http).filter(|code| *code >= 400) {
            What::Http(code)
        } else if context.span.status_code == STATUS_ERROR {
            What::Error
        } else {
            What::NotGood
        };
        RawSignature { what, route, origin }
    }
}

fn number(value: AnyValue<'_>) -> Option<i64> {
    match value.value().ok()? {
        Value::Int(number) => Some(number),
        Value::Str(text) => std::str::from_utf8(text).ok()?.trim().parse().ok(),
        _ => None,
    }
}

impl RawSignature<'_> {
    pub(in crate::ledger) fn origin(&self) -> u32 {
        self.origin
    }

    /// The names. `service` is that of its origin.
    pub(in crate::ledger) fn named(&self, service: &str) -> Signature {
        let route = label_text(self.route).unwrap_or_default();
        let what = match self.what {
            What::Named(value) => match value.as_str().and_then(label_text) {
                Some(name) => return Signature::new(service, &route, &name),
                None => "(unreadable)".to_owned(),
            },
            What::Http(code) => format!("HTTP {code}"),
            What::Rpc(code) => format!("gRPC {code}"),
            What::Error => "error".to_owned(),
            What::NotGood => "not_good".to_owned(),
        };
        Signature::new(service, &route, &what)
    }
}
