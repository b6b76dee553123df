//! `prometheusremotewrite`: received metrics pushed to Prometheus.
//!
//! Problem: Prometheus refuses a sample that is older than the last of its series, and a batch with one
//! such sample whole; and it knows no deltas, which the Collector's exporter therefore drops. Property
//! wanted: every series has one consumer, chosen by a hash of its labels, which sends one request after the
//! other, so that samples of a series stay in order whatever fails and is repeated; a sample that is not
//! newer than the last one handed over is left out and counted; deltas are added up. Rejected: a pool of
//! consumers over one queue, which is what reorders.

mod consumer;
mod encode;
#[cfg(test)]
mod tests;

use super::counted::Counted;
use super::otlp::client_config;
use super::prom::{Left, Store, StoreLimits, walk_points};
use super::prometheus::count_left;
use crate::config;
use crate::pipeline::{Accepted, Batch, Charge, Component, Consume, Consumed, Memory, Refusal, Signal};
use crate::time::{Clock, UnixNanos};
use consumer::{Answer, Consumer};
use encode::Encoder;
use futures_util::future::join_all;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot, watch};

/// Why a push exporter cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum RemoteWriteError {
    /// The client cannot be built.
    #[error("exporter {id}: {reason}")]
    Client {
        /// The exporter.
        id: String,
        /// Why.
        reason: String,
    },
}

/// Samples of one batch that are one consumer's.
#[derive(Debug)]
struct Job {
    /// TimeSeries messages, each as a field of a WriteRequest.
    series: Vec<u8>,
    /// Points that they were made of.
    points: u64,
    _charge: Charge,
    /// Who waits for the answer, where there is no queue.
    waiting: Option<oneshot::Sender<Answer>>,
}

/// Pushes received metrics, series by series in order.
#[derive(Debug)]
pub struct RemoteWrite {
    clock: Arc<dyn Clock>,
    memory: Memory,
    counted: Arc<Counted>,
    id: Arc<str>,
    waits: bool,
    store: Mutex<Store>,
    queues: Vec<mpsc::Sender<Job>>,
    consumers: Mutex<Vec<Consumer>>,
    closing: watch::Sender<bool>,
}

impl RemoteWrite {
    /// Builds the exporter `id`. Nothing is sent before [`Self::run`] runs.
    pub fn build(
        id: &str,
        config: &config::RemoteWriteExporter,
        clock: Arc<dyn Clock>,
        memory: &Memory,
    ) -> Result<Arc<Self>, RemoteWriteError> {
        let failed = |reason: String| RemoteWriteError::Client {
            id: id.to_owned(),
            reason,
        };
        // Over plain http nobody is asked for a certificate, and the system need not have any roots.
        let tls = if config.endpoint.starts_with("https:") {
            config.tls.clone()
        } else {
            config::ClientTls {
                insecure_skip_verify: true,
                ..config::ClientTls::default()
            }
        };
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(config.timeout)
            .tls_backend_preconfigured(client_config(&tls).map_err(failed)?)
            .build()
            .map_err(|error| failed(error.to_string()))?;
        let counted = Arc::new(Counted::new(id));
        let (closing, closed) = watch::channel(false);
        let room = (config.queue_size / config.num_consumers).max(1);
        let (queues, consumers) = (0..config.num_consumers)
            .map(|_| {
                let (queue, jobs) = mpsc::channel(room);
                let consumer = Consumer::new(id, config, &client, jobs, Arc::clone(&counted), closed.clone());
                (queue, consumer)
            })
            .unzip();
        Ok(Arc::new(Self {
            clock,
            memory: memory.clone(),
            counted,
            id: id.into(),
            waits: !config.queue_enabled,
            store: Mutex::new(Store::new(StoreLimits {
                naming: config.naming.clone(),
                max_series: config.max_series,
                expiration: config.metric_expiration,
                with_examples: false,
            })),
            queues,
            consumers: Mutex::new(consumers),
            closing,
        }))
    }

    /// Says at `component` whether Prometheus takes what is sent.
    pub fn says_at(&self, component: Component) {
        self.counted.says_at(component);
    }

    /// Sends until `shutdown`, and then what still waits, within a few seconds. A second call does nothing.
    pub async fn run(&self, shutdown: impl Future<Output = ()> + Send) {
        let consumers = std::mem::take(&mut *self.consumers.lock().unwrap_or_else(PoisonError::into_inner));
        let running = join_all(consumers.into_iter().map(Consumer::run));
        let mut running = std::pin::pin!(running);
        tokio::select! {
            _ = &mut running => return,
            () = shutdown => {}
        }
        self.closing.send_replace(true);
        running.await;
    }

    /// Makes samples of a batch, if every consumer has room for its share: a point must not be half taken.
    fn prepare(&self, batch: &Batch) -> Result<(Accepted, Vec<oneshot::Receiver<Answer>>), Refusal> {
        if batch.signal != Signal::Metrics {
            return Err(Refusal::Malformed("prometheusremotewrite takes metrics".into()));
        }
        let items = batch.items.unwrap_or(0);
        let permits: Result<Vec<_>, _> = self.queues.iter().map(mpsc::Sender::try_reserve).collect();
        let (Ok(permits), false) = (permits, *self.closing.borrow()) else {
            self.counted.refused(Signal::Metrics, items);
            return Err(Refusal::Overloaded {
                message: "the queue of prometheusremotewrite is full".into(),
                retry_after_secs: 1,
            });
        };
        let now = self.clock.now();
        let mut encoder = Encoder::new(permits.len());
        let points = self.encode(now, batch, &mut encoder)?;
        let mut answers = Vec::new();
        for (permit, (series, points)) in permits.into_iter().zip(encoder.shares) {
            if series.is_empty() {
                continue;
            }
            let waiting = self.waits.then(|| {
                let (answer, answered) = oneshot::channel();
                answers.push(answered);
                answer
            });
            let charge = self.memory.charge(series.len() as u64);
            permit.send(Job {
                series,
                points,
                _charge: charge,
                waiting,
            });
        }
        Ok((Accepted::all(points), answers))
    }

    fn encode(&self, now: UnixNanos, batch: &Batch, encoder: &mut Encoder) -> Result<u64, Refusal> {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let mut reasons = [0u64; 4];
        let (mut points, mut resource, mut newest) = (0u64, None::<&[u8]>, 0);
        let target = |store: &mut Store, encoder: &mut Encoder, resource: &[u8], time: u64| {
            if let Some(Ok((name, series))) = store.target(now, resource, time)? {
                encoder.add(name, series, 0);
            }
            Ok(())
        };
        let walked = walk_points(&batch.bytes, |head| {
            if let Some(before) = resource.filter(|before| !std::ptr::eq(*before, head.resource)) {
                target(&mut store, encoder, before, newest)?;
                newest = 0;
            }
            resource = Some(head.resource);
            points += 1;
            match store.apply(now, head)? {
                // A point that is not newer than the last is a repetition, and would refuse the whole
                // request.
                Ok((name, series)) if encoder.add(name, series, 1) => newest = newest.max(series.time),
                Ok(_) => reasons[Left::OutOfOrder as usize] += 1,
                Err(left) => reasons[left as usize] += 1,
            }
            Ok(())
        });
        let walked = walked.and_then(|()| match resource {
            Some(resource) => target(&mut store, encoder, resource, newest),
            None => Ok(()),
        });
        store.sweep_sometimes(now);
        drop(store);
        count_left(&self.id, &reasons);
        self.counted.failed(Signal::Metrics, reasons.iter().sum());
        walked.map_err(|error| Refusal::Malformed(error.to_string().into()))?;
        Ok(points)
    }
}

impl Consume for RemoteWrite {
    fn consume(&self, batch: Batch) -> Consumed<'_> {
        let prepared = self.prepare(&batch);
        drop(batch);
        Box::pin(async move {
            let (accepted, answers) = prepared?;
            for answer in join_all(answers).await {
                // A consumer that is gone has counted what it had.
                answer.unwrap_or(Ok(()))?;
            }
            Ok(accepted)
        })
    }
}
