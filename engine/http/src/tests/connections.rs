//! Real connections, for behaviour that a router alone cannot show.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::fixtures::{Engine, PHONE_ROW};
use crate::lifecycle::ShutdownConfig;
use crate::lifecycle::{Ending, Phase, conduct};
use crate::tls::ServerTls;
use crate::{ConnectionLimits, Server, serve};

pub const LIMITS: ConnectionLimits = ConnectionLimits {
    max_connections: 100,
    max_headers: 64,
    max_header_bytes: 32 * 1024,
    max_streams: 128,
    max_request_age: Duration::from_secs(60),
    max_drained_bytes: 32 << 20,
    max_drain_time: Duration::from_secs(30),
};

pub async fn listen(engine: &Engine) -> (SocketAddr, JoinHandle<()>) {
    listen_with(engine, LIMITS, None).await
}

pub async fn listen_with(
    engine: &Engine,
    limits: ConnectionLimits,
    tls: Option<Arc<ServerTls>>,
) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server {
        listener,
        router: engine.router(),
        tls,
        limits,
        metrics: engine.metrics.connections("test"),
    };
    (address, tokio::spawn(serve(server, Arc::clone(&engine.lifecycle))))
}

pub async fn connect(address: SocketAddr, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

pub async fn read_to_end(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

fn post(body: &str, length: usize) -> String {
    format!(
        "POST /predict HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
}

#[tokio::test]
async fn ten_megabytes_are_answered_with_413_and_not_with_a_broken_connection() {
    let (address, _server) = listen(&Engine::ready()).await;
    let body = "x".repeat(10_000_000);
    let answer = read_to_end(connect(address, &post(&body, body.len())).await).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains("application/problem+json") && answer.contains("body-too-large"), "{answer}");
}

#[tokio::test]
async fn a_client_that_watches_for_it_is_told_413_while_it_sends() {
    let (address, _server) = listen(&Engine::ready()).await;
    let mut stream = connect(address, &post(&"x".repeat(100_000), 10_000_000)).await;
    let mut answer = String::new();
    while !answer.contains("body-too-large") {
        let mut piece = [0; 1024];
        let bytes = stream.read(&mut piece).await.unwrap();
        assert!(bytes > 0, "closed after {answer:?}");
        answer.push_str(std::str::from_utf8(&piece[..bytes]).unwrap());
    }
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_413_before_it_sends() {
    let (address, _server) = listen(&Engine::ready()).await;
    let head = post("", 10_000_000).replacen("host: x", "host: x\r\nexpect: 100-continue", 1);
    let answer = read_to_end(connect(address, &head).await).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_408() {
    let mut engine = Engine::ready();
    engine.config.request_timeout = Duration::from_millis(1);
    let (address, _server) = listen(&engine).await;
    let answer = read_response(&mut connect(address, &post("{", 100)).await).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

/// A request that is rejected, by its head, before its body is read.
const REJECTED: [(&str, &str, &str); 8] = [
    ("404", "/nowhere", ""),
    ("404", "/models/none/predict", ""),
    ("404", "/models/phone/versions/9/predict", ""),
    ("405", "/models", ""),
    ("415", "/predict", "content-type: text/csv\r\n"),
    ("415", "/predict", "content-encoding: br\r\n"),
    ("400", "/predict", "x-request-timeout-ms: soon\r\n"),
    ("413", "/predict", ""),
];

/// Reads one response with a body whose length is announced.
async fn read_response(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let bytes = stream.read(&mut piece).await.unwrap();
        text.extend_from_slice(&piece[..bytes]);
        let so_far = String::from_utf8_lossy(&text);
        let length = so_far.split_once("content-length: ").and_then(|(_, rest)| rest.split_once("\r\n"));
        let whole = so_far
            .split_once("\r\n\r\n")
            .zip(length)
            .is_some_and(|((_, body), (length, _))| body.len() >= length.parse().unwrap());
        if whole || bytes == 0 {
            return so_far.into_owned();
        }
    }
}

/// Whatever rejects a request before its body is read, the response arrives, and the next request on the
/// connection is either answered or was told beforehand that the connection closes.
#[tokio::test]
async fn a_rejection_never_costs_the_next_request() {
    let (address, _server) = listen(&Engine::ready()).await;
    let mut kept = 0;
    for (status, path, fields) in REJECTED {
        for size in [PHONE_ROW.len(), 60_000, 200_000, 9_000_000] {
            if (status == "413") != (size > 8 << 20) {
                continue;
            }
            for (is_chunked, pause) in [(false, 0), (false, 3), (false, 40), (true, 0), (true, 3)] {
                if status == "413" && is_chunked {
                    continue;
                }
                let body = " ".repeat(size);
                let framing = if is_chunked {
                    "transfer-encoding: chunked".to_owned()
                } else {
                    format!("content-length: {size}")
                };
                let body = if is_chunked { format!("{size:x}\r\n{body}\r\n0\r\n\r\n") } else { body };
                let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\n{fields}{framing}\r\n\r\n");
                let case = format!("{status} {path} {fields:?} {framing} {pause} ms");
                let mut stream = connect(address, &head).await;
                stream.set_nodelay(true).unwrap();
                tokio::time::sleep(Duration::from_millis(pause)).await;
                let _ = stream.write_all(body.as_bytes()).await;
                let refused = read_response(&mut stream).await;
                assert!(refused.starts_with(&format!("HTTP/1.1 {status}")), "{case}: {refused}");
                if refused.contains("connection: close") {
                    continue;
                }
                kept += 1;
                stream.write_all(get("/health/live").as_bytes()).await.unwrap();
                let next = read_response(&mut stream).await;
                assert!(next.starts_with("HTTP/1.1 200"), "{case}: {next}");
            }
        }
    }
    assert!(kept > 0, "connections whose rejected bodies are small stay open");
}

/// A parser that takes LF alone for the end of a line sees the end of the body elsewhere than hyper.
#[tokio::test]
async fn a_body_whose_end_is_uncertain_ends_its_connection() {
    let (address, _server) = listen(&Engine::ready()).await;
    let next = get("/health/live").replace("connection: close\r\n", "");
    let size = PHONE_ROW.len();
    for (path, ending, status) in [
        ("/models/phone/predict", "0\r\n\r\n", None),
        ("/models/phone/predict", "0\r\n\n", Some("200")),
        ("/models/phone/predict", "0\r\nx: y\n\n", Some("200")),
        ("/models/phone/predict", "0\r\nx: y\r\n\r\n", Some("200")),
        ("/models/phone/predict", "zz\r\n", Some("400")),
        ("/nothing", "0\r\n\n", Some("404")),
        ("/nothing", "zz\r\n", Some("404")),
    ] {
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
        let body = format!("{size:x}\r\n{PHONE_ROW}\r\n{ending}");
        let mut stream = connect(address, &format!("{head}{body}{next}{next}")).await;
        let answer = read_response(&mut stream).await;
        let is_closed = answer.contains("connection: close");
        assert_eq!(is_closed, status.is_some(), "{path} {ending:?}: {answer}");
        let expected = format!("HTTP/1.1 {}", status.unwrap_or("200"));
        assert!(answer.starts_with(&expected), "{path} {ending:?}: {answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn connections_that_send_no_head_are_closed() {
    let (address, _server) = listen(&Engine::ready()).await;
    for beginning in ["", "P", "PRI * HTTP/2", "GET / HTTP/1.1\r\nhost:"] {
        // Without a timeout on the server's side, this read would never end.
        read_to_end(connect(address, beginning).await).await;
    }
}

#[tokio::test]
async fn http2_is_spoken_too() {
    let (address, _server) = listen(&Engine::ready()).await;
    // The preface and an empty SETTINGS frame, which the server answers with its own.
    let mut stream = connect(address, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}\0\0\0\0\0").await;
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(head[3], 4, "a SETTINGS frame");
}

pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
}

#[tokio::test(start_paused = true)]
async fn stopping_turns_readiness_first_and_lets_the_last_requests_end() {
    let (engine, leave) = Engine::gated();
    // While a blocking task runs, only `advance` moves the paused clock.
    let (_hold, held) = std::sync::mpsc::channel::<()>();
    let _standing = tokio::task::spawn_blocking(move || held.recv());
    let (address, server) = listen(&engine).await;
    let (signal, signals) = mpsc::channel(2);
    let config = ShutdownConfig { grace: Duration::from_secs(5), drain_timeout: Duration::from_secs(20) };
    let lifecycle = Arc::clone(&engine.lifecycle);
    let conductor =
        tokio::spawn(
            async move { conduct(signals, config, &lifecycle, async { server.await.unwrap() }).await },
        );
    let in_flight = connect(address, &post(PHONE_ROW, PHONE_ROW.len())).await;
    let idle = TcpStream::connect(address).await.unwrap();

    signal.send("SIGTERM").await.unwrap();
    engine.lifecycle.reached(Phase::Grace).await;
    let ready = read_to_end(connect(address, &get("/health/ready")).await).await;
    assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("retry-after: 1"), "{ready}");
    let live = read_to_end(connect(address, &get("/health/live")).await).await;
    assert!(live.starts_with("HTTP/1.1 200"), "{live}");
    // A keep-alive client receives `connection: close`, so that its next request goes to another instance.
    let kept = get("/health/live").replace("connection: close\r\n", "");
    let told = read_to_end(connect(address, &kept).await).await;
    assert!(told.starts_with("HTTP/1.1 200") && told.contains("connection: close"), "{told}");

    tokio::time::advance(config.grace).await;
    engine.lifecycle.reached(Phase::Draining).await;
    leave.send(()).unwrap();
    let answer = read_to_end(in_flight).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    while !conductor.is_finished() {
        // One wait begins where another ends, and sockets do not follow the paused clock.
        std::thread::sleep(Duration::from_millis(1));
        tokio::time::advance(Duration::from_millis(50)).await;
    }
    assert_eq!(conductor.await.unwrap(), Ending::Clean);
    assert_eq!(read_to_end(idle).await, "");
    assert!(TcpStream::connect(address).await.is_err(), "the listener is closed");
}
