//! Extensions about the process itself: `pprof` (CPU profiles on demand) and `zpages` (what runs, and how it
//! is).
//!
//! Both are off unless named, listen on loopback, and cost nothing while nobody looks: the profiler's timer
//! runs only while a profile is taken, and spans are kept only where zpages ask for them.

mod flame;
mod html;
mod pages;
mod pprof_http;
mod pprof_proto;
mod profile;
mod profiler;
mod tracez;
mod zpages;

pub use pages::{Pages, PipelineRow};
pub use profiler::{Profiler, ProfilerError};
pub use zpages::zpages_router;
