//! `tls` of whatever calls out: the client's side, with the Collector's keys.

use super::Secret;
use super::section::Section;
use super::setting::{Setting, text};
use super::tree::Node;
use std::path::PathBuf;
use std::time::Duration;

/// Where PEM text comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PemSource {
    /// A file (`*_file`).
    File(PathBuf),
    /// The text itself (`*_pem`).
    Inline(Secret),
}

/// A version of TLS; older ones are not spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// `1.2`.
    #[default]
    V12,
    /// `1.3`.
    V13,
}

impl Setting for TlsVersion {
    const EXPECTED: &'static str = "\"1.2\" or \"1.3\"";

    fn read(node: &Node) -> Result<Self, String> {
        match text(node) {
            Some("1.2") => Ok(Self::V12),
            Some("1.3") => Ok(Self::V13),
            _ => Err(super::section::shown(node)),
        }
    }
}

/// How a connection to a backend is secured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientTls {
    /// Plain text, where the endpoint has no scheme that says otherwise.
    pub insecure: bool,
    /// Encrypted, but whoever answers is believed.
    pub insecure_skip_verify: bool,
    /// Whom to trust; `None` trusts the system's roots.
    pub ca: Option<PemSource>,
    /// The system's roots beside `ca`.
    pub include_system_ca_certs_pool: bool,
    /// The client's own certificate and key.
    pub identity: Option<(PemSource, PemSource)>,
    /// Name that the certificate must have, instead of the endpoint's.
    pub server_name_override: Option<String>,
    /// Oldest version spoken.
    pub min_version: TlsVersion,
    /// Newest version spoken.
    pub max_version: TlsVersion,
    /// How often files are looked at again; `None` reads them once.
    pub reload_interval: Option<Duration>,
}

impl Default for ClientTls {
    fn default() -> Self {
        Self {
            insecure: false,
            insecure_skip_verify: false,
            ca: None,
            include_system_ca_certs_pool: false,
            identity: None,
            server_name_override: None,
            min_version: TlsVersion::V12,
            max_version: TlsVersion::V13,
            // Certificates are renewed while a gateway runs; the Collector never looks unless told to.
            reload_interval: Some(Duration::from_mins(1)),
        }
    }
}

impl ClientTls {
    /// Reads the mapping, every key of it.
    pub(super) fn read(section: Section<'_>) -> Self {
        let mut it = Self::default();
        section.field("insecure", &mut it.insecure);
        section.field("insecure_skip_verify", &mut it.insecure_skip_verify);
        section.field(
            "include_system_ca_certs_pool",
            &mut it.include_system_ca_certs_pool,
        );
        it.ca = pem(&section, "ca_file", "ca_pem");
        let cert = pem(&section, "cert_file", "cert_pem");
        let key = pem(&section, "key_file", "key_pem");
        it.identity = match (cert, key) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            (Some(_), None) => {
                section.problem(
                    "key_file",
                    "required beside the certificate; write key_file or key_pem",
                );
                None
            }
            (None, Some(_)) => {
                section.problem(
                    "cert_file",
                    "required beside the key; write cert_file or cert_pem",
                );
                None
            }
        };
        section.field("server_name_override", &mut it.server_name_override);
        section.field("min_version", &mut it.min_version);
        section.field("max_version", &mut it.max_version);
        if it.min_version > it.max_version {
            section.problem("min_version", "above max_version");
        }
        let mut reload = it.reload_interval.unwrap_or_default();
        if section.field("reload_interval", &mut reload) {
            it.reload_interval = (!reload.is_zero()).then_some(reload.max(Duration::from_secs(1)));
        }
        section.unsupported(&["cipher_suites", "curve_preferences", "tpm"]);
        section.finish();
        it
    }
}

/// One of two keys that say the same.
pub(super) fn pem(section: &Section<'_>, file_key: &'static str, pem_key: &'static str) -> Option<PemSource> {
    let (mut file, mut inline) = (None::<PathBuf>, None::<Secret>);
    section.field(file_key, &mut file);
    section.field(pem_key, &mut inline);
    match (file, inline) {
        (Some(_), Some(_)) => {
            section.problem(pem_key, format!("{file_key} says it already; keep one of them"));
            None
        }
        (Some(path), None) => Some(PemSource::File(path)),
        (None, Some(text)) if text.expose().contains("-----BEGIN ") => Some(PemSource::Inline(text)),
        (None, Some(_)) => {
            section.problem(pem_key, "expected PEM text, which begins with -----BEGIN");
            None
        }
        (None, None) => None,
    }
}
