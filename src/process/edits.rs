//! What all processors that edit have in common: from a batch to a visit of its bytes, and back.

use super::meters::Meters;
use crate::config::PlainValue;
use crate::pipeline::{Batch, Processed, Refusal, Signal};
use crate::wire::edit::{Edited, Held, Visit, edit};
use crate::wire::{Malformed, Request};

/// Why a batch cannot be edited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Halt {
    /// What had to be read cannot be.
    Malformed,
    /// A rule failed, and the processor says that this is the sender's to know.
    Failed(String),
}

impl From<Malformed> for Halt {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// The request that a signal's batches are.
pub(super) const fn request_of(signal: Signal) -> Request {
    match signal {
        Signal::Traces => Request::Traces,
        Signal::Metrics => Request::Metrics,
        Signal::Logs => Request::Logs,
    }
}

impl Halt {
    /// As the sender is told. Sending the same again would fail the same way.
    pub(super) fn refusal(self, id: &str, signal: Signal) -> Refusal {
        Refusal::Malformed(match self {
            Self::Malformed => {
                let message = match signal {
                    Signal::Traces => "ExportTraceServiceRequest",
                    Signal::Metrics => "ExportMetricsServiceRequest",
                    Signal::Logs => "ExportLogsServiceRequest",
                };
                format!("the body is not a valid {message}").into()
            }
            Self::Failed(why) => format!("{id}: {why}").into(),
        })
    }
}

/// Shows the batch to `visitor`, and carries out its edits.
pub(super) fn visit<'a, V>(bytes: &'a bytes::Bytes, signal: Signal, visitor: &mut V) -> Result<Edited, Halt>
where
    V: Visit<'a, Error = Halt>,
{
    edit(request_of(signal), bytes, visitor)
}

/// The batch as it goes on.
pub(super) fn processed(batch: Batch, edited: Edited, meters: &Meters) -> Processed {
    let dropped = edited.dropped;
    meters.passed(batch.signal, batch.items, dropped);
    let items = batch.items.map(|items| items.saturating_sub(dropped));
    let left = Batch {
        bytes: edited.bytes,
        items,
        ..batch
    };
    Processed {
        batch: (!edited.is_empty).then_some(left),
        dropped,
    }
}

/// A value of the configuration as it stands on the wire.
pub(super) fn held(value: &PlainValue) -> Held<'static> {
    match value {
        PlainValue::Text(text) => Held::text(text.as_bytes()),
        PlainValue::Bool(yes) => Held::bool(*yes),
        PlainValue::Int(number) => Held::int(*number),
        PlainValue::Double(number) => Held::double(*number),
        PlainValue::List(items) => Held::list(items.iter().map(held)),
    }
}
