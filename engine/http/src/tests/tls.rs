//! TLS connections, and rejected clients.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use onnward_telemetry::logging::LogFormat;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::client::WantsClientCert;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::TLS12;
use rustls::{ClientConfig, ConfigBuilder, HandshakeKind, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::connections::{LIMITS, connect, get, listen_with, read_to_end};
use crate::ConnectionLimits;
use crate::fixtures::{Engine, captured_log};
use crate::tls::ServerTls;
use crate::tls::{TlsConfig, TlsVersion};

/// A certificate authority.
struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
struct Pair {
    certificate: String,
    key: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    fn vouches_for(&self, name: &str) -> Pair {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &self.0).unwrap();
        Pair { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem().as_bytes()).unwrap()).unwrap();
        roots
    }
}

/// A folder with a certificate and its key.
struct Folder {
    folder: TempDir,
    config: TlsConfig,
}

impl Folder {
    fn new(pair: &Pair) -> Self {
        let folder = TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name);
        let config = TlsConfig {
            certificate_file: path("certificate.pem"),
            private_key_file: path("key.pem"),
            client_ca_file: None,
            min_version: TlsVersion::V1_2,
        };
        let place = Self { folder, config };
        place.put(pair);
        place
    }

    fn put(&self, pair: &Pair) {
        fs::write(&self.config.certificate_file, &pair.certificate).unwrap();
        fs::write(&self.config.private_key_file, &pair.key).unwrap();
    }

    fn asking_for_certificates_of(mut self, authority: &Authority) -> Self {
        let path = self.folder.path().join("clients.pem");
        fs::write(&path, authority.pem()).unwrap();
        self.config.client_ca_file = Some(path);
        self
    }

    async fn serve(&self) -> (SocketAddr, Arc<ServerTls>) {
        let tls = Arc::new(ServerTls::open(self.config.clone()).unwrap());
        let (address, _) = listen_with(&Engine::ready(), LIMITS, Some(Arc::clone(&tls))).await;
        (address, tls)
    }
}

fn client(roots: RootCertStore) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots).with_no_client_auth()
}

fn client_with(roots: RootCertStore, pair: &Pair) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    with_certificate(
        builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots),
        pair,
    )
}

fn with_certificate(builder: ConfigBuilder<ClientConfig, WantsClientCert>, pair: &Pair) -> ClientConfig {
    let chain = vec![CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap()];
    builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap()).unwrap()
}

/// Returns the response to one request of this client.
async fn ask(address: SocketAddr, config: ClientConfig) -> io::Result<String> {
    ask_with(address, &Arc::new(config)).await.map(|(text, _)| text)
}

/// Returns the response to one request, and the kind of its connection's handshake.
async fn ask_with(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
) -> io::Result<(String, Option<HandshakeKind>)> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("engine.example").unwrap();
    let mut stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await?;
    stream.write_all(get("/health/ready").as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    let kind = stream.get_ref().1.handshake_kind();
    Ok((text, kind))
}

/// A client shows its certificate on each connection, so that none goes on after its end.
#[tokio::test]
async fn sessions_are_resumed_only_where_no_certificate_is_asked_for() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let pair = authority.vouches_for("engine.example");
    let (open, _) = Folder::new(&pair).serve().await;
    let (closed, _) = Folder::new(&pair).asking_for_certificates_of(&clients).serve().await;
    let client = clients.vouches_for("a client");
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let older = builder.with_protocol_versions(&[&TLS12]).unwrap().with_root_certificates(authority.roots());
    let older = with_certificate(older, &client);
    for config in [client_with(authority.roots(), &client), older].map(Arc::new) {
        for (address, second) in [(open, HandshakeKind::Resumed), (closed, HandshakeKind::Full)] {
            let (text, _) = ask_with(address, &config).await.unwrap();
            assert!(text.starts_with("HTTP/1.1 200"), "{text}");
            assert_eq!(ask_with(address, &config).await.unwrap().1, Some(second));
        }
    }
}

#[tokio::test]
async fn who_trusts_the_authority_is_answered_over_tls_and_nobody_in_the_clear() {
    let authority = Authority::new();
    let (address, _) = Folder::new(&authority.vouches_for("engine.example")).serve().await;
    assert!(ask(address, client(authority.roots())).await.unwrap().starts_with("HTTP/1.1 200"));
    assert!(ask(address, client(Authority::new().roots())).await.is_err());
    let in_the_clear = read_to_end(connect(address, &get("/health/ready")).await).await;
    assert!(in_the_clear.starts_with("HTTP/1.1 400"), "{in_the_clear}");
    assert!(in_the_clear.contains("not-tls") && in_the_clear.contains("`https://`"), "{in_the_clear}");
    assert!(!in_the_clear.contains("ready"), "{in_the_clear}");
}

#[tokio::test]
async fn only_clients_with_a_certificate_of_their_authority_are_answered_where_that_is_asked() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let place = Folder::new(&authority.vouches_for("engine.example")).asking_for_certificates_of(&clients);
    let (address, _) = place.serve().await;
    let known = client_with(authority.roots(), &clients.vouches_for("a client"));
    assert!(ask(address, known).await.unwrap().starts_with("HTTP/1.1 200"));
    assert!(ask(address, client(authority.roots())).await.is_err(), "no certificate");
    // Neither a certificate of another authority, nor one of the authority of the server's certificate.
    for stranger in [Authority::new().vouches_for("a client"), authority.vouches_for("a client")] {
        assert!(ask(address, client_with(authority.roots(), &stranger)).await.is_err());
    }
}

#[tokio::test]
async fn a_changed_certificate_is_taken_without_a_restart_and_a_broken_one_is_not() {
    let (log, _guard) = captured_log(LogFormat::Json);
    let (before, after) = (Authority::new(), Authority::new());
    let place = Folder::new(&before.vouches_for("engine.example"));
    let (address, tls) = place.serve().await;
    assert!(ask(address, client(before.roots())).await.is_ok());

    // Between the writes of the two files, the key does not match the certificate.
    let next = after.vouches_for("engine.example");
    fs::write(&place.config.certificate_file, &next.certificate).unwrap();
    tls.reload_if_changed();
    tls.reload_if_changed();
    assert!(ask(address, client(before.roots())).await.is_ok(), "what there was goes on");
    assert_eq!(log.text().matches("cannot be used together").count(), 1, "{}", log.text());

    place.put(&next);
    tls.reload_if_changed();
    assert!(ask(address, client(after.roots())).await.is_ok());
    assert!(ask(address, client(before.roots())).await.is_err());

    fs::remove_file(&place.config.private_key_file).unwrap();
    tls.reload_if_changed();
    assert!(ask(address, client(after.roots())).await.is_ok());
    assert!(!log.text().contains("PRIVATE KEY"), "{}", log.text());
}

#[tokio::test]
async fn older_versions_of_tls_are_not_spoken_where_the_newer_is_asked_for() {
    let authority = Authority::new();
    let older = || {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_protocol_versions(&[&TLS12]).unwrap();
        builder.with_root_certificates(authority.roots()).with_no_client_auth()
    };
    let mut place = Folder::new(&authority.vouches_for("engine.example"));
    let (address, _) = place.serve().await;
    assert!(ask(address, older()).await.is_ok());
    place.config.min_version = TlsVersion::V1_3;
    let (address, _) = place.serve().await;
    assert!(ask(address, older()).await.is_err());
    assert!(ask(address, client(authority.roots())).await.is_ok());
}

#[tokio::test]
async fn who_does_not_get_through_the_handshake_makes_room() {
    let authority = Authority::new();
    let place = Folder::new(&authority.vouches_for("engine.example"));
    let tls = Arc::new(ServerTls::open(place.config.clone()).unwrap());
    let limits = ConnectionLimits { max_connections: 2, ..LIMITS };
    let (address, _) = listen_with(&Engine::ready(), limits, Some(tls)).await;
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut other = TcpStream::connect(address).await.unwrap();
    assert!(ask(address, client(authority.roots())).await.unwrap().starts_with("HTTP/1.1 200"));
    // Both connected within a millisecond, so neither has been idle for longer.
    let (mut of_silent, mut of_other) = ([0], [0]);
    let end = tokio::select! {
        end = silent.read(&mut of_silent) => end,
        end = other.read(&mut of_other) => end,
    };
    assert_eq!(end.unwrap(), 0);
}

#[test]
fn what_is_wrong_with_the_files_is_said_without_what_they_hold() {
    let pair = Authority::new().vouches_for("engine.example");
    let place = Folder::new(&pair);
    let refusal = || ServerTls::open(place.config.clone()).unwrap_err().to_string();
    fs::write(&place.config.private_key_file, Authority::new().vouches_for("other").key).unwrap();
    assert!(refusal().contains("cannot be used together"), "{}", refusal());
    // The two files are swapped.
    place.put(&Pair { certificate: pair.key.clone(), key: pair.certificate.clone() });
    assert!(refusal().contains("certificate.pem contains no certificate in PEM"), "{}", refusal());
    fs::write(&place.config.certificate_file, &pair.certificate).unwrap();
    assert!(refusal().contains("key.pem contains no private key in PEM"), "{}", refusal());
    fs::remove_file(&place.config.certificate_file).unwrap();
    assert!(refusal().contains("cannot read the certificate"), "{}", refusal());
    for line in pair.key.lines().chain(pair.certificate.lines()).filter(|line| !line.starts_with("--")) {
        assert!(!refusal().contains(line));
    }
}
