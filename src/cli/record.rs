//! `burngate record`: counts of a batch job or a script, to a running gateway.
//!
//! A job runs at night and nobody reads its output, so an answer is wanted in the exit code, and a gateway
//! that is being restarted must not cost the counts: what may pass is tried again, with the same
//! idempotency key.

use super::replay::time;
use super::{EXIT_FAILURE, EXIT_USAGE, complain, why_not_sent};
use crate::gateway::SystemClock;
use crate::time::{Clock as _, UnixNanos};
use clap::Args;
use reqwest::StatusCode;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Wait before the second try; it doubles.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// Longest wait between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// Bytes read of an answer.
const ANSWER_MAX: usize = 64 << 10;

/// Arguments of `record`.
#[derive(Args, Clone, Debug)]
pub struct RecordArgs {
    /// The service, as its policy names it
    #[arg(long, value_name = "NAME")]
    service: String,
    /// The SLO, as the policy names it
    #[arg(long, value_name = "NAME")]
    slo: String,
    /// Good events
    #[arg(long, value_name = "N", default_value_t = 0)]
    good: u64,
    /// Bad events
    #[arg(long, value_name = "N", default_value_t = 0)]
    bad: u64,
    /// When they happened (RFC 3339 or Unix seconds), up to five minutes ago; now without this, or with
    /// --idempotency-key when the gateway first hears of them
    #[arg(long, value_name = "TIME")]
    time: Option<String>,
    /// The environment they belong to
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// The deployment they belong to
    #[arg(long, value_name = "SHA")]
    sha: Option<String>,
    /// A flag that was in play: `name`, `!name` or `name=variant`; several are possible
    #[arg(long, value_name = "FLAG")]
    flag: Vec<String>,
    /// Stands for these events: what is sent again with it counts once. Made up without this, for this call
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// The API of the gateway
    #[arg(
        long,
        value_name = "URL",
        env = "BURNGATE_API",
        default_value = "http://127.0.0.1:8055"
    )]
    api: String,
    /// A file with the token of extensions.api; without it the environment's BURNGATE_API_TOKEN, if there
    /// is one
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Give up after this time
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time)]
    timeout: Duration,
    /// Say nothing when it went well
    #[arg(long, short)]
    quiet: bool,
}

/// How a try went.
enum Try {
    Done(Value),
    /// It makes no sense to send this again.
    Refused(String, u8),
    /// It may pass.
    Failed(String),
}

/// Records, and says how it went.
pub(super) fn record(args: &RecordArgs) -> ExitCode {
    let request = match Request::new(args) {
        Ok(request) => request,
        Err(wrong) => {
            complain(&format!("burngate: {wrong}"));
            return ExitCode::from(EXIT_USAGE);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(request.deliver(args.timeout)),
        Err(error) => Err((format!("the system refuses a thread: {error}"), EXIT_FAILURE)),
    };
    match outcome {
        Ok(answer) => {
            if !args.quiet {
                crate::telemetry::announce(&words(&answer));
            }
            ExitCode::SUCCESS
        }
        Err((told, code)) => {
            complain(&format!("burngate: {told}"));
            ExitCode::from(code)
        }
    }
}

fn words(answer: &Value) -> String {
    let number = |key: &str| answer[key].as_u64().unwrap_or(0);
    let mut told = if answer["duplicate"] == true {
        "recorded already, nothing was counted again".to_owned()
    } else {
        format!(
            "recorded {} good and {} bad events",
            number("good"),
            number("bad")
        )
    };
    if number("moved") > 0 {
        told.push_str("; counted as of now, because their time is too far away");
    }
    if answer["durable"] == false {
        told.push_str("; the gateway cannot write its store at the moment");
    }
    told
}

struct Request {
    client: reqwest::Client,
    url: reqwest::Url,
    token: Option<String>,
    key: String,
    body: Value,
}

impl Request {
    fn new(args: &RecordArgs) -> Result<Self, String> {
        let url = format!("{}/api/v1/events", args.api.trim_end_matches('/'));
        let url: reqwest::Url = url.parse().map_err(|e| format!("--api {}: {e}", args.api))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!(
                "--api {}: expected something like http://127.0.0.1:8055",
                args.api
            ));
        }
        let now = SystemClock.now();
        let key = args.idempotency_key.clone().unwrap_or_else(|| made_up(now, args));
        // Said now, so that a later try does not make it a later event. With a key of the user's the next
        // call must say the same events, so that the time of one without --time is the first arrival's.
        let own = args.idempotency_key.is_none().then(|| now.to_string());
        let at = args.time.clone().or(own);
        let at = at.map(|at| at.parse::<f64>().map_or(Value::from(at), Value::from));
        let body = json!({
            "events": [{
                "service": args.service,
                "slo": args.slo,
                "good": args.good,
                "bad": args.bad,
                "time": at,
                "environment": args.environment,
                "sha": args.sha,
                "flags": args.flag,
            }],
        });
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(5))
            .timeout(args.timeout.max(Duration::from_millis(1)))
            .user_agent(concat!("burngate-record/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| format!("no HTTP client: {e}"))?;
        Ok(Self {
            client,
            url,
            token: token(args)?,
            key,
            body,
        })
    }

    /// Tries until it is done, refused, or too late.
    async fn deliver(&self, timeout: Duration) -> Result<Value, (String, u8)> {
        let deadline = tokio::time::Instant::now() + timeout;
        let mut wait = FIRST_WAIT;
        loop {
            let told = match tokio::time::timeout_at(deadline, self.send()).await {
                Ok(Try::Done(answer)) => return Ok(answer),
                Ok(Try::Refused(told, code)) => return Err((told, code)),
                Ok(Try::Failed(told)) => told,
                Err(_) => "no answer in time".to_owned(),
            };
            let jitter = Duration::from_millis(fastrand::u64(0..100));
            let next = tokio::time::Instant::now() + wait + jitter;
            if next >= deadline {
                let told = format!(
                    "{}: {told}; gave up, send it again with --idempotency-key {}",
                    self.url, self.key
                );
                return Err((told, EXIT_FAILURE));
            }
            tokio::time::sleep_until(next).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    async fn send(&self) -> Try {
        let mut request = self
            .client
            .post(self.url.clone())
            .header("idempotency-key", &self.key)
            .json(&self.body);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Try::Failed(why_not_sent(&error)),
        };
        let status = response.status();
        let mut body = Vec::new();
        while let Ok(Some(chunk)) = response.chunk().await {
            body.extend(&chunk);
            if body.len() > ANSWER_MAX {
                break;
            }
        }
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        let told = answer["error"]["message"].as_str().unwrap_or_default();
        let told = format!(
            "{status}: {}",
            if told.is_empty() {
                "no burngate answers there"
            } else {
                told
            }
        );
        match status {
            StatusCode::OK if answer["good"].is_u64() => Try::Done(answer),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => Try::Failed(told),
            _ if status.is_server_error() => Try::Failed(told),
            StatusCode::BAD_REQUEST | StatusCode::CONFLICT => Try::Refused(told, EXIT_USAGE),
            _ => Try::Refused(told, EXIT_FAILURE),
        }
    }
}

fn token(args: &RecordArgs) -> Result<Option<String>, String> {
    let token = match &args.token_file {
        Some(path) => Some(std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?),
        None => std::env::var("BURNGATE_API_TOKEN").ok(),
    };
    let token = token
        .map(|token| token.trim().to_owned())
        .filter(|token| !token.is_empty());
    if args.token_file.is_some() && token.is_none() {
        return Err("the token's file is empty".to_owned());
    }
    Ok(token)
}

/// A key for this call and no other.
fn made_up(now: UnixNanos, args: &RecordArgs) -> String {
    let facts = format!(
        "{} {} {:?} {:x}",
        now.0,
        std::process::id(),
        args,
        fastrand::u128(..)
    );
    hex::encode(&Sha256::digest(facts.as_bytes())[..16])
}
