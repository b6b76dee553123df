//! What the commands for a hand on a flag share: the call to a running gateway, and its answer.

use super::replay::time;
use super::{EXIT_FAILURE, EXIT_USAGE, complain, why_not_sent};
use clap::Args;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Bytes read of an answer.
const ANSWER_MAX: usize = 16 << 20;
/// Time between two looks at a decision.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Where the gateway is, and who asks.
#[derive(Args, Clone, Debug)]
pub(super) struct HandArgs {
    /// The API of the gateway
    #[arg(
        long,
        value_name = "URL",
        env = "BURNGATE_API",
        default_value = "http://127.0.0.1:8055"
    )]
    pub(super) api: String,
    /// A file with the token of an admin (extensions.api.admins); without it the environment's
    /// BURNGATE_ADMIN_TOKEN
    #[arg(long, value_name = "FILE")]
    pub(super) token_file: Option<PathBuf>,
    /// Give up after this time
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time)]
    pub(super) timeout: Duration,
}

/// Why a command failed: the words, and the exit code.
pub(super) type Failure = (String, u8);

/// A running gateway.
pub(super) struct Gateway {
    client: reqwest::Client,
    api: String,
    token: String,
    /// How the decision stood that is waited for, in words.
    stood: Arc<Mutex<String>>,
}

/// Runs `work` against the gateway of `args`, prints what it says, and exits accordingly.
pub(super) fn run<F>(args: &HandArgs, work: impl FnOnce(Gateway) -> F) -> ExitCode
where
    F: Future<Output = Result<String, Failure>>,
{
    let outcome = Gateway::new(args).and_then(|gateway| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| (format!("the system refuses a thread: {e}"), EXIT_FAILURE))?;
        let stood = Arc::clone(&gateway.stood);
        let work = work(gateway);
        runtime.block_on(async {
            tokio::time::timeout(args.timeout, work)
                .await
                .unwrap_or_else(|_| Err((out_of_time(&stood), EXIT_FAILURE)))
        })
    });
    match outcome {
        Ok(told) => {
            crate::telemetry::announce(&told);
            ExitCode::SUCCESS
        }
        Err((told, code)) => {
            complain(&format!("burngate: {told}"));
            ExitCode::from(code)
        }
    }
}

/// Who runs this in an incident must know whether the gateway still tries.
fn out_of_time(stood: &Mutex<String>) -> String {
    let stood = stood.lock().unwrap_or_else(PoisonError::into_inner);
    if stood.is_empty() {
        return "no answer in time".to_owned();
    }
    format!("not done in time, and the gateway goes on with it: {stood}")
}

impl Gateway {
    fn new(args: &HandArgs) -> Result<Self, Failure> {
        let usage = |told: String| (told, EXIT_USAGE);
        let url: Result<reqwest::Url, _> = args.api.parse();
        if !url.is_ok_and(|url| matches!(url.scheme(), "http" | "https")) {
            return Err(usage(format!(
                "--api {}: expected something like http://127.0.0.1:8055",
                args.api
            )));
        }
        let token = match &args.token_file {
            Some(path) => {
                std::fs::read_to_string(path).map_err(|e| usage(format!("{}: {e}", path.display())))?
            }
            None => std::env::var("BURNGATE_ADMIN_TOKEN").unwrap_or_default(),
        };
        let token = token.trim().to_owned();
        if token.is_empty() {
            let told = "no token: give --token-file, or set BURNGATE_ADMIN_TOKEN; whose tokens count stands in \
                        extensions.api.admins of the gateway's configuration";
            return Err(usage(told.to_owned()));
        }
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(5))
            .user_agent(concat!("burngate/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| (format!("no HTTP client: {e}"), EXIT_FAILURE))?;
        Ok(Self {
            client,
            api: args.api.trim_end_matches('/').to_owned(),
            token,
            stood: Arc::default(),
        })
    }

    /// Asks for something to be done.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.call(Method::POST, path, Some(body)).await
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let url = format!("{}{path}", self.api);
        let mut request = self.client.request(method, &url).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let failed = |told: String| (format!("{url}: {told}"), EXIT_FAILURE);
        let mut response = request.send().await.map_err(|e| failed(why_not_sent(&e)))?;
        let status = response.status();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| failed(why_not_sent(&e)))? {
            bytes.extend(&chunk);
            if bytes.len() > ANSWER_MAX {
                return Err(failed("the answer is too long".to_owned()));
            }
        }
        let answer: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if status.is_success() && answer.is_object() {
            return Ok(answer);
        }
        let told = answer["error"]["message"].as_str();
        let told = told.unwrap_or("no burngate answers there");
        let code = match status {
            StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND if answer.is_object() => EXIT_USAGE,
            _ => EXIT_FAILURE,
        };
        Err((format!("{status}: {told}"), code))
    }

    /// Looks at a decision until it has ended, and says how.
    pub(super) async fn follow(&self, id: &str) -> Result<String, Failure> {
        loop {
            let all = self
                .call(Method::GET, "/api/v1/decisions?limit=1000", None)
                .await?;
            let decisions = all["decisions"].as_array().map(Vec::as_slice).unwrap_or_default();
            if let Some(decision) = decisions.iter().find(|d| d["id"] == id) {
                if let Some(ended) = ended(decision) {
                    return ended;
                }
                *self.stood.lock().unwrap_or_else(PoisonError::into_inner) = stands(decision);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

fn stands(decision: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let last = decision["history"].as_array().and_then(|history| history.last());
    format!(
        "decision {} is {}: {}",
        text(&decision["id"]),
        text(&decision["state"]),
        last.map_or_else(String::new, |line| text(&line["what"]))
    )
}

fn ended(decision: &Value) -> Option<Result<String, Failure>> {
    let text = |key: &str| decision[key].as_str().unwrap_or_default();
    let about = format!(
        "{} at {} in {}",
        text("flag"),
        text("exporter"),
        text("environment")
    );
    match text("state") {
        "confirmed" => {
            let how = match (&decision["already_off"], &decision["verified"]) {
                (Value::Bool(true), _) => "it was so already, nothing was sent",
                (_, Value::Bool(true)) => "read back",
                _ => "the service says so; it cannot be read back",
            };
            Some(Ok(format!(
                "{about}: {} ({how}); decision {}",
                text("action"),
                text("id")
            )))
        }
        "failed" | "aborted" => {
            let told = format!(
                "{about}: {}: {} (decision {})",
                text("state"),
                text("detail"),
                text("id")
            );
            Some(Err((told, EXIT_FAILURE)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn who_runs_out_of_time_is_told_that_the_gateway_goes_on() {
        let stood = Mutex::new(String::new());
        assert_eq!(out_of_time(&stood), "no answer in time");
        let history = [
            json!({ "what": "decided by ann: x" }),
            json!({ "what": "read failed: 503" }),
        ];
        let decision = json!({ "id": "ab", "state": "decided", "history": history });
        *stood.lock().unwrap() = stands(&decision);
        assert_eq!(
            out_of_time(&stood),
            "not done in time, and the gateway goes on with it: decision ab is decided: read failed: 503"
        );
    }
}
