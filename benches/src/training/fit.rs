use std::io::{self, BufRead, Write};
use std::path::PathBuf;

use onnward_harness::HarnessError;
use onnward_models::{Dataset, Estimator, OnInvalid, Pipeline, roc_auc};
use onnward_schemas::SchemaFile;

use super::trainer::Said;
use super::{TRAIN_SEED, Task};

/// The settings of one process's fit.
#[derive(Debug, Clone)]
pub struct FitSettings {
    /// The task.
    pub task: Task,
    /// The estimator.
    pub estimator: Estimator,
    /// The schema of the tables.
    pub schema: PathBuf,
    /// The training table.
    pub train: PathBuf,
    /// The test table.
    pub test: PathBuf,
}

/// Reads, fits and evaluates once, and waits after each step so that the parent process can measure it: the
/// same steps as in `benches/peers/training/train.py`.
///
/// # Errors
/// [`HarnessError`]: a table cannot be read or fitted.
pub fn fit(settings: &FitSettings) -> Result<(), HarnessError> {
    let text = std::fs::read_to_string(&settings.schema).map_err(HarnessError::reading(&settings.schema))?;
    let schema = SchemaFile::parse(&text)
        .map_err(|source| HarnessError::Schema { path: settings.schema.clone(), source })?
        .schema;
    let train = Dataset::read(&settings.train, &schema, OnInvalid::Fail)?;
    pause("read")?;
    let params = settings.task.params(settings.estimator);
    let pipeline = Pipeline::fit(&train, &params, TRAIN_SEED, &|_| ())?;
    pause("fitted")?;
    let test = Dataset::read(&settings.test, &schema, OnInvalid::Fail)?;
    let scores = pipeline.predict(test.features.view());
    let (Some(labels), Some(probabilities)) = (test.labels.binary(), scores.probabilities()) else {
        return Err(HarnessError::Settings("training is compared on a binary label".to_owned()));
    };
    let roc_auc = roc_auc(labels, probabilities);
    let (library, version) = settings.estimator.solver.library();
    println!("{}", serde_json::to_string(&Said { library: format!("{library} {version}"), roc_auc })?);
    Ok(())
}

fn pause(said: &str) -> Result<(), HarnessError> {
    let mut out = io::stdout();
    writeln!(out, "{said}")
        .and_then(|()| out.flush())
        .map_err(HarnessError::system("write to the benchmark"))?;
    io::stdin()
        .lock()
        .read_line(&mut String::new())
        .map_err(HarnessError::system("wait for the benchmark"))?;
    Ok(())
}
