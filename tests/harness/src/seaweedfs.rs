//! A real S3 server: SeaweedFS on ports of its own, with its data in a temporary folder.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use onnward_repository::{RepositoryConfig, S3Config};
use tempfile::TempDir;

use crate::error::HarnessError;
use crate::ports::free_ports;
use crate::wait::poll;

const ACCESS_KEY: &str = "the-access-key";
const SECRET_KEY: &str = "the-secret-key";
const REGION: &str = "us-east-1";
const BUCKET: &str = "models";

/// The maximum number of starts: another process may take a port before the server does.
const ATTEMPTS: usize = 3;
/// The timeout of a start.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// The timeout of a request. The server shares a small machine with the tests.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The time between two checks whether the server has started.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// An S3 server with one bucket. It is killed when this is dropped.
///
/// ```no_run
/// use std::path::Path;
/// use onnward_harness::publisher::Publisher;
/// use onnward_harness::seaweedfs::SeaweedFs;
///
/// let server = SeaweedFs::start(Path::new("target/seaweedfs/bin/weed"))?;
/// let publisher = Publisher::open(&server.config("models"), "churn")?;
/// # Ok::<(), onnward_harness::HarnessError>(())
/// ```
#[derive(Debug)]
pub struct SeaweedFs {
    child: Child,
    address: SocketAddr,
    _data: TempDir,
}

impl SeaweedFs {
    /// Starts SeaweedFS's program `weed` with an empty bucket.
    ///
    /// # Errors
    /// [`HarnessError::Start`] if the program is missing, [`HarnessError::Settings`] if it does not start to
    /// serve.
    pub fn start(program: &Path) -> Result<Self, HarnessError> {
        // A path is relative to this process's folder, and the program runs in another.
        let program = std::path::absolute(program).map_err(HarnessError::reading(program))?;
        for _ in 0..ATTEMPTS {
            if let Some(server) = Self::try_start(&program)? {
                return Ok(server);
            }
        }
        Err(HarnessError::Settings(format!("{} does not start to serve S3", program.display())))
    }

    fn try_start(program: &Path) -> Result<Option<Self>, HarnessError> {
        let failed = || HarnessError::system("prepare SeaweedFS");
        let data = TempDir::new().map_err(failed())?;
        let identities = format!(
            r#"{{"identities": [{{"name": "proofs", "credentials": [{{"accessKey": "{ACCESS_KEY}",
                "secretKey": "{SECRET_KEY}"}}], "actions": ["Admin", "Read", "Write", "List"]}}]}}"#
        );
        std::fs::write(data.path().join("s3.json"), identities).map_err(failed())?;
        let [master, master_grpc, volume, volume_grpc, filer, filer_grpc, s3, s3_grpc] = free_ports()?;
        let ports = [
            ("master.port", master),
            ("master.port.grpc", master_grpc),
            ("volume.port", volume),
            ("volume.port.grpc", volume_grpc),
            ("filer.port", filer),
            ("filer.port.grpc", filer_grpc),
            ("s3.port", s3),
            ("s3.port.grpc", s3_grpc),
            ("s3.port.iceberg", 0),
            ("s3.port.lance", 0),
        ];
        let child = Command::new(program)
            .args(["server", "-dir=.", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3", "-s3.config=s3.json"])
            .args(["-volume.max=20", "-master.volumeSizeLimitMB=64"])
            .args(ports.map(|(name, port)| format!("-{name}={port}")))
            .current_dir(data.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|source| HarnessError::Start { program: program.to_owned(), source })?;
        let mut server = Self { child, address: SocketAddr::from(([127, 0, 0, 1], s3)), _data: data };
        let healthy = format!("http://{}/healthz", server.address);
        let bucket = format!("http://127.0.0.1:{filer}/buckets/{BUCKET}/");
        let started = poll(START_TIMEOUT, POLL_INTERVAL, || {
            if !matches!(server.child.try_wait(), Ok(None)) {
                return Some(false);
            }
            let is_up = ureq::get(&healthy).call().is_ok() && ureq::post(&bucket).send_empty().is_ok();
            is_up.then_some(true)
        });
        Ok((started == Some(true)).then_some(server))
    }

    /// Returns the id of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns the address of its S3 API.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the configuration of a repository under a prefix of the bucket.
    pub fn config(&self, prefix: &str) -> RepositoryConfig {
        let s3 = S3Config {
            endpoint: Some(endpoint(self.address)),
            region: Some(REGION.to_owned()),
            access_key_id: Some(ACCESS_KEY.into()),
            secret_access_key: Some(SECRET_KEY.into()),
            path_style: Some(true),
            allow_http: Some(true),
            ..S3Config::default()
        };
        RepositoryConfig { location: Self::location(prefix), s3, timeout: TIMEOUT }
    }

    /// Returns the URL of a repository under a prefix of the bucket.
    pub fn location(prefix: &str) -> String {
        format!("s3://{BUCKET}/{prefix}")
    }

    /// Returns the environment variables with which a program reaches the server.
    pub fn environment(&self) -> Vec<(String, String)> {
        Self::environment_through(&endpoint(self.address))
    }

    /// Returns the environment variables with which a program reaches such a server at another URL, as
    /// through a proxy.
    pub fn environment_through(endpoint: &str) -> Vec<(String, String)> {
        let variables = [
            ("AWS_ENDPOINT_URL", endpoint),
            ("AWS_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
            ("AWS_ALLOW_HTTP", "true"),
        ];
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }
}

impl Drop for SeaweedFs {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn endpoint(address: SocketAddr) -> String {
    format!("http://{address}")
}
