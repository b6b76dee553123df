//! `extensions`: store, health, API, profiles and pages about the process.

use super::section::Section;
use super::setting::Setting as _;
use super::tree::Value;
use super::{BasicAuth, BearerTokenAuth, Secret};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// One extension.
#[derive(Clone, Debug, PartialEq)]
pub enum Extension {
    /// `health_check`.
    HealthCheck(HealthCheck),
    /// `file_storage`.
    FileStorage(FileStorage),
    /// `api`.
    Api(ApiExtension),
    /// `pprof`.
    Pprof(PprofExtension),
    /// `zpages`.
    Zpages(ZpagesExtension),
    /// `bearertokenauth`.
    BearerTokenAuth(BearerTokenAuth),
    /// `basicauth`.
    BasicAuth(BasicAuth),
}

impl Extension {
    /// Where it listens, if it does.
    pub(super) const fn endpoint(&self) -> Option<SocketAddr> {
        match self {
            Self::HealthCheck(it) => Some(it.endpoint),
            Self::Api(it) => Some(it.endpoint),
            Self::Pprof(it) => Some(it.endpoint),
            Self::Zpages(it) => Some(it.endpoint),
            Self::FileStorage(_) | Self::BearerTokenAuth(_) | Self::BasicAuth(_) => None,
        }
    }
}

/// `extensions.file_storage`.
#[derive(Clone, Debug, PartialEq)]
pub struct FileStorage {
    /// Folder of the store; made when missing.
    pub directory: PathBuf,
    /// Whether a missing folder is made; otherwise it is an error.
    pub create_directory: bool,
}

impl Default for FileStorage {
    fn default() -> Self {
        Self {
            directory: PathBuf::from("./data"),
            create_directory: true,
        }
    }
}

/// `extensions.health_check`: what probes ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// Where to listen.
    pub endpoint: SocketAddr,
    /// Path of the answer.
    pub path: String,
    /// The whole answer while healthy; `None` is JSON with the state.
    pub healthy_body: Option<String>,
    /// The whole answer while not.
    pub unhealthy_body: Option<String>,
    /// What a component in trouble means for the whole.
    pub component_health: ComponentHealth,
}

/// `component_health`: which troubles of components make the whole unhealthy. None by default: a backend that
/// is down must not make an orchestrator restart the gateway that keeps what it cannot send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ComponentHealth {
    /// Those that may pass, once they have lasted for `recovery_duration`.
    pub include_recoverable_errors: bool,
    /// Those that will not pass by themselves.
    pub include_permanent_errors: bool,
    /// Time that a recoverable trouble has to pass.
    pub recovery_duration: Duration,
}

impl Default for ComponentHealth {
    fn default() -> Self {
        Self {
            include_recoverable_errors: false,
            include_permanent_errors: false,
            recovery_duration: Duration::from_mins(1),
        }
    }
}

/// `extensions.pprof`: CPU profiles of the running process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PprofExtension {
    /// Where to listen; loopback, because a profile shows what the process does.
    pub endpoint: SocketAddr,
    /// File for a profile of the whole life, written at shutdown.
    pub save_to_file: Option<PathBuf>,
}

impl Default for PprofExtension {
    fn default() -> Self {
        Self {
            endpoint: SocketAddr::from(([127, 0, 0, 1], 1777)),
            save_to_file: None,
        }
    }
}

/// `extensions.zpages`: pages about pipelines, extensions and recent requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZpagesExtension {
    /// Where to listen; loopback, because the pages ask for no password.
    pub endpoint: SocketAddr,
}

impl Default for ZpagesExtension {
    fn default() -> Self {
        Self {
            endpoint: SocketAddr::from(([127, 0, 0, 1], 55679)),
        }
    }
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            endpoint: SocketAddr::from(([0, 0, 0, 0], 13133)),
            path: "/".to_owned(),
            healthy_body: None,
            unhealthy_body: None,
            component_health: ComponentHealth::default(),
        }
    }
}

/// `extensions.api`: budgets, cohorts and decisions, HTTP and gRPC on one port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiExtension {
    /// Where to listen; loopback by default, because the API names services and flags and asks for no
    /// password.
    pub endpoint: SocketAddr,
    /// Who knows it may record events and correct budgets; without it only clients on the same machine may
    /// record, and nobody may correct.
    pub token: Option<Secret>,
    /// Who may switch flags by hand, and release and approve: the token of each, by name. Nobody without
    /// this.
    pub admins: Vec<(String, Secret)>,
    /// Who may tell of changes of flags.
    pub flag_changes: FlagChangesDoor,
    /// Idempotency keys of recorded events that are remembered at least.
    pub idempotency_keys: u32,
}

/// `extensions.api.flag_changes`: whoever shows the token, or signs with the key; nobody without either.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlagChangesDoor {
    /// In the header `Authorization`.
    pub token: Option<Secret>,
    /// Of Standard Webhooks, or of LaunchDarkly's `X-LD-Signature`.
    pub signing_key: Option<Secret>,
}

/// Each failed request is compared with all of them.
const ADMINS_MAX: usize = 100;

impl Default for ApiExtension {
    fn default() -> Self {
        Self {
            endpoint: SocketAddr::from(([127, 0, 0, 1], 8055)),
            token: None,
            admins: Vec::new(),
            flag_changes: FlagChangesDoor::default(),
            idempotency_keys: 10_000,
        }
    }
}

impl FileStorage {
    pub(super) fn read(section: Section<'_>) -> Self {
        let mut it = Self::default();
        section.field("directory", &mut it.directory);
        section.field("create_directory", &mut it.create_directory);
        section.without_effect(
            &["timeout", "compaction", "directory_permissions"],
            "the store locks, cleans up and protects its files by itself",
        );
        section.without_effect(&["fsync"], "what is acknowledged is always on disk");
        section.without_effect(
            &["recreate"],
            "a damaged file is always set aside, and said aloud",
        );
        section.finish();
        it
    }
}

impl HealthCheck {
    pub(super) fn read(section: Section<'_>) -> Self {
        let mut it = Self::default();
        section.field("endpoint", &mut it.endpoint);
        section.field("path", &mut it.path);
        if !it.path.starts_with('/') || it.path.contains(['?', '#', ' ', '{']) {
            section.problem("path", "expected a path such as / or /healthz");
        }
        let body = section.section_or_empty("response_body");
        body.field("healthy", &mut it.healthy_body);
        body.field("unhealthy", &mut it.unhealthy_body);
        body.finish();
        let health = section.section_or_empty("component_health");
        let slot = &mut it.component_health;
        health.field("include_recoverable_errors", &mut slot.include_recoverable_errors);
        health.field("include_permanent_errors", &mut slot.include_permanent_errors);
        let range = Duration::ZERO..=Duration::from_hours(24);
        health.ranged("recovery_duration", &mut slot.recovery_duration, range);
        health.finish();
        section.without_effect(
            &["check_collector_pipeline"],
            "it never worked in the Collector; component_health does what it was meant for",
        );
        section.unsupported(&["tls", "auth", "cors", "compression_algorithms"]);
        section.finish();
        it
    }
}

impl PprofExtension {
    pub(super) fn read(section: Section<'_>) -> Self {
        let mut it = Self::default();
        section.field("endpoint", &mut it.endpoint);
        section.field("save_to_file", &mut it.save_to_file);
        section.without_effect(
            &["block_profile_fraction", "mutex_profile_fraction"],
            "they are profiles of Go's scheduler; here is the profile of the CPU",
        );
        section.unsupported(&["dialer"]);
        section.finish();
        it
    }
}

impl ZpagesExtension {
    pub(super) fn read(section: Section<'_>) -> Self {
        let mut it = Self::default();
        section.field("endpoint", &mut it.endpoint);
        section.without_effect(&["expvar"], "its figures are among the own metrics");
        section.unsupported(&["tls", "auth", "cors"]);
        section.finish();
        it
    }
}

impl ApiExtension {
    pub(super) fn read(section: Section<'_>) -> Self {
        let mut it = Self::default();
        section.field("endpoint", &mut it.endpoint);
        section.field("token", &mut it.token);
        if it.token.as_ref().is_some_and(Secret::is_blank) {
            section.problem(
                "token",
                "it is empty; set what it is read from, or remove the key",
            );
        }
        it.admins = admins(&section, it.token.as_ref());
        if let Some(changes) = section.section("flag_changes") {
            it.flag_changes = FlagChangesDoor::read(changes);
        }
        section.ranged("idempotency_keys", &mut it.idempotency_keys, 1..=1_000_000);
        section.unsupported(&["tls", "auth", "cors"]);
        section.finish();
        it
    }
}

impl FlagChangesDoor {
    fn read(section: Section<'_>) -> Self {
        let mut it = Self::default();
        for (key, secret) in [("token", &mut it.token), ("signing_key", &mut it.signing_key)] {
            section.field(key, secret);
            if secret.as_ref().is_some_and(Secret::is_blank) {
                section.problem(key, "it is empty; set what it is read from, or remove the key");
            }
        }
        section.finish();
        it
    }
}

/// `admins: {name: token}`; a token is never shown.
fn admins(section: &Section<'_>, token: Option<&Secret>) -> Vec<(String, Secret)> {
    let Some(admins) = section.section("admins") else {
        return Vec::new();
    };
    let mut read: Vec<(String, Secret)> = Vec::new();
    for entry in admins.entries() {
        admins.report.secret(admins.path_of(&entry.key));
        let secret = match &entry.node.value {
            Value::Null => None,
            _ => Secret::read(&entry.node).ok(),
        };
        let Some(secret) = secret.filter(|secret| !secret.is_blank()) else {
            admins.problem(
                &entry.key,
                "expected a token; set what it is read from, or remove the name",
            );
            continue;
        };
        let same = |other: &Secret| other.expose().trim() == secret.expose().trim();
        if token.is_some_and(same) || read.iter().any(|(_, other)| same(other)) {
            admins.problem(
                &entry.key,
                "this token has another use here; each name needs its own",
            );
        }
        read.push((entry.key.clone(), secret));
    }
    if read.len() > ADMINS_MAX {
        section.problem("admins", format!("{} names, at most {ADMINS_MAX}", read.len()));
    }
    read
}
