//! The log lines of requests.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Request};
use onnward_telemetry::logging::LogFormat;
use onnward_telemetry::share::Share;
use serde_json::Value;

use crate::fixtures::{BANK_ROW, Engine, Log, PHONE_ROW, captured_log};

/// Returns all log lines except those of the audit log.
fn lines(log: &Log) -> Vec<Value> {
    let lines = log.text();
    let lines = lines.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.filter(|line: &Value| line["event.dataset"] != "onnward.audit").collect()
}

#[tokio::test]
async fn a_request_leaves_one_line_without_what_it_held() {
    let (log, _guard) = captured_log(LogFormat::Json);
    let engine = Engine::ready();
    let request = Request::post("/models/bank/predict?secret").header("x-request-id", "id-1");
    let body = format!("[{BANK_ROW}, {BANK_ROW}]");
    engine.send(request.body(Body::from(body)).unwrap()).await;
    let line: serde_json::Value = serde_json::from_str(&log.text()).unwrap();
    for (field, value) in [
        ("http.request.method", "POST"),
        ("http.route", "/models/{name}/predict"),
        ("http.request.id", "id-1"),
        ("event.dataset", "onnward.access"),
    ] {
        assert_eq!(line[field], value);
    }
    assert_eq!((&line["http.response.status_code"], &line["onnward.rows"]), (&200.into(), &2.into()));
    assert!(line["event.duration"].is_u64() && line["http.response.body.bytes"].is_u64());
    engine.post("/models/bank/predict", r#"{"balance": "secret", "secret": 1}"#).await;
    assert_eq!(log.text().lines().count(), 2);
    assert!(!log.text().contains("secret") && !log.text().contains("DE"), "{}", log.text());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_is_counted_as_499() {
    let (log, _guard) = captured_log(LogFormat::Json);
    let (engine, _never) = Engine::gated();
    let left = tokio::time::timeout(Duration::from_secs(1), engine.post("/predict", PHONE_ROW)).await;
    assert!(left.is_err());
    assert!(log.text().contains(r#""http.response.status_code":499"#), "{}", log.text());
}

/// Whatever a client sends, its request has one log line, which repeats nothing of it but a harmless id.
#[tokio::test]
async fn a_hostile_request_leaves_one_harmless_line() {
    for format in [LogFormat::Json, LogFormat::Pretty] {
        let (log, _guard) = captured_log(format);
        let engine = Engine::ready();
        let forged = [
            &b"\xff\xfe forged"[..],
            b"id\tforged",
            b"\"} forged {\"",
            "\u{9b}31m forged\u{2028}".as_bytes(),
            &[b'f'; 4000],
        ];
        for id in forged {
            let request = Request::post("/models/forged%0AERROR%1b[31m%ff/predict?forged=1")
                .header("x-request-id", HeaderValue::from_bytes(id).unwrap())
                .header("user-agent", HeaderValue::from_bytes(id).unwrap());
            let answer = engine.send(request.body(Body::from(BANK_ROW)).unwrap()).await;
            assert!(answer.status.is_client_error());
        }
        let text = log.text();
        assert_eq!(text.lines().count(), forged.len(), "{text}");
        assert!(
            !text.contains("forged")
                && text.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte))
        );
    }
}

#[tokio::test]
async fn a_share_of_the_requests_leave_a_line_and_all_that_fail() {
    let (log, _guard) = captured_log(LogFormat::Json);
    let mut engine = Engine::ready();
    engine.config.access_log.sample = Share::of(0.1);
    for number in 0..1000 {
        let request = Request::get("/models").header("x-request-id", format!("list-{number}"));
        engine.send(request.body(Body::empty()).unwrap()).await;
    }
    let sampled = lines(&log).len();
    // Five standard deviations.
    assert!((53..=147).contains(&sampled), "{sampled}");
    // Sampling does not depend on the client's id: requests that share one are sampled like any others.
    for _ in 0..1000 {
        let request = Request::get("/models").header("x-request-id", "always-the-same");
        engine.send(request.body(Body::empty()).unwrap()).await;
    }
    let of_one_id = lines(&log).len() - sampled;
    assert!((53..=147).contains(&of_one_id), "{of_one_id}");
    let sampled = sampled + of_one_id;

    engine.config.access_log.sample = Share::of(1.0);
    engine.get("/health/live").await;
    assert_eq!(lines(&log).len(), sampled, "a probe that succeeds is no news");

    engine.config.access_log.sample = Share::of(0.0);
    engine.get("/models").await;
    assert_eq!(lines(&log).len(), sampled);
    engine.reloader = onnward_serving::reload::channel().0;
    let failed = engine.send(Request::post("/admin/reload").body(Body::empty()).unwrap()).await;
    assert_eq!((failed.status.as_u16(), lines(&log).len()), (503, sampled + 1));

    engine.config.access_log.slow = Duration::ZERO;
    engine.get("/models").await;
    assert_eq!(lines(&log).len(), sampled + 2);
}

#[tokio::test]
async fn what_a_request_holds_is_written_only_where_that_is_configured() {
    let (log, _guard) = captured_log(LogFormat::Json);
    let mut engine = Engine::ready();
    engine.post("/predict", BANK_ROW).await;
    engine.config.access_log.values = true;
    engine.post("/predict", BANK_ROW).await;
    let lines = lines(&log);
    assert_eq!(lines.len(), 3);
    assert_eq!(
        (&lines[1]["http.request.body.content"], &lines[1]["log.level"]),
        (&BANK_ROW.into(), &"debug".into())
    );
    assert_eq!(lines[1]["http.request.id"], lines[2]["http.request.id"]);
}

#[tokio::test]
async fn a_failure_is_told_under_the_id_of_its_request() {
    let (log, _guard) = captured_log(LogFormat::Json);
    let engine = Engine::scoring(|_| panic!("a bug"));
    let answer = engine.post("/predict", PHONE_ROW).await;
    let id = answer.problem(500)["request_id"].clone();
    let lines = lines(&log);
    let told = lines.iter().find(|line| line["message"] == "a request failed").unwrap();
    assert_eq!((&told["http.request.id"], &told["log.level"]), (&id, &"error".into()));
    assert!(told["error.message"].as_str().unwrap().contains("panicked"), "{told}");
}
