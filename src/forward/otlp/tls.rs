//! The client's side of TLS: whom to trust, and who we are.

use crate::config::{ClientTls, PemSource, TlsVersion};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::borrow::Cow;
use std::sync::Arc;

/// Largest file of certificates that is read.
const PEM_MAX: u64 = 1 << 20;

/// A connection's settings, without protocols (ALPN). The text is for the operator.
pub(in crate::forward) fn client_config(tls: &ClientTls) -> Result<ClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let versions: Vec<_> = [
        (TlsVersion::V13, &rustls::version::TLS13),
        (TlsVersion::V12, &rustls::version::TLS12),
    ]
    .into_iter()
    .filter(|(version, _)| (tls.min_version..=tls.max_version).contains(version))
    .map(|(_, version)| version)
    .collect();
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions)
        .map_err(|error| format!("tls: {error}"))?;
    let builder = if tls.insecure_skip_verify {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
    } else {
        builder.with_root_certificates(roots(tls)?)
    };
    let Some((cert, key)) = &tls.identity else {
        return Ok(builder.with_no_client_auth());
    };
    let certs = certificates(cert, "cert")?;
    let text = pem(key, "key")?;
    let key = PrivateKeyDer::from_pem_slice(&text)
        .map_err(|error| format!("tls: {}: no private key: {error}", named(key, "key")))?;
    builder
        .with_client_auth_cert(certs, key)
        .map_err(|error| format!("tls: the client's certificate and key: {error}"))
}

fn roots(tls: &ClientTls) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    if let Some(ca) = &tls.ca {
        for cert in certificates(ca, "ca")? {
            roots
                .add(cert)
                .map_err(|error| format!("tls: {}: {error}", named(ca, "ca")))?;
        }
    }
    if tls.ca.is_none() || tls.include_system_ca_certs_pool {
        // Some of a system's certificates may be odd; what matters is that there are any.
        let (added, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if added == 0 && tls.ca.is_none() {
            return Err("tls: this system has no root certificates; name some in tls.ca_file".to_owned());
        }
    }
    Ok(roots)
}

fn certificates(source: &PemSource, what: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let certs: Vec<_> = CertificateDer::pem_slice_iter(&pem(source, what)?)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("tls: {}: {error}", named(source, what)))?;
    if certs.is_empty() {
        return Err(format!("tls: {}: no certificate in it", named(source, what)));
    }
    Ok(certs)
}

fn pem<'a>(source: &'a PemSource, what: &str) -> Result<Cow<'a, [u8]>, String> {
    match source {
        PemSource::Inline(text) => Ok(Cow::Borrowed(text.expose().as_bytes())),
        PemSource::File(path) => {
            let size = std::fs::metadata(path).map(|it| it.len());
            let read = match size {
                Ok(size) if size > PEM_MAX => return Err(format!("tls: {}: too large", named(source, what))),
                Ok(_) => std::fs::read(path),
                Err(error) => Err(error),
            };
            read.map(Cow::Owned)
                .map_err(|error| format!("tls: {}: {error}", named(source, what)))
        }
    }
}

fn named(source: &PemSource, what: &str) -> String {
    match source {
        PemSource::File(path) => format!("{what}_file {}", path.display()),
        PemSource::Inline(_) => format!("{what}_pem"),
    }
}

/// The files that `tls` names, as they are now: equal states need no reload.
pub(in crate::forward) fn files_state(tls: &ClientTls) -> Vec<Option<Vec<u8>>> {
    let identity = tls.identity.iter().flat_map(|(cert, key)| [cert, key]);
    (tls.ca.iter().chain(identity))
        .filter(|source| matches!(source, PemSource::File(_)))
        .map(|source| pem(source, "").ok().map(Cow::into_owned))
        .collect()
}

/// `insecure_skip_verify`: whoever answers is believed, but must hold the key of the certificate shown.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
