//! Servers on loopback that answer as a test wants, and remember what they were asked.

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::Response;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Request {
    pub fn header(&self, name: &str) -> String {
        self.headers.get(name).cloned().unwrap_or_default()
    }

    pub fn is_off(&self) -> bool {
        self.method == "POST" && self.path.ends_with("/off")
    }
}

/// One answer.
#[derive(Clone, Debug)]
pub struct Said {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
    late: Duration,
}

impl Said {
    pub fn new(status: u16, body: &str) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.to_owned(),
            late: Duration::ZERO,
        }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn late(mut self, millis: u64) -> Self {
        self.late = Duration::from_millis(millis);
        self
    }
}

type Answering = Arc<dyn Fn(&Request) -> Said + Send + Sync>;

/// A server that ends with the test.
pub struct Double {
    pub url: String,
    seen: Arc<Mutex<Vec<Request>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Double {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Double {
    pub async fn start(answer: impl Fn(&Request) -> Said + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let state: (Answering, Arc<Mutex<Vec<Request>>>) = (Arc::new(answer), Arc::clone(&seen));
        let app = axum::Router::new().fallback(handle).with_state(state);
        let task = tokio::spawn(async move {
            axum::serve(listener, app).await.unwrap();
        });
        Self { url, seen, task }
    }

    pub fn requests(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

async fn handle(
    State((answer, seen)): State<(Answering, Arc<Mutex<Vec<Request>>>)>,
    method: http::Method,
    uri: http::Uri,
    headers: http::HeaderMap,
    body: Bytes,
) -> Response {
    let text = |v: &http::HeaderValue| String::from_utf8_lossy(v.as_bytes()).into_owned();
    let request = Request {
        method: method.to_string(),
        path: uri.to_string(),
        headers: headers.iter().map(|(k, v)| (k.to_string(), text(v))).collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    seen.lock().unwrap().push(request.clone());
    let said = answer(&request);
    tokio::time::sleep(said.late).await;
    let mut response = http::Response::builder().status(said.status);
    for (name, value) in &said.headers {
        response = response.header(name, value);
    }
    response.body(Body::from(said.body)).unwrap()
}

/// A server that keeps flags, on until they are switched off; `instead` may answer first.
pub async fn unleash_like(instead: impl Fn(&Request) -> Option<Said> + Send + Sync + 'static) -> Double {
    let off = Mutex::new(Vec::<String>::new());
    Double::start(move |r| {
        if let Some(said) = instead(r) {
            // A 200 of a hostile server switches too, so that the read-back agrees.
            if r.is_off() && said.status == 200 {
                off.lock()
                    .unwrap()
                    .push(r.path.trim_end_matches("/off").to_owned());
            }
            return said;
        }
        if r.is_off() {
            off.lock()
                .unwrap()
                .push(r.path.trim_end_matches("/off").to_owned());
            return Said::new(200, "");
        }
        if r.method == "POST" {
            return Said::new(201, "{}");
        }
        let enabled = !off.lock().unwrap().contains(&r.path);
        Said::new(
            200,
            &format!(r#"{{"name":"f","enabled":{enabled},"strategies":[]}}"#),
        )
    })
    .await
}

/// A port where connections are taken and nothing is ever said.
pub async fn bound_and_silent() -> (String, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (format!("http://{}", listener.local_addr().unwrap()), listener)
}

/// A server whose answers never end.
pub async fn endless() -> String {
    let (url, listener) = bound_and_silent().await;
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = socket.read(&mut request).await;
                let head =
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{\"enabled\":false,\"x\":\"";
                let _ = socket.write_all(head.as_bytes()).await;
                while socket.write_all(&[b'x'; 8_192]).await.is_ok() {}
            });
        }
    });
    url
}

/// Log lines in memory.
#[derive(Clone, Debug, Default)]
pub struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> tracing_subscriber::fmt::MakeWriter<'a> for Captured {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
