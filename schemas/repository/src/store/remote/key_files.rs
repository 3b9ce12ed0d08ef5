use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use object_store::aws::AwsCredential;
use object_store::{CredentialProvider, Error, Result};

/// The variables that name files, instead of holding the values.
const ACCESS_KEY_ID: &str = "AWS_ACCESS_KEY_ID_FILE";
const SECRET_ACCESS_KEY: &str = "AWS_SECRET_ACCESS_KEY_FILE";
const SESSION_TOKEN: &str = "AWS_SESSION_TOKEN_FILE";

/// The keys of an S3 store in files, as container platforms hand out secrets. The files are read for each
/// request, so that a key can be changed without a restart.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyFiles {
    access_key_id: PathBuf,
    secret_access_key: PathBuf,
    session_token: Option<PathBuf>,
}

impl fmt::Debug for KeyFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyFiles").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

impl KeyFiles {
    /// Returns the files that the environment names, if it names any. They must be readable.
    ///
    /// # Errors
    /// A sentence about the variable that is wrong.
    pub fn from_environment(environment: &[(String, String)]) -> std::result::Result<Option<Self>, String> {
        let value = |name: &str| {
            let set = environment.iter().find(|(found, value)| found == name && !value.is_empty());
            set.map(|(_, value)| value)
        };
        let file = |name: &str| value(name).map(PathBuf::from);
        let (access_key_id, secret_access_key) = match (file(ACCESS_KEY_ID), file(SECRET_ACCESS_KEY)) {
            (Some(access_key_id), Some(secret_access_key)) => (access_key_id, secret_access_key),
            (None, None) => return Ok(None),
            _ => {
                return Err(format!(
                    "an access key has two parts: set {ACCESS_KEY_ID} and {SECRET_ACCESS_KEY}, or neither"
                ));
            }
        };
        for name in [ACCESS_KEY_ID, SECRET_ACCESS_KEY] {
            let plain = name.trim_end_matches("_FILE");
            if value(plain).is_some() {
                return Err(format!("{plain} and {name} are both set: leave one of them out"));
            }
        }
        let files = Self { access_key_id, secret_access_key, session_token: file(SESSION_TOKEN) };
        files.read()?;
        Ok(Some(files))
    }

    fn read(&self) -> std::result::Result<AwsCredential, String> {
        Ok(AwsCredential {
            key_id: read_key(&self.access_key_id)?,
            secret_key: read_key(&self.secret_access_key)?,
            token: self.session_token.as_deref().map(read_key).transpose()?,
        })
    }
}

fn read_key(path: &Path) -> std::result::Result<String, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("cannot read the key in {}: {error}", path.display()))?;
    match text.trim() {
        "" => Err(format!("there is no key in {}: the file is empty", path.display())),
        key => Ok(key.to_owned()),
    }
}

#[async_trait]
impl CredentialProvider for KeyFiles {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> Result<Arc<AwsCredential>> {
        let files = self.clone();
        let failed =
            |source: Box<dyn std::error::Error + Send + Sync>| Error::Generic { store: "S3", source };
        let read = tokio::task::spawn_blocking(move || files.read()).await;
        let credential = read.map_err(|error| failed(error.into()))?.map_err(|error| failed(error.into()))?;
        Ok(Arc::new(credential))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Vec<(String, String)> {
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn refusal(variables: &[(&str, &str)]) -> String {
        KeyFiles::from_environment(&environment(variables)).unwrap_err()
    }

    #[tokio::test]
    async fn a_key_that_is_changed_in_its_file_is_used_from_then_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(path("id"), "first\n").unwrap();
        std::fs::write(path("secret"), "hidden\n").unwrap();
        let variables = environment(&[(ACCESS_KEY_ID, &path("id")), (SECRET_ACCESS_KEY, &path("secret"))]);
        let files = KeyFiles::from_environment(&variables).unwrap().unwrap();
        let credential = files.get_credential().await.unwrap();
        assert_eq!((credential.key_id.as_str(), credential.secret_key.as_str()), ("first", "hidden"));
        assert!(!format!("{files:?}").contains("hidden"));
        std::fs::write(path("id"), "second").unwrap();
        assert_eq!(files.get_credential().await.unwrap().key_id, "second");
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_the_names_of_the_variables() {
        assert!(refusal(&[(ACCESS_KEY_ID, "id")]).contains(SECRET_ACCESS_KEY));
        let files = [(ACCESS_KEY_ID, "/no/id"), (SECRET_ACCESS_KEY, "/no/secret")];
        assert!(refusal(&files).contains("cannot read the key in /no/id"));
        let both = [files[0], files[1], ("AWS_SECRET_ACCESS_KEY", "hidden")];
        assert!(refusal(&both).contains("are both set") && !refusal(&both).contains("hidden"));
        assert_eq!(KeyFiles::from_environment(&environment(&[(ACCESS_KEY_ID, "")])), Ok(None));
    }
}
