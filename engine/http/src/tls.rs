//! The engine's own TLS: its certificate and key, and whose certificates clients must have. It knows nothing of HTTP.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;

use crate::periodic::every;

/// How the engine speaks TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsConfig {
    /// The certificate and those that vouch for it, in PEM.
    pub certificate_file: PathBuf,
    /// The certificate's private key, in PEM.
    pub private_key_file: PathBuf,
    /// Those whose certificates clients must have, in PEM; without it clients need none.
    pub client_ca_file: Option<PathBuf>,
    /// The oldest version of TLS that is spoken.
    pub min_version: TlsVersion,
}

/// A version of TLS. Older ones are not spoken by anything that this program is made of.
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

/// Why TLS cannot be spoken.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read the {what} in {}: {source}", path.display())]
    Unreadable {
        /// What it should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{} holds no {what} in PEM: {reason}", path.display())]
    NotPem {
        /// What it should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong, without what the file holds.
        reason: String,
    },
    /// The certificate and the key cannot be used.
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
        /// What rustls says.
        source: rustls::Error,
    },
    /// The clients' authorities cannot be used.
    #[error("the clients' authorities in {} cannot be used: {reason}", path.display())]
    ClientAuthorities {
        /// Their file.
        path: PathBuf,
        /// What rustls says.
        reason: String,
    },
}

/// What connections are encrypted with now. It is read again when the files change.
#[derive(Debug)]
pub struct ServerTls {
    config: TlsConfig,
    current: ArcSwap<ServerConfig>,
    seen: Mutex<Seen>,
}

/// The files as they were when they were looked at last.
#[derive(Debug, PartialEq, Eq)]
struct Seen([u8; 32]);

/// What the three files hold.
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
        let files = Files::read(&config)?;
        let current = ArcSwap::from_pointee(files.server_config(&config)?);
        Ok(Self { config, current, seen: Mutex::new(files.seen()) })
    }

    /// What the next connection is accepted with.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.load_full())
    }

    /// Reads the files again if they have changed. Whatever is wrong with them, new connections go on with what there was, and
    /// the log says so once.
    pub(crate) fn refresh(&self) {
        let read = Files::read(&self.config);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = read.as_ref().map_or_else(|error| Seen::of([error.to_string().as_bytes()]), Files::seen);
        if *seen == now {
            return;
        }
        *seen = now;
        match read.and_then(|files| files.server_config(&self.config)) {
            Ok(config) => {
                self.current.store(Arc::new(config));
                let path = self.config.certificate_file.display();
                tracing::info!(%path, "new connections have the changed certificate");
            }
            Err(error) => tracing::error!(%error, "new connections have the certificate that there was"),
        }
    }

    /// Looks again and again whether the files have changed.
    pub async fn watch(self: Arc<Self>, pause: Duration) {
        every(pause, move || self.refresh()).await;
    }
}

const CERTIFICATE: &str = "certificate";
const PRIVATE_KEY: &str = "private key";
const CLIENT_AUTHORITIES: &str = "clients' authorities";

impl Files {
    fn read(config: &TlsConfig) -> Result<Self, TlsError> {
        let read = |what, path: &Path| {
            fs::read(path).map_err(|source| TlsError::Unreadable { what, path: path.to_owned(), source })
        };
        Ok(Self {
            certificate: read(CERTIFICATE, &config.certificate_file)?,
            key: read(PRIVATE_KEY, &config.private_key_file)?,
            client_ca: config
                .client_ca_file
                .as_deref()
                .map(|path| read(CLIENT_AUTHORITIES, path))
                .transpose()?,
        })
    }

    fn seen(&self) -> Seen {
        Seen::of([&self.certificate[..], &self.key, self.client_ca.as_deref().unwrap_or_default()])
    }

    fn server_config(&self, config: &TlsConfig) -> Result<ServerConfig, TlsError> {
        let TlsConfig { certificate_file, private_key_file, client_ca_file, min_version } = config;
        let chain = certificates(&self.certificate, CERTIFICATE, certificate_file)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|error| not_pem(PRIVATE_KEY, private_key_file, error.to_string()))?;
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
                    .map_err(|error: VerifierBuilderError| refused(path, error.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
            _ => builder.with_no_client_auth(),
        };
        let mut server = builder.with_single_cert(chain, key).map_err(unusable)?;
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(server)
    }
}

impl Seen {
    fn of<const N: usize>(parts: [&[u8]; N]) -> Self {
        let mut digest = Sha256::new();
        for part in parts {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        Self(digest.finalize().into())
    }
}

fn versions(oldest: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
    static NEWER: [&SupportedProtocolVersion; 1] = [&TLS13];
    match oldest {
        TlsVersion::V1_2 => &BOTH,
        TlsVersion::V1_3 => &NEWER,
    }
}

/// The certificates of a file, of which there must be one at least.
fn certificates(
    pem: &[u8],
    what: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(chain) if chain.is_empty() => Err(not_pem(what, path, "there is none in it".to_owned())),
        Ok(chain) => Ok(chain),
        Err(error) => Err(not_pem(what, path, error.to_string())),
    }
}

fn authorities(pem: &[u8], path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem, CLIENT_AUTHORITIES, path)? {
        roots.add(certificate).map_err(|error| refused(path, error.to_string()))?;
    }
    Ok(roots)
}

fn not_pem(what: &'static str, path: &Path, reason: String) -> TlsError {
    TlsError::NotPem { what, path: path.to_owned(), reason }
}

fn refused(path: &Path, reason: String) -> TlsError {
    TlsError::ClientAuthorities { path: path.to_owned(), reason }
}
