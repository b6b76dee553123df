//! The record of decisions as a receiver of log pipelines.
//!
//! Property: every entry goes into its pipelines, in order, at least once, whatever they refuse meanwhile and
//! whenever the process ends: what they have taken is noted beside the record, and the record itself is the
//! queue. Rejected: a channel from whoever writes entries, which would have to drop or block when full.

use super::decision_log::decision_log;
use crate::audit::{Entry, Trail};
use crate::pipeline::{Batch, Consume, Signal};
use crate::store::StoreError;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// Entries of one batch.
const PAGE: usize = 100;
/// The row that holds how far the pipelines have got.
const TAKEN_ROW: &str = "audit/taken";
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// See the module.
pub struct DecisionSource {
    trail: Arc<Trail>,
    downstream: Arc<dyn Consume>,
}

impl std::fmt::Debug for DecisionSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DecisionSource")
    }
}

/// What came of handing over.
enum Handed {
    /// Everything that there was.
    All,
    /// Something is left, for this reason.
    Left(String),
}

impl DecisionSource {
    /// Hands the entries of `trail` to `downstream`.
    pub const fn new(trail: Arc<Trail>, downstream: Arc<dyn Consume>) -> Self {
        Self { trail, downstream }
    }

    /// Hands over until `shutdown`, and once more then.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        let mut last = self.trail.watch();
        let mut shutdown = std::pin::pin!(shutdown);
        let mut taken = None;
        let mut wait = None;
        loop {
            last.mark_unchanged();
            wait = match self.hand_over(&mut taken).await {
                Handed::All => {
                    if wait.is_some() {
                        tracing::info!("decisions reach their log pipelines again");
                    }
                    None
                }
                Handed::Left(reason) => {
                    metrics::counter!("burngate_audit_events_total", "outcome" => "refused").increment(1);
                    if wait.is_none() {
                        tracing::warn!(%reason, "decisions do not reach their log pipelines; tried again");
                    }
                    Some(wait.map_or(FIRST_WAIT, |wait: Duration| (wait * 2).min(LONGEST_WAIT)))
                }
            };
            let more = async {
                match wait {
                    Some(wait) => tokio::time::sleep(wait).await,
                    // An error means that nobody writes any more: the end is near.
                    None if last.changed().await.is_ok() => {}
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = more => {}
                () = &mut shutdown => break,
            }
        }
        if let Handed::Left(reason) = self.hand_over(&mut taken).await {
            tracing::warn!(%reason, "decisions have not reached their log pipelines; the next start goes on");
        }
    }

    /// Hands over what is behind `taken`; `None` asks the store how far that is.
    async fn hand_over(&self, taken: &mut Option<u64>) -> Handed {
        loop {
            let (known, trail) = (*taken, Arc::clone(&self.trail));
            let read = tokio::task::spawn_blocking(move || read(&trail, known)).await;
            let (after, rows) = match read {
                Ok(Ok(read)) => read,
                Ok(Err(error)) => return Handed::Left(error.to_string()),
                Err(error) => return Handed::Left(error.to_string()),
            };
            *taken = Some(after);
            let end = self.trail.end().seq;
            metrics::gauge!("burngate_audit_events_waiting").set(end.saturating_sub(after) as f64);
            let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
                return Handed::All;
            };
            let (skipped, last) = (first.seq.saturating_sub(after + 1), last.seq);
            let batch = Batch::new(Signal::Logs, decision_log(&rows).into());
            if let Err(refusal) = self.downstream.consume(batch).await {
                return Handed::Left(refusal.to_string());
            }
            metrics::counter!("burngate_audit_events_total", "outcome" => "handed_over")
                .increment(rows.len() as u64);
            metrics::counter!("burngate_audit_events_total", "outcome" => "pruned").increment(skipped);
            *taken = Some(last);
            let trail = Arc::clone(&self.trail);
            let noted = tokio::task::spawn_blocking(move || note(&trail, last)).await;
            if let Ok(Err(error)) = noted {
                // They have it all the same; after a restart they would get it again.
                tracing::warn!(%error, "how far log pipelines have got cannot be noted");
            }
        }
    }
}

/// The entries behind `known`, and where that is.
fn read(trail: &Trail, known: Option<u64>) -> Result<(u64, Vec<Entry>), StoreError> {
    let after = match known {
        Some(after) => after,
        // Without a note nobody has listened yet: only what this process records is news.
        None => noted(trail)?.unwrap_or_else(|| trail.opened_at()),
    };
    let rows = trail.after(after.min(trail.end().seq), PAGE)?;
    let entries = rows.iter().filter_map(|(seq, line)| match Entry::read(line) {
        Ok(entry) => Some(entry),
        Err(error) => {
            tracing::error!(seq, %error, "an entry of the audit record cannot be read");
            None
        }
    });
    Ok((after, entries.collect()))
}

fn noted(trail: &Trail) -> Result<Option<u64>, StoreError> {
    let row = trail.store().journal_row(TAKEN_ROW)?;
    Ok(row.and_then(|row| std::str::from_utf8(&row).ok()?.parse().ok()))
}

fn note(trail: &Trail, taken: u64) -> Result<(), StoreError> {
    trail.store().put(TAKEN_ROW, taken.to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Draft, Limits};
    use crate::pipeline::{Accepted, Consumed, Refusal};
    use crate::store::MemStore;
    use crate::time::UnixNanos;
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
    use prost::Message as _;
    use std::sync::Mutex;

    /// Refuses the first batches, and keeps the numbers of the entries in the others.
    #[derive(Default)]
    struct Pipeline {
        refuse: Mutex<u32>,
        seen: Mutex<Vec<i64>>,
    }

    impl Consume for Pipeline {
        #[allow(clippy::disallowed_methods, reason = "prost is the oracle")]
        fn consume(&self, batch: Batch) -> Consumed<'_> {
            let mut refuse = self.refuse.lock().unwrap();
            if *refuse > 0 {
                *refuse -= 1;
                let message = "full".into();
                return Box::pin(async {
                    Err(Refusal::Overloaded {
                        message,
                        retry_after_secs: 1,
                    })
                });
            }
            let request = ExportLogsServiceRequest::decode(&*batch.bytes).unwrap();
            for record in &request.resource_logs[0].scope_logs[0].log_records {
                let seq = record.attributes.iter().find(|it| it.key == "burngate.audit.seq");
                let value = seq.unwrap().value.clone().unwrap().value.unwrap();
                if let opentelemetry_proto::tonic::common::v1::any_value::Value::IntValue(seq) = value {
                    self.seen.lock().unwrap().push(seq);
                }
            }
            Box::pin(async { Ok(Accepted::all(0)) })
        }
    }

    fn note(trail: &Trail, n: u64) {
        let at = UnixNanos::from_secs(1_795_300_000 + n);
        trail.note(Draft::by_gateway(at, "test", serde_json::json!({ "n": n })));
    }

    fn open(store: &Arc<MemStore>) -> Arc<Trail> {
        let limits = Limits {
            entries: 1_000,
            secs: 86_400,
        };
        Arc::new(Trail::open(store.clone(), limits).unwrap())
    }

    #[tokio::test]
    async fn entries_arrive_in_order_over_refusals_and_restarts() {
        let store = Arc::new(MemStore::new());
        let pipeline = Arc::new(Pipeline {
            refuse: Mutex::new(2),
            ..Pipeline::default()
        });
        let trail = open(&store);
        (1..=250).for_each(|n| note(&trail, n));
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let source = DecisionSource::new(trail.clone(), pipeline.clone());
        let running = tokio::spawn(source.run(async {
            let _ = ended.await;
        }));
        while pipeline.seen.lock().unwrap().len() < 250 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        note(&trail, 251);
        end.send(()).unwrap();
        running.await.unwrap();
        // Another process, whose pipelines take nothing at first.
        let trail = open(&store);
        note(&trail, 252);
        DecisionSource::new(trail, pipeline.clone()).run(async {}).await;
        assert_eq!(*pipeline.seen.lock().unwrap(), (1..=252).collect::<Vec<i64>>());
    }

    #[tokio::test]
    async fn who_begins_to_listen_hears_what_is_new_and_not_the_past() {
        let store = Arc::new(MemStore::new());
        (1..=5).for_each(|n| note(&open(&store), n));
        let trail = open(&store);
        note(&trail, 6);
        let pipeline = Arc::new(Pipeline::default());
        DecisionSource::new(trail, pipeline.clone()).run(async {}).await;
        assert_eq!(*pipeline.seen.lock().unwrap(), [6]);
    }
}
