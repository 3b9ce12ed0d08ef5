//! Every kind of invalid body has its error, and none is a 500.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread::available_parallelism;

use axum::body::Body;
use axum::http::Request;
use serde_json::json;

use crate::admission::large_bodies::{LARGE_BODY_BYTES, UPLOAD_GRACE};
use crate::fixtures::{BANK_ROW, Engine, PHONE_ROW, answered};

async fn refused(body: impl Into<Body>, status: u16) -> serde_json::Value {
    Engine::ready().post("/models/phone/predict", body).await.problem(status)
}

fn with(field: &str, value: &str) -> String {
    let mut row: serde_json::Map<String, serde_json::Value> = serde_json::from_str(PHONE_ROW).unwrap();
    row.remove(field);
    let rest = serde_json::to_string(&row).unwrap();
    format!("{}, {}: {value}}}", rest.trim_end_matches('}'), json!(field))
}

#[tokio::test]
async fn what_is_no_json_is_400() {
    for (body, part) in [
        ("", "empty"),
        ("{", "not JSON"),
        ("nonsense", "not JSON"),
        (r#"{"months": NaN}"#, "`months` is NaN, which JSON does not have: send null"),
        (r#"{"months": Infinity}"#, "not JSON"),
        (r#"{"months": -Infinity}"#, "not JSON"),
        (r#"{"months": 1e400}"#, "`months` is a number beyond 1.8e308"),
        (r#"{"months": 012}"#, "not JSON"),
        (r#"{"plan": "\ud800"}"#, "not JSON"),
        (r#"{"months": 1,}"#, "trailing comma"),
        (&format!("{PHONE_ROW} {PHONE_ROW}"), "several JSON documents"),
        (&format!("{PHONE_ROW}x"), "trailing characters"),
        (&"[".repeat(20), "not JSON"),
        (&"[".repeat(100_000), "nested deeper than"),
        (&"{\"a\":".repeat(100_000), "nested deeper than"),
    ] {
        let problem = refused(body.to_owned(), 400).await;
        assert!(problem["detail"].as_str().unwrap().contains(part), "{body:.40}: {problem}");
    }
}

#[tokio::test]
async fn broken_utf8_is_400_wherever_it_stands() {
    for body in [&b"\xff\xfe"[..], b"{\"id\": \"\xff\"}", b"{\"plan\": \"\xc3(\"}"] {
        assert_eq!(refused(body, 400).await["type"], "urn:onnward:problem:not-utf8");
    }
}

#[tokio::test]
async fn deep_nesting_is_refused_without_a_stack_to_overflow() {
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(50_000), close.repeat(50_000));
    for body in [deep("[", "]"), with("plan", &deep("[", "]")), with("more", &deep("[", "]"))] {
        assert_eq!(refused(body, 400).await["type"], "urn:onnward:problem:too-complex");
    }
}

#[tokio::test]
async fn a_row_that_does_not_fit_is_422_and_names_the_field() {
    for (field, value, expected, got) in [
        ("months", "\"12\"", "a whole number from 0 to 100", "\"12\""),
        ("months", "null", "a whole number from 0 to 100", "nothing"),
        ("months", "-1", "a whole number from 0 to 100", "-1"),
        ("months", "100.5", "a whole number from 0 to 100", "100.5"),
        ("months", "true", "a whole number from 0 to 100", "true"),
        ("months", "[1]", "a whole number from 0 to 100", "an array"),
        ("charges", "1e39", "a number of at least 0", "1"),
        ("plan", "\"gold\"", "one of \"basic\", \"full\"", "\"gold\""),
        ("plan", "{}", "one of \"basic\", \"full\"", "an object"),
        ("senior", "2", "one of \"0\", \"1\"", "2"),
        ("senior", "false", "one of \"0\", \"1\"", "false"),
        ("Months", "1", "such as \"months\"", "the unknown field \"Months\""),
        ("colour", "1", "fields of the schema phone", "the unknown field \"colour\""),
        ("Churn", "\"Yes\"", "what the model predicts", "the unknown field \"Churn\""),
    ] {
        let problem = refused(with(field, value), 422).await;
        let error = &problem["errors"][0];
        assert_eq!(problem["violations"], 1, "{problem}");
        assert_eq!((&error["pointer"], &error["row"]), (&json!(format!("/{field}")), &json!(0)));
        assert!(error["expected"].as_str().unwrap().contains(expected), "{error}");
        assert!(error["got"].as_str().unwrap().starts_with(got), "{error}");
    }
}

#[tokio::test]
async fn an_empty_object_lacks_every_required_field() {
    let problem = refused("{}", 422).await;
    let errors: Vec<_> =
        problem["errors"].as_array().unwrap().iter().map(|error| &error["pointer"]).collect();
    assert_eq!(errors, ["/months", "/plan", "/senior"]);
}

#[tokio::test]
async fn no_row_and_no_rows_are_422() {
    for body in ["[]", r#"{"instances": []}"#, "null", "3", "\"x\"", "true", "[3]", "[[]]", "[null]"] {
        refused(body, 422).await;
    }
}

#[tokio::test]
async fn duplicate_keys_are_422() {
    let problem = refused(PHONE_ROW.replacen('{', r#"{"months": 11, "#, 1), 422).await;
    assert_eq!(problem["errors"][0]["got"], "the field a second time");
}

#[tokio::test]
async fn every_violation_of_every_row_comes_at_once() {
    let body = format!("[{PHONE_ROW}, {}, {}]", with("months", "-1"), r#"{"plan": 1, "senior": 0}"#);
    let problem = refused(body, 422).await;
    assert_eq!(problem["violations"], 3);
    let places: Vec<_> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| (error["pointer"].as_str().unwrap(), error["row"].as_u64().unwrap()))
        .collect();
    assert_eq!(places, [("/1/months", 1), ("/2/plan", 2), ("/2/months", 2)]);
}

#[tokio::test]
async fn an_answer_lists_a_hundred_violations_and_counts_the_rest() {
    let problem = refused(format!("[{}]", ["{}"; 50].join(",")), 422).await;
    assert_eq!(problem["violations"], 150);
    assert_eq!(problem["errors"].as_array().unwrap().len(), 100);
}

#[tokio::test]
async fn pointers_escape_names_and_follow_instances() {
    let body = r#"{"instances": [{"balance": 1, "Country/Region": "XX"}]}"#;
    let problem = Engine::ready().post("/models/bank/predict", body).await.problem(422);
    assert_eq!(problem["errors"][0]["pointer"], "/instances/0/Country~1Region");
}

#[tokio::test]
async fn too_many_rows_are_422_and_too_many_bytes_413() {
    let rows = format!("[{}]", vec![PHONE_ROW; 101].join(","));
    let problem = refused(rows, 422).await;
    assert_eq!(problem["errors"][0]["expected"], "at most 100 rows");
    let problem = refused("x".repeat(10_000_000), 413).await;
    assert!(problem["detail"].as_str().unwrap().contains("8388608 bytes"));
}

#[tokio::test]
async fn numbers_that_overflow_inside_the_model_are_told_of_their_row() {
    let engine = Engine::scoring(|matrix| {
        (0..matrix.nrows()).map(|row| if row == 1 { f32::NAN } else { 0.5 }).collect()
    });
    let problem = engine.post("/predict", format!("[{PHONE_ROW},{PHONE_ROW}]")).await.problem(422);
    assert_eq!(problem["errors"][0]["row"], 1);
}

#[tokio::test]
async fn json_types_are_taken_and_others_are_415() {
    let engine = Engine::ready();
    let send = |name: &'static str, value: &'static str| {
        engine.send(Request::post("/predict").header(name, value).body(Body::from(BANK_ROW)).unwrap())
    };
    for json in ["application/json", "Application/JSON; charset=utf-8", "application/ld+json;charset=UTF-8"] {
        assert_eq!(send("content-type", json).await.status, 200, "{json}");
    }
    assert_eq!(send("accept", "*/*").await.status, 200, "without a type");
    for other in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/+json",
        "application/jsonx",
        "json",
        "",
    ] {
        let problem = send("content-type", other).await.problem(415);
        assert!(problem["detail"].as_str().unwrap().contains("application/json"));
    }
    for other in ["br", "deflate", "gzip, gzip"] {
        let problem = send("content-encoding", other).await.problem(415);
        assert!(problem["detail"].as_str().unwrap().contains("gzip"), "{problem}");
    }
}

/// A body of which some bytes arrive, and then nothing more.
pub struct Stalled {
    left: Option<usize>,
    announced: Option<u64>,
}

impl Stalled {
    /// Returns a body that has sent this number of bytes, with or without a declared length.
    pub fn after(bytes: usize, announced: Option<u64>) -> Self {
        Self { left: Some(bytes).filter(|bytes| *bytes > 0), announced }
    }
}

impl hyper::body::Body for Stalled {
    type Data = hyper::body::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
        match self.left.take() {
            Some(bytes) => Poll::Ready(Some(Ok(hyper::body::Frame::data(vec![b' '; bytes].into())))),
            None => Poll::Pending,
        }
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.announced.map_or_else(hyper::body::SizeHint::default, hyper::body::SizeHint::with_exact)
    }
}

#[tokio::test]
async fn bodies_that_do_not_fit_in_memory_together_are_429() {
    let mut engine = Engine::ready();
    let limit = 128 * 1024;
    engine.config.max_body_bytes = limit;
    let state = engine.state();
    let router = crate::router(state.clone());
    let post =
        |body: Body| Request::post("/models/bank/predict").header("host", "localhost").body(body).unwrap();
    let _held =
        state.admission().reserve_memory(state.admission().free_memory() - 16 * limit, false).unwrap();
    let large = || post(Body::new(Stalled::after(limit - 1, Some(limit as u64))));
    let stalled: Vec<_> = (0..16).map(|_| tokio::spawn(answered(router.clone(), large()))).collect();
    tokio::task::yield_now().await;
    let whole = format!("{BANK_ROW}{}", " ".repeat(100 * 1024));
    let refused = answered(router.clone(), post(Body::from(whole))).await;
    assert_eq!(refused.problem(429)["type"], "urn:onnward:problem:bodies-full");
    assert_eq!(refused.header("retry-after"), Some("1"));
    let small = answered(router.clone(), post(Body::from(BANK_ROW))).await;
    assert_eq!(small.status, 200, "large bodies keep out a small one: {}", small.text);
    for request in stalled {
        request.abort();
        assert!(request.await.unwrap_err().is_cancelled());
    }
    assert_eq!(answered(router, post(Body::from(BANK_ROW))).await.status, 200);
}

#[tokio::test]
async fn bodies_that_announce_much_and_send_nothing_keep_nobody_out() {
    let engine = Engine::ready();
    let router = engine.router();
    let post = |body: Body| Request::post("/models/bank/predict").body(body).unwrap();
    let announced = Some(engine.config.max_body_bytes as u64);
    let stalled: Vec<_> = (0..1000)
        .map(|number| {
            let body = Stalled::after(number % 2, if number % 3 == 0 { None } else { announced });
            tokio::spawn(answered(router.clone(), post(Body::new(body))))
        })
        .collect();
    tokio::task::yield_now().await;
    for rows in [1, 100] {
        let body = format!("[{}]{}", vec![BANK_ROW; rows].join(","), " ".repeat(rows * 1024));
        let answer = answered(router.clone(), post(Body::from(body))).await;
        assert_eq!(answer.status, 200, "{rows} rows: {}", answer.text);
    }
    stalled.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn a_large_body_that_comes_slowly_keeps_out_another_for_a_moment_at_most() {
    let router = Engine::ready().router();
    let post = |body: Body| Request::post("/models/bank/predict").body(body).unwrap();
    let slow = || post(Body::new(Stalled::after(LARGE_BODY_BYTES / 2, Some(LARGE_BODY_BYTES as u64))));
    let more_than_places = 100 * available_parallelism().unwrap().get();
    let slow: Vec<_> =
        (0..more_than_places).map(|_| tokio::spawn(answered(router.clone(), slow()))).collect();
    let whole = || post(Body::from(format!("{BANK_ROW}{}", " ".repeat(LARGE_BODY_BYTES))));
    tokio::task::yield_now().await;
    let refused = answered(router.clone(), whole()).await;
    assert_eq!(refused.problem(429)["type"], "urn:onnward:problem:bodies-full");
    tokio::time::sleep(UPLOAD_GRACE * 2).await;
    let served = answered(router, whole()).await;
    assert_eq!(served.status, 200, "{}", served.text);
    slow.iter().for_each(tokio::task::JoinHandle::abort);
}

/// 60 KB of empty objects are 100,000 cells of a matrix: as much work as a body of 600 KB with all their
/// values.
#[tokio::test(start_paused = true)]
async fn a_small_body_that_may_become_a_large_matrix_is_parsed_where_large_ones_are() {
    let mut engine = Engine::ready();
    engine.config.max_request_rows = 20_000;
    let router = engine.router();
    let post = |body: Body| Request::post("/models/phone/predict").body(body).unwrap();
    let empty_rows = || post(Body::from(format!("[{}]", vec!["{}"; 20_000].join(","))));
    let slow = || post(Body::new(Stalled::after(LARGE_BODY_BYTES / 2, Some(LARGE_BODY_BYTES as u64))));
    let more_than_places = 100 * available_parallelism().unwrap().get();
    let slow: Vec<_> =
        (0..more_than_places).map(|_| tokio::spawn(answered(router.clone(), slow()))).collect();
    tokio::task::yield_now().await;
    let refused = answered(router.clone(), empty_rows()).await;
    assert_eq!(refused.problem(429)["type"], "urn:onnward:problem:bodies-full");
    let ordinary = format!("[{}]", vec![PHONE_ROW; 100].join(","));
    assert_eq!(answered(router.clone(), post(Body::from(ordinary))).await.status, 200);
    slow.iter().for_each(tokio::task::JoinHandle::abort);
    tokio::time::sleep(UPLOAD_GRACE * 2).await;
    let problem = answered(router, empty_rows()).await.problem(422);
    let errors = problem["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 100, "{problem}");
    assert!(problem["violations"].as_u64().unwrap() > 100, "{problem}");
}

#[tokio::test]
async fn a_time_limit_of_any_size_only_shortens() {
    let engine = Engine::ready();
    let send = |value: &'static str| {
        let request = Request::post("/models/bank/predict").header("x-request-timeout-ms", value);
        engine.send(request.body(Body::from(BANK_ROW)).unwrap())
    };
    assert_eq!(send("63967275375893118976").await.status, 200);
    for other in ["0", "-1", "+1", "1.5", "", "a"] {
        send(other).await.problem(400);
    }
}
