//! The limits of each client.

use std::net::IpAddr;
use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::http::Request;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tower::ServiceExt;

use super::connections::{LIMITS, connect, get, listen, listen_with, read_to_end};
use crate::ConnectionLimits;
use crate::auth::Authenticator;
use crate::fixtures::{Answered, BANK_ROW, Engine, PHONE_ROW, answered, api_key};
use crate::server::PeerAddress;
use crate::settings::Rate;

/// Returns a bucket that holds `burst` requests and is not filled again while a test runs.
fn bucket(burst: u32) -> Option<Rate> {
    Some(Rate { per_second: NonZero::<u32>::MIN, burst: NonZero::new(burst).unwrap() })
}

async fn ask(router: &Router, method: &str, path: &str, headers: &[(&str, &str)], peer: &str) -> Answered {
    let request =
        Request::builder().method(method).uri(path).extension(PeerAddress(peer.parse::<IpAddr>().unwrap()));
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    answered(router.clone(), request.body(Body::from(BANK_ROW)).unwrap()).await
}

#[tokio::test]
async fn an_address_that_asks_too_often_is_told_when_to_come_back_and_the_others_are_served() {
    let mut engine = Engine::ready();
    engine.limits.address_rate = bucket(3);
    engine.limits.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
    let router = engine.router();
    for _ in 0..3 {
        assert_eq!(ask(&router, "POST", "/predict", &[], "192.0.2.1").await.status, 200);
    }
    // The `X-Forwarded-For` of an untrusted client does not matter.
    for headers in [&[][..], &[("x-forwarded-for", "198.51.100.1")]] {
        let refused = ask(&router, "POST", "/predict", headers, "192.0.2.1").await;
        assert_eq!(refused.problem(429)["type"], "urn:onnward:problem:too-often");
        assert!(refused.header("retry-after").unwrap().parse::<u32>().unwrap() >= 1);
    }
    assert_eq!(ask(&router, "GET", "/models", &[], "192.0.2.1").await.status, 429, "one bucket for all");
    assert_eq!(
        ask(&router, "GET", "/health/ready", &[], "192.0.2.1").await.status,
        200,
        "probes are not counted"
    );
    assert_eq!(ask(&router, "POST", "/predict", &[], "192.0.2.2").await.status, 200);
    // Behind a trusted proxy, the forwarded addresses count.
    for client in ["198.51.100.1", "198.51.100.2"] {
        for expected in [200, 200, 200, 429] {
            let answer = ask(&router, "POST", "/predict", &[("x-forwarded-for", client)], "10.0.0.1").await;
            assert_eq!(answer.status, expected, "{client}");
        }
    }
}

#[tokio::test]
async fn each_key_has_a_bucket_of_its_own_wherever_it_is_used() {
    let folder = TempDir::new().unwrap();
    let (first, first_entry) = api_key("first", "'predict'", "");
    let (second, second_entry) = api_key("second", "'predict'", "");
    let path = folder.path().join("keys.toml");
    std::fs::write(&path, first_entry + &second_entry).unwrap();
    let mut engine = Engine::ready();
    engine.auth = Authenticator::open(Some(&path), None).unwrap().map(Arc::new);
    engine.limits.key_rate = bucket(2);
    let router = engine.router();
    let asks = async |key: &str, peer: &str| {
        ask(&router, "POST", "/predict", &[("x-api-key", key)], peer).await.status.as_u16()
    };
    assert_eq!([asks(&first, "192.0.2.1").await, asks(&first, "192.0.2.2").await], [200, 200]);
    assert_eq!(asks(&first, "192.0.2.3").await, 429);
    assert_eq!(asks(&second, "192.0.2.1").await, 200);
    assert_eq!(
        asks("onnward_first_0000", "192.0.2.1").await,
        401,
        "a wrong key does not use up the rate limit of the right one"
    );
}

#[tokio::test]
async fn more_requests_than_may_be_answered_at_once_are_refused_and_probes_are_not() {
    let (mut engine, leave) = Engine::gated();
    engine.limits.max_requests = 1;
    let router = engine.router();
    let first = tokio::spawn({
        let router = router.clone();
        async move { answered(router, Request::post("/predict").body(Body::from(PHONE_ROW)).unwrap()).await }
    });
    let refused = loop {
        tokio::task::yield_now().await;
        let answer = ask(&router, "GET", "/models", &[], "192.0.2.1").await;
        if answer.status != 200 {
            break answer;
        }
    };
    assert_eq!(refused.problem(503)["type"], "urn:onnward:problem:busy");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(ask(&router, "GET", "/health/live", &[], "192.0.2.1").await.status, 200);
    leave.send(()).unwrap();
    assert_eq!(first.await.unwrap().status, 200);
    assert_eq!(ask(&router, "GET", "/models", &[], "192.0.2.1").await.status, 200);
}

#[tokio::test]
async fn heads_are_bounded() {
    let (address, _server) = listen(&Engine::ready()).await;
    let answer_to = async |field: String| {
        read_to_end(
            connect(address, &get("/health/live").replace("host: x", &format!("host: x\r\n{field}"))).await,
        )
        .await
    };
    let long = answer_to(format!("x: {}", "y".repeat(100 * 1024))).await;
    assert!(long.starts_with("HTTP/1.1 431"), "{long}");
    let many: Vec<String> = (0..100).map(|n| format!("x-{n}: y")).collect();
    let many = answer_to(many.join("\r\n")).await;
    assert!(many.starts_with("HTTP/1.1 431"), "{many}");
    let usual = answer_to(format!("x: {}", "y".repeat(8 * 1024))).await;
    assert!(usual.starts_with("HTTP/1.1 200"), "{usual}");
}

#[tokio::test]
async fn idle_connections_make_room_for_new_ones() {
    let engine = Engine::ready();
    let (address, _server) =
        listen_with(&engine, ConnectionLimits { max_connections: 2, ..LIMITS }, None).await;
    let kept = get("/health/live").replace("connection: close\r\n", "");
    // The first client sends a request and keeps its connection; the second sends nothing.
    let mut first = connect(address, &kept).await;
    let mut start = [0; 12];
    first.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 200");
    let mut silent = TcpStream::connect(address).await.unwrap();
    let third = read_to_end(connect(address, &get("/health/live")).await).await;
    assert!(third.starts_with("HTTP/1.1 200"), "{third}");
    assert_eq!(silent.read(&mut start).await.unwrap(), 0, "the silent one was evicted");
    first.write_all(get("/health/live").as_bytes()).await.unwrap();
    assert!(read_to_end(first).await.ends_with("{\"status\":\"live\"}"), "the other one was not");
    let metrics = engine.get("/metrics").await.text;
    let counted = "onnward_connections_ended_early_total{listener=\"test\",reason=\"made_room\"} 1";
    assert!(metrics.contains(counted), "{metrics}");
}

#[tokio::test(start_paused = true)]
async fn a_head_that_trickles_is_cut_off() {
    let (address, _server) = listen(&Engine::ready()).await;
    let mut stream = connect(address, "GET / HTTP/1.1\r\n").await;
    // Otherwise the system collects the bytes, in real time.
    stream.set_nodelay(true).unwrap();
    let mut sent = 0;
    while stream.write_all(b"x").await.is_ok() {
        tokio::time::sleep(Duration::from_secs(1)).await;
        sent += 1;
        assert!(sent < 30, "a byte a second does not keep a connection open");
    }
}

#[tokio::test]
async fn bodies_that_nest_without_end_or_have_fields_without_number_are_refused() {
    let engine = Engine::ready();
    let nested = format!("{{\"balance\": {}1{}}}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    let fields: Vec<String> = (0..100_000).map(|n| format!("\"x{n}\": 1")).collect();
    let wide = format!("{{{}}}", fields.join(","));
    for body in [nested.clone(), wide] {
        let problem = engine.post("/predict", body).await.problem(400);
        assert_eq!(problem["type"], "urn:onnward:problem:too-complex");
    }
    let outcome = format!("{{\"id\": {nested}}}");
    let folder = TempDir::new().unwrap();
    let keeping = Engine::keeping(folder.path());
    assert_eq!(keeping.post("/outcomes", outcome).await.status, 400);
}

#[tokio::test]
async fn rows_that_leave_values_out_take_memory_for_what_they_become() {
    const FEATURES: usize = 1_000;
    const ROWS: usize = 5_000;
    const MATRIX_BYTES: usize = ROWS * FEATURES * size_of::<f32>();
    let mut engine = Engine::ready();
    engine.config.max_request_rows = ROWS;
    let features = (0..FEATURES).map(|feature| {
        let is_required = feature == 0;
        format!("[[features]]\nname = 'x{feature}'\ntype = 'numeric'\nrequired = {is_required}\n")
    });
    let label = "label = { column = 'y', positive = '1', negative = '0' }";
    engine.serve_schema(
        "wide",
        &format!("name = 'wide'\nversion = 1\n{label}\n{}", features.collect::<String>()),
    );
    let body = format!("[{}]", [r#"{"x0":1}"#; ROWS].join(","));
    assert!(body.len() < 64 * 1024);
    let state = engine.state();
    let post = || {
        let request = Request::post("/models/wide/predict").header("host", "localhost");
        answered(crate::router(state.clone()), request.body(Body::from(body.clone())).unwrap())
    };
    let budget = state.admission().free_memory();
    let held = state.admission().reserve_memory(budget - MATRIX_BYTES / 2, false).unwrap();
    assert_eq!(post().await.problem(429)["type"], "urn:onnward:problem:bodies-full");
    drop(held);
    assert_eq!(post().await.status, 200);
    assert!(state.admission().reserve_memory(budget, false).is_ok(), "all of it is free again");
}

#[tokio::test]
async fn large_responses_take_memory_until_they_are_taken() {
    const ROWS: usize = 10_000;
    let mut engine = Engine::ready();
    engine.config.max_request_rows = ROWS;
    let state = engine.state();
    let body = format!("[{}]", [BANK_ROW; ROWS].join(","));
    let post = || {
        let request = Request::post("/predict").header("host", "localhost").body(Body::from(body.clone()));
        crate::router(state.clone()).oneshot(request.unwrap())
    };
    let free = state.admission().free_memory();
    let response = post().await.unwrap();
    assert_eq!(response.status(), 200);
    let bytes = usize::try_from(response.body().size_hint().exact().unwrap()).unwrap();
    assert!(free - state.admission().free_memory() >= bytes);
    drop(response);
    assert_eq!(state.admission().free_memory(), free);
    // The request has room, and the response has not.
    let _held = state.admission().reserve_memory(free - bytes + 1024, false).unwrap();
    let refused = post().await.unwrap();
    assert_eq!(
        (refused.status(), &refused.headers()["retry-after"]),
        (429.try_into().unwrap(), &"1".parse().unwrap())
    );
}
