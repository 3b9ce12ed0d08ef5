//! Publishing and promoting versions in a model repository while an engine serves them.

use onnward_repository::{DEFAULT_ALIAS, Move, Pointer, Repository, RepositoryConfig};
use tokio::runtime::Runtime;

use crate::error::HarnessError;
use crate::versions::TwoVersions;

/// A publisher of versions of one model.
#[derive(Debug)]
pub struct Publisher {
    repository: Repository,
    runtime: Runtime,
    model: &'static str,
}

impl Publisher {
    /// Opens a repository for writing. A local folder is created.
    ///
    /// # Errors
    /// [`HarnessError::Repository`], [`HarnessError::System`].
    pub fn open(config: &RepositoryConfig, model: &'static str) -> Result<Self, HarnessError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(HarnessError::system("start the publisher"))?;
        Ok(Self { repository: Repository::create(config)?, runtime, model })
    }

    /// Publishes the next version and returns its number and its digest.
    ///
    /// # Errors
    /// [`HarnessError::Repository`].
    pub fn publish(&self, artifact: Vec<u8>, fingerprint: String) -> Result<(u64, String), HarnessError> {
        let publish = self.repository.publish(self.model, artifact, Some(fingerprint));
        let published = self.runtime.block_on(publish)?;
        Ok((published.version, published.manifest.sha256))
    }

    /// Publishes both versions, promotes the first, and returns their numbers.
    ///
    /// # Errors
    /// [`HarnessError::Repository`].
    pub fn publish_both(&self, models: &TwoVersions) -> Result<[u64; 2], HarnessError> {
        let [first, second] = &models.artifacts;
        let (first, _) = self.publish(first.encode(), models.fingerprint())?;
        let (second, _) = self.publish(second.encode(), models.fingerprint())?;
        self.promote(first)?;
        Ok([first, second])
    }

    /// Points the alias that engines follow at a version.
    ///
    /// # Errors
    /// [`HarnessError::Repository`].
    pub fn promote(&self, version: u64) -> Result<(), HarnessError> {
        let champion = Pointer::Alias(DEFAULT_ALIAS.to_owned());
        self.runtime.block_on(async {
            let change = self.repository.plan_move(self.model, &champion, Move::To(version)).await?;
            Ok(self.repository.apply_move(&change).await?)
        })
    }
}
