//! Shared parts of several tests: tables, trained models, backends, and the programs.

pub mod artifacts;
pub mod fault_proxy;
pub mod json_schema;
pub mod programs;
pub mod seaweedfs;
pub mod wait;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use ndarray::Array2;
use onnward_models::{
    CandidateParams, Dataset, Estimator, Family, ForestParams, OnInvalid, SampleFormat, Settings,
    TrainedModel, TrainingPlan, train, write_sample,
};
use onnward_runtime::backend::{self, Backend, Tract};
use onnward_schemas::SchemaFile;
use tempfile::TempDir;

/// Returns the workspace's folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Reads a schema that ships with the project.
pub fn schema(name: &str) -> SchemaFile {
    let path = root().join("schemas").join(name).with_extension("toml");
    SchemaFile::parse(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// A table and the models trained on it.
pub struct Trained {
    /// The table.
    pub data: Dataset,
    /// One model of each estimator for the task.
    pub models: Vec<TrainedModel>,
}

/// Returns models of the real Telco table if `TELCO_CSV` is its path, else of sampled rows.
pub fn telco() -> &'static Trained {
    static TRAINED: OnceLock<Trained> = OnceLock::new();
    TRAINED.get_or_init(|| train_all("telco", std::env::var_os("TELCO_CSV").map(PathBuf::from)))
}

/// Returns models of sampled bank customers.
pub fn bank() -> &'static Trained {
    static TRAINED: OnceLock<Trained> = OnceLock::new();
    TRAINED.get_or_init(|| train_all("bank", None))
}

/// Returns models of sampled rows of a schema that ships with the project, for a label of any task.
pub fn trained(name: &str) -> Trained {
    train_all(name, None)
}

fn train_all(name: &str, table: Option<PathBuf>) -> Trained {
    let folder = TempDir::new().unwrap();
    let table = table.unwrap_or_else(|| sample(folder.path(), name, 3000, 42));
    // Leaves of one row make the deepest trees and the closest thresholds.
    let deep = |params| ForestParams { trees: 40, min_samples_leaf: 1, min_samples_split: 2, ..params };
    train_on(name, &table, TrainingPlan::default().seed, deep)
}

/// Samples few rows and trains small models on them, one a family, all with this seed.
pub fn train_small(name: &str, seed: u64) -> Trained {
    let folder = TempDir::new().unwrap();
    let table = sample(folder.path(), name, 400, seed);
    train_on(name, &table, seed, |params| ForestParams { trees: 5, ..params })
}

/// Trains a logistic regression on made-up rows with this many numeric columns, each of which has an effect.
pub fn train_wide(columns: usize) -> Trained {
    const ROWS: usize = 400;
    let names = (0..columns).map(|column| format!("[[features]]\nname = 'x{column}'\ntype = 'numeric'\n"));
    let label = "label = { column = 'y', positive = '1', negative = '0' }";
    let schema = format!("name = 'wide'\nversion = 1\n{label}\n{}", names.collect::<String>());
    let schema = SchemaFile::parse(&schema).unwrap().schema;
    let mut table: String = (0..columns).map(|column| format!("x{column},")).collect::<String>() + "y\n";
    let mut numbers = random_numbers(1);
    // From -1 to 1.
    let mut next = || (numbers() >> 11) as f64 / (1_u64 << 52) as f64 - 1.0;
    for _ in 0..ROWS {
        let values: Vec<f64> = (0..columns).map(|_| next()).collect();
        // Signs alternate, so that large terms cancel.
        let signed = values.iter().enumerate().map(|(at, value)| if at % 2 == 0 { *value } else { -value });
        let is_positive = signed.sum::<f64>() > 3.0 * next();
        let cells = values.iter().map(|value| format!("{:.2},", 100.0 + 30.0 * value));
        table += &format!("{}{}\n", cells.collect::<String>(), u8::from(is_positive));
    }
    let data = Dataset::parse(table.as_bytes(), Path::new("wide.csv"), &schema, OnInvalid::Fail).unwrap();
    let candidates = vec![CandidateParams::default_of(Family::Logistic)];
    let plan = TrainingPlan { candidates, folds: 2, ..TrainingPlan::default() };
    let models = train(&data, &plan, &|_| ()).unwrap().models;
    Trained { data, models }
}

/// Returns a source of numbers that look random, the same for a seed in each run (a linear congruential generator,
/// Knuth's MMIX). The highest bits are the best.
pub fn random_numbers(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state
    }
}

fn sample(folder: &Path, name: &str, rows: u64, seed: u64) -> PathBuf {
    let path = folder.join("rows.csv");
    let table = File::create(&path).unwrap();
    write_sample(&schema(name), rows, seed, SampleFormat::Csv, table, |_| ()).unwrap();
    path
}

fn train_on(name: &str, table: &Path, seed: u64, forest: impl Fn(ForestParams) -> ForestParams) -> Trained {
    let data = Dataset::read(table, &schema(name).schema, OnInvalid::Fail).unwrap();
    let task = data.labels.task();
    let fitting = Estimator::ALL.into_iter().filter(|estimator| estimator.fits(task));
    let candidates = fitting.map(|estimator| CandidateParams::for_task(estimator, task)).map(|mut params| {
        if let Settings::Forest(settings) = &mut params.settings {
            *settings = forest(settings.clone());
        }
        params
    });
    let plan = TrainingPlan { candidates: candidates.collect(), folds: 2, seed, ..TrainingPlan::default() };
    let models = train(&data, &plan, &|_| ()).unwrap().models;
    Trained { data, models }
}

/// Returns every backend. ONNX Runtime must be among them unless `WITHOUT_ONNXRUNTIME` is set, so that tests
/// cannot pass because the library is missing.
pub fn backends() -> Vec<Arc<dyn Backend>> {
    let tract: Arc<dyn Backend> = Arc::new(Tract::new());
    match backend::load_onnxruntime(None) {
        Ok(runtime) => vec![runtime, tract],
        Err(reason) => {
            let allowed = std::env::var_os("WITHOUT_ONNXRUNTIME").is_some();
            assert!(allowed, "run `make test`, which downloads the library: {reason}");
            vec![tract]
        }
    }
}

/// Returns the rows of a table, followed by its first rows with each feature missing in turn and each
/// category unknown in turn.
pub fn rows_with_gaps(trained: &Trained) -> Array2<f32> {
    const REPEATED: usize = 25;
    let table = trained.data.features.view();
    let mut rows: Vec<f32> = table.iter().copied().collect();
    let replaced = trained.data.schema.features.iter().enumerate().flat_map(|(index, feature)| {
        let unknown = (!feature.is_numeric()).then_some((index, onnward_schemas::UNKNOWN_CATEGORY));
        [Some((index, f32::NAN)), unknown].into_iter().flatten()
    });
    for (feature, value) in replaced {
        for row in table.outer_iter().take(REPEATED) {
            let mut row = row.to_vec();
            row[feature] = value;
            rows.extend(row);
        }
    }
    rows.extend(vec![f32::NAN; table.ncols()]);
    Array2::from_shape_vec((rows.len() / table.ncols(), table.ncols()), rows).unwrap()
}
