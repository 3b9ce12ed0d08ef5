use onnward_schemas::layout::signature_path;
use serde::Serialize;

use super::{KeyId, Signature, Signer, Subject, TrustedKeys};
use crate::error::RepositoryError;
use crate::fetch::{MAX_SIGNATURE_BYTES, Texts};
use crate::store::Repository;

/// A signature of a version by one key, added or planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Signed {
    /// The model.
    pub model: String,
    /// The version.
    pub version: u64,
    /// The key.
    pub key_id: KeyId,
    /// The signature's path, from the repository's root.
    pub path: String,
    /// Whether anything is written. The key may have signed the version before.
    pub changes: bool,
}

impl Repository {
    /// Returns what [`Repository::sign`] would write now. Nothing is written.
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

    /// Adds a signature to a version that exists. A signature by the same key that is there already stays as
    /// it is.
    ///
    /// # Errors
    /// [`RepositoryError::UnknownVersion`]; [`RepositoryError::Signature`] if what is there under the key's
    /// name is not its signature of this version; those of reading and writing.
    pub async fn sign(&self, model: &str, version: u64, signer: &Signer) -> Result<Signed, RepositoryError> {
        let (signed, Texts { manifest_text, config, .. }) =
            self.look_for_signature(model, version, signer).await?;
        if signed.changes {
            let subject =
                Subject { model, version, manifest_text: &manifest_text, config: config.as_deref() };
            let (path, text) = signer.sign(&subject).to_file(model, version)?;
            if !self.create_own_file(&path, text.into()).await? {
                // Somebody else has signed it with the same key at the same time.
                return self.plan_signature(model, version, signer).await;
            }
        }
        Ok(signed)
    }

    /// Finds out whether a key has signed a version, and reads the files to sign.
    async fn look_for_signature(
        &self,
        model: &str,
        version: u64,
        signer: &Signer,
    ) -> Result<(Signed, Texts), RepositoryError> {
        let texts = self.texts(model, version).await?;
        if !self.has_version(model, version).await? {
            return Err(self.missing_version(model, version).await);
        }
        let path = signature_path(model, version, signer.key_id().as_str());
        let is_there = self.has_file(&path).await?;
        if is_there {
            let found = self.read_text(&path, MAX_SIGNATURE_BYTES).await?;
            let Texts { manifest_text, config, .. } = &texts;
            let subject = Subject { model, version, manifest_text, config: config.as_deref() };
            let verified = TrustedKeys::of(signer).verify(&subject, &[found]);
            verified.map_err(RepositoryError::Signature)?;
        }
        let (model, key_id) = (model.to_owned(), signer.key_id().clone());
        Ok((Signed { model, version, key_id, path, changes: !is_there }, texts))
    }
}

impl Signature {
    /// Returns the path of a signature's file, from the repository's root, and its text.
    pub(crate) fn to_file(&self, model: &str, version: u64) -> Result<(String, String), RepositoryError> {
        let path = signature_path(model, version, self.key_id.as_str());
        match serde_json::to_string_pretty(self) {
            Ok(text) => Ok((path, text)),
            Err(source) => Err(RepositoryError::Json { path, source }),
        }
    }
}
