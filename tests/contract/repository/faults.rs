//! Stores that answer, but not as a store should.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use onnward_repository::{Repository, Watch};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use super::silence::at_endpoint;

type Respond = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// Serves a store that answers each request line with what `respond` returns.
pub async fn serve(respond: impl Fn(&str) -> String + Send + Sync + 'static) -> Repository {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let respond: Respond = Arc::new(respond);
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            tokio::spawn(answer(connection, Arc::clone(&respond)));
        }
    });
    at_endpoint(endpoint)
}

/// Returns a response of a store.
pub fn ok(body: &str) -> String {
    response("200 OK", "", body)
}

fn response(status: &str, fields: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nETag: \"1\"\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 \
         GMT\r\n{fields}\r\n{body}",
        body.len()
    )
}

async fn answer(mut connection: TcpStream, respond: Respond) {
    let mut request = Vec::new();
    while connection.read_buf(&mut request).await.is_ok_and(|read| read > 0) {
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() < length.unwrap_or(0) {
            continue;
        }
        connection.write_all(respond(head.lines().next().unwrap()).as_bytes()).await.unwrap();
        request.clear();
    }
}

const NO_FILES: &str = "<ListBucketResult><Name>bucket</Name></ListBucketResult>";

fn publish_of(respond: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> impl Fn(&str) -> String {
    move |line| match respond(line) {
        Some(response) => response,
        None if line.contains("list-type=2") => ok(NO_FILES),
        None if line.starts_with("HEAD") => response("404 Not Found", "", ""),
        None => ok(""),
    }
}

#[tokio::test]
async fn a_store_that_ignores_the_condition_of_a_write_is_refused_before_the_first_version() {
    let repository = serve(publish_of(|_| None)).await;
    let error = repository.publish("churn", b"a model".to_vec(), None).await.unwrap_err().to_string();
    assert!(error.contains("If-None-Match") && error.contains("127.0.0.1"), "{error}");
}

#[tokio::test]
async fn a_file_that_others_keep_writing_is_given_up_after_a_few_times() {
    let puts = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&puts);
    let conflict = "<Error><Code>ConditionalRequestConflict</Code><Message>Again.</Message></Error>";
    let repository = serve(publish_of(move |line| {
        let is_probe = line.contains("_conditional-writes");
        (line.starts_with("PUT")).then(|| {
            if is_probe {
                return response("412 Precondition Failed", "", "");
            }
            counted.fetch_add(1, Ordering::Relaxed);
            response("409 Conflict", "", conflict)
        })
    }))
    .await;
    let error = repository.publish("churn", b"a model".to_vec(), None).await.unwrap_err().to_string();
    assert!(error.contains("ConditionalRequestConflict") && !error.contains('<'), "{error}");
    assert!(puts.load(Ordering::Relaxed) <= 8, "{puts:?}");
}

#[tokio::test]
async fn an_overloaded_store_is_asked_again_when_it_says() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let repository = serve(move |_| match counted.fetch_add(1, Ordering::Relaxed) {
        0 => response("503 Service Unavailable", "Retry-After: 0\r\n", ""),
        _ => ok(NO_FILES),
    })
    .await;
    let begun = Instant::now();
    Watch::new(repository).snapshot().await.unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 2, "after {:?}", begun.elapsed());
}

#[tokio::test]
async fn the_code_of_a_store_is_in_the_sentence() {
    for (code, expected) in [("InvalidAccessKeyId", "id"), ("RequestTimeTooSkewed", "clock")] {
        let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code></Error>");
        let repository = serve(move |_| response("403 Forbidden", "", &body)).await;
        for error in [
            repository.models().await.map(drop).unwrap_err(),
            repository.status("churn").await.map(drop).unwrap_err(),
        ] {
            let sentence = error.to_string();
            assert!(sentence.contains(code) && sentence.contains(expected), "{sentence}");
            assert!(!sentence.contains(['<', '\n']), "{sentence}");
        }
    }
}
