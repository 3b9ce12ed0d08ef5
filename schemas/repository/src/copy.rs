//! Copies of versions from one repository to another.

use object_store::path::Path;
use onnward_schemas::layout::{
    MANIFEST_FILE, MODEL_FILE, SIGNATURES_FOLDER, TAGS_FOLDER, deleted_path, manifest_path, model_path,
};
use serde::Serialize;

use crate::error::RepositoryError;
use crate::fetch::{FetchedModel, Fetcher};
use crate::signature::KeyId;
use crate::store::Repository;

/// The largest file of a version beside its artifact.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// A copy of a version, made or planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Copied {
    /// The model.
    pub model: String,
    /// The version, which is the same in both repositories.
    pub version: u64,
    /// The repository that it comes from.
    pub from: String,
    /// The artifact's SHA-256, in hexadecimal.
    pub sha256: String,
    /// The artifact's size.
    pub size_bytes: u64,
    /// The keys that have signed it.
    pub signed_by: Vec<KeyId>,
    /// Whether anything is written. The version may have been copied before.
    pub changes: bool,
}

/// A version that was read, and verified against its digest, to be copied.
#[derive(Debug)]
pub struct CopyPlan {
    /// The copy.
    pub copied: Copied,
    /// The version.
    pub fetched: FetchedModel,
    /// The other files, by path; the manifest is the last.
    files: Vec<(String, Vec<u8>)>,
}

impl Repository {
    /// Plans a copy of a version of another repository, which is read and verified against its digest. Its
    /// number, its manifest and its signatures stay what they are: a signature is valid for one number only.
    /// Nothing is written.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use onnward_repository::{Repository, RepositoryConfig};
    /// # let folder = tempfile::tempdir()?;
    /// # let open = |name: &str| {
    /// #     let location = folder.path().join(name).display().to_string();
    /// #     Repository::create(&RepositoryConfig { location, ..Default::default() })
    /// # };
    /// let (staging, production) = (open("staging")?, open("production")?);
    /// staging.publish("churn", b"an ONNX file".to_vec(), None).await?;
    /// let plan = production.plan_copy(&staging, "churn", 1).await?;
    /// production.apply_copy(&plan).await?;
    /// assert_eq!(production.status("churn").await?, staging.status("churn").await?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`RepositoryError::NumberTaken`] if this repository has had another version of that number; those of
    /// [`Fetcher::fetch`].
    pub async fn plan_copy(
        &self,
        from: &Self,
        model: &str,
        version: u64,
    ) -> Result<CopyPlan, RepositoryError> {
        let fetched = Fetcher::new(from.clone(), None, u64::MAX).fetch(model, version).await?;
        if self.has_file(&deleted_path(model, version)).await? {
            return Err(self.number_taken(model, version, "it was deleted here"));
        }
        let manifest = manifest_path(model, version);
        let is_here = self.has_file(&manifest).await?;
        if is_here && self.read_text(&manifest, MAX_FILE_BYTES).await? != fetched.manifest_text {
            return Err(self.number_taken(model, version, "another file has it here"));
        }
        let files = from.files_beside(model, version).await?;
        let mut changes = !is_here;
        for (path, _) in &files {
            changes = changes || !self.has_file(path).await?;
        }
        let signed_by = files.iter().filter_map(|(path, _)| {
            let (folder, name) = path.rsplit_once('/')?;
            folder.ends_with(SIGNATURES_FOLDER).then(|| KeyId::of_file(name)).flatten()
        });
        let copied = Copied {
            model: model.to_owned(),
            version,
            from: from.place().to_owned(),
            sha256: fetched.manifest.sha256.clone(),
            size_bytes: fetched.manifest.size_bytes,
            signed_by: signed_by.collect(),
            changes,
        };
        Ok(CopyPlan { copied, fetched, files })
    }

    /// Reads all files of a version, which is verified against its digest: each with its path within the version's
    /// folder, the manifest last.
    ///
    /// # Errors
    /// Those of [`Fetcher::fetch`].
    pub async fn version_files(
        &self,
        model: &str,
        version: u64,
    ) -> Result<Vec<(String, Vec<u8>)>, RepositoryError> {
        let fetched = Fetcher::new(self.clone(), None, u64::MAX).fetch(model, version).await?;
        let folder = format!("{model}/{version}/");
        let beside = self.files_beside(model, version).await?.into_iter();
        let beside = beside.map(|(path, bytes)| (path.trim_start_matches(&folder).to_owned(), bytes));
        let manifest = (MANIFEST_FILE.to_owned(), fetched.manifest_text.into_bytes());
        let artifact = (MODEL_FILE.to_owned(), fetched.bytes);
        Ok(std::iter::once(artifact).chain(beside).chain([manifest]).collect())
    }

    /// Writes a planned copy, the manifest last. A copy that was cut short is completed by the next one.
    ///
    /// # Errors
    /// [`RepositoryError::NumberTaken`]; those of writing.
    pub async fn apply_copy(&self, plan: &CopyPlan) -> Result<(), RepositoryError> {
        let Copied { model, version, changes, .. } = &plan.copied;
        if !changes {
            return Ok(());
        }
        let artifact = [(model_path(model, *version), plan.fetched.bytes.clone())];
        let manifest = (manifest_path(model, *version), plan.fetched.manifest_text.clone().into_bytes());
        for (path, bytes) in artifact.into_iter().chain(plan.files.clone()).chain([manifest]) {
            if !self.create_own_file(&path, bytes.into()).await? {
                return Err(self.number_taken(model, *version, "another file has it here"));
            }
        }
        Ok(())
    }

    /// Reads the files of a version that are neither its artifact nor its manifest.
    async fn files_beside(
        &self,
        model: &str,
        version: u64,
    ) -> Result<Vec<(String, Vec<u8>)>, RepositoryError> {
        let folder = Path::from(format!("{model}/{version}"));
        let found = self.list_files(&folder).await?;
        let mut paths: Vec<String> = found.into_iter().map(|file| file.location.to_string()).collect();
        paths.sort();
        let mut files = Vec::new();
        for path in paths {
            let inside = path.get(folder.as_ref().len() + 1..).unwrap_or_default();
            let is_copied = match inside.split('/').collect::<Vec<_>>().as_slice() {
                [MODEL_FILE | MANIFEST_FILE] => false,
                [name] => !name.starts_with("deleting-"),
                [SIGNATURES_FOLDER | TAGS_FOLDER, _] => true,
                _ => false,
            };
            if is_copied {
                let bytes = self.read(&path, MAX_FILE_BYTES).await?;
                files.push((path, bytes));
            }
        }
        Ok(files)
    }

    fn number_taken(&self, model: &str, version: u64, how: &'static str) -> RepositoryError {
        let command = self.command(&format!("versions {model}"));
        RepositoryError::NumberTaken { model: model.to_owned(), version, how, command }
    }
}
