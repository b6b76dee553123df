//! A new configuration in a running gateway, on SIGHUP or when a file changes.
//!
//! Problem: the Collector reloads by stopping everything and starting again; what it held is gone, and if the
//! new configuration does not start, so is the process. Property wanted: the new configuration is read,
//! checked and bound while the old one works; a mistake in it costs a log line and a metric; what did not
//! change is not touched (sockets, connections, queues, counts); what did change is swapped, and the old part
//! finishes what it has.

use super::listeners::Sockets;
use super::prepared::Prepared;
use super::servers::{self, Change, Planes};
use super::tick;
use super::{Gateway, GatewayError};
use crate::act;
use crate::config::{Config, ConfigError};
use crate::publish::BudgetPage;
use sha2::{Digest, Sha256};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Bytes of a watched file that are looked at.
const MAX_FILE_BYTES: u64 = 8 << 20;

/// Where a new configuration comes from.
pub struct Reload {
    load: Box<dyn Fn() -> Result<Config, ConfigError> + Send>,
}

impl fmt::Debug for Reload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reload")
    }
}

impl Reload {
    /// `load` reads everything that the first start read, again.
    pub fn new(load: impl Fn() -> Result<Config, ConfigError> + Send + 'static) -> Self {
        Self { load: Box::new(load) }
    }
}

/// Notices that a file of the configuration, or a policy, is not what it was.
#[derive(Debug)]
pub(super) struct Watcher {
    every: Option<Duration>,
    seen: Option<[u8; 32]>,
    files: Vec<PathBuf>,
    policies: Vec<String>,
    base: PathBuf,
}

impl Watcher {
    /// Watches the files of `config`, if it wants that.
    pub(super) fn of(config: &Config) -> Self {
        let every = config.reload.on_change.then_some(config.reload.check_interval);
        let files = crate::policy::files_of(&config.error_budget.policies, config.policy_base());
        Self {
            every,
            seen: every.map(|_| fingerprint(&config.files, &files)),
            files: config.files.clone(),
            policies: config.error_budget.policies.clone(),
            base: config.policy_base().to_path_buf(),
        }
    }

    /// Resolves when something changed and has been the same for one more interval (a file that is being
    /// written is not read in the middle); never when nobody wants to know.
    pub(super) async fn changed(&mut self) {
        let Some(every) = self.every else {
            return std::future::pending().await;
        };
        let mut before = self.seen;
        loop {
            tokio::time::sleep(every).await;
            let files = crate::policy::files_of(&self.policies, &self.base);
            let now = Some(fingerprint(&self.files, &files));
            if now != self.seen && now == before {
                self.seen = now;
                return;
            }
            before = now;
        }
    }
}

/// Names and contents; a file that is not there counts as such.
fn fingerprint(files: &[PathBuf], policies: &[PathBuf]) -> [u8; 32] {
    use std::io::Read;
    let mut digest = Sha256::new();
    for path in files.iter().chain(policies) {
        digest.update(path.as_os_str().as_encoded_bytes());
        let mut bytes = Vec::new();
        let read =
            std::fs::File::open(path).and_then(|file| file.take(MAX_FILE_BYTES).read_to_end(&mut bytes));
        digest.update([u8::from(read.is_ok())]);
        digest.update((bytes.len() as u64).to_le_bytes());
        digest.update(&bytes);
    }
    digest.finalize().into()
}

impl Gateway {
    /// Loads and applies a new configuration; on any mistake the old one goes on and the mistake is reported.
    pub(super) fn reload_from(&mut self, reload: &Reload, why: &'static str) {
        tracing::info!(why, "reloading the configuration");
        let outcome = match (reload.load)() {
            Ok(config) => {
                for warning in &config.warnings {
                    tracing::warn!("{warning}");
                }
                self.reload(config).map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        let (label, good) = match outcome {
            Ok(()) => {
                tracing::info!("the new configuration is in use");
                ("applied", 1.0)
            }
            Err(error) => {
                tracing::error!("the new configuration is refused, the old one goes on: {error}");
                ("refused", 0.0)
            }
        };
        metrics::counter!("burngate_config_reloads_total", "outcome" => label).increment(1);
        metrics::gauge!("burngate_config_last_reload_successful").set(good);
        let now = self.core.clock.now();
        metrics::gauge!("burngate_config_last_reload_timestamp_seconds").set(now.0 as f64 / 1e9);
    }

    /// Puts `config` in the place of the one that runs. An error leaves everything as it was.
    pub fn reload(&mut self, config: Config) -> Result<(), GatewayError> {
        let planes = Planes {
            data: self.data.handle().clone(),
            control: self.control.handle().clone(),
        };
        let control = planes.control.clone();
        let _context = control.enter();
        let prepared = Prepared::check(config)?;
        let config = &prepared.config;
        let sockets = Sockets::bind(&servers::wanted(config), &self.sockets, |name| {
            super::own::is_optional(config, name)
        })?;
        let plans = super::plans::Plans::new(config, prepared.policies.clone(), &self.core.registry)?;
        let (mut graph, parts) =
            super::graph::Graph::build(config, &self.core, &planes.data, Some(&self.graph))?;
        self.say_what_stays(config);

        let new_page = (config.prometheus != self.config.prometheus)
            .then(|| config.prometheus.as_ref().map(|it| self.core.page(it)));
        let handle = new_page.as_ref().and_then(Option::as_ref).map(BudgetPage::handle);
        let change = Change {
            config,
            former: Some(&self.config),
            sockets: &sockets,
            former_sockets: &self.sockets,
            policies: &prepared.policies,
            exporters: prepared.exporters.clone(),
            core: &self.core,
            planes: &planes,
        };
        let starts = change.starts(handle.as_ref(), &graph, &prepared.authenticators)?;

        // From here on nothing is refused any more.
        self.core.outlets.swap(prepared.exporters.clone());
        self.core.outlets.set_rules(super::core::life_rules(config));
        let policies = self.core.api.policies.swap(prepared.policies.clone());
        self.core.inbox.put(tick::Change {
            policies: prepared.policies.clone(),
            plans,
            page: new_page,
            evaluation_interval: config.error_budget.evaluation_interval,
            rates: super::rules::rates(config),
            guards: super::rules::guards(config),
            rules: super::core::life_rules(config),
            kill: config.error_budget.kill,
        });
        let limits = super::prepared::indicator_limits(config);
        self.core.indicators.adopt(prepared.indicators.clone(), limits);
        self.core.tap.swap(prepared.compiled);
        self.core.tap.watch(self.core.clock.now());
        self.core.limit(&config.error_budget);
        self.core.files.ring();
        crate::telemetry::reload_log_level(&config.telemetry.logs);
        // Exits run before anything leads to them; what led to the old ones is turned before those end.
        for start in parts {
            start.run(&mut self.services);
        }
        let former = graph.turn();
        change.show();
        for start in starts {
            start.run(&mut self.services);
        }
        act::forget(&policies, &prepared.policies);
        self.services
            .keep(|name| change.wants(name, &graph), &former, &planes.control);
        self.graph = graph;
        self.sockets = sockets;
        self.config = prepared.config;
        Ok(())
    }

    /// What only a restart can change.
    fn say_what_stays(&self, config: &Config) {
        let caps = |c: &Config| {
            let cohorts = &c.error_budget.cohorts;
            (
                cohorts.max_per_service,
                cohorts.max_total,
                cohorts.max_new_per_minute,
                cohorts.max_services,
                cohorts.max_evidence_cells,
                cohorts.idle_timeout_secs,
            )
        };
        for (what, differs) in [
            ("file_storage", self.config.storage != config.storage),
            (
                "the caps of error_budget.cohorts",
                caps(&self.config) != caps(config),
            ),
            (
                "error_budget.delivery",
                self.config.error_budget.delivery != config.error_budget.delivery,
            ),
            (
                "error_budget.kill.watch_interval",
                self.config.error_budget.kill.watch_interval != config.error_budget.kill.watch_interval,
            ),
            (
                "error_budget.journal",
                self.config.error_budget.journal != config.error_budget.journal,
            ),
            (
                "service.telemetry.traces",
                self.config.telemetry.traces != config.telemetry.traces,
            ),
        ] {
            if differs {
                tracing::warn!("{what} changed: that takes effect at the next start");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_sees_contents_names_and_absence() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        let absent = fingerprint(std::slice::from_ref(&file), &[]);
        std::fs::write(&file, "").unwrap();
        let empty = fingerprint(std::slice::from_ref(&file), &[]);
        std::fs::write(&file, "x").unwrap();
        let one = fingerprint(std::slice::from_ref(&file), &[]);
        assert!(absent != empty && empty != one);
        assert_eq!(one, fingerprint(std::slice::from_ref(&file), &[]));
        assert_ne!(one, fingerprint(&[file.clone(), file.clone()], &[]));
    }
}
