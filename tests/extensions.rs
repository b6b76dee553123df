//! `pprof` through its routes, against the process that the tests run in.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![allow(clippy::disallowed_methods, reason = "profiles take real time")]

use axum::Router;
use axum::body::Body;
use burngate::config::PprofExtension;
use burngate::extend::Profiler;
use http::Request;
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tower::ServiceExt;

async fn get(router: &Router, path: &str) -> (u16, Vec<u8>) {
    let answer = router
        .clone()
        .oneshot(Request::get(path).body(Body::empty()).unwrap())
        .await
        .unwrap();
    let status = answer.status().as_u16();
    let body = axum::body::to_bytes(answer.into_body(), 64 << 20).await.unwrap();
    (status, body.to_vec())
}

fn unzipped(file: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(file)
        .read_to_end(&mut bytes)
        .unwrap();
    bytes
}

#[inline(never)]
fn spin_visibly(rounds: u64) -> u64 {
    (0..rounds).fold(0, |sum, nth| std::hint::black_box(sum ^ nth.rotate_left(7)))
}

/// Burns CPU until it is dropped.
struct Load(std::sync::Arc<AtomicBool>);

impl Load {
    fn start() -> Self {
        let stop = std::sync::Arc::new(AtomicBool::new(false));
        let seen = stop.clone();
        std::thread::spawn(move || {
            while !seen.load(Ordering::Relaxed) {
                std::hint::black_box(spin_visibly(100_000));
            }
        });
        Self(stop)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One test, one after the other: there is one timer of CPU time in a process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn profiles_are_taken_one_at_a_time_in_every_format() {
    let _load = Load::start();
    let router = Profiler::new(&PprofExtension::default()).unwrap().router();
    let (status, body) = get(&router, "/debug/pprof/").await;
    assert_eq!(status, 200);
    assert!(
        String::from_utf8(body)
            .unwrap()
            .contains("/debug/pprof/profile?seconds=30")
    );
    for (path, expected, words) in [
        ("/debug/pprof/profile?seconds=0", 400, "from 1 to 300"),
        ("/debug/pprof/profile?seconds=301", 400, "from 1 to 300"),
        ("/debug/pprof/profile?seconds=soon", 400, "seconds"),
        ("/debug/pprof/profile?seconds=1&format=gif", 400, "flamegraph"),
        ("/debug/pprof/heap", 404, "no Go runtime"),
    ] {
        let (status, body) = get(&router, path).await;
        let body = String::from_utf8(body).unwrap();
        assert!(
            status == expected && body.contains(words),
            "{path}: {status} {body}"
        );
    }

    let first = get(&router, "/debug/pprof/profile?seconds=2");
    let second = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        get(&router, "/debug/pprof/profile?seconds=1").await
    };
    let ((status, file), (busy, _)) = tokio::join!(first, second);
    assert_eq!((status, busy), (200, 409));
    let profile = unzipped(&file);
    let text = String::from_utf8_lossy(&profile);
    assert!(text.contains("spin_visibly") && text.contains("nanoseconds"));

    let (status, body) = get(&router, "/debug/pprof/profile?seconds=1&format=flamegraph").await;
    let svg = String::from_utf8(body).unwrap();
    assert!(
        status == 200 && svg.starts_with("<svg ") && svg.contains("spin_visibly"),
        "{svg}"
    );
    let (status, body) = get(&router, "/debug/pprof/profile?seconds=1&format=folded").await;
    let stacks = String::from_utf8(body).unwrap();
    assert!(
        status == 200 && stacks.lines().any(|line| line.contains("spin_visibly")),
        "{stacks}"
    );

    // The whole life.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("life.pb.gz");
    let config = PprofExtension {
        save_to_file: Some(file.clone()),
        ..PprofExtension::default()
    };
    let whole = Profiler::new(&config).unwrap();
    let router = whole.router();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(whole.run(async {
        let _ = stopped.await;
    }));
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(get(&router, "/debug/pprof/profile?seconds=1").await.0, 409);
    stop.send(()).unwrap();
    running.await.unwrap();
    let life = unzipped(&std::fs::read(&file).unwrap());
    assert!(String::from_utf8_lossy(&life).contains("spin_visibly"));

    let nowhere = PprofExtension {
        save_to_file: Some(folder.path().join("no/such/folder")),
        ..PprofExtension::default()
    };
    let said = Profiler::new(&nowhere).unwrap_err().to_string();
    assert!(said.contains("cannot write the profile"), "{said}");
}
