//! The parts of a request, one by one: JSON → features, the hand-over through the batcher, the session's run,
//! the answer → JSON. All data is made before the clock runs, from fixed seeds.
//!
//! ONNX Runtime is measured only if its telemetry is off before the process starts, as in `make bench-micro`.

// A bench fails by panicking, and criterion's macros make functions without comments.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::convert::Infallible;
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ndarray::ArrayView2;
use onnward_benches::comparison::models::fit;
use onnward_benches::comparison::workload::{Protocol, Workload};
use onnward_exporter::export::export;
use onnward_http::answer::Answer;
use onnward_models::Family;
use onnward_onnx::Artifact;
use onnward_quality::drift::Drift;
use onnward_quality::drift::DriftConfig;
use onnward_records::prediction_id::PredictionId;
use onnward_rows::{BodyShape, RowParser, RowsLimits};
use onnward_runtime::backend::{
    Backend, BackendError, BackendKind, Batch, Session, TELEMETRY_SWITCH, Tract, load_onnxruntime,
};
use onnward_runtime::costs::BatchCosts;
use onnward_runtime::description::Description;
use onnward_runtime::memory::MemoryReservation;
use onnward_runtime::threads::RuntimeThreads;
use onnward_schemas::{Predictions, Rows};
use onnward_serving::batcher::{Batcher, BatchingConfig, RowWidth, Workers};
use onnward_serving::monitor::Monitor;
use onnward_serving::registry::ServingModel;
use onnward_serving::version::ModelVersion;
use onnward_telemetry::metrics::Metrics;
use tempfile::TempDir;

const LIMITS: RowsLimits = RowsLimits::of_rows(1024);
const LONG: Duration = Duration::from_secs(60);

/// Returns the default settings, without a limit of rows per second.
const DRIFT: DriftConfig = DriftConfig {
    window_rows: 10_000,
    window: Duration::from_secs(86_400),
    min_rows: 500,
    sample: 1.0,
    max_rows_per_second: 100_000_000,
    alpha: 0.01,
    psi_threshold: 0.1,
};

/// A session that takes no time.
struct Constant;

impl Session for Constant {
    fn score(&mut self, batch: Batch<'_>) -> Result<Predictions, BackendError> {
        Ok(vec![0.123_456_79; batch.rows()].into())
    }
}

struct Data {
    workload: Workload,
    parser: RowParser,
    artifacts: Vec<(Family, Artifact)>,
}

impl Data {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/telco.toml");
        let workload = Workload::new(&schema, None, folder.path()).unwrap();
        let artifact = |family| (family, export(&fit(&workload, family).unwrap()).unwrap());
        let artifacts = [Family::Logistic, Family::Forest].map(artifact).into();
        let parser = RowParser::new(workload.schema.clone());
        Self { workload, parser, artifacts }
    }

    fn body(&self, rows: usize) -> Vec<u8> {
        self.workload.bodies(Protocol::Named, rows).unwrap().remove(0)
    }

    fn rows(&self, rows: usize) -> Rows {
        self.read(&self.body(rows))
    }

    fn read(&self, body: &[u8]) -> Rows {
        self.parser.parse(body, LIMITS, false).unwrap().rows
    }

    fn batcher(&self) -> Batcher {
        let config = BatchingConfig {
            workers: 1,
            max_batch_rows: Some(1024),
            max_queue_rows: 16_384,
            max_queue_delay: Duration::ZERO,
        };
        let monitor = monitor();
        let width = RowWidth::of(&self.workload.schema);
        let sessions: Vec<Box<dyn Session>> = vec![Box::new(Constant)];
        let costs = costs();
        Batcher::start(
            sessions,
            &costs,
            width,
            &config,
            monitor,
            &Workers::new(NonZeroUsize::MIN),
            &RuntimeThreads::default(),
            Rows::default(),
        )
        .unwrap()
    }

    fn serving(&self) -> ServingModel {
        let (_, artifact) = &self.artifacts[0];
        ServingModel {
            name: "churn".to_owned(),
            version: 1,
            sha256: String::new(),
            size_bytes: 0,
            backend: BackendKind::Tract,
            comparison: None,
            identity: Arc::new(ModelVersion::new("churn", 1, "", &artifact.metadata.schema)),
            description: Description::Artifact(Box::new(artifact.metadata.clone())),
            parser: self.parser.clone(),
            memory: MemoryReservation::default(),
            monitor: monitor(),
            batcher: self.batcher(),
        }
    }
}

/// Creates an observer whose counts are not read.
fn monitor() -> Arc<Monitor> {
    Arc::new(Monitor::new(Metrics::new().unwrap().inference("churn", 1, "tract")))
}

/// Returns the efficient batch size of a session that takes almost no time for up to 128 rows.
fn costs() -> BatchCosts {
    BatchCosts::measure(|rows| Ok::<_, Infallible>(Duration::from_nanos(1000 * rows as u64))).unwrap()
}

fn json_to_features(criterion: &mut Criterion) {
    let data = Data::new();
    let mut group = criterion.benchmark_group("json_to_features");
    for rows in [1, 1024] {
        let body = data.body(rows);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(rows), |bencher| {
            bencher.iter(|| data.read(black_box(&body)));
        });
    }
}

fn hand_off(criterion: &mut Criterion) {
    let data = Data::new();
    let batcher = data.batcher();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut group = criterion.benchmark_group("hand_off");
    for rows in [1, 32, 1024] {
        let rows = data.rows(rows);
        group.bench_function(BenchmarkId::from_parameter(rows.len), |bencher| {
            let submit = |rows| runtime.block_on(batcher.submit(rows, LONG)).unwrap();
            bencher.iter_batched(|| rows.clone(), submit, criterion::BatchSize::SmallInput);
        });
    }
}

fn session(criterion: &mut Criterion) {
    let data = Data::new();
    let mut backends: Vec<Arc<dyn Backend>> = vec![Arc::new(Tract::new())];
    if std::env::var_os(TELEMETRY_SWITCH).is_some_and(|value| value == "1") {
        match load_onnxruntime(None) {
            Ok(runtime) => backends.push(runtime),
            Err(error) => eprintln!("ONNX Runtime is left out: {error}"),
        }
    } else {
        eprintln!("ONNX Runtime is left out: {TELEMETRY_SWITCH} is not 1");
    }
    for backend in backends {
        for (family, artifact) in &data.artifacts {
            let mut session =
                backend.open(&artifact.encode_subgraph().unwrap(), &data.workload.schema.label.task).unwrap();
            let mut group = criterion.benchmark_group(format!("session/{}/{family}", backend.kind()));
            for count in [1, 32, 1024] {
                let rows = data.rows(count);
                let width = data.workload.schema.features.len();
                let matrix = ArrayView2::from_shape((count, width), &rows.values).unwrap();
                group.throughput(Throughput::Elements(count as u64));
                group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
                    bencher.iter(|| session.score(Batch::Features(black_box(matrix))).unwrap());
                });
            }
        }
    }
}

fn answer_to_json(criterion: &mut Criterion) {
    let data = Data::new();
    let model = data.serving();
    let mut group = criterion.benchmark_group("answer_to_json");
    for (rows, form) in [(1, BodyShape::Single), (1024, BodyShape::Many)] {
        let probabilities: Vec<f32> = (0..rows).map(|row| (row as f32 + 0.5) / rows as f32).collect();
        let predictions = Predictions::from(probabilities);
        let answer =
            Answer { model: &model, predictions: &predictions, form, first: Some(PredictionId::now()) };
        group.bench_function(BenchmarkId::from_parameter(rows), |bencher| {
            bencher.iter(|| serde_json::to_vec(black_box(&answer)).unwrap());
        });
    }
}

/// Times counting a scored batch for drift: every row, and one in ten.
fn drift(criterion: &mut Criterion) {
    let data = Data::new();
    let (_, artifact) = &data.artifacts[0];
    let metadata = &artifact.metadata;
    for sample in [1.0, 0.1] {
        let config = DriftConfig { sample, ..DRIFT };
        let drift = Drift::new(&metadata.schema, &metadata.profile, config);
        let mut group = criterion.benchmark_group(format!("drift/{sample}"));
        for count in [1, 32, 1024] {
            let rows = data.rows(count);
            let probabilities: Vec<f32> = (0..count).map(|row| (row as f32 + 0.5) / count as f32).collect();
            group.throughput(Throughput::Elements(count as u64));
            group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
                bencher.iter(|| drift.observe(black_box(&rows.values), black_box(&probabilities)));
            });
        }
    }
    let drift = Drift::new(&metadata.schema, &metadata.profile, DRIFT);
    let rows = data.rows(1024);
    drift.observe(&rows.values, &vec![0.5; 1024]);
    criterion.bench_function("drift/report", |bencher| bencher.iter(|| drift.report()));
}

criterion_group!(parts, json_to_features, hand_off, session, answer_to_json, drift);
criterion_main!(parts);
