//! Stores that stop answering.

use std::sync::Arc;
use std::time::Duration;

use onnward_repository::{Fetcher, Repository, RepositoryConfig, RepositoryError, S3Config};
use onnward_schemas::sha256_hex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const TIMEOUT: Duration = Duration::from_millis(300);
const LISTING: &str =
    "<ListBucketResult><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>";

/// The store's response to a request for an artifact.
#[derive(Debug, Clone, Copy)]
enum Artifact {
    NoAnswer,
    HalfOfIt,
}

#[tokio::test]
async fn a_transfer_that_stops_ends_with_the_stores_name_and_the_timeout() {
    for artifact in [Artifact::NoAnswer, Artifact::HalfOfIt] {
        let (repository, endpoint) = serve(artifact).await;
        let error = Fetcher::new(repository, None, u64::MAX).fetch("churn", 1).await.unwrap_err();
        assert!(matches!(error, RepositoryError::Timeout { .. }) && error.is_transient(), "{error:?}");
        let message = error.to_string();
        for expected in ["churn/1/model.onnx", "s3://bucket/models", &endpoint, "300ms"] {
            assert!(message.contains(expected), "{artifact:?}: {message}");
        }
    }
}

/// Serves a store that has one version, whose artifact never arrives completely.
async fn serve(artifact: Artifact) -> (Repository, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let manifest = Arc::new(format!(
            r#"{{"sha256": "{}", "size_bytes": 9, "created": ""}}"#,
            sha256_hex(b"the model")
        ));
        while let Ok((connection, _)) = listener.accept().await {
            tokio::spawn(answer(connection, artifact, Arc::clone(&manifest)));
        }
    });
    (at_endpoint(endpoint.clone()), endpoint)
}

/// Opens the repository `s3://bucket/models` of a store.
pub fn at_endpoint(endpoint: String) -> Repository {
    let s3 = S3Config {
        endpoint: Some(endpoint),
        region: Some("us-east-1".to_owned()),
        access_key_id: Some("key".into()),
        secret_access_key: Some("secret".into()),
        path_style: Some(true),
        allow_http: Some(true),
        ..S3Config::default()
    };
    let location = "s3://bucket/models".to_owned();
    Repository::open(&RepositoryConfig { location, s3, timeout: TIMEOUT }).unwrap()
}

async fn answer(mut connection: TcpStream, artifact: Artifact, manifest: Arc<String>) {
    let mut request = Vec::new();
    while connection.read_buf(&mut request).await.is_ok_and(|read| read > 0) {
        if !request.ends_with(b"\r\n\r\n") {
            continue;
        }
        let first_line = String::from_utf8_lossy(&request).lines().next().unwrap().to_owned();
        let body = match artifact {
            _ if first_line.contains("list-type=2") => LISTING,
            _ if first_line.contains("manifest.json") => &manifest,
            Artifact::NoAnswer => "",
            Artifact::HalfOfIt => "the model",
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nETag: \"1\"\r\n\
             Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\n",
            body.len()
        );
        let is_stalled = first_line.contains("model.onnx");
        let sent = if is_stalled { &body[..body.len() / 2] } else { body };
        if !body.is_empty() {
            connection.write_all(format!("{head}{sent}").as_bytes()).await.unwrap();
        }
        if is_stalled {
            std::future::pending::<()>().await;
        }
        request.clear();
    }
}
