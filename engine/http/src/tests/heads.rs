//! Heads that are not valid HTTP: each gets a problem document, an id, a log line and a metric.

use axum::http::{Request, Version};
use onnward_telemetry::logging::LogFormat;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::connections::{LIMITS, connect, get, listen, listen_with, read_to_end};
use crate::ConnectionLimits;
use crate::fixtures::{Engine, captured_log};

/// Splits the first response off, and checks that it is complete. An error must be a problem document.
#[track_caller]
fn split_response(text: &str) -> (u16, Value, &str) {
    let (head, rest) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {text:?}"));
    let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
    let field = |name: &str| {
        let lines = head.lines().skip(1).filter_map(|line| line.split_once(": "));
        let values: Vec<_> = lines.filter(|(field, _)| *field == name).map(|(_, value)| value).collect();
        assert!(values.len() <= 1, "{name} is there {} times: {head}", values.len());
        values.first().map(|value| (*value).to_owned())
    };
    assert!(field("date").is_some(), "{head}");
    let length = field("content-length").map_or(0, |length| length.parse().unwrap());
    let (body, rest) = rest.split_at(length);
    if status < 400 {
        return (status, Value::Null, rest);
    }
    assert_eq!(field("content-type").as_deref(), Some("application/problem+json"), "{head}");
    let problem: Value = serde_json::from_str(body).unwrap();
    assert_eq!(problem["status"], status, "{problem}");
    assert_eq!(problem["request_id"].as_str(), field("x-request-id").as_deref(), "{head}");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.ends_with('.')), "{problem}");
    if problem["type"].as_str().unwrap().contains("head") {
        assert_eq!(field("connection").as_deref(), Some("close"), "{head}");
    }
    (status, problem, rest)
}

/// Sends bytes, and returns all that the server answers.
async fn answer_to(address: std::net::SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The server may close the connection before it has read everything.
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    read_to_end(stream).await
}

#[tokio::test]
async fn what_is_wrong_with_a_head_is_said_with_its_remedy() {
    let (address, _server) = listen(&Engine::ready()).await;
    let fields = |fields: &str| format!("GET /health/live HTTP/1.1\r\nhost: x\r\n{fields}\r\n\r\n");
    let many: Vec<String> = (0..100).map(|number| format!("x-{number}: y")).collect();
    let chunked = "POST /predict HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: ";
    for (head, status, kind, part) in [
        ("nonsense\r\n\r\n".to_owned(), 400, "malformed-head", "first line"),
        ("GET /\r\n\r\n".to_owned(), 400, "malformed-head", "first line"),
        ("GET / x HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(), 400, "malformed-head", "first line"),
        ("G\u{1}T / HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(), 400, "malformed-head", "first line"),
        ("GET / HTTP/1.2\r\nhost: x\r\n\r\n".to_owned(), 505, "unknown-http-version", "HTTP/1.1 or HTTP/2"),
        ("GET / HTTP/3.0\r\nhost: x\r\n\r\n".to_owned(), 505, "unknown-http-version", "HTTP/1.1 or HTTP/2"),
        (fields("foo"), 400, "malformed-head", "name of a header field"),
        (fields("field : x"), 400, "malformed-head", "name of a header field"),
        (fields("foo: \u{1}"), 400, "malformed-head", "value of a header field"),
        (fields("content-length: x"), 400, "malformed-head", "`content-length`"),
        (fields("content-length: 1\r\ncontent-length: 2"), 400, "malformed-head", "`content-length`"),
        (fields("content-length: -1") + "{\"balance\": 1}", 400, "malformed-head", "`content-length`"),
        (
            fields("content-length: 18446744073709551615"),
            400,
            "malformed-head",
            "`content-length` is too large",
        ),
        ("GET / HTTP/1.1 \r\nhost: x\r\n\r\n".to_owned(), 400, "malformed-head", "nothing before it"),
        (fields("transfer-encoding: gzip"), 400, "malformed-head", "`transfer-encoding`"),
        (format!("{chunked}gzip, chunked\r\n\r\n0\r\n\r\n"), 501, "unknown-transfer-coding", "chunked"),
        (fields(&format!("x: {}", "y".repeat(100 * 1024))), 431, "head-too-large", "32768 bytes"),
        (fields(&many.join("\r\n")), 431, "too-many-headers", "64 header fields"),
        (format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(70_000)), 414, "target-too-long", "32768 bytes"),
        ("GET / HTTP/1.1\r\nhost: x".to_owned(), 400, "malformed-head", "ends before its empty line"),
        ("PRI * HTTP/2.0\r\n\r\nSM".to_owned(), 505, "unknown-http-version", "HTTP/1.1 or HTTP/2"),
        ("\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}".to_owned(), 400, "malformed-head", "`http://`"),
    ] {
        let answer = answer_to(address, head.as_bytes()).await;
        let (said, problem, rest) = split_response(&answer);
        assert_eq!(said, status, "{head:.80?}: {answer}");
        assert_eq!(problem["type"], format!("urn:onnward:problem:{kind}"), "{head:.80?}");
        assert!(problem["detail"].as_str().unwrap().contains(part), "{head:.80?}: {problem}");
        assert_eq!(rest, "");
    }
}

#[tokio::test]
async fn a_target_that_is_too_long_is_414_where_heads_may_be_large() {
    let limits = ConnectionLimits { max_header_bytes: 1 << 20, ..LIMITS };
    let (address, _server) = listen_with(&Engine::ready(), limits, None).await;
    let head = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(70_000));
    let (status, problem, _) = split_response(&answer_to(address, head.as_bytes()).await);
    assert_eq!((status, &problem["type"]), (414, &Value::from("urn:onnward:problem:target-too-long")));
}

#[tokio::test]
async fn a_request_that_was_good_is_answered_before_a_malformed_one_is_rejected() {
    let (address, _server) = listen(&Engine::ready()).await;
    let good = get("/health/live").replace("connection: close\r\n", "");
    for count in [1, 3] {
        let answer = answer_to(address, format!("{}\u{1}\r\n\r\n", good.repeat(count)).as_bytes()).await;
        let mut rest = answer.as_str();
        for _ in 0..count {
            let (status, _, more) = split_response(rest);
            assert_eq!(status, 200, "{answer}");
            rest = more;
        }
        let (status, _, rest) = split_response(rest);
        assert_eq!((status, rest), (400, ""), "{answer}");
    }
    let answer = answer_to(address, format!("{good}PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").as_bytes()).await;
    let (_, _, rest) = split_response(&answer);
    assert!(split_response(rest).1["detail"].as_str().unwrap().contains("HTTP/2 begins"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_arrive_in_time_is_408() {
    let (address, _server) = listen(&Engine::ready()).await;
    let good = get("/health/live").replace("connection: close\r\n", "");
    for (before, after) in [("", "10 s"), (good.as_str(), "75 s")] {
        let answer =
            read_to_end(connect(address, &format!("{before}GET /models HTTP/1.1\r\nhost:")).await).await;
        let rest = if before.is_empty() { &answer } else { split_response(&answer).2 };
        let (status, problem, rest) = split_response(rest);
        assert_eq!((status, &problem["instance"], rest), (408, &Value::from("/models"), ""), "{answer}");
        assert!(problem["detail"].as_str().unwrap().contains(after), "{problem}");
    }
}

#[tokio::test]
async fn the_response_to_a_malformed_head_request_has_no_body() {
    let (address, _server) = listen(&Engine::ready()).await;
    let answer = answer_to(address, b"HEAD /health/live HTTP/1.1\r\nhost: x\r\nfoo\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn a_malformed_head_leaves_a_line_and_is_counted() {
    let (log, _guard) = captured_log(LogFormat::Json);
    let engine = Engine::ready();
    let (address, _server) = listen(&engine).await;
    for (head, route, method, status) in [
        ("GET /health/live HTTP/1.1\r\nfoo\r\n\r\n", "/health/live", "GET", 400),
        ("GET /nowhere HTTP/1.7\r\nfoo: x\r\n\r\n", "unmatched", "GET", 505),
        ("\u{1}\r\n\r\n", "unmatched", "other", 400),
    ] {
        let answer = answer_to(address, head.as_bytes()).await;
        let (said, problem, _) = split_response(&answer);
        assert_eq!(said, status, "{answer}");
        let metrics = engine.get("/metrics").await.text;
        let counted = format!(
            "onnward_http_requests_total{{method=\"{method}\",route=\"{route}\",status=\"{status}\"}} 1"
        );
        assert!(metrics.contains(&counted), "{counted}: {metrics}");
        let id = problem["request_id"].as_str().unwrap();
        let text = log.text();
        let lines: Vec<_> = text.lines().filter(|line| line.contains(id)).collect();
        assert!(
            matches!(lines[..], [line] if line.contains(&format!("\"http.response.status_code\":{status}"))),
            "{id}: {text}"
        );
    }
}

/// Pseudo-random numbers, the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

#[tokio::test]
async fn whatever_bytes_come_every_response_is_complete() {
    let (address, _server) = listen(&Engine::ready()).await;
    let valid = "POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nx-a: b\r\n\
                 content-length: 14\r\n\r\n{\"balance\": 1}";
    let mut numbers = Numbers(0x0123_4567_89ab_cdef);
    let mut rejected = 0;
    for _ in 0..600 {
        let mut bytes = valid.as_bytes().to_vec();
        for _ in 0..=numbers.below(4) {
            let at = numbers.below(bytes.len());
            match numbers.below(5) {
                0 => bytes[at] = numbers.below(256) as u8,
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, b"\0\x01\r\n :/,;\xff\"\\"[numbers.below(12)]),
                3 => bytes.truncate(at + 1),
                _ => {
                    let part = bytes[at..].to_vec();
                    bytes.extend(part);
                }
            }
        }
        let answer = answer_to(address, &bytes).await;
        let mut rest = answer.as_str();
        while !rest.is_empty() {
            // An informational response has no body.
            rest = rest.strip_prefix("HTTP/1.1 100 Continue\r\n\r\n").unwrap_or(rest);
            let (status, _, more) = split_response(rest);
            rejected += usize::from(status >= 400);
            assert_ne!(status, 500, "{:?}: {answer}", String::from_utf8_lossy(&bytes));
            rest = more;
        }
    }
    assert!(rejected > 300, "{rejected} of 600 were rejected");
}

#[tokio::test]
async fn heads_of_http2_have_the_same_limits() {
    let engine = Engine::ready();
    let (address, _server) = listen(&engine).await;
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut requests, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut status_of = async |field: (&str, String), count: usize| {
        let mut request = Request::get("http://x/health/live").version(Version::HTTP_2);
        for number in 0..count {
            request = request.header(format!("{}-{number}", field.0), field.1.as_str());
        }
        requests = requests.clone().ready().await.unwrap();
        let (response, _) = requests.send_request(request.body(()).unwrap(), true).unwrap();
        let mut response = response.await.unwrap();
        let mut body = Vec::new();
        while let Some(data) = response.body_mut().data().await {
            body.extend_from_slice(&data.unwrap());
        }
        (response.status().as_u16(), String::from_utf8(body).unwrap())
    };
    assert_eq!(status_of(("x", "y".repeat(100)), 10).await.0, 200);
    let (status, body) = status_of(("x", "y".repeat(4000)), 9).await;
    assert!(status == 431 && body.contains("32768 bytes"), "{status} {body}");
    let (status, body) = status_of(("x", "y".to_owned()), 65).await;
    assert!(status == 431 && body.contains("64 header fields"), "{status} {body}");
    assert_eq!(status_of(("x", "y".to_owned()), 1).await.0, 200, "the connection goes on");
}

#[tokio::test]
async fn a_connection_that_breaks_the_rules_of_http2_is_counted() {
    let engine = Engine::ready();
    let (address, _server) = listen(&engine).await;
    // A frame of SETTINGS on a stream.
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    bytes.extend(b"\0\0\0\x04\0\0\0\0\x01");
    let mut stream = connect(address, "").await;
    stream.write_all(&bytes).await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answer).await;
    let metrics = engine.get("/metrics").await.text;
    let counted = "onnward_connections_ended_early_total{listener=\"test\",reason=\"protocol\"} 1";
    assert!(metrics.contains(counted), "{metrics}");
}
