//! The number of allocations of a request, by the whole engine, which serves in this process on all of its
//! threads.
//!
//! The generator allocates nothing for a request, so that all counted allocations are the engine's.

// A bench fails by panicking.
#![allow(clippy::unwrap_used)]

use std::alloc::System;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use onnward_benches::comparison::models::{fit, publish};
use onnward_benches::comparison::workload::{Protocol, Workload};
use onnward_engine::config::{Config, Flags};
use onnward_exporter::export::export;
use onnward_harness::generator::{ResponseReader, post};
use onnward_models::Family;
use onnward_runtime::backend::BackendChoice;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tempfile::TempDir;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The number of counted requests.
const REQUESTS: usize = 10_000;
/// The requests before them, for what is allocated once.
const WARM_UP: usize = 1000;

fn main() {
    let folder = TempDir::new().unwrap();
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/telco.toml");
    let workload = Workload::new(&schema, None, folder.path()).unwrap();
    let artifact = export(&fit(&workload, Family::Logistic).unwrap()).unwrap();
    let repository = folder.path().join("repository");
    publish(&repository, "churn", artifact.encode(), &artifact.metadata.schema.fingerprint()).unwrap();
    let address = serve(&repository);

    for rows in [1, 32, 1024] {
        let body = workload.bodies(Protocol::Named, rows).unwrap().remove(0);
        let request = post(&address.to_string(), "/predict", &body);
        let mut client = Client::connect(address);
        (0..WARM_UP / rows + 1).for_each(|_| client.ask(&request));
        let region = Region::new(ALLOCATOR);
        let count = REQUESTS / rows + 1;
        (0..count).for_each(|_| client.ask(&request));
        let change = region.change();
        let each = |total: usize| total as f64 / count as f64;
        println!(
            "{rows:>5} rows a request: {:.1} allocations, {:.1} reallocations, {:.0} bytes a request",
            each(change.allocations),
            each(change.reallocations),
            each(change.bytes_allocated)
        );
    }
    // The engine would go on until it is told to stop.
    std::process::exit(0);
}

/// Serves the repository's model in this process, with tract: ONNX Runtime's allocations are not Rust's.
fn serve(repository: &Path) -> SocketAddr {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let flags = Flags {
        repository: Some(repository.display().to_string()),
        listen: Some(address.to_string()),
        backend: Some(BackendChoice::Tract),
        ..Flags::default()
    };
    let log = ("ONNWARD_LOG__LEVEL".to_owned(), "warn".to_owned());
    let config = Config::load(&flags, [log]).unwrap();
    std::thread::spawn(move || {
        onnward_engine::app::serve(config.clone(), move || Ok(config.clone())).unwrap()
    });
    let ready = format!("http://{address}/health/ready");
    let start = Instant::now();
    while ureq::get(&ready).call().is_err() {
        assert!(start.elapsed() < Duration::from_secs(60), "the engine does not become ready");
        std::thread::sleep(Duration::from_millis(10));
    }
    address
}

struct Client {
    stream: TcpStream,
    reader: ResponseReader,
}

impl Client {
    fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, reader: ResponseReader::new(false) }
    }

    fn ask(&mut self, request: &[u8]) {
        self.stream.write_all(request).unwrap();
        assert_eq!(self.reader.read(&mut self.stream).unwrap().map(|answered| answered.status), Some(200));
    }
}
