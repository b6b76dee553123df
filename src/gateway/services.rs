//! What runs, by name: spawned, replaced by a reload, waited for at the end.
//!
//! Problem: a reload replaces some of what runs and must not touch the rest; a shutdown ends all of it in an
//! order. Property wanted: each service is told to end by one future, which resolves at its stage of the
//! shutdown or when the service is replaced, and nothing that was spawned is ever forgotten.

use super::switch::Former;
use super::{Stage, reached};
use crate::receive::End;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Resolves when a service is to end, and says why.
pub(super) type Ending = Pin<Box<dyn Future<Output = End> + Send>>;

/// One running service.
#[derive(Debug)]
struct Service {
    until: Stage,
    replaced: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// All running services.
#[derive(Debug)]
pub(super) struct Services {
    stopping: watch::Receiver<Stage>,
    running: BTreeMap<String, Service>,
    /// Those whose place another has taken, and which have not been told.
    replaced: Vec<Service>,
    /// Those that were replaced and may still finish what they have.
    leaving: Vec<(Stage, JoinHandle<()>)>,
}

impl Services {
    pub(super) fn new(stopping: watch::Receiver<Stage>) -> Self {
        Self {
            stopping,
            running: BTreeMap::new(),
            replaced: Vec::new(),
            leaving: Vec::new(),
        }
    }

    /// Runs `serve` until the shutdown comes to `until`. A service that had the name goes on until it is let
    /// go.
    pub(super) fn put<F, S>(&mut self, name: &str, on: &Handle, until: Stage, serve: S)
    where
        F: Future<Output = ()> + Send + 'static,
        S: FnOnce(Ending) -> F,
    {
        let (replaced, mut watched) = watch::channel(false);
        let stage = reached(self.stopping.clone(), until);
        let ending = Box::pin(async move {
            tokio::select! {
                () = stage => End::Stopped,
                // An error means that the sender is gone, and that the service has been replaced.
                _ = watched.wait_for(|replaced| *replaced) => End::Replaced,
            }
        });
        let task = on.spawn(serve(ending));
        let service = Service {
            until,
            replaced,
            task,
        };
        self.replaced
            .extend(self.running.insert(name.to_owned(), service));
    }

    /// Ends what `wanted` does not have, and what was replaced: exporters and connectors when the last
    /// request has left the `former` pipelines, which lead to them, and everything else at once.
    pub(super) fn keep(&mut self, wanted: impl Fn(&str) -> bool, former: &Former, on: &Handle) {
        for replaced in std::mem::take(&mut self.replaced) {
            self.leave(replaced, former, on);
        }
        let gone: Vec<String> = self
            .running
            .keys()
            .filter(|name| !wanted(name))
            .cloned()
            .collect();
        for name in gone {
            if let Some(unwanted) = self.running.remove(&name) {
                self.leave(unwanted, former, on);
            }
        }
    }

    fn leave(&mut self, service: Service, former: &Former, on: &Handle) {
        let replaced = service.replaced;
        if matches!(service.until, Stage::Flushing | Stage::Forwarding) {
            let left = former.clone().left();
            on.spawn(async move {
                left.await;
                replaced.send_replace(true);
            });
        } else {
            replaced.send_replace(true);
        }
        self.leaving.retain(|(_, task)| !task.is_finished());
        self.leaving.push((service.until, service.task));
    }

    /// Waits for everything that ends at `stage`; the caller has said that the stage has come.
    pub(super) async fn ended(&mut self, stage: Stage) {
        let names: Vec<String> = self
            .running
            .iter()
            .filter(|(_, service)| service.until == stage)
            .map(|(name, _)| name.clone())
            .collect();
        for name in names {
            if let Some(service) = self.running.remove(&name) {
                finished(&name, service.task).await;
            }
        }
        let (now, later) = std::mem::take(&mut self.leaving)
            .into_iter()
            .partition(|(until, _)| *until == stage);
        self.leaving = later;
        for (_, task) in now {
            finished("a replaced service", task).await;
        }
    }
}

async fn finished(name: &str, task: JoinHandle<()>) {
    if let Err(error) = task.await {
        tracing::error!(service = name, %error, "ended by a defect of ours");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::Mutex;

    #[tokio::test]
    async fn a_service_ends_at_its_stage_or_when_it_is_replaced_and_is_waited_for() {
        let (stop, stopping) = watch::channel(Stage::Serving);
        let mut services = Services::new(stopping);
        let log = Arc::new(Mutex::new(Vec::new()));
        let service = |name: &'static str| {
            let log = log.clone();
            move |ending: Ending| async move {
                ending.await;
                log.lock().unwrap().push(name);
            }
        };
        let on = Handle::current();
        services.put("a", &on, Stage::Draining, service("first a"));
        services.put("b", &on, Stage::Closing, service("b"));
        services.put("c", &on, Stage::Closing, service("c"));
        services.put("a", &on, Stage::Draining, service("second a"));
        services.keep(|name| name != "c", &Former::default(), &on);
        assert_eq!(services.running.keys().collect::<Vec<_>>(), ["a", "b"]);
        stop.send_replace(Stage::Draining);
        services.ended(Stage::Draining).await;
        {
            let mut log = log.lock().unwrap();
            log.retain(|name| *name != "c");
            log.sort_unstable();
            assert_eq!(*log, ["first a", "second a"]);
        }
        stop.send_replace(Stage::Closing);
        services.ended(Stage::Closing).await;
        assert!(log.lock().unwrap().contains(&"b"));
    }
}
