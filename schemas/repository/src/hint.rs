//! Hints in errors: commands that run as they stand, on this repository.

use onnward_schemas::layout::{deleted_path, model_path};

use crate::error::RepositoryError;
use crate::store::Repository;

impl Repository {
    /// Returns a command of the exporter on this repository, as a user types it.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let location = folder.path().join("our models").display().to_string();
    /// # let config = onnward_repository::RepositoryConfig { location, ..Default::default() };
    /// let repository = onnward_repository::Repository::create(&config)?;
    /// let command = repository.command("versions churn");
    /// assert!(command.starts_with("onnward-exporter versions churn --repository '/"), "{command}");
    /// # Ok(())
    /// # }
    /// ```
    pub fn command(&self, arguments: &str) -> String {
        let place = self.place();
        // The place of an object store also says where the store is, which the environment holds.
        let location = if self.is_object_store() { place.split(" at ").next() } else { Some(place) };
        format!("onnward-exporter {arguments} --repository {}", quoted(location.unwrap_or(place)))
    }

    /// Returns the command that publishes the file of a version that has no manifest. In an object store there
    /// is no such file to name.
    pub(crate) fn publish_command(&self, model: &str, version: u64) -> Option<String> {
        let file = self.root.as_ref()?.join(model_path(model, version));
        Some(self.command(&format!("publish {} --model {model}", quoted(&file.display().to_string()))))
    }

    /// Returns the error for a version that does not exist, with the command that helps.
    pub(crate) async fn missing_version(&self, model: &str, version: u64) -> RepositoryError {
        let has = async |path: String| self.has_file(&path).await.unwrap_or(false);
        let is_incomplete = has(model_path(model, version)).await && !has(deleted_path(model, version)).await;
        let hint = match self.publish_command(model, version).filter(|_| is_incomplete) {
            Some(command) => {
                format!(
                    "its model.onnx has no manifest.json; if it was copied by hand, publish it with `{command}`"
                )
            }
            None if is_incomplete => {
                let command = self.command(&format!("repair {model}"));
                format!("its model.onnx has no manifest.json; see `{command}`")
            }
            None => format!("list its versions with `{}`", self.command(&format!("versions {model}"))),
        };
        RepositoryError::UnknownVersion { model: model.to_owned(), version, hint }
    }
}

/// Quotes a word for a shell, where it needs that.
///
/// ```
/// use onnward_repository::shell_quoted;
///
/// assert_eq!(shell_quoted("s3://models/telco"), "s3://models/telco");
/// assert_eq!(shell_quoted("our models"), "'our models'");
/// ```
pub fn quoted(word: &str) -> String {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || "/._-:@%+=,".contains(c);
    if !word.is_empty() && word.chars().all(is_safe) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_quoted_where_a_shell_would_split_it() {
        assert_eq!(quoted("s3://models/telco"), "s3://models/telco");
        assert_eq!(quoted("/srv/our models"), "'/srv/our models'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
