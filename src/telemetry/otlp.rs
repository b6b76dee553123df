//! The SDK's exporters for what burngate says of itself, from their configuration.

use crate::config::{OtlpProtocol, SelfOtlp, SelfTls};
use opentelemetry_otlp::{
    Compression, ExporterBuildError, MetricExporter, Protocol, SpanExporter, WithExportConfig,
    WithHttpConfig, WithTonicConfig,
};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tonic::metadata::{Ascii, MetadataKey, MetadataMap, MetadataValue};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

/// Why the own telemetry cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// A file of a log, or of a certificate.
    #[error("service.telemetry: cannot open {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A header that cannot be sent; its value is not shown.
    #[error("service.telemetry: header {0:?} of {1} cannot be sent as it is")]
    Header(String, String),
    /// An exporter that cannot be built.
    #[error("service.telemetry: exporter to {endpoint}: {source}")]
    Exporter {
        /// Where it would push to.
        endpoint: String,
        /// What the SDK said.
        source: ExporterBuildError,
    },
    /// The HTTP client cannot be built.
    #[error("service.telemetry: exporter to {endpoint}: {source}")]
    Client {
        /// Where it would push to.
        endpoint: String,
        /// What the client said.
        source: reqwest::Error,
    },
    /// A thread of its own cannot be had.
    #[error("service.telemetry: the system refuses a thread: {0}")]
    Thread(std::io::Error),
}

/// Call it on a tokio runtime.
pub(super) fn metric_exporter(config: &SelfOtlp) -> Result<MetricExporter, TelemetryError> {
    let built = match config.protocol {
        OtlpProtocol::Grpc => {
            let mut builder = MetricExporter::builder()
                .with_tonic()
                .with_endpoint(&config.endpoint)
                .with_timeout(config.timeout)
                .with_metadata(metadata(config)?);
            if config.gzip {
                builder = builder.with_compression(Compression::Gzip);
            }
            if let Some(tls) = tonic_tls(config)? {
                builder = builder.with_tls_config(tls);
            }
            builder.build()
        }
        OtlpProtocol::Http => {
            let mut builder = MetricExporter::builder()
                .with_http()
                .with_http_client(http_client(config)?)
                .with_protocol(Protocol::HttpBinary)
                .with_endpoint(&config.endpoint)
                .with_timeout(config.timeout)
                .with_headers(headers(config));
            if config.gzip {
                builder = builder.with_compression(Compression::Gzip);
            }
            builder.build()
        }
    };
    built.map_err(|source| unbuilt(config, source))
}

/// Call it on a tokio runtime.
pub(super) fn span_exporter(config: &SelfOtlp) -> Result<SpanExporter, TelemetryError> {
    let built = match config.protocol {
        OtlpProtocol::Grpc => {
            let mut builder = SpanExporter::builder()
                .with_tonic()
                .with_endpoint(&config.endpoint)
                .with_timeout(config.timeout)
                .with_metadata(metadata(config)?);
            if config.gzip {
                builder = builder.with_compression(Compression::Gzip);
            }
            if let Some(tls) = tonic_tls(config)? {
                builder = builder.with_tls_config(tls);
            }
            builder.build()
        }
        OtlpProtocol::Http => {
            let mut builder = SpanExporter::builder()
                .with_http()
                .with_http_client(http_client(config)?)
                .with_protocol(Protocol::HttpBinary)
                .with_endpoint(&config.endpoint)
                .with_timeout(config.timeout)
                .with_headers(headers(config));
            if config.gzip {
                builder = builder.with_compression(Compression::Gzip);
            }
            builder.build()
        }
    };
    built.map_err(|source| unbuilt(config, source))
}

fn unbuilt(config: &SelfOtlp, source: ExporterBuildError) -> TelemetryError {
    TelemetryError::Exporter {
        endpoint: config.endpoint.clone(),
        source,
    }
}

fn headers(config: &SelfOtlp) -> std::collections::HashMap<String, String> {
    let pairs = config.headers.iter();
    pairs
        .map(|(name, value)| (name.clone(), value.expose().to_owned()))
        .collect()
}

fn metadata(config: &SelfOtlp) -> Result<MetadataMap, TelemetryError> {
    let mut metadata = MetadataMap::new();
    for (name, value) in &config.headers {
        let unsendable = || TelemetryError::Header(name.clone(), config.endpoint.clone());
        let key = name.to_ascii_lowercase().parse::<MetadataKey<Ascii>>();
        let mut value = MetadataValue::try_from(value.expose()).map_err(|_| unsendable())?;
        value.set_sensitive(true);
        metadata.insert(key.map_err(|_| unsendable())?, value);
    }
    Ok(metadata)
}

fn read(path: &Path) -> Result<Vec<u8>, TelemetryError> {
    std::fs::read(path).map_err(|source| TelemetryError::File {
        path: path.to_owned(),
        source,
    })
}

/// A certificate and its key.
struct Pem {
    cert: Vec<u8>,
    key: Vec<u8>,
}

/// Ours, if there are any.
fn identity(tls: &SelfTls) -> Result<Option<Pem>, TelemetryError> {
    match (&tls.cert_file, &tls.key_file) {
        (Some(cert), Some(key)) => Ok(Some(Pem {
            cert: read(cert)?,
            key: read(key)?,
        })),
        _ => Ok(None),
    }
}

fn tonic_tls(config: &SelfOtlp) -> Result<Option<ClientTlsConfig>, TelemetryError> {
    if !config.endpoint.starts_with("https://") {
        return Ok(None);
    }
    let mut tls = ClientTlsConfig::new();
    tls = match &config.tls.ca_file {
        Some(ca) => tls.ca_certificate(Certificate::from_pem(read(ca)?)),
        None => tls.with_native_roots(),
    };
    if let Some(Pem { cert, key }) = identity(&config.tls)? {
        tls = tls.identity(Identity::from_pem(cert, key));
    }
    Ok(Some(tls))
}

fn http_client(config: &SelfOtlp) -> Result<reqwest::Client, TelemetryError> {
    let wrong = |source| TelemetryError::Client {
        endpoint: config.endpoint.clone(),
        source,
    };
    let mut client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(config.timeout.min(Duration::from_secs(10)))
        .timeout(config.timeout);
    if let Some(ca) = &config.tls.ca_file {
        let bundle = reqwest::Certificate::from_pem_bundle(&read(ca)?).map_err(wrong)?;
        client = client.tls_certs_only(bundle);
    }
    if let Some(Pem { mut cert, key }) = identity(&config.tls)? {
        cert.push(b'\n');
        cert.extend(key);
        client = client.identity(reqwest::Identity::from_pem(&cert).map_err(wrong)?);
    }
    client.build().map_err(wrong)
}
