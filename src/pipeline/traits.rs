//! What a component is to a pipeline.

use super::batch::Batch;
use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;
use tonic::Code;

/// What became of a batch that was taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Items taken.
    pub items: u64,
    /// Items rejected one by one; goes into `partial_success`.
    pub rejected: u64,
    /// Why, in English, for the sender's log; empty when nothing was rejected. With no item rejected it is a
    /// warning, as the protocol allows.
    pub message: Cow<'static, str>,
}

impl Accepted {
    /// All of it.
    pub const fn all(items: u64) -> Self {
        Self {
            items,
            rejected: 0,
            message: Cow::Borrowed(""),
        }
    }
}

/// Why a batch was not taken. Nothing of it was counted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The bytes are not the message that the signal requires. INVALID_ARGUMENT / 400.
    #[error("{0}")]
    Malformed(Cow<'static, str>),
    /// Too many items or bytes. RESOURCE_EXHAUSTED without RetryInfo / 413.
    #[error("{0}")]
    TooLarge(Cow<'static, str>),
    /// No room now. UNAVAILABLE with RetryInfo / 503 with Retry-After.
    #[error("{message}")]
    Overloaded {
        /// What is full.
        message: Cow<'static, str>,
        /// When to try again, in seconds.
        retry_after_secs: u64,
    },
    /// What a backend answered, where an exporter waits for that (`wait_for_result`). Its code goes to the
    /// client as it is; over HTTP by the table of row H10.
    #[error("{message}")]
    Downstream {
        /// The code.
        code: Code,
        /// Its words.
        message: Cow<'static, str>,
        /// When to try again, if it said so.
        retry_after: Option<Duration>,
    },
}

/// The outcome of handing a batch over, in the future. One box a request, not a span.
pub type Consumed<'a> = Pin<Box<dyn Future<Output = Result<Accepted, Refusal>> + Send + 'a>>;

/// Whatever takes batches over: a fan-out, a pipeline, an exporter, a connector.
pub trait Consume: Send + Sync + 'static {
    /// Takes a batch. When this is ready the data is where it is safe (as safe as that component makes it),
    /// or the caller knows that it is not.
    fn consume(&self, batch: Batch) -> Consumed<'_>;
}

/// Where a processor stands; see [`super`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// May refuse, before anything is counted.
    Guard,
    /// May change or drop items; what the tap sees is what it leaves.
    Edit,
    /// May drop items that have been counted.
    Sample,
}

/// A processor: looks at a batch, edits its bytes, or refuses it. Synchronous, without waiting.
pub trait Process: Send + Sync + 'static {
    /// Where it stands.
    fn stage(&self) -> Stage;

    /// The batch as it goes on. A batch that nothing was done to comes back with the very bytes that came in.
    fn process(&self, batch: Batch) -> Result<Processed, Refusal>;
}

/// What a processor leaves of a batch.
#[derive(Clone, Debug)]
pub struct Processed {
    /// What goes on; `None` when nothing is left.
    pub batch: Option<Batch>,
    /// Items that were taken out.
    pub dropped: u64,
}

impl Processed {
    /// All of it goes on.
    pub const fn whole(batch: Batch) -> Self {
        Self {
            batch: Some(batch),
            dropped: 0,
        }
    }
}

/// What a walk over a batch found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Items in the batch, rejected ones among them.
    pub items: u64,
    /// Items that must not go on, such as spans with a trace id of 15 bytes.
    pub rejected: u64,
}

/// Counts a batch: the tap of `error_budget`, or a plain walk where there is none.
pub trait Count: Send + Sync + 'static {
    /// Walks it, once.
    fn count(&self, batch: &Batch) -> Result<Counted, Refusal>;

    /// The batch without its rejected items; called only when there are some.
    fn splice(&self, batch: &Batch) -> Result<bytes::Bytes, Refusal>;
}
