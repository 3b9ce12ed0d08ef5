//! Connections whose request is half sent make room for new ones.

use std::time::Duration;

use axum::http::Request;
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use super::connections::{LIMITS, connect, get, listen_with, read_to_end};
use crate::ConnectionLimits;
use crate::fixtures::Engine;

const ONE: ConnectionLimits = ConnectionLimits { max_connections: 1, ..LIMITS };

fn half_sent(framing: &str) -> String {
    format!("POST /models/bank/predict HTTP/1.1\r\nhost: x\r\n{framing}\r\n\r\n")
}

#[tokio::test(start_paused = true)]
async fn a_request_that_stops_coming_is_408_when_another_client_needs_the_connection() {
    for (framing, start) in [
        ("content-length: 100", ""),
        ("content-length: 100", "{\"balance\":"),
        ("content-length: 5000000", "{"),
        ("transfer-encoding: chunked", "4\r\n{\"ba\r\n"),
        ("expect: 100-continue\r\ncontent-length: 100", ""),
    ] {
        let engine = Engine::ready();
        let (address, _server) = listen_with(&engine, ONE, None).await;
        let mut half = connect(address, &half_sent(framing)).await;
        sleep(Duration::from_millis(10)).await;
        half.write_all(start.as_bytes()).await.unwrap();
        sleep(Duration::from_secs(2)).await;
        let new_client = read_to_end(connect(address, &get("/health/live")).await).await;
        assert!(new_client.starts_with("HTTP/1.1 200"), "{framing} {start}: {new_client}");
        let answer = read_to_end(half).await;
        let answer = answer.trim_start_matches("HTTP/1.1 100 Continue\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 408"), "{framing} {start}: {answer}");
        assert!(answer.contains("connection: close") && answer.contains("upload-evicted"), "{answer}");
        let metrics = engine.get("/metrics").await.text;
        for counted in [
            "onnward_connections_ended_early_total{listener=\"test\",reason=\"made_room\"} 1",
            "onnward_http_requests_total{method=\"POST\",route=\"/models/{name}/predict\",status=\"408\"} 1",
        ] {
            assert!(metrics.contains(counted), "{counted}: {metrics}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_client_waits_until_a_connection_is_idle() {
    let (address, _server) = listen_with(&Engine::ready(), ONE, None).await;
    let half = connect(address, &half_sent("content-length: 100")).await;
    sleep(Duration::from_millis(200)).await;
    let new_client = read_to_end(connect(address, &get("/health/live")).await).await;
    assert!(new_client.starts_with("HTTP/1.1 200"), "{new_client}");
    assert!(read_to_end(half).await.starts_with("HTTP/1.1 408"));
}

#[tokio::test(start_paused = true)]
async fn half_a_head_makes_room_at_once() {
    let (address, _server) = listen_with(&Engine::ready(), ONE, None).await;
    let mut half = connect(address, "POST /predict HTTP/1.1\r\nhost: x\r\nx:").await;
    sleep(Duration::from_secs(3)).await;
    let asked = Instant::now();
    let new_client = read_to_end(connect(address, &get("/health/live")).await).await;
    assert!(new_client.starts_with("HTTP/1.1 200"), "{new_client}");
    assert!(asked.elapsed() < Duration::from_millis(10), "{:?}", asked.elapsed());
    assert_eq!(half.read(&mut [0]).await.unwrap_or(0), 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_goes_on_coming_keeps_its_connection() {
    let (address, _server) = listen_with(&Engine::ready(), ONE, None).await;
    let mut slow = connect(address, &half_sent("content-length: 100000")).await;
    for _ in 0..5 {
        sleep(Duration::from_millis(600)).await;
        slow.write_all(&[b' '; 1024]).await.unwrap();
    }
    let _goes_on = tokio::spawn(async move {
        loop {
            sleep(Duration::from_millis(600)).await;
            slow.write_all(&[b' '; 1024]).await.unwrap();
        }
    });
    let mut new_client = connect(address, &get("/health/live")).await;
    let mut answer = Vec::new();
    let _ = new_client.read_to_end(&mut answer).await;
    assert_eq!(answer, b"", "there is no room");
}

#[tokio::test(start_paused = true)]
async fn a_request_of_http2_that_stops_coming_is_408_too() {
    let (address, _server) = listen_with(&Engine::ready(), ONE, None).await;
    let stream = TcpStream::connect(address).await.unwrap();
    let (requests, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut requests = requests.ready().await.unwrap();
    let request = Request::post("http://x/models/bank/predict").body(()).unwrap();
    let (response, mut body) = requests.send_request(request, false).unwrap();
    body.send_data(Bytes::from_static(b"{\"balance\":"), false).unwrap();
    sleep(Duration::from_secs(2)).await;
    let new_client =
        tokio::spawn(async move { read_to_end(connect(address, &get("/health/live")).await).await });
    assert_eq!(response.await.unwrap().status(), 408);
    drop((requests, body));
    let new_client = new_client.await.unwrap();
    assert!(new_client.starts_with("HTTP/1.1 200"), "{new_client}");
    let _ = connection.await;
}
