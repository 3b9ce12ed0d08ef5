//! Writing versions into a model repository.

use std::path::Path as FilePath;

use chrono::{SecondsFormat, Utc};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, PutMode, PutOptions, PutPayload};
use onnward_schemas::layout::{is_model_name, manifest_path, model_path, parse_version};
use onnward_schemas::{Manifest, sha256_hex};
use serde::Serialize;
use thiserror::Error;

use crate::folder;

/// A version that has been written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Published {
    /// The model's name.
    pub model: String,
    /// The new version.
    pub version: u64,
    /// The artifact's path, from the repository's root.
    pub path: String,
    /// The manifest beside it.
    pub manifest: Manifest,
}

/// Why a version cannot be written.
#[derive(Debug, Error)]
pub enum PublishError {
    /// The model's name cannot be a folder's.
    #[error(
        "{0:?} cannot name a model: use 1 to 64 of a-z, 0-9, '-', '_' and '.', a letter or a digit first"
    )]
    Name(String),
    /// The repository cannot be opened.
    #[error("cannot open the model repository {path}: {source}")]
    Open {
        /// The repository's folder.
        path: String,
        /// What the file system says.
        source: std::io::Error,
    },
    /// The store failed.
    #[error("cannot write {path} to the model repository: {source}")]
    Store {
        /// The file.
        path: String,
        /// What the store says.
        source: object_store::Error,
    },
    /// The manifest cannot be written as JSON.
    #[error("cannot write the manifest: {0}")]
    Manifest(#[from] serde_json::Error),
}

/// Refuses a name that cannot be a model's.
///
/// # Errors
/// [`PublishError::Name`].
pub fn check_name(model: &str) -> Result<(), PublishError> {
    if is_model_name(model) { Ok(()) } else { Err(PublishError::Name(model.to_owned())) }
}

/// Opens the repository in a local folder and makes the folder if it is not there. A folder that cannot be
/// written is refused here, before anybody works for hours on what is to go there.
///
/// # Errors
/// [`PublishError::Open`].
pub fn open_folder(folder: &FilePath) -> Result<LocalFileSystem, PublishError> {
    let fail = |source| PublishError::Open { path: folder.display().to_string(), source };
    folder::make_writable(folder).map_err(fail)?;
    LocalFileSystem::new_with_prefix(folder).map_err(|error| fail(std::io::Error::other(error)))
}

/// Writes an artifact as the next version of a model. The manifest comes last: until it is there, the version does not
/// exist for an engine. Two publishers at once get two versions.
///
/// # Errors
/// [`PublishError`].
pub async fn publish(
    store: &dyn ObjectStore,
    model: &str,
    bytes: Vec<u8>,
    fingerprint: Option<String>,
) -> Result<Published, PublishError> {
    check_name(model)?;
    let manifest = Manifest {
        sha256: sha256_hex(&bytes),
        size_bytes: bytes.len() as u64,
        fingerprint,
        created: Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true),
    };
    let payload = PutPayload::from(bytes);
    let mut version = highest_version(store, model).await? + 1;
    while !create(store, &model_path(model, version), payload.clone()).await? {
        version += 1;
    }
    let text = serde_json::to_vec_pretty(&manifest)?;
    let path = manifest_path(model, version);
    if !create(store, &path, PutPayload::from(text)).await? {
        let source =
            object_store::Error::AlreadyExists { path: path.clone(), source: "written by another".into() };
        return Err(PublishError::Store { path, source });
    }
    Ok(Published { model: model.to_owned(), version, path: model_path(model, version), manifest })
}

/// Writes a new file; `false` if there is one already.
async fn create(store: &dyn ObjectStore, path: &str, payload: PutPayload) -> Result<bool, PublishError> {
    let options = PutOptions::from(PutMode::Create);
    match store.put_opts(&Path::from(path), payload, options).await {
        Ok(_) => Ok(true),
        Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
        Err(source) => Err(PublishError::Store { path: path.to_owned(), source }),
    }
}

/// The highest version that has a folder, with or without a manifest; 0 if there is none.
async fn highest_version(store: &dyn ObjectStore, model: &str) -> Result<u64, PublishError> {
    let listing = store
        .list_with_delimiter(Some(&Path::from(model)))
        .await
        .map_err(|source| PublishError::Store { path: model.to_owned(), source })?;
    let versions = listing.common_prefixes.iter().filter_map(|path| parse_version(path.filename()?));
    Ok(versions.max().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;

    use super::*;

    #[tokio::test]
    async fn versions_count_up_past_half_written_ones() {
        let store = InMemory::new();
        let first = publish(&store, "churn", b"one".to_vec(), None).await.unwrap();
        assert_eq!((first.version, first.manifest.size_bytes), (1, 3));
        store.put(&Path::from("churn/2/model.onnx"), "half".into()).await.unwrap();
        store.put(&Path::from("churn/010/model.onnx"), "no version".into()).await.unwrap();
        let next = publish(&store, "churn", b"two".to_vec(), None).await.unwrap();
        assert_eq!(next.version, 3);
        let text = store.get(&Path::from("churn/3/manifest.json")).await.unwrap().bytes().await.unwrap();
        assert_eq!(serde_json::from_slice::<Manifest>(&text).unwrap(), next.manifest);
    }

    #[tokio::test]
    async fn two_publishers_at_once_get_two_versions() {
        let store = InMemory::new();
        let publish = |bytes: &'static [u8]| publish(&store, "churn", bytes.to_vec(), None);
        let (one, two) = tokio::join!(publish(b"one"), publish(b"two"));
        let mut versions = [one.unwrap().version, two.unwrap().version];
        versions.sort_unstable();
        assert_eq!(versions, [1, 2]);
    }

    #[tokio::test]
    async fn a_name_that_could_leave_the_repository_is_refused() {
        for name in ["../churn", "", "a/b", "Churn"] {
            let refused = publish(&InMemory::new(), name, vec![], None).await;
            assert!(matches!(refused, Err(PublishError::Name(_))), "{name:?}");
        }
    }
}
