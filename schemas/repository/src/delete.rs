use chrono::{SecondsFormat, Utc};
use futures_util::TryStreamExt;
use object_store::path::Path;
use onnward_schemas::layout::{DELETED_FILE, deleted_path, manifest_path};
use serde::Serialize;

use crate::error::RepositoryError;
use crate::inventory::Inventory;
use crate::store::Repository;

/// A version that is to be deleted; nothing has been yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Deletion {
    /// The model.
    pub model: String,
    /// The version.
    pub version: u64,
    /// How much room its files take.
    pub size_bytes: u64,
}

/// What a version is used as, in words.
struct Use {
    version: u64,
    used_as: String,
}

impl Repository {
    /// Looks whether a version can be deleted: one that was published, or one whose upload or deletion was cut short.
    ///
    /// # Errors
    /// [`RepositoryError::InUse`], [`RepositoryError::UnknownVersion`]; those of reading.
    pub async fn plan_deletion(&self, model: &str, version: u64) -> Result<Deletion, RepositoryError> {
        let inventory = self.known(model).await?;
        let files = inventory.versions.get(&version).filter(|files| files.size_bytes > 0);
        let size_bytes = files.map(|files| files.size_bytes);
        let size_bytes =
            size_bytes.ok_or_else(|| RepositoryError::UnknownVersion { model: model.to_owned(), version })?;
        self.refuse_if_used(model, version, &inventory).await?;
        Ok(Deletion { model: model.to_owned(), version, size_bytes })
    }

    /// The versions of a model that nothing needs: all but the `keep` highest, those that a pointer names, and those that
    /// an alias would be rolled back to. What is uploaded in part may still be on its way and is left alone; what is
    /// deleted in part is deleted.
    ///
    /// # Errors
    /// [`RepositoryError::NoModel`]; those of reading.
    pub async fn plan_gc(&self, model: &str, keep: usize) -> Result<Vec<Deletion>, RepositoryError> {
        let inventory = self.known(model).await?;
        let uses = self.uses(model, &inventory).await?;
        let kept: Vec<u64> = inventory.published().map(|(version, _)| version).rev().take(keep).collect();
        let is_used = |version: u64| uses.iter().any(|found| found.version == version);
        let to_go = inventory.versions.iter().filter(|(version, files)| {
            let is_superfluous = files.has_manifest && !kept.contains(version) && !is_used(**version);
            files.size_bytes > 0 && (files.is_deleted || is_superfluous)
        });
        let deletion = |version: u64, size_bytes| Deletion { model: model.to_owned(), version, size_bytes };
        Ok(to_go.map(|(version, files)| deletion(*version, files.size_bytes)).collect())
    }

    /// Deletes a version, unless a pointer has come to name it. Its number is not given again.
    ///
    /// # Errors
    /// [`RepositoryError::InUse`], after which the version is as it was; those of reading and writing.
    pub async fn apply_deletion(&self, deletion: &Deletion) -> Result<(), RepositoryError> {
        let Deletion { model, version, .. } = deletion;
        let mark = deleted_path(model, *version);
        let now = Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true);
        let text = format!("{{\"deleted\": \"{now}\"}}\n");
        // First the mark, then the look for pointers; `apply_move` does it the other way round.
        let is_ours = self.create_file(&mark, text.clone().into()).await?;
        let inventory = self.inventory(model).await?;
        if let Err(error) = self.refuse_if_used(model, *version, &inventory).await {
            if is_ours {
                self.remove_file(&Path::from(mark)).await?;
            }
            return Err(error);
        }
        // Without its manifest the version is gone, whatever remains of it if this is cut short.
        self.remove_file(&Path::from(manifest_path(model, *version))).await?;
        let folder = Path::from(format!("{model}/{version}"));
        let fail = |source| self.reading(folder.as_ref(), source);
        let files: Vec<_> = self.store.list(Some(&folder)).try_collect().await.map_err(fail)?;
        for file in files.iter().filter(|file| file.location.filename() != Some(DELETED_FILE)) {
            self.remove_file(&file.location).await?;
        }
        // Another who wanted to delete it and could not may have taken the mark away.
        self.create_file(&mark, text.into()).await?;
        Ok(())
    }

    async fn refuse_if_used(
        &self,
        model: &str,
        version: u64,
        inventory: &Inventory,
    ) -> Result<(), RepositoryError> {
        let uses = self.uses(model, inventory).await?;
        let uses = uses.into_iter().filter(|found| found.version == version);
        let uses: Vec<String> = uses.map(|found| found.used_as).collect();
        if uses.is_empty() {
            return Ok(());
        }
        Err(RepositoryError::InUse { model: model.to_owned(), version, used_as: uses.join(" and ") })
    }

    /// What pointers need.
    async fn uses(&self, model: &str, inventory: &Inventory) -> Result<Vec<Use>, RepositoryError> {
        let mut uses = Vec::new();
        for alias in self.aliases(model, inventory).await? {
            let name = alias.alias;
            uses.push(Use { version: alias.version, used_as: format!("what the alias {name} names") });
            if let Some(version) = alias.previous {
                let used_as = format!("what a rollback of the alias {name} would go to");
                uses.push(Use { version, used_as });
            }
        }
        if let Some(version) = self.pin(model, inventory).await?.version() {
            uses.push(Use { version, used_as: "what the model is pinned to".to_owned() });
        }
        Ok(uses)
    }
}
