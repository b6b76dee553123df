//! `extensions`: store, health and API.

use super::section::Section;
use std::net::SocketAddr;
use std::path::PathBuf;

/// `extensions.file_storage`.
#[derive(Clone, Debug, PartialEq)]
pub struct FileStorage {
    /// Folder of the store; made when missing.
    pub directory: PathBuf,
}

impl Default for FileStorage {
    fn default() -> Self {
        Self {
            directory: PathBuf::from("./data"),
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
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            endpoint: SocketAddr::from(([0, 0, 0, 0], 13133)),
            path: "/".to_owned(),
        }
    }
}

/// `extensions.api`: budgets, cohorts and decisions, HTTP and gRPC on one port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiExtension {
    /// Where to listen; loopback by default, because the API names services and flags and asks for no
    /// password.
    pub endpoint: SocketAddr,
}

impl Default for ApiExtension {
    fn default() -> Self {
        Self {
            endpoint: SocketAddr::from(([127, 0, 0, 1], 8055)),
        }
    }
}

impl FileStorage {
    pub(super) fn read(section: Section<'_>) -> Self {
        let mut it = Self::default();
        section.field("directory", &mut it.directory);
        section.unsupported(&[
            "timeout",
            "compaction",
            "fsync",
            "create_directory",
            "directory_permissions",
            "recreate",
        ]);
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
        section.unsupported(&["tls", "auth", "response_body", "check_collector_pipeline"]);
        section.finish();
        it
    }
}

impl ApiExtension {
    pub(super) fn read(section: Section<'_>) -> Self {
        let mut it = Self::default();
        section.field("endpoint", &mut it.endpoint);
        section.unsupported(&["tls", "auth", "cors"]);
        section.finish();
        it
    }
}
