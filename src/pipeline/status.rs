//! How each component is, said by itself and read by probes and pages.
//!
//! Problem: an exporter knows that its backend is away, a probe is asked, and neither may import the other.
//! Property wanted: a component holds a [`Component`] and says what changed; saying "all is well" again and
//! again costs one atomic load; a component that is gone (a reload) is gone from the list as well. Rejected:
//! deriving health from counters, which cannot tell a backend that is down from one that nobody sends to.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::time::Instant;

/// The state of one component.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// It has not begun to work yet.
    #[default]
    Starting,
    /// All is well.
    Ok,
    /// It fails now, and may work again without anybody's help: a backend that does not answer.
    Recoverable(Cow<'static, str>),
    /// It fails, and will until somebody changes something: a certificate, a token, a full disk.
    Permanent(Cow<'static, str>),
    /// It has ended, as it was told to.
    Stopped,
}

impl Status {
    /// As the Collector's `healthcheckv2` writes it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Starting => "StatusStarting",
            Self::Ok => "StatusOK",
            Self::Recoverable(_) => "StatusRecoverableError",
            Self::Permanent(_) => "StatusPermanentError",
            Self::Stopped => "StatusStopped",
        }
    }

    /// What is wrong, if something is.
    pub fn message(&self) -> Option<&str> {
        match self {
            Self::Recoverable(message) | Self::Permanent(message) => Some(message),
            Self::Starting | Self::Ok | Self::Stopped => None,
        }
    }
}

/// A component's handle to its own line. Clones are the same line; it leaves the list with the last of them.
#[derive(Clone, Debug)]
pub struct Component(Arc<Line>);

#[derive(Debug)]
struct Line {
    ok: AtomicBool,
    state: Mutex<(Status, Instant)>,
}

impl Component {
    /// Says how it is now.
    pub fn set(&self, status: Status) {
        if status == Status::Ok && self.0.ok.load(Ordering::Relaxed) {
            return;
        }
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.ok.store(status == Status::Ok, Ordering::Relaxed);
        // The time of a state is when it began, whatever words it has found since.
        if std::mem::discriminant(&state.0) == std::mem::discriminant(&status) {
            state.0 = status;
        } else {
            *state = (status, Instant::now());
        }
    }

    /// How it is now.
    pub fn get(&self) -> Status {
        self.0
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .0
            .clone()
    }
}

/// One line of [`Components::list`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentStatus {
    /// Such as `exporter otlp_grpc/apm`.
    pub name: String,
    /// How it is.
    pub status: Status,
    /// Since when.
    pub since: Instant,
}

/// Every component of the process. Clones share the list.
#[derive(Clone, Debug, Default)]
pub struct Components(Arc<Mutex<BTreeMap<String, Weak<Line>>>>);

impl Components {
    /// The line of `name`, which is what the component is and its id, such as `exporter otlp_grpc/apm`.
    /// Whoever asks with the same name gets the same line: a component that a reload replaces goes on in it.
    pub fn component(&self, name: &str) -> Component {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.get(name).and_then(Weak::upgrade) {
            return Component(line);
        }
        let line = Arc::new(Line {
            ok: AtomicBool::new(false),
            state: Mutex::new((Status::Starting, Instant::now())),
        });
        lines.retain(|_, line| line.strong_count() > 0);
        lines.insert(name.to_owned(), Arc::downgrade(&line));
        Component(line)
    }

    /// All that live, by name.
    pub fn list(&self) -> Vec<ComponentStatus> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let living = lines.iter().filter_map(|(name, line)| {
            let line = line.upgrade()?;
            let (status, since) = line.state.lock().unwrap_or_else(PoisonError::into_inner).clone();
            Some(ComponentStatus {
                name: name.clone(),
                status,
                since,
            })
        });
        living.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_state_keeps_the_time_when_it_began() {
        let all = Components::default();
        let exporter = all.component("exporter otlp_grpc/apm");
        exporter.set(Status::Recoverable("refused".into()));
        let began = Instant::now();
        tokio::time::advance(Duration::from_secs(5)).await;
        exporter.set(Status::Recoverable("timed out".into()));
        let [line] = &all.list()[..] else { panic!("one") };
        assert_eq!((line.since, line.status.message()), (began, Some("timed out")));
        exporter.set(Status::Ok);
        exporter.set(Status::Ok);
        assert_eq!(all.list()[0].since, began + Duration::from_secs(5));
        exporter.set(Status::Permanent("no such token".into()));
        assert_eq!(exporter.get(), Status::Permanent("no such token".into()));
    }

    #[test]
    fn a_name_is_one_line_and_leaves_with_its_last_holder() {
        let all = Components::default();
        let old = all.component("exporter file");
        old.set(Status::Ok);
        let new = all.component("exporter file");
        drop(old);
        assert_eq!(all.list()[0].status, Status::Ok);
        drop(new);
        assert_eq!(all.list(), []);
        assert_eq!(all.component("exporter file").get(), Status::Starting);
    }
}
