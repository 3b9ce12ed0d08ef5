//! What the file of a version says of itself.

use std::collections::BTreeMap;

use onnward_onnx::{Artifact, ArtifactError, ExternalModel, ModelBounds};
use onnward_repository::{FetchedModel, Fetcher, Repository};
use onnward_schemas::{Metadata, Schema};

use super::CommandError;

/// The description in the file of a version.
pub struct VersionFile {
    /// The schema of its rows.
    pub schema: Schema,
    /// The metadata; absent for an external file.
    pub metadata: Option<Metadata>,
}

/// Reads the description of a version, and checks its file against its manifest.
///
/// # Errors
/// [`CommandError::Unreadable`]; those of reading.
pub async fn read_version(
    repository: &Repository,
    model: &str,
    version: u64,
) -> Result<VersionFile, CommandError> {
    let fetched = Fetcher::new(repository.clone(), None, u64::MAX).fetch(model, version).await?;
    describe(&fetched, model, version)
}

/// Returns the description in the file of a version that was read.
///
/// # Errors
/// [`CommandError::Unreadable`].
pub fn describe(fetched: &FetchedModel, model: &str, version: u64) -> Result<VersionFile, CommandError> {
    let unreadable = |what: String| CommandError::Unreadable { model: model.to_owned(), version, what };
    match Artifact::decode_within(&fetched.bytes, &ModelBounds::LARGEST) {
        Ok(artifact) => {
            let metadata = artifact.into_metadata();
            Ok(VersionFile { schema: metadata.schema.clone(), metadata: Some(metadata) })
        }
        Err(ArtifactError::External) => {
            let config = fetched.config.as_deref();
            ExternalModel::decode_within(model, &fetched.bytes, config, &ModelBounds::LARGEST)
                .map(|external| VersionFile { schema: external.schema, metadata: None })
                .map_err(|error| unreadable(error.to_string()))
        }
        Err(error) => Err(unreadable(error.to_string())),
    }
}

impl VersionFile {
    /// Returns the model family; `foreign` for an external file.
    pub fn family(&self) -> String {
        self.metadata.as_ref().map_or_else(|| "foreign".to_owned(), |metadata| metadata.family.clone())
    }

    /// Returns the threshold of the decisions behind the figures; `None` for an external file.
    pub fn evaluated_at(&self) -> Option<f64> {
        let metadata = self.metadata.as_ref()?;
        metadata.evaluation.threshold.or_else(|| Some(metadata.schema.binary()?.threshold))
    }

    /// Returns the figures on held-out rows, by name; none for an external file.
    pub fn figures(&self) -> BTreeMap<String, f64> {
        let Some(metadata) = &self.metadata else { return BTreeMap::new() };
        let (test, folds) = (&metadata.evaluation.test, &metadata.evaluation.cross_validation);
        let test = test.by_name().into_iter().map(|(name, value)| (name.to_owned(), value));
        test.chain([(format!("cross_validated_{}", folds.criterion.name()), folds.mean)]).collect()
    }

    /// Returns the settings of the training, by name.
    pub fn parameters(&self) -> BTreeMap<String, f64> {
        self.metadata.as_ref().map(|metadata| metadata.parameters.clone()).unwrap_or_default()
    }
}
