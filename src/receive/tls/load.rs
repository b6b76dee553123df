//! From PEM to a configuration of the TLS library.

use crate::config::{PemSource, TlsServer, TlsVersion};
use rustls::crypto::{CryptoProvider, SupportedKxGroup, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{NamedGroup, RootCertStore, ServerConfig, SupportedProtocolVersion, version};
use std::io::Read;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Bytes read of one file.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{what}: cannot read {path}: {source}")]
    Read {
        /// The key in the configuration.
        what: &'static str,
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is not PEM, or nothing of the kind is in it.
    #[error("{what}: no {wanted} in PEM found")]
    Pem {
        /// The key in the configuration.
        what: &'static str,
        /// What was looked for.
        wanted: &'static str,
    },
    /// Certificate and key do not fit each other, or the library refuses them.
    #[error("cert_file and key_file: {0}")]
    Certificate(rustls::Error),
    /// The roots of clients' certificates cannot be used.
    #[error("client_ca_file: {0}")]
    ClientCa(String),
    /// Versions, suites and groups that leave nothing to speak.
    #[error("min_version, max_version, cipher_suites and curve_preferences leave nothing to speak: {0}")]
    Nothing(rustls::Error),
}

/// The bytes of the files.
#[derive(PartialEq, Eq)]
pub(super) struct Material {
    certificate: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
    client_ca: Option<Vec<u8>>,
}

impl std::fmt::Debug for Material {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Material")
    }
}

/// A configuration and what it was made from.
pub(super) struct Loaded {
    pub(super) config: Arc<ServerConfig>,
    pub(super) material: Material,
}

/// Reads and builds.
pub(super) fn load(
    settings: &TlsServer,
    alpn: &[&[u8]],
    fixed_roots: Option<&Material>,
) -> Result<Loaded, TlsError> {
    let material = read(settings, fixed_roots)?;
    Ok(Loaded {
        config: build(settings, alpn, &material)?,
        material,
    })
}

/// Reads the files; the clients' roots stay as in `fixed_roots` if there are such.
pub(super) fn read(settings: &TlsServer, fixed_roots: Option<&Material>) -> Result<Material, TlsError> {
    let client_ca = match (fixed_roots, &settings.client_ca) {
        (Some(before), _) => before.client_ca.clone(),
        (None, Some(pem)) => Some(bytes("client_ca_file", pem)?),
        (None, None) => None,
    };
    Ok(Material {
        certificate: bytes("cert_file", &settings.certificate)?,
        key: Zeroizing::new(bytes("key_file", &settings.key)?),
        client_ca,
    })
}

fn bytes(what: &'static str, pem: &PemSource) -> Result<Vec<u8>, TlsError> {
    match pem {
        PemSource::Inline(text) => Ok(text.expose().as_bytes().to_vec()),
        PemSource::File(path) => {
            let failed = |source| TlsError::Read {
                what,
                path: path.display().to_string(),
                source,
            };
            let mut read = Vec::new();
            let file = std::fs::File::open(path).map_err(failed)?;
            file.take(MAX_FILE_BYTES).read_to_end(&mut read).map_err(failed)?;
            Ok(read)
        }
    }
}

/// Checks everything that can be checked without a client.
pub(super) fn build(
    settings: &TlsServer,
    alpn: &[&[u8]],
    material: &Material,
) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(provider(settings));
    let versions: Vec<&SupportedProtocolVersion> = [
        (TlsVersion::V13, &version::TLS13),
        (TlsVersion::V12, &version::TLS12),
    ]
    .into_iter()
    .filter(|(version, _)| (settings.min_version..=settings.max_version).contains(version))
    .map(|(_, version)| version)
    .collect();
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions)
        .map_err(TlsError::Nothing)?;
    let builder = match &material.client_ca {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            for root in certificates("client_ca_file", pem)? {
                roots.add(root).map_err(|e| TlsError::ClientCa(e.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|e| TlsError::ClientCa(e.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let chain = certificates("cert_file", &material.certificate)?;
    let key = PrivateKeyDer::from_pem_slice(&material.key).map_err(|_| TlsError::Pem {
        what: "key_file",
        wanted: "private key",
    })?;
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(TlsError::Certificate)?;
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}

fn certificates(what: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wanted = "certificate";
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        _ => Err(TlsError::Pem { what, wanted }),
    }
}

/// The library's own, with the suites and groups that the settings leave.
fn provider(settings: &TlsServer) -> CryptoProvider {
    let mut provider = ring::default_provider();
    if !settings.cipher_suites.is_empty() {
        provider.cipher_suites.retain(|suite| {
            let name = format!("{:?}", suite.suite());
            suite.tls13().is_some() || settings.cipher_suites.contains(&name)
        });
    }
    if !settings.curve_preferences.is_empty() {
        let all = provider.kx_groups.clone();
        let named = settings.curve_preferences.iter();
        provider.kx_groups = named.filter_map(|name| group(&all, name)).collect();
    }
    provider
}

fn group(all: &[&'static dyn SupportedKxGroup], name: &str) -> Option<&'static dyn SupportedKxGroup> {
    let wanted = match name {
        "X25519" => NamedGroup::X25519,
        "P256" => NamedGroup::secp256r1,
        "P384" => NamedGroup::secp384r1,
        _ => return None,
    };
    all.iter().copied().find(|group| group.name() == wanted)
}
