//! A real S3 server: SeaweedFS on ports of its own, with its data in a temporary folder.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use onnward_repository::{RepositoryConfig, S3Config};
use tempfile::TempDir;

use crate::support::root;

const ACCESS_KEY: &str = "the-access-key";
const SECRET_KEY: &str = "the-secret-key";
const BUCKET: &str = "models";

/// The server; it is killed when the test ends.
pub struct SeaweedFs {
    child: Child,
    endpoint: String,
    _data: TempDir,
}

impl SeaweedFs {
    /// Starts the server with an empty bucket. `None` only if `WITHOUT_SEAWEEDFS` is set, so that a missing program
    /// cannot make the tests pass by testing nothing.
    pub fn start() -> Option<Self> {
        let program = root().join("target/seaweedfs/bin/weed");
        if !program.is_file() {
            let allowed = std::env::var_os("WITHOUT_SEAWEEDFS").is_some();
            assert!(allowed, "run `make test`, which fetches SeaweedFS: {} is not there", program.display());
            eprintln!("Left out, as WITHOUT_SEAWEEDFS allows: the model repository on an S3 server.");
            return None;
        }
        // Between the choice of a port and its use somebody else may take it.
        let server = (0..3).find_map(|_| Self::try_start(&program));
        Some(server.expect("SeaweedFS does not start"))
    }

    fn try_start(program: &PathBuf) -> Option<Self> {
        let data = TempDir::new().unwrap();
        let identities = format!(
            r#"{{"identities": [{{"name": "tests", "credentials": [{{"accessKey": "{ACCESS_KEY}",
                "secretKey": "{SECRET_KEY}"}}], "actions": ["Admin", "Read", "Write", "List"]}}]}}"#
        );
        std::fs::write(data.path().join("s3.json"), identities).unwrap();
        let listeners: Vec<TcpListener> = (0..8).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<u16> = listeners.iter().map(|port| port.local_addr().unwrap().port()).collect();
        drop(listeners);
        let names = ["master", "volume", "filer", "s3"]
            .map(|part| [format!("{part}.port"), format!("{part}.port.grpc")]);
        let mut child = Command::new(program)
            .args(["server", "-dir=.", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3", "-s3.config=s3.json"])
            .args([
                "-s3.port.iceberg=0",
                "-s3.port.lance=0",
                "-volume.max=20",
                "-master.volumeSizeLimitMB=64",
            ])
            .args(names.iter().flatten().zip(&ports).map(|(name, port)| format!("-{name}={port}")))
            .current_dir(data.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (filer, s3) = (ports[4], ports[6]);
        for _ in 0..400 {
            if child.try_wait().unwrap().is_some() {
                return None;
            }
            let is_ready = ureq::get(format!("http://127.0.0.1:{s3}/healthz")).call().is_ok()
                && ureq::post(format!("http://127.0.0.1:{filer}/buckets/{BUCKET}/")).send_empty().is_ok();
            if is_ready {
                let endpoint = format!("http://127.0.0.1:{s3}");
                return Some(Self { child, endpoint, _data: data });
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = child.kill();
        None
    }

    /// A repository under a prefix of the bucket.
    pub fn config(&self, prefix: &str) -> RepositoryConfig {
        let s3 = S3Config {
            endpoint: Some(self.endpoint.clone()),
            region: Some("us-east-1".to_owned()),
            access_key_id: Some(ACCESS_KEY.into()),
            secret_access_key: Some(SECRET_KEY.into()),
            path_style: Some(true),
            allow_http: Some(true),
            ..S3Config::default()
        };
        RepositoryConfig { location: Self::location(prefix), s3, ..RepositoryConfig::default() }
    }

    /// The URL of a repository under a prefix of the bucket.
    pub fn location(prefix: &str) -> String {
        format!("s3://{BUCKET}/{prefix}")
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.endpoint.trim_start_matches("http://").parse().unwrap()
    }

    /// The environment with which a program reaches the server.
    pub fn environment(&self) -> Vec<(String, String)> {
        Self::environment_through(&self.endpoint)
    }

    /// The environment with which a program reaches a server of this kind at another URL.
    pub fn environment_through(endpoint: &str) -> Vec<(String, String)> {
        let variables = [
            ("AWS_ENDPOINT_URL", endpoint),
            ("AWS_REGION", "us-east-1"),
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
