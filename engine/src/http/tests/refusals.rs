//! Refusals that are not about the body.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;

use crate::batcher::SubmitError;
use crate::fixtures::{BANK_ROW, Engine, PHONE_ROW};
use crate::registry::FailedModel;

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
    engine.registry.fail(FailedModel { name: "broken".into(), version: Some(1), reason });
    let answer = engine.post("/models/broken/predict", BANK_ROW).await;
    assert!(answer.problem(503)["detail"].as_str().unwrap().contains("the digest differs"));
    assert!(answer.header("retry-after").is_some());
}

#[tokio::test]
async fn what_the_batcher_refuses_keeps_its_meaning() {
    let full = SubmitError::QueueFull { retry_after: Duration::from_millis(1500) };
    let many = SubmitError::TooManyRows { rows: 50, limit: 20 };
    let late = SubmitError::TimedOut { after: Duration::from_millis(70) };
    for (error, status, part, retry_after) in [
        (full, 429, "waiting", Some("2")),
        (many, 413, "at most 20", None),
        (late, 504, "30000 ms", None),
        (SubmitError::ShuttingDown, 503, "stopping", Some("1")),
    ] {
        let engine = Engine::scoring(Duration::ZERO, move |_, _| Err(error.clone()));
        let answer = engine.post("/predict", PHONE_ROW).await;
        let detail = answer.problem(status)["detail"].to_string();
        assert!(detail.contains(part), "{detail}");
        assert_eq!(answer.header("retry-after"), retry_after);
    }
}

#[tokio::test]
async fn a_failure_inside_says_nothing_of_itself() {
    let failing = Engine::scoring(Duration::ZERO, |_, _| Err(SubmitError::Failed("secret".into())));
    let panicking = Engine::scoring(Duration::ZERO, |_, _| panic!("secret"));
    for engine in [failing, panicking] {
        let answer = engine.post("/predict", PHONE_ROW).await;
        answer.problem(500);
        assert!(!answer.text.contains("secret"), "{}", answer.text);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_may_shorten_its_time_and_not_extend_it() {
    let mut engine = Engine::scoring(Duration::from_secs(3), |_, rows| Ok(vec![0.5; rows]));
    engine.config.request_timeout = Duration::from_secs(5);
    let send = async |engine: &Engine, timeout: &str| {
        let request =
            Request::post("/predict").header("x-request-timeout-ms", timeout).body(Body::from(PHONE_ROW));
        engine.send(request.unwrap()).await
    };
    assert_eq!(send(&engine, "4000").await.status, 200);
    send(&engine, "2000").await.problem(504);
    engine.config.request_timeout = Duration::from_secs(2);
    send(&engine, "60000").await.problem(504);
    for meaningless in ["0", "-1", "soon", "1.5", ""] {
        send(&engine, meaningless).await.problem(400);
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
