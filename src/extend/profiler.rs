//! Takes CPU profiles, one at a time.
//!
//! A timer of the process's CPU time interrupts whatever runs, a hundred times a second, and its stack is
//! noted. The unwinder reads the program's own tables and checks what it reads, so that a stack in an odd
//! place ends the walk and not the process. The profiler's tables take about 20 MB from the first profile on.

use super::profile::Profile;
use super::{pprof_http, pprof_proto};
use crate::config::PprofExtension;
use axum::Router;
use pprof::{ProfilerGuard, ProfilerGuardBuilder};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;
use tokio::sync::Mutex;

/// Samples a second of CPU time, not a round hundred: work that repeats every 10 ms must not hide between
/// them.
const FREQUENCY: i32 = 99;
/// CPU time that a sample stands for.
pub(super) const PERIOD_NS: u64 = 1_000_000_000 / FREQUENCY as u64;
/// A profile of the whole life is taken in parts: the profiler spills what a long one holds to disk.
const PART: Duration = Duration::from_secs(30);

/// There is one timer of CPU time in a process.
static TIMER: Mutex<()> = Mutex::const_new(());

/// Why there is no profile.
#[derive(Debug, thiserror::Error)]
pub enum ProfilerError {
    /// Somebody else takes one.
    #[error("another CPU profile is being taken; there is one at a time")]
    Busy,
    /// The system or the library refuses.
    #[error("cannot take a CPU profile: {0}")]
    Refused(#[from] pprof::Error),
    /// The unwinder could not be set up.
    #[error("cannot take a CPU profile: {0}")]
    Signal(#[from] nix::Error),
    /// The profile cannot be written.
    #[error("cannot write the profile {}: {source}", path.display())]
    File {
        /// Where to.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The worker that resolves names has ended.
    #[error("cannot take a CPU profile: {0}")]
    Worker(#[from] tokio::task::JoinError),
}

/// `extensions.pprof`.
#[derive(Clone, Debug)]
pub struct Profiler {
    save_to_file: Option<PathBuf>,
}

impl Profiler {
    /// Checks that the file can be written, if there is one.
    pub fn new(config: &PprofExtension) -> Result<Self, ProfilerError> {
        if let Some(path) = &config.save_to_file {
            write(path, &[])?;
        }
        Ok(Self {
            save_to_file: config.save_to_file.clone(),
        })
    }

    /// `/debug/pprof/`.
    pub fn router(&self) -> Router {
        pprof_http::router()
    }

    /// Profiles until `shutdown` and writes what came together, if that is wanted; otherwise only waits.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = std::pin::pin!(shutdown);
        let Some(path) = self.save_to_file else {
            shutdown.await;
            return;
        };
        let mut whole = Profile::default();
        let mut ending = false;
        while !ending {
            let part = async {
                tokio::select! {
                    () = tokio::time::sleep(PART) => false,
                    () = &mut shutdown => true,
                }
            };
            match take(&mut whole, part).await {
                Ok(ended) => ending = ended,
                Err(error) => {
                    tracing::warn!(%error, "the profile of the whole life has a gap");
                    ending = tokio::select! {
                        () = tokio::time::sleep(PART) => false,
                        () = &mut shutdown => true,
                    };
                }
            }
        }
        let saved = tokio::task::spawn_blocking(move || save(&whole, &path)).await;
        match saved.map_err(ProfilerError::from).and_then(|saved| saved) {
            Ok((path, samples)) => {
                tracing::info!(path = %path.display(), samples, "the CPU profile is written");
            }
            Err(error) => tracing::error!(%error, "the CPU profile of this life is lost"),
        }
    }
}

fn save(profile: &Profile, path: &Path) -> Result<(PathBuf, u64), ProfilerError> {
    let failed = |source| ProfilerError::File {
        path: path.to_owned(),
        source,
    };
    write(path, &pprof_proto::encode(profile, PERIOD_NS).map_err(failed)?)?;
    Ok((path.to_owned(), profile.samples()))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), ProfilerError> {
    std::fs::write(path, bytes).map_err(|source| ProfilerError::File {
        path: path.to_owned(),
        source,
    })
}

/// Adds to `profile` what happens until `until` is ready, which is not polled before the profiler runs.
pub(super) async fn take<T>(
    profile: &mut Profile,
    until: impl Future<Output = T>,
) -> Result<T, ProfilerError> {
    let _one = TIMER.try_lock().map_err(|_| ProfilerError::Busy)?;
    // The library looks for the names of a stack of its own first, which can take seconds.
    let started = || {
        warm_up()?;
        start(FREQUENCY)
    };
    let guard = tokio::task::spawn_blocking(started).await??;
    let done = until.await;
    // Finding the names of thousands of addresses is work.
    let report = tokio::task::spawn_blocking(move || guard.report().build()).await??;
    profile.add(&report);
    Ok(done)
}

fn start(frequency: i32) -> Result<ProfilerGuard<'static>, ProfilerError> {
    Ok(ProfilerGuardBuilder::default().frequency(frequency).build()?)
}

/// The unwinder reads the program's tables at its first sample. That allocates, which a sample must not that
/// may have interrupted the allocator: so the first one is taken here, where nothing is interrupted.
fn warm_up() -> Result<(), ProfilerError> {
    static DONE: OnceLock<()> = OnceLock::new();
    if DONE.get().is_none() {
        let guard = start(1)?;
        nix::sys::signal::raise(nix::sys::signal::Signal::SIGPROF)?;
        drop(guard);
        let _ = DONE.set(());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;

    #[inline(never)]
    fn burn_cpu_here(rounds: u64) -> u64 {
        (0..rounds).fold(0, |sum, nth| black_box(sum ^ nth.wrapping_mul(0x9e37_79b9)))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_profile_names_what_burns_and_only_one_is_taken() {
        let mut profile = Profile::default();
        let work = async {
            let busy = take(&mut Profile::default(), async {}).await;
            assert!(matches!(busy, Err(ProfilerError::Busy)));
            for _ in 0..200 {
                let _ = tokio::task::spawn_blocking(|| burn_cpu_here(black_box(1_000_000))).await;
            }
        };
        take(&mut profile, work).await.unwrap();
        assert!(profile.samples() > 10, "{}", profile.samples());
        let burnt: u64 = profile
            .folded()
            .iter()
            .filter(|(stack, _)| stack.iter().any(|it| it.contains("burn_cpu_here")))
            .map(|(_, count)| count)
            .sum();
        // Other tests of this process burn as well.
        assert!(burnt * 5 > profile.samples(), "{burnt} of {}", profile.samples());
    }
}
