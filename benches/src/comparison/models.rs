//! The models: Onnward's and the peers'.

use std::fs;
use std::path::Path;

use onnward_exporter::export::export;
use onnward_harness::HarnessError;
use onnward_harness::publisher::Publisher;
use onnward_models::{CandidateParams, Family, TrainedModel, TrainingError, TrainingPlan, train};
use onnward_repository::RepositoryConfig;
use onnward_schemas::sha256_hex;

use crate::comparison::peers::Environment;
use crate::comparison::subject::Files;
use crate::comparison::workload::Workload;

/// Trains a model of each family with the trainer's defaults and publishes them: each in a repository of its
/// own, and all in one.
///
/// # Errors
/// [`HarnessError`] of the trainer, the exporter or the repository.
pub fn train_onnward(files: &Files, workload: &Workload, families: &[Family]) -> Result<(), HarnessError> {
    let _ = fs::remove_dir_all(files.both());
    for &family in families {
        let model = fit(workload, family)?;
        let artifact = export(&model)?;
        let (bytes, fingerprint) = (artifact.encode(), artifact.metadata.schema.fingerprint());
        let path = files.work.join(format!("{}.onnx", family.name()));
        fs::write(&path, &bytes).map_err(HarnessError::system(format!("write {}", path.display())))?;
        let own = files.repository(family);
        let _ = fs::remove_dir_all(&own);
        publish(&own, "churn", bytes.clone(), &fingerprint)?;
        publish(&files.both(), family.name(), bytes, &fingerprint)?;
    }
    Ok(())
}

/// Trains a model of a family with the trainer's defaults.
///
/// # Errors
/// [`HarnessError::Training`].
pub fn fit(workload: &Workload, family: Family) -> Result<TrainedModel, HarnessError> {
    let candidates = vec![CandidateParams::default_of(family)];
    let plan = TrainingPlan { candidates, folds: 2, ..TrainingPlan::default() };
    let trained = train(&workload.data, &plan, &|_| ())?.models;
    Ok(trained.into_iter().next().ok_or(TrainingError::NoCandidates)?)
}

/// Publishes an artifact as the next version of a model in a repository in `folder`, and promotes it.
///
/// # Errors
/// [`HarnessError::Repository`], [`HarnessError::System`].
pub fn publish(
    folder: &Path,
    model: &'static str,
    artifact: Vec<u8>,
    fingerprint: &str,
) -> Result<(), HarnessError> {
    fs::create_dir_all(folder).map_err(HarnessError::system(format!("make {}", folder.display())))?;
    let location = folder.display().to_string();
    let config = RepositoryConfig { location, ..RepositoryConfig::default() };
    let publisher = Publisher::open(&config, model)?;
    let (version, _) = publisher.publish(artifact, fingerprint.to_owned())?;
    publisher.promote(version)
}

/// The file beside the peers' models with digests of what they were fitted from.
const INPUTS: &str = "inputs.sha256";

/// Fits the peers' models with scikit-learn on the same table, unless they were already fitted from it.
///
/// # Errors
/// A sentence that says why there are none.
pub fn train_peers(
    python: &str,
    files: &Files,
    workload: &Workload,
    environments: &Path,
) -> Result<(), String> {
    let sources = files.peers.join("models");
    let (script, requirements) = (sources.join("train.py"), sources.join("requirements.txt"));
    let (inputs, models) = (digests(&[&script, &requirements, &workload.table])?, files.peer_models());
    let fitted_from = models.join(INPUTS);
    if fs::read_to_string(&fitted_from).is_ok_and(|known| known == inputs) {
        return Ok(());
    }
    // What is there may not be complete until the script has ended.
    let _ = fs::remove_file(&fitted_from);
    let environment = Environment::prepare(python, &requirements, environments.join("models"))?;
    environment.run(&script, &[&workload.table, &models])?;
    fs::write(&fitted_from, inputs)
        .map_err(|error| format!("cannot write {}: {error}", fitted_from.display()))
}

/// Returns a line with the SHA-256 of each file.
fn digests(files: &[&Path]) -> Result<String, String> {
    let digest = |file: &&Path| {
        let bytes = fs::read(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
        Ok(sha256_hex(&bytes) + "\n")
    };
    files.iter().map(digest).collect()
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn the_peers_models_are_fitted_again_when_the_table_changes() {
        let folder = TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name);
        let files = Files {
            engine: path("engine"),
            bench: path("bench"),
            peers: "peers".into(),
            work: path("work"),
            engine_environment: Vec::new(),
        };
        let schema = Path::new("../schemas/telco.toml");
        let mut workload = Workload::new(schema, None, folder.path()).unwrap();
        let train = |workload: &Workload| train_peers("no-such-python", &files, workload, &path("peers"));
        assert!(train(&workload).unwrap_err().contains("no-such-python does not start"));
        let sources = ["models/train.py", "models/requirements.txt"].map(|file| files.peers.join(file));
        let inputs = digests(&[&sources[0], &sources[1], &workload.table]).unwrap();
        fs::create_dir_all(files.peer_models()).unwrap();
        fs::write(files.peer_models().join(INPUTS), inputs).unwrap();
        train(&workload).unwrap();
        workload.table = schema.to_owned();
        assert!(train(&workload).is_err());
        assert!(!files.peer_models().join(INPUTS).exists());
    }
}
