//! What black-box tests share: the real binary on ephemeral ports, plain HTTP, waiting, and skipping out loud.

#![allow(dead_code, reason = "each test file is its own crate and uses a part of this")]
#![allow(
    clippy::disallowed_methods,
    reason = "these tests watch a real process in real time"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    missing_docs,
    unreachable_pub
)]

pub mod ports;

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A configuration on ephemeral ports, with the connector's and the exporters' blocks as the test wants them.
pub struct Setup {
    pub error_budget: String,
    pub exporters: String,
    pub decisions: Vec<String>,
    pub budget_exporters: Vec<String>,
    pub receiver: String,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            error_budget: "{}".into(),
            exporters: String::new(),
            decisions: Vec::new(),
            budget_exporters: vec!["prometheus".into()],
            receiver: String::new(),
        }
    }
}

impl Setup {
    pub fn yaml(&self) -> String {
        let decisions = if self.decisions.is_empty() {
            String::new()
        } else {
            format!(
                "    decisions: {{ receivers: [ error_budget ], exporters: [ {} ] }}\n",
                self.decisions.join(", ")
            )
        };
        format!(
            r"receivers:
  otlp:
    protocols:
      grpc: {{ endpoint: 127.0.0.1:0 }}
      http: {{ endpoint: 127.0.0.1:0 }}
{receiver}
connectors:
  error_budget: {error_budget}
exporters:
  prometheus: {{ endpoint: 127.0.0.1:0 }}
{exporters}
extensions:
  health_check: {{ endpoint: 127.0.0.1:0 }}
  file_storage: {{ directory: data }}
  api: {{ endpoint: 127.0.0.1:0 }}
service:
  extensions: [ health_check, file_storage, api ]
  pipelines:
    traces: {{ receivers: [ otlp ], exporters: [ error_budget ] }}
    metrics: {{ receivers: [ otlp ], exporters: [ error_budget ] }}
    logs: {{ receivers: [ otlp ], exporters: [ error_budget ] }}
    metrics/budget: {{ receivers: [ error_budget ], exporters: [ {budget} ] }}
{decisions}",
            receiver = self.receiver,
            error_budget = self.error_budget,
            exporters = self.exporters,
            budget = self.budget_exporters.join(", "),
        )
    }
}

/// The running binary.
pub struct Gateway {
    child: Child,
    pub addrs: HashMap<String, SocketAddr>,
    /// Of unix sockets.
    pub sockets: HashMap<String, PathBuf>,
    pub dir: PathBuf,
    /// Everything it printed until it was ready.
    pub banner: Vec<String>,
    later: Arc<Mutex<Vec<String>>>,
    owned: Option<tempfile::TempDir>,
}

impl Gateway {
    /// Starts with a configuration in a new folder and waits until every listener is announced.
    pub fn start(setup: &Setup) -> Self {
        Self::start_with(setup, &[])
    }

    /// The same, with files (name, content) beside the configuration.
    pub fn start_with(setup: &Setup, files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        std::fs::write(dir.path().join("gateway.yaml"), setup.yaml()).unwrap();
        let mut gateway = Self::start_in(dir.path(), &["run", "--config", "gateway.yaml"], &[]);
        gateway.owned = Some(dir);
        gateway
    }

    /// Starts in an existing folder (whose store may hold an earlier life).
    pub fn start_in(dir: &Path, args: &[&str], env: &[(&str, &str)]) -> Self {
        Self::try_start_in(dir, args, env).unwrap_or_else(|said| panic!("burngate did not start:\n{said}"))
    }

    pub fn try_start_in(dir: &Path, args: &[&str], env: &[(&str, &str)]) -> Result<Self, String> {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(dir.join("stderr.log"))
            .unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_burngate"))
            .args(args)
            .current_dir(dir)
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the binary starts");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut gateway = Self {
            child,
            addrs: HashMap::new(),
            sockets: HashMap::new(),
            dir: dir.to_owned(),
            banner: Vec::new(),
            later: Arc::default(),
            owned: None,
        };
        loop {
            let Some(Ok(line)) = lines.next() else {
                let status = gateway.child.wait().unwrap();
                return Err(format!(
                    "{status}\n{}\n{}",
                    gateway.banner.join("\n"),
                    gateway.stderr()
                ));
            };
            if let Some((name, rest)) = line.split_once(" listening on ") {
                let place = rest.split_whitespace().next().expect("a place");
                if let Some(path) = place.strip_prefix("unix:") {
                    gateway.sockets.insert(name.trim().to_owned(), path.into());
                } else {
                    let address = place.parse().expect("an address");
                    gateway.addrs.insert(name.trim().to_owned(), address);
                }
            }
            let ready = line.starts_with("ready");
            gateway.banner.push(line);
            if ready {
                break;
            }
        }
        // Keep the pipe open and drained.
        let later = Arc::clone(&gateway.later);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                later.lock().unwrap().push(line);
            }
        });
        Ok(gateway)
    }

    pub fn url(&self, listener: &str, path: &str) -> String {
        format!("http://{}{path}", self.addrs[listener])
    }

    pub fn grpc(&self) -> String {
        self.url("otlp/grpc", "")
    }

    pub fn http(&self) -> String {
        self.url("otlp/http", "")
    }

    pub fn metrics(&self) -> String {
        get(&self.url("prometheus", "/metrics")).1
    }

    pub fn api(&self, path: &str) -> serde_json::Value {
        let (status, body) = get(&self.url("api", path));
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    pub fn stderr(&self) -> String {
        std::fs::read_to_string(self.dir.join("stderr.log")).unwrap_or_default()
    }

    /// Everything on its stdout so far.
    pub fn printed(&self) -> Vec<String> {
        let mut all = self.banner.clone();
        all.extend(self.later.lock().unwrap().iter().cloned());
        all
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Keeps `folder` for as long as the gateway runs.
    pub fn keep(mut self, folder: tempfile::TempDir) -> Self {
        self.owned = Some(folder);
        self
    }

    /// `kill -9`.
    pub fn kill9(mut self) -> Option<tempfile::TempDir> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.owned.take()
    }

    /// SIGTERM, and how it ended.
    pub fn stop(&mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
        let deadline = Instant::now() + Duration::from_secs(15);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "still running 15 s after SIGTERM");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a future to its end on a runtime of its own.
pub fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

/// An HTTP GET: status and body.
pub fn get(url: &str) -> (u16, String) {
    block_on(async {
        let answer = client()
            .get(url)
            .send()
            .await
            .unwrap_or_else(|e| panic!("GET {url}: {e}"));
        (answer.status().as_u16(), answer.text().await.unwrap())
    })
}

/// An HTTP POST: status and body.
pub fn post(url: &str, content_type: &str, body: Vec<u8>) -> (u16, Vec<u8>) {
    block_on(async {
        let request = client().post(url).header("content-type", content_type).body(body);
        let answer = request.send().await.unwrap_or_else(|e| panic!("POST {url}: {e}"));
        (answer.status().as_u16(), answer.bytes().await.unwrap().to_vec())
    })
}

pub fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(30))
        .build()
        .unwrap()
}

/// An address at which every connection is refused for as long as the socket is held: it is bound, so nobody else gets
/// the port, and nobody listens. (A port that is let go may be the next listener's, of a test that runs beside.)
pub fn nobody() -> (tokio::net::TcpSocket, SocketAddr) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// Waits until `check` gives a value.
pub fn eventually<T>(what: &str, within: Duration, mut check: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(value) = check() {
            return value;
        }
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The value of one sample of a Prometheus exposition, by name and by labels that it must have.
pub fn sample(exposition: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    exposition
        .lines()
        .filter(|l| !l.starts_with('#'))
        .find_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (found, rest) = series.split_once('{').unwrap_or((series, ""));
            let matches = labels.iter().all(|(k, v)| rest.contains(&format!("{k}=\"{v}\"")));
            (found == name && matches).then(|| value.parse().ok())?
        })
}

/// Where the shared clients, data and tools are; `None` (said out loud) when they are not here.
pub fn shared() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    need(path.is_dir(), "../shared is not here").then_some(path)
}

/// The Python of the SDK clients' environment, as tests/all.sh installs it.
pub fn python() -> Option<PathBuf> {
    let path = tools().join("venv/bin/python");
    need(
        path.is_file(),
        "no Python SDK clients (tests/all.sh installs them)",
    )
    .then_some(path)
}

/// The folder of the JavaScript clients, as tests/all.sh installs it.
pub fn javascript() -> Option<PathBuf> {
    let path = tools().join("js");
    need(
        path.join("node_modules").is_dir(),
        "no JavaScript SDK clients (tests/all.sh installs them)",
    )
    .then_some(path)
}

pub fn tools() -> PathBuf {
    std::env::var_os("BURNGATE_TOOLS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools"),
        PathBuf::from,
    )
}

/// Whether a command can be found.
pub fn has(command: &str) -> bool {
    let found = Command::new("sh")
        .args(["-c", &format!("command -v {command}")])
        .output()
        .unwrap()
        .status
        .success();
    need(found, &format!("{command} is not installed"))
}

/// Says out loud what is skipped; where everything must be there (tests/all.sh), a missing part is a failure.
pub fn need(there: bool, what: &str) -> bool {
    if !there {
        assert!(
            std::env::var_os("BURNGATE_NO_SKIP").is_none(),
            "cannot skip here: {what}"
        );
        eprintln!("skipped: {what}");
    }
    there
}

/// Whether the long proofs were asked for.
pub fn long() -> bool {
    std::env::var_os("BURNGATE_LONG").is_some()
}
