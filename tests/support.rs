//! What several tests need: tables, trained models, backends.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use ndarray::Array2;
use onnward_engine::backend::{self, Backend, Tract};
use onnward_models::{
    CandidateParams, Dataset, Estimator, ForestParams, OnInvalid, SampleFormat, Settings, TrainedModel,
    TrainingPlan, train, write_sample,
};
use onnward_schemas::SchemaFile;
use tempfile::TempDir;

/// The workspace's folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A schema that ships with the project.
pub fn schema(name: &str) -> SchemaFile {
    let path = root().join("schemas").join(name).with_extension("toml");
    SchemaFile::parse(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// A table to train on and the models trained on it.
pub struct Trained {
    /// The table.
    pub data: Dataset,
    /// One model a family.
    pub models: Vec<TrainedModel>,
}

/// Models of the real Telco table where `TELCO_CSV` names it, else of sampled customers.
pub fn telco() -> &'static Trained {
    static TRAINED: OnceLock<Trained> = OnceLock::new();
    TRAINED.get_or_init(|| train_all("telco", std::env::var_os("TELCO_CSV").map(PathBuf::from)))
}

/// Models of sampled bank customers.
pub fn bank() -> &'static Trained {
    static TRAINED: OnceLock<Trained> = OnceLock::new();
    TRAINED.get_or_init(|| train_all("bank", None))
}

fn train_all(name: &str, table: Option<PathBuf>) -> Trained {
    let file = schema(name);
    let folder = TempDir::new().unwrap();
    let table = table.unwrap_or_else(|| {
        let path = folder.path().join("customers.csv");
        write_sample(&file, 3000, 42, SampleFormat::Csv, File::create(&path).unwrap(), |_| ()).unwrap();
        path
    });
    let data = Dataset::read(&table, &file.schema, OnInvalid::Fail).unwrap();
    let candidates = Estimator::ALL.into_iter().map(CandidateParams::default_of).map(|mut params| {
        // Leaves of one row make the deepest trees and the closest thresholds.
        if let Settings::Forest(forest) = &mut params.settings {
            *forest = deep(forest.clone());
        }
        params
    });
    let plan = TrainingPlan { candidates: candidates.collect(), folds: 2, ..TrainingPlan::default() };
    let models = train(&data, &plan, &|_| ()).unwrap().models;
    Trained { data, models }
}

fn deep(params: ForestParams) -> ForestParams {
    ForestParams { trees: 40, min_samples_leaf: 1, min_samples_split: 2, ..params }
}

/// Every backend. ONNX Runtime must be among them unless `WITHOUT_ONNXRUNTIME` is set, so that a missing
/// library cannot make the tests pass by testing nothing.
pub fn backends() -> Vec<Arc<dyn Backend>> {
    let tract: Arc<dyn Backend> = Arc::new(Tract::new());
    match backend::load_onnxruntime(None) {
        Ok(runtime) => vec![runtime, tract],
        Err(reason) => {
            let allowed = std::env::var_os("WITHOUT_ONNXRUNTIME").is_some();
            assert!(allowed, "run `make test`, which fetches the library: {reason}");
            vec![tract]
        }
    }
}

/// The rows of a table followed by its first rows with each feature missing in turn and each category unknown in turn.
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
