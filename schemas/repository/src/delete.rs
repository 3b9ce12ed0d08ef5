use object_store::path::Path;
use onnward_schemas::layout::{DELETED_FILE, deleted_path, manifest_path};
use serde::Serialize;

use crate::error::RepositoryError;
use crate::intent::MoveIntent;
use crate::inventory::Inventory;
use crate::store::Repository;
use crate::time;

/// A planned deletion of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Deletion {
    /// The model.
    pub model: String,
    /// The version.
    pub version: u64,
    /// The size of its files in bytes.
    pub size_bytes: u64,
}

/// A use of a version, described for people.
struct Use {
    version: u64,
    used_as: String,
}

impl Repository {
    /// Plans the deletion of a version that was published, or whose upload or deletion was interrupted.
    /// Nothing is deleted.
    ///
    /// # Errors
    /// [`RepositoryError::InUse`], [`RepositoryError::UnknownVersion`]; those of reading.
    pub async fn plan_deletion(&self, model: &str, version: u64) -> Result<Deletion, RepositoryError> {
        let inventory = self.known(model).await?;
        let files = inventory.versions.get(&version).filter(|files| files.size_bytes > 0);
        let Some(size_bytes) = files.map(|files| files.size_bytes) else {
            return Err(self.missing_version(model, version).await);
        };
        self.refuse_if_used(model, version, &inventory).await?;
        Ok(Deletion { model: model.to_owned(), version, size_bytes })
    }

    /// Plans the deletion of all versions of a model that nothing needs. It keeps the `keep` highest, those
    /// that a pointer names, and those that a rollback of an alias would go to. A version that is uploaded in
    /// part may still be on its way and is kept; the rest of an interrupted deletion is deleted.
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

    /// Deletes a version, unless a pointer names it by now. Its number is never given again.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use onnward_repository::{Move, Pointer, RepositoryError};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let location = folder.path().display().to_string();
    /// # let config = onnward_repository::RepositoryConfig { location, ..Default::default() };
    /// # let repository = onnward_repository::Repository::create(&config)?;
    /// # for _ in 0..2 {
    /// #     repository.publish("churn", b"an ONNX file".to_vec(), None).await?;
    /// # }
    /// # let champion = Pointer::Alias("champion".to_owned());
    /// let promotion = repository.plan_move("churn", &champion, Move::To(2)).await?;
    /// repository.apply_move(&promotion).await?;
    ///
    /// let deletion = repository.plan_deletion("churn", 1).await?;
    /// repository.apply_deletion(&deletion).await?;
    /// let refused = repository.plan_deletion("churn", 2).await;
    /// assert!(matches!(refused, Err(RepositoryError::InUse { .. })));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`RepositoryError::InUse`], after which the version is as it was; those of reading and writing.
    pub async fn apply_deletion(&self, deletion: &Deletion) -> Result<(), RepositoryError> {
        let Deletion { model, version, .. } = deletion;
        let intent = self.announce_deletion(model, *version).await?;
        if let Err(error) = self.refuse_if_used_now(model, *version).await {
            self.withdraw(intent).await;
            return Err(error);
        }
        let text = format!("{{\"deleted\": \"{}\"}}\n", time::now_in_seconds());
        // Nobody removes this file. If writing it fails it may be there all the same, so the intent stays
        // until a retry.
        self.create_file(&deleted_path(model, *version), text.into()).await?;
        // Without its manifest the version is gone, whatever remains of it if this is cut short.
        self.remove_file(&Path::from(manifest_path(model, *version))).await?;
        let folder = Path::from(format!("{model}/{version}"));
        let files = self.list_files(&folder).await?;
        for file in files.iter().filter(|file| file.location.filename() != Some(DELETED_FILE)) {
            self.remove_file(&file.location).await?;
        }
        Ok(())
    }

    /// Refuses a version that is used now.
    async fn refuse_if_used_now(&self, model: &str, version: u64) -> Result<(), RepositoryError> {
        // A move replaces its intent by an entry. A listing takes time and might miss both, the entry because
        // it was not there yet and the intent because it was gone; so intents are listed first and entries
        // afterwards.
        let moves = self.inventory(model).await?.moves;
        let mut inventory = self.inventory(model).await?;
        inventory.moves.extend(moves);
        self.refuse_if_used(model, version, &inventory).await
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

    /// Returns what the pointers of a model use.
    async fn uses(&self, model: &str, inventory: &Inventory) -> Result<Vec<Use>, RepositoryError> {
        if let Some((pointer, reason)) = inventory.unreadable.first_key_value() {
            let (model, pointer, reason) = (model.to_owned(), pointer.clone(), reason.clone());
            return Err(RepositoryError::UnreadablePointer { model, pointer, reason });
        }
        let mut uses = Vec::new();
        for alias in self.aliases(model, inventory).await? {
            let name = alias.alias;
            uses.push(Use { version: alias.version, used_as: format!("the alias {name} points at it") });
            if let Some(version) = alias.previous {
                let used_as = format!("a rollback of the alias {name} would restore it");
                uses.push(Use { version, used_as });
            }
        }
        if let Some(version) = self.pin(model, inventory).await?.version() {
            uses.push(Use { version, used_as: "the model is pinned to it".to_owned() });
        }
        for MoveIntent { pointer, version, .. } in inventory.moves_under_way() {
            uses.push(Use { version: *version, used_as: format!("the {pointer} is being moved to it") });
        }
        Ok(uses)
    }
}
