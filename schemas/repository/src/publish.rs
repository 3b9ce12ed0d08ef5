use bytes::Bytes;
use object_store::path::Path;
use onnward_schemas::layout::{config_path, manifest_path, model_path, parse_version};
use onnward_schemas::{Manifest, ModelSummary, sha256_hex};
use serde::Serialize;

use crate::error::RepositoryError;
use crate::fetch::MAX_MANIFEST_BYTES;
use crate::inventory::ModelStatus;
use crate::signature::{KeyId, Signer, Subject};
use crate::store::{Repository, check_name};
use crate::tags::{Tags, check_tags};
use crate::time;

/// The files of a new version.
#[derive(Debug, Default)]
pub struct NewVersion<'a> {
    /// The artifact.
    pub bytes: Vec<u8>,
    /// The fingerprint of its schema; absent for an external ONNX file.
    pub fingerprint: Option<String>,
    /// The text of its `config.toml`, for an external ONNX file that needs one.
    pub config: Option<String>,
    /// The key that signs it.
    pub signer: Option<&'a Signer>,
    /// What the manifest also says.
    pub about: About,
}

/// What a manifest says beside the digest: for people, and for lists of versions.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct About {
    /// A summary of the model.
    pub summary: Option<ModelSummary>,
    /// The author.
    pub author: Option<String>,
    /// The commit of the code that trained the model.
    pub commit: Option<String>,
    /// The tags.
    pub tags: Tags,
}

/// A version that was published, or is planned to be.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Published {
    /// The model's name.
    pub model: String,
    /// The new version.
    pub version: u64,
    /// The artifact's path, from the repository's root.
    pub path: String,
    /// The manifest beside it.
    pub manifest: Manifest,
    /// The key that signed it, if one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<KeyId>,
    /// A folder with the largest number there is, which no number can follow, and which nobody has published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passed_over: Option<u64>,
}

impl Repository {
    /// Returns what [`Repository::publish`] would write now. Nothing is written.
    ///
    /// # Errors
    /// [`RepositoryError::Name`]; those of reading.
    pub async fn plan_publish(
        &self,
        model: &str,
        bytes: &[u8],
        fingerprint: Option<String>,
    ) -> Result<Published, RepositoryError> {
        self.plan_version(model, bytes, fingerprint, About::default()).await
    }

    /// Returns what [`Repository::publish_version`] would write now. Nothing is written.
    ///
    /// # Errors
    /// [`RepositoryError::Name`], [`RepositoryError::Tag`]; those of reading.
    pub async fn plan_version(
        &self,
        model: &str,
        bytes: &[u8],
        fingerprint: Option<String>,
        about: About,
    ) -> Result<Published, RepositoryError> {
        check_name(model)?;
        check_tags(&about.tags)?;
        let About { summary, author, commit, tags } = about;
        let manifest = Manifest {
            sha256: sha256_hex(bytes),
            size_bytes: bytes.len() as u64,
            fingerprint,
            created: time::now_in_seconds(),
            summary,
            author,
            commit,
            tags,
        };
        // It is refused before anything is written, since nobody could read it.
        let written = serde_json::to_string_pretty(&manifest).map_or(0, |text| text.len() as u64);
        if written > MAX_MANIFEST_BYTES {
            return Err(RepositoryError::ManifestTooLarge { model: model.to_owned(), bytes: written });
        }
        let Numbers { highest, passed_over } = self.numbers(model).await?;
        let version = next(model, highest)?;
        let path = model_path(model, version);
        Ok(Published { model: model.to_owned(), version, path, manifest, signed_by: None, passed_over })
    }

    /// Publishes an artifact as the next version of a model. The manifest is written last: engines ignore a
    /// version without one. Two publishers at once get two versions.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let location = folder.path().display().to_string();
    /// # let config = onnward_repository::RepositoryConfig { location, ..Default::default() };
    /// # let repository = onnward_repository::Repository::create(&config)?;
    /// let first = repository.publish("churn", b"an ONNX file".to_vec(), None).await?;
    /// let second = repository.publish("churn", b"a better one".to_vec(), None).await?;
    /// assert_eq!((first.version, second.version), (1, 2));
    /// assert_eq!(second.path, "churn/2/model.onnx");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`RepositoryError::Name`]; those of reading and writing.
    pub async fn publish(
        &self,
        model: &str,
        bytes: Vec<u8>,
        fingerprint: Option<String>,
    ) -> Result<Published, RepositoryError> {
        self.publish_version(model, NewVersion { bytes, fingerprint, ..NewVersion::default() }).await
    }

    /// Publishes a version with all files that it may have. The signature is written before the manifest, so
    /// that a signed version is never seen without it.
    ///
    /// # Errors
    /// Those of [`Repository::publish`].
    pub async fn publish_version(
        &self,
        model: &str,
        new: NewVersion<'_>,
    ) -> Result<Published, RepositoryError> {
        let NewVersion { bytes, fingerprint, config, signer, about } = new;
        let mut published = self.plan_version(model, &bytes, fingerprint, about).await?;
        let bytes = Bytes::from(bytes);
        while !self.create_file(&published.path, bytes.clone()).await? {
            published.version = next(model, published.version)?;
            published.path = model_path(model, published.version);
        }
        let version = published.version;
        let path = manifest_path(model, version);
        let text = serde_json::to_string_pretty(&published.manifest)
            .map_err(|source| RepositoryError::Json { path: path.clone(), source })?;
        if let Some(config) = &config {
            self.create_for_publish(config_path(model, version), config.clone()).await?;
        }
        if let Some(signer) = signer {
            let subject = Subject { model, version, manifest_text: &text, config: config.as_deref() };
            let (path, signature) = signer.sign(&subject).to_file(model, version)?;
            self.create_for_publish(path, signature).await?;
            published.signed_by = Some(signer.key_id().clone());
        }
        self.create_for_publish(path, text).await?;
        Ok(published)
    }

    /// Returns the highest version of a model that has the same bytes and the same `config.toml`, if there is one.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let location = folder.path().display().to_string();
    /// # let config = onnward_repository::RepositoryConfig { location, ..Default::default() };
    /// # let repository = onnward_repository::Repository::create(&config)?;
    /// repository.publish("churn", b"an ONNX file".to_vec(), None).await?;
    /// let status = repository.status("churn").await?;
    /// let found = repository.find_published(&status, b"an ONNX file", None).await?;
    /// assert_eq!(found.map(|found| found.version), Some(1));
    /// assert_eq!(repository.find_published(&status, b"another", None).await?, None);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of reading.
    pub async fn find_published(
        &self,
        status: &ModelStatus,
        bytes: &[u8],
        config: Option<&str>,
    ) -> Result<Option<Published>, RepositoryError> {
        let model = &status.model;
        let sha256 = sha256_hex(bytes);
        for found in &status.versions {
            let Some(manifest) = found.manifest.as_ref().filter(|manifest| manifest.sha256 == sha256) else {
                continue;
            };
            // The same bytes with another configuration are another model.
            if self.texts(model, found.version).await?.config.as_deref() == config {
                let (version, path) = (found.version, model_path(model, found.version));
                let (model, manifest) = (model.clone(), manifest.clone());
                let (signed_by, passed_over) = (None, None);
                return Ok(Some(Published { model, version, path, manifest, signed_by, passed_over }));
            }
        }
        Ok(None)
    }

    /// Writes a file into the folder of a version that this publisher has created.
    async fn create_for_publish(&self, path: String, text: String) -> Result<(), RepositoryError> {
        match self.create_own_file(&path, text.into()).await? {
            true => Ok(()),
            false => Err(RepositoryError::Taken { path }),
        }
    }

    /// Returns the numbers of a model that have a folder, with or without a manifest, deleted or not.
    async fn numbers(&self, model: &str) -> Result<Numbers, RepositoryError> {
        let listing = self.store.list_with_delimiter(Some(&Path::from(model))).await;
        let listing = listing.map_err(|source| self.reading(model, source))?;
        let mut numbers = Numbers { highest: 0, passed_over: None };
        for version in listing.common_prefixes.iter().filter_map(|path| parse_version(path.filename()?)) {
            match version {
                u64::MAX => numbers.passed_over = Some(version),
                version => numbers.highest = numbers.highest.max(version),
            }
        }
        Ok(numbers)
    }
}

/// The numbers of a model's folders.
struct Numbers {
    /// The highest that another follows; 0 if there is none.
    highest: u64,
    /// The largest number there is, if it has a folder. No publication gives it, and none can follow it.
    passed_over: Option<u64>,
}

fn next(model: &str, version: u64) -> Result<u64, RepositoryError> {
    version.checked_add(1).ok_or_else(|| RepositoryError::NoNumberLeft { model: model.to_owned() })
}
