//! TLS: the server's certificate and key, and the CA of client certificates. Independent of HTTP.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use serde::Deserialize;
use thiserror::Error;
use tokio_rustls::TlsAcceptor;

use crate::periodic::every;
use crate::watched_file::WatchedFile;

/// The TLS settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsConfig {
    /// The file of the certificate and its chain, in PEM.
    pub certificate_file: PathBuf,
    /// The file of the certificate's private key, in PEM.
    pub private_key_file: PathBuf,
    /// The file of the CA certificates that client certificates must chain to, in PEM. Without it, clients
    /// need no certificate.
    pub client_ca_file: Option<PathBuf>,
    /// The minimum version of TLS.
    pub min_version: TlsVersion,
}

/// A version of TLS. rustls implements no older ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum TlsVersion {
    /// TLS 1.2, without its weak ciphers.
    #[default]
    #[serde(rename = "1.2")]
    V1_2,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    V1_3,
}

/// The reason why TLS cannot be set up.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read the {what} in {}: {source}", path.display())]
    Unreadable {
        /// The expected content.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A file does not contain the expected PEM.
    #[error("{} contains no {what} in PEM: {reason}", path.display())]
    NotPem {
        /// The expected content.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The problem, without the content of the file.
        reason: String,
    },
    /// The certificate and the key cannot be used together.
    #[error(
        "the certificate in {} and the key in {} cannot be used together: {source}",
        certificate.display(),
        key.display()
    )]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// The error of rustls.
        source: rustls::Error,
    },
    /// The CA certificates for clients cannot be used.
    #[error("the client CA certificates in {} cannot be used: {reason}", path.display())]
    ClientAuthorities {
        /// The file.
        path: PathBuf,
        /// The error of rustls.
        reason: String,
    },
}

/// The TLS configuration of new connections. The files are reloaded when they change.
#[derive(Debug)]
pub struct ServerTls {
    config: TlsConfig,
    files: WatchedFiles,
    current: ArcSwap<ServerConfig>,
}

/// The watched files of a TLS configuration.
#[derive(Debug)]
struct WatchedFiles {
    certificate: WatchedFile,
    key: WatchedFile,
    client_ca: Option<WatchedFile>,
}

/// The contents of the files.
struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl ServerTls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn open(config: TlsConfig) -> Result<Self, TlsError> {
        let files = WatchedFiles::new(&config);
        let (contents, _) = files.poll();
        let current = ArcSwap::from_pointee(contents?.server_config(&config)?);
        Ok(Self { config, files, current })
    }

    /// Returns the acceptor for new connections.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.load_full())
    }

    /// Reloads the files if they have changed. If they are invalid, new connections keep the previous
    /// certificate and the error is logged once.
    pub(crate) fn reload_if_changed(&self) {
        let (contents, has_changed) = self.files.poll();
        if !has_changed {
            return;
        }
        match contents.and_then(|files| files.server_config(&self.config)) {
            Ok(config) => {
                self.current.store(Arc::new(config));
                let path = self.config.certificate_file.display();
                tracing::info!(%path, "the certificate was reloaded");
            }
            Err(error) => {
                tracing::error!(%error, "the certificate cannot be reloaded; the previous one stays in use")
            }
        }
    }

    /// Reloads the files periodically if they have changed.
    pub async fn watch(self: Arc<Self>, interval: Duration) {
        every(interval, move || self.reload_if_changed()).await;
    }
}

const CERTIFICATE: &str = "certificate";
const PRIVATE_KEY: &str = "private key";
const CLIENT_AUTHORITIES: &str = "client CA certificate";

impl WatchedFiles {
    fn new(config: &TlsConfig) -> Self {
        let watched = |path: &PathBuf| WatchedFile::new(path.clone());
        Self {
            certificate: watched(&config.certificate_file),
            key: watched(&config.private_key_file),
            client_ca: config.client_ca_file.as_ref().map(watched),
        }
    }

    /// Reads the files, and returns whether one of them has changed.
    fn poll(&self) -> (Result<Files, TlsError>, bool) {
        let (certificate, key) = (self.certificate.poll(), self.key.poll());
        let client_ca = self.client_ca.as_ref().map(|file| (file, file.poll()));
        let has_changed = certificate.has_changed
            || key.has_changed
            || client_ca.as_ref().is_some_and(|(_, polled)| polled.has_changed);
        let read = || {
            Ok(Files {
                certificate: readable(CERTIFICATE, &self.certificate, certificate.content)?,
                key: readable(PRIVATE_KEY, &self.key, key.content)?,
                client_ca: client_ca
                    .map(|(file, polled)| readable(CLIENT_AUTHORITIES, file, polled.content))
                    .transpose()?,
            })
        };
        (read(), has_changed)
    }
}

fn readable(
    what: &'static str,
    file: &WatchedFile,
    content: io::Result<Vec<u8>>,
) -> Result<Vec<u8>, TlsError> {
    content.map_err(|source| TlsError::Unreadable { what, path: file.path().to_owned(), source })
}

impl Files {
    fn server_config(&self, config: &TlsConfig) -> Result<ServerConfig, TlsError> {
        let TlsConfig { certificate_file, private_key_file, client_ca_file, min_version } = config;
        let chain = certificates(&self.certificate, CERTIFICATE, certificate_file)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|error| pem_error(PRIVATE_KEY, private_key_file, error.to_string()))?;
        let unusable = |source| TlsError::Unusable {
            certificate: certificate_file.clone(),
            key: private_key_file.clone(),
            source,
        };
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions(*min_version))
            .map_err(unusable)?;
        let builder = match (client_ca_file, &self.client_ca) {
            (Some(path), Some(pem)) => {
                let roots = authorities(pem, path)?;
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                    .build()
                    .map_err(|error: VerifierBuilderError| authorities_error(path, error.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
            _ => builder.with_no_client_auth(),
        };
        let mut server = builder.with_single_cert(chain, key).map_err(unusable)?;
        if client_ca_file.is_some() {
            // A resumed session does not show its certificate again: it would outlive the certificate's end, and
            // the authority that is no longer trusted.
            server.session_storage = Arc::new(NoServerSessionStorage {});
            server.send_tls13_tickets = 0;
        }
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(server)
    }
}

fn versions(min_version: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
    static NEWER: [&SupportedProtocolVersion; 1] = [&TLS13];
    match min_version {
        TlsVersion::V1_2 => &BOTH,
        TlsVersion::V1_3 => &NEWER,
    }
}

/// Reads the certificates of a file. There must be at least one.
fn certificates(
    pem: &[u8],
    what: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(chain) if chain.is_empty() => {
            Err(pem_error(what, path, "it has no CERTIFICATE section".to_owned()))
        }
        Ok(chain) => Ok(chain),
        Err(error) => Err(pem_error(what, path, error.to_string())),
    }
}

fn authorities(pem: &[u8], path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem, CLIENT_AUTHORITIES, path)? {
        roots.add(certificate).map_err(|error| authorities_error(path, error.to_string()))?;
    }
    Ok(roots)
}

fn pem_error(what: &'static str, path: &Path, reason: String) -> TlsError {
    TlsError::NotPem { what, path: path.to_owned(), reason }
}

fn authorities_error(path: &Path, reason: String) -> TlsError {
    TlsError::ClientAuthorities { path: path.to_owned(), reason }
}
