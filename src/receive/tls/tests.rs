//! Certificates that fit, that do not, and that change.

use super::*;
use crate::config::{CIPHER_SUITES, CURVES, PemSource, Secret, TlsVersion};
use std::sync::Arc;

fn certified(name: &str) -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

fn settings() -> TlsServer {
    let (certificate, key) = certified("localhost");
    TlsServer::new(
        PemSource::Inline(Secret::new(certificate)),
        PemSource::Inline(Secret::new(key)),
    )
}

#[test]
fn every_suite_and_group_that_can_be_named_is_spoken() {
    for suite in CIPHER_SUITES {
        let only = TlsServer {
            cipher_suites: vec![suite.to_owned()],
            max_version: TlsVersion::V12,
            ..settings()
        };
        let tls = Tls::load(&only, GRPC_ALPN).unwrap();
        let spoken = tls.current.load().crypto_provider().cipher_suites.clone();
        let of_12: Vec<_> = spoken.iter().filter(|suite| suite.tls13().is_none()).collect();
        assert_eq!(of_12.len(), 1, "{suite}");
    }
    for curve in CURVES {
        let only = TlsServer {
            curve_preferences: vec![curve.to_owned()],
            ..settings()
        };
        let tls = Tls::load(&only, HTTP_ALPN).unwrap();
        assert_eq!(tls.current.load().crypto_provider().kx_groups.len(), 1, "{curve}");
    }
}

#[test]
fn a_key_of_another_certificate_and_text_that_is_no_pem_are_refused() {
    let (_, other) = certified("localhost");
    let mixed = TlsServer {
        key: PemSource::Inline(Secret::new(other)),
        ..settings()
    };
    assert!(matches!(
        Tls::load(&mixed, GRPC_ALPN),
        Err(TlsError::Certificate(_))
    ));
    let nonsense = TlsServer {
        certificate: PemSource::Inline(Secret::new("hello")),
        ..settings()
    };
    let error = Tls::load(&nonsense, GRPC_ALPN).unwrap_err().to_string();
    assert_eq!(error, "cert_file: no certificate in PEM found");
    let absent = TlsServer {
        key: PemSource::File("/nowhere/key.pem".into()),
        ..settings()
    };
    let error = Tls::load(&absent, GRPC_ALPN).unwrap_err().to_string();
    assert!(
        error.starts_with("key_file: cannot read /nowhere/key.pem"),
        "{error}"
    );
}

#[test]
fn files_that_changed_are_taken_and_bad_ones_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
    let write = |(certificate, private): (String, String)| {
        std::fs::write(&cert, certificate).unwrap();
        std::fs::write(&key, private).unwrap();
    };
    write(certified("one"));
    let settings = TlsServer::new(PemSource::File(cert.clone()), PemSource::File(key.clone()));
    let tls = Tls::load(&settings, GRPC_ALPN).unwrap();
    let first = tls.current.load_full();
    assert!(!tls.refresh().unwrap(), "nothing new");
    write(certified("two"));
    assert!(tls.refresh().unwrap());
    let second = tls.current.load_full();
    assert!(!Arc::ptr_eq(&first, &second));
    std::fs::write(&cert, "half a file").unwrap();
    assert!(tls.refresh().is_err());
    assert!(
        Arc::ptr_eq(&second, &tls.current.load_full()),
        "the old one stays"
    );
    write(certified("three"));
    assert!(tls.refresh().unwrap(), "and the next good one is taken");
}
