//! `tls` of a receiver: its certificate, and whose certificates it asks for.

use super::client_tls::pem;
use super::section::Section;
use super::{PemSource, Secret, TlsVersion};
use std::path::PathBuf;
use std::time::Duration;

/// `tls` of a server.
#[derive(Clone, Debug, PartialEq)]
pub struct TlsServer {
    /// The certificate and those between it and its root, as PEM.
    pub certificate: PemSource,
    /// Its key, as PEM.
    pub key: PemSource,
    /// Roots of clients' certificates. With it a client without a certificate is not let in (mTLS).
    pub client_ca: Option<PemSource>,
    /// Least version.
    pub min_version: TlsVersion,
    /// Highest version.
    pub max_version: TlsVersion,
    /// Cipher suites of TLS 1.2, by their IANA names; empty takes all that are safe. Those of TLS 1.3 are
    /// always all on.
    pub cipher_suites: Vec<String>,
    /// Key exchange groups, the preferred first; empty takes all.
    pub curve_preferences: Vec<String>,
    /// Time between two looks at whether a file has changed; zero never looks, unless the gateway reloads.
    pub reload_interval: Duration,
    /// Whether the clients' roots are read again as well.
    pub client_ca_file_reload: bool,
    /// Time that a handshake may take.
    pub handshake_timeout: Duration,
}

/// Cipher suites of TLS 1.2 that are spoken.
pub const CIPHER_SUITES: [&str; 6] = [
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
];
/// Suites of TLS 1.3: taken in a list, where they change nothing.
const CIPHER_SUITES_13: [&str; 3] = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
];
/// Key exchange groups that are spoken.
pub const CURVES: [&str; 3] = ["X25519", "P256", "P384"];

impl TlsServer {
    /// The defaults, for a certificate and its key.
    pub fn new(certificate: PemSource, key: PemSource) -> Self {
        Self {
            certificate,
            key,
            client_ca: None,
            min_version: TlsVersion::V12,
            max_version: TlsVersion::V13,
            cipher_suites: Vec::new(),
            curve_preferences: Vec::new(),
            reload_interval: Duration::from_mins(1),
            client_ca_file_reload: true,
            handshake_timeout: Duration::from_secs(10),
        }
    }

    /// Reads `tls` of a receiver; `None` beside a reported problem.
    pub(super) fn read(section: Section<'_>) -> Option<Self> {
        let certificate = pem(&section, "cert_file", "cert_pem");
        let key = pem(&section, "key_file", "key_pem");
        let client_ca = pem(&section, "client_ca_file", "client_ca_pem");
        // For a server the Collector reads roots of its own and has no use for them.
        let mut unused = None::<PathBuf>;
        section.field("ca_file", &mut unused);
        let mut unused_pem = None::<Secret>;
        section.field("ca_pem", &mut unused_pem);
        let mut unused_pool = None::<bool>;
        section.field("include_system_ca_certs_pool", &mut unused_pool);
        if certificate.is_none() {
            section.problem(
                "cert_file",
                "required; the server's certificate as PEM (or `cert_pem`)",
            );
        }
        if key.is_none() {
            section.problem(
                "key_file",
                "required; the certificate's key as PEM (or `key_pem`)",
            );
        }
        let none = || PemSource::Inline(Secret::default());
        let is_whole = certificate.is_some() && key.is_some();
        let mut it = Self::new(certificate.unwrap_or_else(none), key.unwrap_or_else(none));
        it.client_ca = client_ca;
        section.field("min_version", &mut it.min_version);
        section.field("max_version", &mut it.max_version);
        if it.min_version > it.max_version {
            section.problem("max_version", "is below min_version");
        }
        section.field("cipher_suites", &mut it.cipher_suites);
        let suites = [&CIPHER_SUITES[..], &CIPHER_SUITES_13].concat();
        known(&section, "cipher_suites", &it.cipher_suites, &suites);
        section.field("curve_preferences", &mut it.curve_preferences);
        for curve in &mut it.curve_preferences {
            if let Some(short) = curve.strip_prefix("Curve") {
                *curve = short.to_owned();
            }
        }
        known(&section, "curve_preferences", &it.curve_preferences, &CURVES);
        let day = Duration::from_hours(24);
        section.ranged("reload_interval", &mut it.reload_interval, Duration::ZERO..=day);
        section.field("client_ca_file_reload", &mut it.client_ca_file_reload);
        let handshake = Duration::from_millis(100)..=Duration::from_mins(2);
        section.ranged("handshake_timeout", &mut it.handshake_timeout, handshake);
        section.unsupported(&["tpm", "insecure", "insecure_skip_verify", "server_name_override"]);
        section.finish();
        is_whole.then_some(it)
    }
}

fn known(section: &Section<'_>, key: &'static str, names: &[String], known: &[&str]) {
    for name in names.iter().filter(|name| !known.contains(&name.as_str())) {
        let expected = super::section::suggestion(name, known);
        section.problem(key, format!("`{name:.60}` is not spoken; {expected}"));
    }
}
