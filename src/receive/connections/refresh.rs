//! Looking at certificates and credentials again, now and then and when the gateway says so.

use super::meters::Meters;
use crate::receive::context::Context;
use crate::receive::gate::Gate;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// A task that ends when this is dropped.
pub(super) struct Refreshing(JoinHandle<()>);

impl Drop for Refreshing {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Starts looking, where there is something to look at.
pub(super) fn spawn(context: &Context, meters: &Meters) -> Option<Refreshing> {
    let gate = &context.gate;
    if gate.tls.is_none() && gate.auth.is_none() {
        return None;
    }
    let (id, gate, meters) = (context.id.clone(), gate.clone(), meters.clone());
    let mut bell = context.reload.hear();
    let every = gate.look_every();
    Some(Refreshing(tokio::spawn(async move {
        loop {
            tokio::select! {
                () = pause(every) => {}
                rung = bell.changed() => if rung.is_err() {
                    // Nobody can ring any more; the clock still runs.
                    pause(every).await;
                },
            }
            look(&id, gate.clone(), &meters).await;
        }
    })))
}

async fn pause(every: Option<Duration>) {
    match every {
        Some(every) => sleep(every).await,
        None => std::future::pending().await,
    }
}

async fn look(id: &str, gate: Gate, meters: &Meters) {
    let Ok(outcomes) = tokio::task::spawn_blocking(move || gate.refresh()).await else {
        return;
    };
    for outcome in outcomes {
        match outcome {
            Ok(what) => {
                meters.reloaded("ok");
                tracing::info!(receiver = id, "{what} changed and are in use");
            }
            Err(error) => {
                meters.reloaded("failed");
                tracing::warn!(receiver = id, %error, "a changed file cannot be used; what was read before stays in use");
            }
        }
    }
}
