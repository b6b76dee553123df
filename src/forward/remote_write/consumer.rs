//! One connection's worth of series: one request after the other.

use super::Job;
use crate::config;
use crate::forward::counted::Counted;
use crate::forward::retry::Backoff;
use crate::pipeline::{Refusal, Signal};
use reqwest::StatusCode;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use tonic::Code;

/// What became of a job.
pub(super) type Answer = Result<(), Refusal>;

/// Once everything closes, what still waits has so long in all.
const CLOSING: Duration = Duration::from_secs(4);
/// Of what a server says about a refusal.
const WORDS_MAX: usize = 300;

/// Sends what is its share.
#[derive(Debug)]
pub(super) struct Consumer {
    id: String,
    endpoint: String,
    headers: HeaderMap,
    retry: Option<config::Retry>,
    batch_bytes: usize,
    client: reqwest::Client,
    jobs: mpsc::Receiver<Job>,
    counted: Arc<Counted>,
    closing: watch::Receiver<bool>,
    healthy: bool,
}

/// A failed attempt.
struct Failure {
    reason: String,
    code: Code,
    passes: bool,
    advice: Option<Duration>,
}

impl Consumer {
    pub(super) fn new(
        id: &str,
        config: &config::RemoteWriteExporter,
        client: &reqwest::Client,
        jobs: mpsc::Receiver<Job>,
        counted: Arc<Counted>,
        closing: watch::Receiver<bool>,
    ) -> Self {
        let mut headers = HeaderMap::new();
        for (name, value) in &config.headers {
            // Read as headers by the configuration.
            let value = HeaderValue::from_str(value.expose()).ok();
            if let (Ok(name), Some(mut value)) = (HeaderName::from_bytes(name.as_bytes()), value) {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("snappy"));
        headers.insert(
            HeaderName::from_static("x-prometheus-remote-write-version"),
            HeaderValue::from_static("0.1.0"),
        );
        Self {
            id: id.to_owned(),
            endpoint: config.endpoint.clone(),
            headers,
            retry: config.retry,
            batch_bytes: config.max_batch_size_bytes,
            client: client.clone(),
            jobs,
            counted,
            closing,
            healthy: true,
        }
    }

    /// Sends until closed, and then what waits.
    pub(super) async fn run(mut self) {
        loop {
            let job = tokio::select! {
                job = self.jobs.recv() => job,
                _ = self.closing.wait_for(|closing| *closing) => break,
            };
            let Some(job) = job else { return };
            self.send_with_others(job).await;
        }
        self.jobs.close();
        let mut left = CLOSING;
        while let Ok(job) = self.jobs.try_recv() {
            let begun = Instant::now();
            let points = job.points;
            if timeout(left, self.send_with_others(job)).await.is_err() {
                self.counted.failed(Signal::Metrics, points);
                break;
            }
            left = left.saturating_sub(begun.elapsed());
        }
        while let Ok(job) = self.jobs.try_recv() {
            self.counted.failed(Signal::Metrics, job.points);
        }
    }

    /// Sends a job and what waits behind it, as far as it fits.
    async fn send_with_others(&mut self, first: Job) {
        let mut bytes = first.series.len();
        let mut jobs = vec![first];
        while bytes < self.batch_bytes
            && let Ok(job) = self.jobs.try_recv()
        {
            bytes += job.series.len();
            jobs.push(job);
        }
        let whole: Vec<u8> = jobs.iter().flat_map(|job| job.series.iter().copied()).collect();
        let mut answer = Ok(());
        for part in parts(&whole, self.batch_bytes) {
            let sent = self.deliver(part).await;
            if answer.is_ok() {
                answer = sent;
            }
        }
        let points = jobs.iter().map(|job| job.points).sum();
        match &answer {
            Ok(()) => self.counted.sent(Signal::Metrics, points),
            Err(_) => self.counted.failed(Signal::Metrics, points),
        }
        for waiting in jobs.into_iter().filter_map(|job| job.waiting) {
            // Whoever waited may have gone.
            let _ = waiting.send(answer.clone());
        }
    }

    /// Sends one request until it arrives or is given up.
    async fn deliver(&mut self, series: &[u8]) -> Answer {
        let body = snap::raw::Encoder::new()
            .compress_vec(series)
            .map_err(|error| Refusal::Downstream {
                code: Code::Internal,
                message: error.to_string().into(),
                retry_after: None,
            })?;
        let body = bytes::Bytes::from(body);
        let begun = Instant::now();
        let mut backoff = self.retry.map(Backoff::new);
        loop {
            let failure = match self.attempt(body.clone()).await {
                Ok(()) => {
                    self.counted.works();
                    if !std::mem::replace(&mut self.healthy, true) {
                        tracing::info!(exporter = %self.id, "writes to Prometheus again");
                    }
                    return Ok(());
                }
                Err(failure) => failure,
            };
            self.counted.ails(&failure.reason);
            if std::mem::replace(&mut self.healthy, false) {
                let reason = &failure.reason;
                tracing::warn!(exporter = %self.id, %reason, "cannot write to Prometheus");
            }
            let wait = backoff
                .as_mut()
                .filter(|_| failure.passes)
                .and_then(|backoff| backoff.wait(begun.elapsed(), failure.advice, fastrand::f64()));
            // Once everything closes there is one attempt more, and no patience.
            let Some(wait) = wait.filter(|_| !*self.closing.borrow()) else {
                return Err(Refusal::Downstream {
                    code: failure.code,
                    message: failure.reason.into(),
                    retry_after: failure.advice,
                });
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = self.closing.wait_for(|closing| *closing) => {}
            }
        }
    }

    async fn attempt(&self, body: bytes::Bytes) -> Result<(), Failure> {
        let request = self
            .client
            .post(&self.endpoint)
            .headers(self.headers.clone())
            .body(body);
        let mut response = request.send().await.map_err(|error| Failure {
            // Without the URL, which may hold a token.
            reason: format!("not reached: {}", error.without_url()),
            code: Code::Unavailable,
            passes: true,
            advice: None,
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let advice = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok());
        let advice = advice
            .and_then(|secs| secs.trim().parse().ok())
            .map(Duration::from_secs);
        let words = match response.chunk().await {
            Ok(Some(chunk)) => {
                let words = chunk.get(..WORDS_MAX.min(chunk.len())).unwrap_or_default();
                String::from_utf8_lossy(words)
                    .trim()
                    .replace(char::is_control, " ")
            }
            _ => String::new(),
        };
        let passes = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
        Err(Failure {
            reason: format!("answered {status}: {words}"),
            code: if passes {
                Code::Unavailable
            } else {
                Code::InvalidArgument
            },
            passes,
            advice,
        })
    }
}

/// Cuts TimeSeries into requests of at most about `max` bytes, never through one.
fn parts(series: &[u8], max: usize) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    let (mut begin, mut at) = (0, 0);
    let mut reader = crate::wire::Reader::new(series);
    while let Ok(Some(_)) = reader.tag() {
        if reader.bytes().is_err() {
            break;
        }
        let next = series.len() - reader.rest().len();
        if next - begin > max && at > begin {
            parts.push(&series[begin..at]);
            begin = at;
        }
        at = next;
    }
    if begin < series.len() {
        parts.push(&series[begin..]);
    }
    parts
}
