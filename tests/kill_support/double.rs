//! An HTTP server on loopback that answers as a test wants, and remembers what it was asked.

use std::collections::{BTreeMap, HashSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Call {
    pub at: Instant,
    pub method: String,
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Call {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub fn is_off(&self) -> bool {
        self.method == "POST" && self.path.ends_with("/off")
    }
}

/// What the server does with a request.
pub enum Answer {
    /// A status and a body.
    Say(u16, String),
    /// Nothing, until the caller goes away.
    Hang,
}

type Answering = Arc<dyn Fn(&Call) -> Answer + Send + Sync>;

/// A server that ends with the test.
pub struct Double {
    pub addr: SocketAddr,
    calls: Arc<Mutex<Vec<Call>>>,
    ending: Arc<AtomicBool>,
}

impl Double {
    pub fn start(answer: impl Fn(&Call) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), answer)
    }

    /// At an address that was promised before, to something that started earlier.
    pub fn start_at(addr: SocketAddr, answer: impl Fn(&Call) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(addr).unwrap();
        let addr = listener.local_addr().unwrap();
        let (calls, ending) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let answer: Answering = Arc::new(answer);
        let (seen, ended) = (Arc::clone(&calls), Arc::clone(&ending));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
                std::thread::spawn(move || serve(stream, &answer, &seen));
            }
        });
        Self { addr, calls, ending }
    }

    /// Says 200 to everything.
    pub fn content() -> Self {
        Self::start(|_| Answer::Say(200, "{}".into()))
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        // Wakes the listener, so that the port is free again.
        let _ = TcpStream::connect(self.addr);
    }
}

/// One request a connection; a connection without one (somebody looks whether anybody is here) is no call.
fn serve(mut stream: TcpStream, answer: &Answering, seen: &Mutex<Vec<Call>>) {
    let Some(call) = read(&mut stream) else { return };
    seen.lock().unwrap().push(call.clone());
    match answer(&call) {
        Answer::Say(status, body) => {
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 {status} It\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
                 connection: close\r\n\r\n{body}"
            );
        }
        Answer::Hang => {
            let _ = stream.read(&mut [0]);
        }
    }
}

fn read(stream: &mut TcpStream) -> Option<Call> {
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        if let Some(call) = parse(&bytes) {
            return Some(call);
        }
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return None,
            Ok(n) => bytes.extend_from_slice(&chunk[..n]),
        }
    }
}

/// A request, once all of it is here.
fn parse(bytes: &[u8]) -> Option<Call> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.get("content-length").map_or(0, |n| n.parse().unwrap());
    (body.len() >= length).then(|| Call {
        at: Instant::now(),
        method,
        path,
        headers,
        body: body.to_owned(),
    })
}

/// An Unleash that keeps flags on until they are switched off, wherever it is asked; `instead` may answer first, after the
/// flag was switched.
pub fn unleash_like(
    instead: impl Fn(&Call) -> Option<Answer> + Send + Sync + 'static,
) -> impl Fn(&Call) -> Answer {
    let off = Mutex::new(HashSet::<String>::new());
    move |call| {
        if call.is_off() {
            off.lock()
                .unwrap()
                .insert(call.path.trim_end_matches("/off").to_owned());
        }
        if let Some(answer) = instead(call) {
            return answer;
        }
        if call.method == "POST" {
            return Answer::Say(if call.is_off() { 200 } else { 201 }, String::new());
        }
        let enabled = !off.lock().unwrap().contains(&call.path);
        Answer::Say(
            200,
            format!(r#"{{"name":"production","enabled":{enabled},"type":"release"}}"#),
        )
    }
}
