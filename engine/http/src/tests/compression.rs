//! Compressed requests and responses.

use std::io::{Read, Write};

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use serde_json::Value;
use tower::ServiceExt;

use crate::fixtures::{Answered, BANK_ROW, Engine, PHONE_ROW};

const CODINGS: [&str; 2] = ["gzip", "zstd"];

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn compress(coding: &str, content: &[u8]) -> Vec<u8> {
    if coding == "gzip" { gzip(content) } else { zstd::encode_all(content, 3).unwrap() }
}

fn decompress(coding: &str, content: &[u8]) -> Vec<u8> {
    let mut decompressed = Vec::new();
    match coding {
        "gzip" => drop(MultiGzDecoder::new(content).read_to_end(&mut decompressed).unwrap()),
        _ => decompressed = zstd::decode_all(content).unwrap(),
    }
    decompressed
}

async fn post(engine: &Engine, path: &str, coding: &str, body: Vec<u8>) -> Answered {
    let request = Request::post(path).header("content-encoding", coding);
    engine.send(request.body(Body::from(body)).unwrap()).await
}

/// Returns the response to a request that accepts these codings, with its body as it is sent.
async fn get(engine: &Engine, method: &str, path: &str, accept: &str) -> (StatusCode, HeaderMap, Vec<u8>) {
    let request = Request::builder().method(method).uri(path).header("accept-encoding", accept);
    let response = engine.router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    (parts.status, parts.headers, to_bytes(body, usize::MAX).await.unwrap().to_vec())
}

fn phone_rows(count: usize, spaces: usize) -> Vec<u8> {
    format!("[{}{}]", vec![PHONE_ROW; count].join(","), " ".repeat(spaces)).into_bytes()
}

/// Returns the predictions without their ids, which differ.
fn predictions(answer: &Answered) -> Vec<Value> {
    let mut predictions = answer.json()["predictions"].as_array().unwrap().clone();
    for prediction in &mut predictions {
        prediction.as_object_mut().unwrap().remove("id");
    }
    predictions
}

#[tokio::test]
async fn a_compressed_body_is_answered_as_the_plain_one_is() {
    let engine = Engine::ready();
    for (rows, spaces) in [(1, 0), (7, 0), (100, 0), (3, 60_000), (3, 300_000), (100, 8_000_000)] {
        let body = phone_rows(rows, spaces);
        let plain = predictions(&engine.post("/models/phone/predict", body.clone()).await);
        assert_eq!(plain.len(), rows);
        for coding in ["gzip", "zstd", "x-gzip", "ZSTD, identity"] {
            let name = if coding.contains("gzip") { "gzip" } else { "zstd" };
            let answer = post(&engine, "/models/phone/predict", coding, compress(name, &body)).await;
            assert_eq!(answer.status, 200, "{coding} {rows} {spaces}: {}", answer.text);
            assert_eq!(predictions(&answer), plain, "{coding} {rows} {spaces}");
        }
    }
    let plain = post(&engine, "/models/phone/predict", "identity", phone_rows(1, 0)).await;
    assert_eq!(plain.status, 200, "{}", plain.text);
}

#[tokio::test]
async fn members_and_frames_are_joined() {
    let engine = Engine::ready();
    let body = phone_rows(2, 1000);
    for coding in CODINGS {
        let parts: Vec<u8> = body.chunks(100).flat_map(|part| compress(coding, part)).collect();
        let answer = post(&engine, "/models/phone/predict", coding, parts).await;
        assert_eq!(answer.status, 200, "{coding}: {}", answer.text);
    }
}

#[tokio::test]
async fn content_beyond_the_limit_is_413_with_the_figure_however_well_it_is_compressed() {
    let mut engine = Engine::ready();
    let limit = 200_000;
    engine.config.max_body_bytes = limit;
    for coding in CODINGS {
        for (content, expected) in [(limit, 200), (limit + 1, 413), (limit * 2, 413), (64 << 20, 413)] {
            let mut body = PHONE_ROW.as_bytes().to_vec();
            body.resize(content, b' ');
            let compressed = compress(coding, &body);
            let answer = post(&engine, "/models/phone/predict", coding, compressed).await;
            assert_eq!(answer.status, expected, "{coding} {content}: {}", answer.text);
            if expected == 413 {
                let problem = answer.problem(413);
                assert_eq!(problem["type"], "urn:onnward:problem:body-too-large");
                assert!(
                    problem["detail"].as_str().unwrap().contains("larger than 200000 bytes"),
                    "{problem}"
                );
            }
        }
    }
}

#[tokio::test]
async fn large_content_of_small_bodies_leaves_small_bodies_their_memory() {
    let mut engine = Engine::ready();
    engine.config.max_body_bytes = 1 << 20;
    let router = engine.router();
    let bomb = gzip(&vec![b' '; 1 << 20]);
    assert!(bomb.len() < 16 * 1024);
    let sent: Vec<_> = (0..200)
        .map(|_| {
            let request = Request::post("/models/bank/predict").header("content-encoding", "gzip");
            tokio::spawn(router.clone().oneshot(request.body(Body::from(bomb.clone())).unwrap()))
        })
        .collect();
    for _ in 0..50 {
        let request = Request::post("/models/bank/predict").body(Body::from(BANK_ROW)).unwrap();
        assert_eq!(router.clone().oneshot(request).await.unwrap().status(), 200);
    }
    for bomb in sent {
        let status = bomb.await.unwrap().unwrap().status().as_u16();
        assert!([400, 429].contains(&status), "{status}");
    }
}

#[tokio::test]
async fn bodies_without_content_end_soon() {
    let engine = Engine::ready();
    let gzip_members = gzip(b"").repeat(4 << 10);
    let zstd_frames = zstd::encode_all(&b""[..], 3).unwrap().repeat(4 << 10);
    // Blocks without content: stored ones in gzip, raw ones in zstd.
    let mut gzip_blocks = b"\x1f\x8b\x08\0\0\0\0\0\0\x03".to_vec();
    gzip_blocks.extend(b"\0\0\0\xff\xff".repeat(1 << 20));
    let mut zstd_blocks = b"\x28\xb5\x2f\xfd\0\x58".to_vec();
    zstd_blocks.extend(b"\0\0\0".repeat(1 << 20));
    for (coding, body) in
        [("gzip", gzip_members), ("zstd", zstd_frames), ("gzip", gzip_blocks), ("zstd", zstd_blocks)]
    {
        let problem = post(&engine, "/models/bank/predict", coding, body).await.problem(400);
        let kind = problem["type"].as_str().unwrap();
        assert!(kind.ends_with("body-empty") || kind.ends_with("bad-compression"), "{problem}");
    }
}

#[tokio::test]
async fn a_body_that_is_cut_or_damaged_is_400_and_says_so() {
    let engine = Engine::ready();
    for coding in CODINGS {
        let whole = compress(coding, &phone_rows(5, 0));
        for length in 1..whole.len() {
            let answer = post(&engine, "/models/phone/predict", coding, whole[..length].to_vec()).await;
            let problem = answer.problem(400);
            let detail = problem["detail"].as_str().unwrap();
            assert!(detail.contains(&format!("not valid {coding}")), "{length} of {}: {detail}", whole.len());
        }
        let with_rest = post(&engine, "/models/phone/predict", coding, [&whole[..], b"rest of it"].concat());
        assert_eq!(with_rest.await.problem(400)["type"], "urn:onnward:problem:bad-compression");
        for at in 0..whole.len() {
            for bit in [0, 3, 7] {
                let mut damaged = whole.clone();
                damaged[at] ^= 1 << bit;
                let status = post(&engine, "/models/phone/predict", coding, damaged).await.status.as_u16();
                // A bit that says nothing about the content may be flipped.
                assert!([200, 400, 413, 422].contains(&status), "{coding} byte {at} bit {bit}: {status}");
            }
        }
        let plain = post(&engine, "/models/phone/predict", coding, phone_rows(1, 0)).await.problem(400);
        assert_eq!(plain["type"], "urn:onnward:problem:bad-compression");
        let empty = post(&engine, "/models/phone/predict", coding, compress(coding, b"")).await.problem(400);
        assert_eq!(empty["type"], "urn:onnward:problem:body-empty");
    }
}

#[tokio::test]
async fn a_window_of_more_than_8_mib_is_not_taken() {
    let engine = Engine::ready();
    for (window_log, expected) in [(23, 200), (24, 400), (27, 400)] {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(window_log).unwrap();
        encoder.write_all(&phone_rows(1, 0)).unwrap();
        let body = encoder.finish().unwrap();
        let answer = post(&engine, "/models/phone/predict", "zstd", body).await;
        assert_eq!(answer.status, expected, "{window_log}: {}", answer.text);
    }
}

#[tokio::test]
async fn outcomes_may_be_compressed_too() {
    let folder = tempfile::TempDir::new().unwrap();
    let engine = Engine::keeping(folder.path());
    let id = engine.post("/predict", BANK_ROW).await.json()["id"].as_str().unwrap().to_owned();
    let outcome = format!("{{\"id\": \"{id}\", \"label\": true}}");
    let answer = post(&engine, "/outcomes", "gzip", gzip(outcome.as_bytes())).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["result"]), (200, &Value::from("joined")));
}

#[tokio::test]
async fn a_large_response_has_the_coding_that_its_client_prefers() {
    let engine = Engine::ready();
    let (_, headers, plain) = get(&engine, "GET", "/openapi.json", "identity").await;
    assert!(!headers.contains_key("content-encoding"));
    assert_eq!(headers["vary"], "accept-encoding");
    for (accept, coding) in
        [("gzip", "gzip"), ("gzip, zstd", "zstd"), ("zstd;q=0.1, gzip;q=0.2", "gzip"), ("*", "gzip")]
    {
        let (status, headers, body) = get(&engine, "GET", "/openapi.json", accept).await;
        assert_eq!((status, &headers["content-encoding"]), (StatusCode::OK, &coding.parse().unwrap()));
        assert_eq!(headers["vary"], "accept-encoding");
        assert_eq!(headers["content-length"], body.len().to_string());
        assert!(body.len() < plain.len() / 2, "{} of {}", body.len(), plain.len());
        assert_eq!(decompress(coding, &body), plain, "{accept}");
    }
    for accept in ["", "br", "gzip;q=0", "identity;q=1, gzip;q=0.5"] {
        let (_, headers, body) = get(&engine, "GET", "/openapi.json", accept).await;
        assert!(!headers.contains_key("content-encoding"), "{accept}");
        assert_eq!(body, plain, "{accept}");
    }
    // The response to `HEAD` has the length that the one to `GET` has, or none.
    for (accept, length) in [("identity", Some(plain.len().to_string())), ("gzip", None)] {
        let (status, headers, body) = get(&engine, "HEAD", "/openapi.json", accept).await;
        assert_eq!((status, body.len()), (StatusCode::OK, 0));
        assert!(!headers.contains_key("content-encoding"));
        assert_eq!(headers["vary"], "accept-encoding");
        assert_eq!(headers.get("content-length").map(|value| value.to_str().unwrap()), length.as_deref());
    }
}

#[tokio::test]
async fn a_body_that_is_compressed_and_not_declared_so_is_told_of_its_coding() {
    let engine = Engine::ready();
    let gzipped = gzip(BANK_ROW.as_bytes());
    let zipped = zstd::bulk::compress(BANK_ROW.as_bytes(), 1).unwrap();
    for (sent_as, coding, body) in [
        ("identity", "gzip", gzipped.clone()),
        ("identity", "zstd", zipped),
        ("gzip", "gzip", gzip(&gzipped)),
    ] {
        let problem = post(&engine, "/predict", sent_as, body).await.problem(400);
        assert_eq!(problem["type"], "urn:onnward:problem:undeclared-coding");
        assert!(problem["detail"].as_str().unwrap().contains(&format!("`content-encoding: {coding}`")));
    }
}

#[tokio::test]
async fn small_responses_and_those_without_a_body_stay_as_they_are() {
    let engine = Engine::ready();
    let small = get(&engine, "GET", "/health/live", "gzip").await;
    let icon = get(&engine, "GET", "/docs/favicon-32x32.png", "zstd").await;
    for (status, headers, _) in [small, icon] {
        assert_eq!(status, 200);
        assert!(!headers.contains_key("content-encoding"), "{headers:?}");
    }
}

#[tokio::test]
async fn predictions_and_problems_are_compressed_as_everything_else() {
    let engine = Engine::ready();
    for (body, status) in [(phone_rows(100, 0), 200), (b"[{}, {}, {}, {}, {}]".to_vec(), 422)] {
        let request = Request::post("/models/phone/predict").header("accept-encoding", "gzip");
        let response = engine.router().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        assert_eq!(response.status(), status);
        assert_eq!(response.headers()["content-encoding"], "gzip");
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let answer: Value = serde_json::from_slice(&decompress("gzip", &body)).unwrap();
        assert!(answer.is_object());
    }
    // What is counted is what is sent.
    let metrics = engine.get("/metrics").await.text;
    let sum = metrics.lines().find(|line| line.starts_with("onnward_http_response_body_bytes_sum"));
    assert!(
        sum.is_some_and(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() < 4000.0),
        "{sum:?}"
    );
}
