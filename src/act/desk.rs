//! Where requests of people wait for the tick, which is the one place that decides.
//!
//! A kill by hand needs the next incident's number and must not race a rule that speaks in the same second,
//! so it is answered by whoever decides, at the next tick: within a second. The desk holds [`PLACES`]; who
//! finds it full is told to come again.

use crate::decide::{Decision, HandError, HandKill, HandRelease, HandVote};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

/// Requests that may wait.
const PLACES: usize = 32;

/// What somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandRequest {
    /// A flag into its safe state.
    Kill(HandKill),
    /// The end of a cooldown or hold.
    Release(HandRelease),
    /// An answer to a proposal.
    Vote(HandVote),
}

impl HandRequest {
    /// The word in metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Kill(_) => "kill",
            Self::Release(_) => "release",
            Self::Vote(_) => "vote",
        }
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeskError {
    /// Too many at once.
    #[error("{PLACES} requests by hand wait already; try again in a moment")]
    Full,
    /// The gateway is ending.
    #[error("the gateway is ending; try again")]
    Closed,
    /// It is being written at this moment, or there is no room for it.
    #[error("{0}; try again in a moment")]
    Busy(String),
    /// It cannot be done.
    #[error(transparent)]
    Refused(#[from] HandError),
}

/// A request, and where its answer goes.
#[derive(Debug)]
pub struct Waiting {
    /// What is asked.
    pub request: HandRequest,
    /// Who waits.
    pub answer: oneshot::Sender<Result<Decision, DeskError>>,
}

/// See the module; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Desk(Arc<Mutex<VecDeque<Waiting>>>);

impl Desk {
    /// Asks, and waits for the answer of the next tick.
    pub async fn ask(&self, request: HandRequest) -> Result<Decision, DeskError> {
        let (answer, answered) = oneshot::channel();
        {
            let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // Who has gone away needs no place.
            waiting.retain(|it| !it.answer.is_closed());
            if waiting.len() >= PLACES {
                return Err(DeskError::Full);
            }
            waiting.push_back(Waiting { request, answer });
        }
        answered.await.unwrap_or(Err(DeskError::Closed))
    }

    /// All that wait, in their order.
    pub fn take(&self) -> VecDeque<Waiting> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::act::tests::decision;

    fn release(flag: &str) -> HandRequest {
        HandRequest::Release(HandRelease {
            flag: flag.to_owned(),
            ..HandRelease::default()
        })
    }

    #[tokio::test]
    async fn a_request_is_answered_by_who_takes_it_and_a_full_desk_says_so() {
        let desk = Desk::default();
        let asked = tokio::spawn({
            let desk = desk.clone();
            async move { desk.ask(release("f")).await }
        });
        while desk.0.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        for it in desk.take() {
            it.answer.send(Ok(decision("f"))).unwrap();
        }
        assert_eq!(asked.await.unwrap(), Ok(decision("f")));
        let mut waiting = Vec::new();
        for _ in 0..PLACES {
            let (answer, answered) = oneshot::channel();
            let request = release("g");
            desk.0.lock().unwrap().push_back(Waiting { request, answer });
            waiting.push(answered);
        }
        assert_eq!(desk.ask(release("h")).await, Err(DeskError::Full));
        drop(waiting);
        let late = tokio::time::timeout(std::time::Duration::from_millis(1), desk.ask(release("i")));
        assert!(late.await.is_err(), "the places of those who went away are free");
    }
}
