//! Deletions of whole models.

use serde::Serialize;

use crate::delete::Deletion;
use crate::error::RepositoryError;
use crate::pointer::{Move, Pointer};
use crate::store::Repository;

/// A planned deletion of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelDeletion {
    /// The model.
    pub model: String,
    /// The versions that are deleted, the highest first.
    pub versions: Vec<Deletion>,
    /// The aliases that are removed.
    pub aliases: Vec<String>,
    /// Whether a pin is removed.
    pub pinned: bool,
}

impl Repository {
    /// Plans the deletion of all versions of a model, and of the pointers to them. Nothing is deleted.
    ///
    /// # Errors
    /// [`RepositoryError::ModelInUse`] if an alias or a pin is set, unless `with_pointers`;
    /// [`RepositoryError::NoModel`]; those of reading.
    pub async fn plan_model_deletion(
        &self,
        model: &str,
        with_pointers: bool,
    ) -> Result<ModelDeletion, RepositoryError> {
        let inventory = self.known(model).await?;
        let aliases = self.aliases(model, &inventory).await?;
        let aliases: Vec<String> = aliases.into_iter().map(|alias| alias.alias).collect();
        let pinned = self.pin(model, &inventory).await?.version().is_some();
        if !with_pointers && (pinned || !aliases.is_empty()) {
            let pointers = aliases.iter().map(|alias| format!("alias {alias}"));
            let pointers: Vec<String> = pointers.chain(pinned.then(|| "pin".to_owned())).collect();
            let command = self.command(&format!("delete-model {model} --with-aliases"));
            return Err(RepositoryError::ModelInUse {
                model: model.to_owned(),
                pointers: pointers.join(", "),
                command,
            });
        }
        let versions = inventory.versions.iter().rev().filter(|(_, files)| files.size_bytes > 0);
        let versions = versions.map(|(version, files)| Deletion {
            model: model.to_owned(),
            version: *version,
            size_bytes: files.size_bytes,
        });
        Ok(ModelDeletion { model: model.to_owned(), versions: versions.collect(), aliases, pinned })
    }

    /// Deletes a model. What engines serve goes last, so that none of them changes to another version before.
    /// The numbers of the versions are never given again.
    ///
    /// # Errors
    /// [`RepositoryError::InUse`], [`RepositoryError::Conflict`] if somebody takes a version into use
    /// meanwhile, after which a part of the model is deleted; those of reading and writing.
    pub async fn apply_model_deletion(&self, deletion: &ModelDeletion) -> Result<(), RepositoryError> {
        let ModelDeletion { model, versions, aliases, pinned } = deletion;
        let mut in_use = Vec::new();
        for version in versions {
            match self.apply_deletion(version).await {
                Err(RepositoryError::InUse { .. }) => in_use.push(version),
                done => done?,
            }
        }
        let aliases = aliases.iter().map(|alias| Pointer::Alias(alias.clone()));
        for pointer in pinned.then_some(Pointer::Pin).into_iter().chain(aliases) {
            let change = self.plan_move(model, &pointer, Move::Clear).await?;
            self.apply_move(&change).await?;
        }
        for version in in_use {
            self.apply_deletion(version).await?;
        }
        Ok(())
    }
}
