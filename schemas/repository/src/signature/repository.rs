use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::path::Path;
use onnward_schemas::layout::{signature_path, signatures_folder};
use serde::Serialize;

use super::{KeyId, Signature, Signer, TrustedKeys};
use crate::error::RepositoryError;
use crate::store::Repository;

const MAX_SIGNATURE_BYTES: u64 = 4 * 1024;

/// A signature of a version by one key, which has been added, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Signed {
    /// The model.
    pub model: String,
    /// The version.
    pub version: u64,
    /// The key.
    pub key_id: KeyId,
    /// Where the signature lies, from the repository's root.
    pub path: String,
    /// Whether anything is written: the key may have signed the version before.
    pub changes: bool,
}

impl Repository {
    /// What [`Repository::sign`] would write now. Nothing is written.
    ///
    /// # Errors
    /// Those of [`Repository::sign`], but for writing.
    pub async fn plan_signature(
        &self,
        model: &str,
        version: u64,
        signer: &Signer,
    ) -> Result<Signed, RepositoryError> {
        Ok(self.look_for_signature(model, version, signer).await?.0)
    }

    /// Adds a signature to a version that is there. One by the same key that is there already is left as it is.
    ///
    /// # Errors
    /// [`RepositoryError::UnknownVersion`]; [`RepositoryError::Signature`] if what is there under the key's name is not
    /// its signature of this version; those of reading and writing.
    pub async fn sign(&self, model: &str, version: u64, signer: &Signer) -> Result<Signed, RepositoryError> {
        let (signed, manifest_text) = self.look_for_signature(model, version, signer).await?;
        if signed.changes {
            let signature = signer.sign(model, version, &manifest_text);
            if !self.write_signature(model, version, &signature).await? {
                // Somebody else has signed it with the same key at the same time.
                return self.plan_signature(model, version, signer).await;
            }
        }
        Ok(signed)
    }

    /// The texts of a version's signatures, for [`TrustedKeys::verify`]. What is not named after a key is left out.
    ///
    /// # Errors
    /// [`RepositoryError::TooLarge`]; those of reading.
    pub async fn signatures(&self, model: &str, version: u64) -> Result<Vec<String>, RepositoryError> {
        let folder = signatures_folder(model, version);
        let fail = |source| self.reading(&folder, source);
        let mut files = self.store.list(Some(&Path::from(folder.as_str())));
        let mut texts = Vec::new();
        while let Some(file) = files.try_next().await.map_err(fail)? {
            if file.location.filename().and_then(KeyId::of_file).is_some() {
                texts.push(self.signature_text(file.location.as_ref()).await?);
            }
        }
        Ok(texts)
    }

    /// Writes a new signature; `false` if there is another by this key already.
    pub(crate) async fn write_signature(
        &self,
        model: &str,
        version: u64,
        signature: &Signature,
    ) -> Result<bool, RepositoryError> {
        let path = signature_path(model, version, signature.key_id.as_str());
        let text = serde_json::to_vec_pretty(signature);
        let text = text.map_err(|source| RepositoryError::Json { path: path.clone(), source })?;
        self.create_own_file(&path, Bytes::from(text)).await
    }

    /// Looks whether a key has signed a version, and reads its manifest.
    async fn look_for_signature(
        &self,
        model: &str,
        version: u64,
        signer: &Signer,
    ) -> Result<(Signed, String), RepositoryError> {
        let (_, manifest_text) = self.manifest_and_text(model, version).await?;
        if !self.has_version(model, version).await? {
            return Err(RepositoryError::UnknownVersion { model: model.to_owned(), version });
        }
        let path = signature_path(model, version, signer.key_id().as_str());
        let is_there = self.has_file(&path).await?;
        if is_there {
            let found = self.signature_text(&path).await?;
            TrustedKeys::of(signer).verify(model, version, &manifest_text, &[found])?;
        }
        let (model, key_id) = (model.to_owned(), signer.key_id().clone());
        Ok((Signed { model, version, key_id, path, changes: !is_there }, manifest_text))
    }

    /// The text of a signature's file; what cannot be text is none that could be right.
    async fn signature_text(&self, path: &str) -> Result<String, RepositoryError> {
        let bytes = self.read(path, MAX_SIGNATURE_BYTES).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}
