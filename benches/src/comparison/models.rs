//! The models that are served: Onnward's, and those of the peers.

use std::path::Path;

use onnward_exporter::export::export;
use onnward_models::{CandidateParams, Family, TrainedModel, TrainingError, TrainingPlan, train};
use onnward_repository::RepositoryConfig;

use crate::comparison::peers::Environment;
use crate::comparison::subject::Files;
use crate::comparison::workload::Workload;
use crate::error::ProofError;
use crate::publisher::Publisher;

/// Trains a model of each family with the trainer's defaults and publishes them: each in a repository of its own, and all
/// in one.
///
/// # Errors
/// [`ProofError`]: what the trainer, the exporter or the repository says.
pub fn train_onnward(files: &Files, workload: &Workload, families: &[Family]) -> Result<(), ProofError> {
    let _ = std::fs::remove_dir_all(files.both());
    for &family in families {
        let model = fit(workload, family)?;
        let artifact = export(&model)?;
        let (bytes, fingerprint) = (artifact.encode(), artifact.metadata.schema.fingerprint());
        let path = files.work.join(format!("{}.onnx", family.name()));
        std::fs::write(&path, &bytes).map_err(ProofError::system(format!("write {}", path.display())))?;
        let own = files.repository(family);
        let _ = std::fs::remove_dir_all(&own);
        publish(&own, "churn", bytes.clone(), &fingerprint)?;
        publish(&files.both(), family.name(), bytes, &fingerprint)?;
    }
    Ok(())
}

/// Trains a model of a family with the trainer's defaults.
///
/// # Errors
/// [`ProofError::Training`].
pub fn fit(workload: &Workload, family: Family) -> Result<TrainedModel, ProofError> {
    let candidates = vec![CandidateParams::default_of(family)];
    let plan = TrainingPlan { candidates, folds: 2, ..TrainingPlan::default() };
    let trained = train(&workload.data, &plan, &|_| ())?.models;
    Ok(trained.into_iter().next().ok_or(TrainingError::NoCandidates)?)
}

/// Publishes an artifact as the next version of a model in a repository in `folder`, and promotes it.
///
/// # Errors
/// [`ProofError::Repository`], [`ProofError::System`].
pub fn publish(
    folder: &Path,
    model: &'static str,
    artifact: Vec<u8>,
    fingerprint: &str,
) -> Result<(), ProofError> {
    std::fs::create_dir_all(folder).map_err(ProofError::system(format!("make {}", folder.display())))?;
    let location = folder.display().to_string();
    let config = RepositoryConfig { location, ..RepositoryConfig::default() };
    let publisher = Publisher::open(&config, model)?;
    let (version, _) = publisher.publish(artifact, fingerprint.to_owned())?;
    publisher.promote(version)
}

/// Fits the peers' models with scikit-learn on the same table.
///
/// # Errors
/// A sentence that says why there are none.
pub fn train_peers(
    python: &str,
    files: &Files,
    workload: &Workload,
    environments: &Path,
) -> Result<(), String> {
    let folder = files.peers.join("models");
    let environment =
        Environment::prepare(python, &folder.join("requirements.txt"), environments.join("models"))?;
    environment.run(&folder.join("train.py"), &[&workload.table, &files.work.join("peer-models")])
}
