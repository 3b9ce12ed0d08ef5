//! Errors that are not about the body.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use onnward_serving::registry::LoadFailure;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::fixtures::{BANK_ROW, Engine, GATED_QUEUE_ROWS, PHONE_ROW};

#[tokio::test]
async fn a_slash_at_the_end_is_redirected_within_the_engine_only() {
    let engine = Engine::ready();
    for (path, location) in [
        ("/predict/", Some("/predict")),
        ("/models/phone/predict/?a=1&b", Some("/models/phone/predict?a=1&b")),
        ("/nowhere/", Some("/nowhere")),
        ("//evil.example/", None),
        ("/a//evil.example/", None),
        ("/\\evil.example/", None),
        ("/nowhere", None),
    ] {
        let request = Request::post(path).body(Body::from(PHONE_ROW));
        let Ok(request) = request else { continue };
        let answer = engine.send(request).await;
        assert_eq!(answer.header("location"), location, "{path}");
        assert_eq!(answer.status.as_u16(), if location.is_some() { 308 } else { 404 }, "{path}");
    }
}

#[tokio::test]
async fn an_unsupported_media_type_is_told_what_is_accepted() {
    let engine = Engine::ready();
    for (name, value, accepted) in [
        ("content-type", "text/csv", ("accept", "application/json")),
        ("content-encoding", "br", ("accept-encoding", "gzip, zstd")),
    ] {
        let request = Request::post("/predict").header(name, value).body(Body::from(PHONE_ROW)).unwrap();
        let answer = engine.send(request).await;
        answer.problem(415);
        assert_eq!(answer.header(accepted.0), Some(accepted.1));
    }
}

#[tokio::test]
async fn an_unknown_path_is_404_and_a_wrong_method_405_with_allow() {
    let engine = Engine::ready();
    assert_eq!(engine.get("/nothing").await.problem(404)["instance"], "/nothing");
    engine.get("/docs/nothing").await.problem(404);
    let answer = engine.get("/predict").await;
    answer.problem(405);
    assert_eq!(answer.header("allow"), Some("POST"));
    let answer = engine.post("/models", "").await;
    answer.problem(405);
    assert!(answer.header("allow").unwrap().contains("GET"));
}

#[tokio::test]
async fn an_unknown_model_is_404_and_names_those_that_are_served() {
    let engine = Engine::ready();
    for path in ["/models/none/predict", "/models/%2e%2e%2fetc/predict"] {
        let detail = engine.post(path, BANK_ROW).await.problem(404)["detail"].to_string();
        assert!(detail.contains("bank, phone"), "{detail}");
    }
    engine.get("/models/none").await.problem(404);
    engine.get("/models/%ff").await.problem(400);
}

#[tokio::test]
async fn a_model_that_could_not_be_loaded_says_why() {
    let engine = Engine::ready();
    let reason = "the digest differs".to_owned();
    engine.registry.fail("broken", LoadFailure::now(Some(1), "digest", reason));
    let answer = engine.post("/models/broken/predict", BANK_ROW).await;
    assert!(answer.problem(503)["detail"].as_str().unwrap().contains("the digest differs"));
    assert!(answer.header("retry-after").is_some());
}

#[tokio::test]
async fn a_full_queue_is_429_and_more_rows_than_it_ever_holds_413() {
    let (engine, leave) = Engine::gated();
    let engine = Arc::new(engine);
    let rows = |count: usize| format!("[{}]", vec![PHONE_ROW; count].join(","));
    let send = |count| {
        let (engine, body) = (Arc::clone(&engine), rows(count));
        tokio::spawn(async move { engine.post("/predict", body).await })
    };
    let problem = send(GATED_QUEUE_ROWS + 1).await.unwrap().problem(413);
    assert!(problem["detail"].as_str().unwrap().contains("at most 20"), "{problem}");

    // Of three requests of 15 rows, one may run and one may wait, in any order.
    let mut waiting = vec![send(15), send(15), send(15)];
    let refused = loop {
        tokio::task::yield_now().await;
        if let Some(at) = waiting.iter().position(JoinHandle::is_finished) {
            break waiting.remove(at).await.unwrap();
        }
    };
    refused.problem(429);
    assert_eq!(refused.header("retry-after"), Some("1"));
    leave.send(()).unwrap();
    leave.send(()).unwrap();
    for answer in waiting {
        // The third may be rejected as well, if none was running yet.
        let answer = answer.await.unwrap();
        assert!([200, 429].contains(&answer.status.as_u16()), "{}", answer.text);
    }
}

#[tokio::test]
async fn a_failure_inside_says_nothing_of_itself() {
    let panicking = Engine::scoring(|_| panic!("secret"));
    let (failing, leave) = Engine::gated();
    drop(leave);
    for engine in [failing, panicking] {
        let answer = engine.post("/predict", PHONE_ROW).await;
        answer.problem(500);
        assert!(!answer.text.contains("secret") && !answer.text.contains("test is over"), "{}", answer.text);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_may_shorten_its_time_and_not_extend_it() {
    let (mut engine, _never) = Engine::gated();
    engine.config.request_timeout = Duration::from_secs(5);
    let send = async |timeout: &str| {
        let request =
            Request::post("/predict").header("x-request-timeout-ms", timeout).body(Body::from(PHONE_ROW));
        engine.send(request.unwrap()).await
    };
    for (asked, allowed) in [("2000", 2), ("60000", 5)] {
        let start = Instant::now();
        send(asked).await.problem(504);
        assert_eq!(start.elapsed().as_secs(), allowed);
    }
    for meaningless in ["0", "-1", "soon", "1.5", ""] {
        send(meaningless).await.problem(400);
    }
}

#[tokio::test]
async fn an_id_is_kept_where_it_is_plain_and_made_where_it_is_not() {
    let engine = Engine::ready();
    let send = async |id: &[u8]| {
        let answer =
            engine.send(Request::get("/").header("x-request-id", id).body(Body::empty()).unwrap()).await;
        answer.header("x-request-id").unwrap().to_owned()
    };
    assert_eq!(send(b"abc-123").await, "abc-123");
    let long = "x".repeat(129);
    for bad in [&b""[..], b"a b", b"a\"b", b"\xc3\xa9", long.as_bytes()] {
        let made = send(bad).await;
        assert_eq!(made.len(), 36, "{made}");
        assert_ne!(made, send(bad).await);
    }
}

#[tokio::test]
async fn pages_of_other_origins_are_let_in_only_where_configured() {
    let mut engine = Engine::ready();
    let preflight = || {
        Request::options("/predict")
            .header("origin", "https://shop.example")
            .header("access-control-request-method", "POST")
            .body(Body::empty())
            .unwrap()
    };
    let allowed = "access-control-allow-origin";
    assert_eq!(engine.send(preflight()).await.header(allowed), None);
    engine.config.cors_origins = vec!["https://other.example".into()];
    assert_eq!(engine.send(preflight()).await.header(allowed), None);
    engine.config.cors_origins.push("https://shop.example".into());
    assert_eq!(engine.send(preflight()).await.header(allowed), Some("https://shop.example"));
    engine.config.cors_origins = vec!["*".into()];
    assert_eq!(engine.send(preflight()).await.header(allowed), Some("*"));
}
