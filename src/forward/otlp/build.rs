//! From the configuration to an exporter that runs.

use super::courier::{Courier, Delivered, Phase, Transport};
use super::{Authorize, Dropped, Failure, Meters, Quiet, tls};
use crate::config::{ClientTls, OtlpExporter, OtlpProtocol};
use crate::forward::disk::{Limits, Log};
use crate::forward::grpc::GrpcClient;
use crate::forward::http::HttpClient;
use crate::forward::queue::{Job, Part, Queue};
use crate::pipeline::{Accepted, Batch, Component, Consume, Consumed, Memory, Refusal, Status};
use crate::time::Clock;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What an exporter is given.
#[derive(Clone, Debug)]
pub struct Context {
    /// Charged for what waits and for what is under way.
    pub memory: Memory,
    /// For a backend's advice that is a date.
    pub clock: Arc<dyn Clock>,
    /// Folder of the `file_storage` that `sending_queue.storage` names.
    pub storage: Option<PathBuf>,
    /// The extension that `auth.authenticator` names.
    pub authorization: Option<Arc<dyn Authorize>>,
    /// Where it says how it is.
    pub component: Component,
}

/// Why an exporter cannot be built.
#[derive(Debug, thiserror::Error)]
#[error("exporter {id}: {message}")]
pub struct ForwardError {
    /// The exporter.
    pub id: String,
    /// What to change.
    pub message: String,
}

/// An exporter, ready to run. Keep it over a reload whose configuration of it is equal; else build the new
/// one, swap the pipelines, then shut this one down. Both may share a persistent queue while that lasts.
#[derive(Debug)]
pub struct Built {
    forwarder: Arc<OtlpForwarder>,
    tls: ClientTls,
    workers: usize,
    tasks: Mutex<JoinSet<()>>,
}

/// Takes batches over for one backend.
#[derive(Debug)]
pub struct OtlpForwarder {
    courier: Courier,
    queue: Option<Arc<Queue>>,
    memory: Memory,
    closed: AtomicBool,
}

/// Builds the exporter `id`. Nothing runs and nothing is sent before [`Built::start`].
pub fn build_otlp(id: &str, config: &OtlpExporter, context: Context) -> Result<Built, ForwardError> {
    let wrong = |message: String| ForwardError {
        id: id.to_owned(),
        message,
    };
    let meters = Arc::new(Meters::new(id));
    let headers = headers(config).map_err(wrong)?;
    let transport = match config.protocol {
        OtlpProtocol::Grpc => GrpcClient::new(config, headers, context.authorization).map(Transport::Grpc),
        OtlpProtocol::Http => {
            HttpClient::new(config, headers, context.authorization, context.clock).map(Transport::Http)
        }
    };
    let mut queue = None;
    let mut persistent = false;
    if let Some(settings) = &config.queue {
        let log = match (&settings.storage, &context.storage) {
            (None, _) => None,
            (Some(name), None) => return Err(wrong(format!("sending_queue.storage: no extension {name}"))),
            (Some(_), Some(folder)) => {
                let limits = Limits {
                    bytes: settings.queue_size_mib << 20,
                    fsync: settings.fsync,
                };
                let folder = folder_of(folder, id);
                let log = Log::open(&folder, limits);
                Some(log.map_err(|error| {
                    wrong(format!("sending_queue.storage: {}: {error}", folder.display()))
                })?)
            }
        };
        persistent = log.is_some();
        let memory = context.memory.clone();
        queue = Some(Arc::new(Queue::new(
            settings.clone(),
            memory,
            meters.clone(),
            log,
        )));
    }
    let courier = Courier {
        id: id.into(),
        transport: transport.map_err(wrong)?,
        compression: config.compression,
        encoding: config.encoding,
        retry: config.retry,
        persistent,
        meters,
        quiet: Quiet::default(),
        component: context.component,
        failing: AtomicBool::new(false),
        phase: watch::Sender::new(Phase::Running),
    };
    Ok(Built {
        forwarder: Arc::new(OtlpForwarder {
            courier,
            queue,
            memory: context.memory,
            closed: AtomicBool::new(false),
        }),
        tls: config.tls.clone(),
        workers: config.queue.as_ref().map_or(0, |queue| queue.num_consumers),
        tasks: Mutex::default(),
    })
}

/// The folder of an exporter's queue; ids that look alike as names of files stay apart.
fn folder_of(storage: &Path, id: &str) -> PathBuf {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = id.chars().take(80).map(plain).collect();
    storage
        .join("queue")
        .join(format!("{name}-{:08x}", crc32fast::hash(id.as_bytes())))
}

fn headers(config: &OtlpExporter) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    headers.insert(
        header::USER_AGENT,
        HeaderValue::from_static(concat!("burngate/", env!("CARGO_PKG_VERSION"))),
    );
    for (name, value) in &config.headers {
        let bad = || format!("headers.{name}: cannot be sent as it is");
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
        let mut value = HeaderValue::from_str(value.expose()).map_err(|_| bad())?;
        value.set_sensitive(true);
        headers.insert(key, value);
    }
    Ok(headers)
}

impl Built {
    /// The exit of pipelines.
    pub fn sink(&self) -> Arc<dyn Consume> {
        self.forwarder.clone()
    }

    /// Whether the last attempt failed, for the health of the component.
    pub fn is_failing(&self) -> bool {
        self.forwarder.courier.failing.load(Ordering::Relaxed)
    }

    /// Starts its tasks on `runtime`. Once.
    pub fn start(&self, runtime: &tokio::runtime::Handle) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        self.forwarder.courier.component.set(Status::Ok);
        if let Some(queue) = &self.forwarder.queue {
            for _ in 0..self.workers {
                tasks.spawn_on(work(self.forwarder.clone(), queue.clone()), runtime);
            }
            let timer = queue.clone();
            tasks.spawn_on(async move { timer.keep_time().await }, runtime);
            tasks.spawn_on(queue.clone().adopt(), runtime);
        }
        if let Some(every) = self.tls.reload_interval {
            tasks.spawn_on(reload(self.forwarder.clone(), self.tls.clone(), every), runtime);
        }
    }

    /// Takes nothing more, and sends or persists what it has within `deadline`.
    pub async fn shutdown(&self, deadline: Duration) {
        let forwarder = &self.forwarder;
        forwarder.closed.store(true, Ordering::Relaxed);
        let courier = &forwarder.courier;
        courier.phase.send_replace(Phase::Draining);
        if let Some(queue) = &forwarder.queue {
            queue.close();
        }
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        let all = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(deadline, all).await.is_err() {
            tracing::warn!(exporter = %courier.id, ?deadline, "not everything could be sent before the end");
        }
        courier.phase.send_replace(Phase::Ended);
        if let Some(queue) = &forwarder.queue {
            queue.end();
        }
        // Whoever was in the middle of an attempt notices, and leaves its job to the log.
        let rest = async { while tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(Duration::from_millis(500), rest).await;
    }
}

/// One of `num_consumers` hands.
async fn work(forwarder: Arc<OtlpForwarder>, queue: Arc<Queue>) {
    while let Some(job) = queue.next().await {
        if !forwarder.carry(&queue, job).await && forwarder.courier.persistent {
            // The rest stays on disk.
            return;
        }
    }
}

/// Looks at the files of certificates every now and then.
async fn reload(forwarder: Arc<OtlpForwarder>, settings: ClientTls, every: Duration) {
    let mut phase = forwarder.courier.phase.subscribe();
    let mut before = tls::files_state(&settings);
    if before.is_empty() {
        return;
    }
    loop {
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            _ = phase.wait_for(|now| *now > Phase::Running) => return,
        }
        let now = tls::files_state(&settings);
        if now == before {
            continue;
        }
        let exporter = &forwarder.courier.id;
        match forwarder.courier.transport.reload() {
            Ok(()) => {
                tracing::info!(%exporter, "certificates were read again");
                before = now;
            }
            Err(error) => tracing::error!(%exporter, error, "certificates have changed and cannot be used"),
        }
    }
}

impl OtlpForwarder {
    /// Sends a job; whether it came to an end.
    async fn carry(&self, queue: &Arc<Queue>, mut job: Job) -> bool {
        let pieces = job.load(&self.courier.meters).await;
        if job.parts.is_empty() {
            return true;
        }
        let verdict = match self.courier.deliver(job.signal, job.items(), pieces).await {
            Delivered::Arrived(arrived) => Ok(arrived),
            Delivered::Dropped(_, failure) => Err(failure),
            Delivered::Unfinished => {
                queue.unfinished(job);
                return false;
            }
        };
        Part::settle_all(job.parts, &verdict).await;
        true
    }

    async fn take(&self, batch: Batch) -> Result<Accepted, Refusal> {
        let (signal, items) = (batch.signal, batch.items.unwrap_or(0));
        if self.closed.load(Ordering::Relaxed) {
            self.courier.meters.dropped(signal, items, Dropped::Closing);
            return Err(Refusal::Overloaded {
                message: "the exporter is going away".into(),
                retry_after_secs: 1,
            });
        }
        if let Some(queue) = &self.queue {
            return queue.offer(batch).await;
        }
        let _charge = self.memory.charge(batch.bytes.len() as u64);
        match self.courier.deliver(signal, items, vec![batch.bytes]).await {
            Delivered::Arrived(arrived) => Ok(arrived.accepted(items)),
            Delivered::Dropped(_, failure) => Err(failure.refusal()),
            Delivered::Unfinished => {
                self.courier.meters.dropped(signal, items, Dropped::Shutdown);
                Err(Failure::unreachable("the exporter is going away").refusal())
            }
        }
    }
}

impl Consume for OtlpForwarder {
    fn consume(&self, batch: Batch) -> Consumed<'_> {
        Box::pin(self.take(batch))
    }
}
