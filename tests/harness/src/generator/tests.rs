use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::*;

pub const REQUEST: &[u8] = b"{\"answer\": 42}";

/// Starts a server that answers its `n`th request on a connection with `answer(n)`, or closes the connection
/// if that is empty.
pub fn server(answer: impl Fn(usize) -> String + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let answer = Arc::clone(&answer);
            std::thread::spawn(move || serve(stream, &*answer));
        }
    });
    address
}

fn serve(stream: TcpStream, answer: &dyn Fn(usize) -> String) {
    let mut stream = BufReader::new(stream);
    for count in 0.. {
        let (mut line, mut length) = (String::new(), 0);
        while stream.read_line(&mut line).is_ok_and(|read| read > 2) {
            if let Some(value) = line.strip_prefix("Content-Length: ") {
                length = value.trim().parse().unwrap();
            }
            line.clear();
        }
        let mut body = vec![0; length];
        if length == 0 || stream.read_exact(&mut body).is_err() {
            return;
        }
        assert_eq!(body, REQUEST);
        let answer = answer(count);
        if answer.is_empty() || stream.get_mut().write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn with_status(status: u16) -> String {
    format!("HTTP/1.1 {status} Status\r\ncontent-length: 2\r\n\r\n{{}}")
}

fn plan(address: SocketAddr, schedule: Schedule) -> RunPlan {
    RunPlan {
        address,
        requests: vec![post("test", "/predict", REQUEST)],
        schedule,
        warm_up: Duration::from_millis(20),
        window: Duration::from_millis(200),
        max_windows: 3,
    }
}

fn open(rate: f64, connections: usize) -> Schedule {
    Schedule::Open { rate, arrivals: Arrivals::Constant, connections }
}

#[test]
fn a_server_that_stands_still_cannot_hide_it_from_an_open_loop() {
    let stall = Duration::from_millis(300);
    let start = Instant::now();
    let address = server(move |_| {
        let since = start.elapsed();
        // Stalls at 0.3 s.
        if since > stall && since < stall * 2 {
            std::thread::sleep((stall * 2).saturating_sub(since));
        }
        with_status(200)
    });
    let figures = run(&plan(address, open(1000.0, 4)), || Duration::ZERO).unwrap();
    let latency = figures.latency_us.unwrap();
    // About half of the requests fell into the pause and waited for its end, half of it on average; a
    // generator that counts from when it sends would see four.
    assert!(latency.p90 > 100_000.0, "{latency:?}");
    assert!(latency.max < 1_000_000.0, "{latency:?}");
}

#[test]
fn statuses_are_counted_apart() {
    let address = server(|count| with_status([200, 429, 422][count % 3]));
    let figures = run(&plan(address, Schedule::Closed { connections: 2 }), || Duration::ZERO).unwrap();
    let Statuses { ok, rejected, other, failed } = figures.statuses;
    assert!(ok > 0 && rejected > 0 && other > 0 && failed == 0, "{figures:?}");
    assert!(ok.abs_diff(rejected) <= 6 && ok.abs_diff(other) <= 6, "{figures:?}");
    assert!(figures.rejected_latency_us.is_some());
}

#[test]
fn an_answer_that_does_not_come_is_a_failure_and_the_next_request_has_a_new_connection() {
    let address = server(|count| if count == 9 { String::new() } else { with_status(200) });
    let figures = run(&plan(address, Schedule::Closed { connections: 1 }), || Duration::ZERO).unwrap();
    let Statuses { ok, failed, .. } = figures.statuses;
    assert!(failed > 1 && ok.abs_diff(failed * 9) <= 18, "{figures:?}");
}

#[test]
fn the_last_answer_of_a_connection_is_followed_by_the_first_of_another() {
    let last = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let address = server(|count| if count == 2 { last.to_owned() } else { with_status(200) });
    let figures = run(&plan(address, Schedule::Closed { connections: 1 }), || Duration::ZERO).unwrap();
    assert!(figures.statuses.ok > 3 && figures.statuses.failed == 0, "{figures:?}");
}

#[test]
fn who_is_refused_while_sending_stops_and_goes_on_with_another_connection() {
    const BODY: usize = 64 * 1024 * 1024;
    let (listener, seen) = (TcpListener::bind("127.0.0.1:0").unwrap(), Arc::new(AtomicUsize::new(0)));
    let (address, most_seen) = (listener.local_addr().unwrap(), Arc::clone(&seen));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut piece = vec![0; 1024];
            let mut bytes = 0;
            while let Ok(count @ 1..) = stream.read(&mut piece) {
                if bytes == 0 {
                    if stream.write_all(with_status(429).as_bytes()).is_err() {
                        break;
                    }
                    // The system takes some ten megabytes. Until they are full, nobody reads the answer.
                    std::thread::sleep(Duration::from_millis(50));
                }
                bytes += count;
            }
            most_seen.fetch_max(bytes, Ordering::Relaxed);
        }
    });
    let mut plan = plan(address, Schedule::Closed { connections: 1 });
    plan.requests = vec![post("test", "/predict", &vec![b' '; BODY])];
    let figures = run(&plan, || Duration::ZERO).unwrap();
    assert!(figures.statuses.rejected > 1 && figures.statuses.failed == 0, "{figures:?}");
    assert!(seen.load(Ordering::Relaxed) < BODY);
}

#[test]
fn a_server_that_does_not_speak_http_is_an_error() {
    let address = server(|_| "SSH-2.0-OpenSSH\r\n".to_owned());
    assert!(run(&plan(address, Schedule::Closed { connections: 1 }), || Duration::ZERO).is_err());
}

#[test]
fn an_open_loop_keeps_its_rate() {
    let address = server(|_| with_status(200));
    let figures = run(&plan(address, open(500.0, 8)), || Duration::ZERO).unwrap();
    assert!((figures.requests_per_second / 500.0 - 1.0).abs() < 0.1, "{figures:?}");
}

#[test]
fn what_the_server_used_is_asked_for_the_windows_that_count() {
    let address = server(|_| with_status(200));
    let mut calls = 0;
    let plan = plan(address, open(100.0, 1));
    let figures = run(&plan, || {
        calls += 1;
        Duration::from_millis(10) * calls
    });
    assert!((figures.unwrap().server_cpu_seconds - 0.03).abs() < 1e-9);
}
