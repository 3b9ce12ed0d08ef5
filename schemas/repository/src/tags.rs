//! Tags of versions. A version's tags are a log like a pointer's: each entry holds all tags, and the highest
//! counts. A version without a log has the tags of its manifest.

use std::collections::BTreeMap;

use chrono::Utc;
use futures_util::TryStreamExt;
use object_store::path::Path;
use onnward_schemas::layout::{TAGS_FOLDER, parse_entry, parse_version, tags_path};
use serde::{Deserialize, Serialize};

use crate::error::RepositoryError;
use crate::intent::new_id;
use crate::numbered_log::LogEnd;
use crate::store::{Repository, check_name};
use crate::time;

const MAX_ENTRY_BYTES: u64 = 64 * 1024;
/// The most tags of a version.
const MAX_TAGS: usize = 64;
/// The longest key and the longest value, in bytes.
const MAX_KEY_BYTES: usize = 64;
const MAX_VALUE_BYTES: usize = 512;

/// The tags of a version: values by key.
pub type Tags = BTreeMap<String, String>;

/// A planned change of a version's tags.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TagChange {
    /// The model.
    pub model: String,
    /// The version.
    pub version: u64,
    /// The tags that the version has now.
    pub before: Tags,
    /// The tags that it will have.
    pub tags: Tags,
    /// Whether the change changes anything.
    pub changes: bool,
    /// The number of the entry to write.
    #[serde(skip)]
    next: u64,
}

/// An entry, as stored.
#[derive(Serialize, Deserialize)]
struct Entry {
    tags: Tags,
    created: String,
    /// Random digits, by which a writer recognizes its own entry.
    id: String,
}

/// Refuses tags that could not be printed or listed.
///
/// # Errors
/// [`RepositoryError::Tag`].
pub fn check_tags(tags: &Tags) -> Result<(), RepositoryError> {
    let wrong = |tag: String, problem: String| Err(RepositoryError::Tag { tag, problem });
    if tags.len() > MAX_TAGS {
        return wrong(format!("{} tags", tags.len()), format!("a version has at most {MAX_TAGS} tags"));
    }
    for (key, value) in tags {
        let is_key_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
        if key.is_empty() || key.len() > MAX_KEY_BYTES || !key.bytes().all(is_key_byte) {
            let problem = format!("a key has 1 to {MAX_KEY_BYTES} of a-z, A-Z, 0-9, '.', '_', '-' and '/'");
            return wrong(format!("{key:?}"), problem);
        }
        if value.len() > MAX_VALUE_BYTES || value.chars().any(char::is_control) {
            let problem = format!("a value has at most {MAX_VALUE_BYTES} bytes of printable text");
            return wrong(format!("{key:?}"), problem);
        }
    }
    Ok(())
}

impl Repository {
    /// Returns the tags of the versions of a model that were changed after their publication.
    ///
    /// # Errors
    /// [`RepositoryError::Name`]; those of reading.
    pub async fn changed_tags(&self, model: &str) -> Result<BTreeMap<u64, Tags>, RepositoryError> {
        check_name(model)?;
        let mut last: BTreeMap<u64, u64> = BTreeMap::new();
        let mut files = self.store.list(Some(&Path::from(model)));
        while let Some(file) = files.try_next().await.map_err(|source| self.reading(model, source))? {
            let parts: Vec<_> = file.location.parts().skip(1).collect();
            let parts: Vec<&str> = parts.iter().map(AsRef::as_ref).collect();
            // An empty file is one that is being written.
            if let [version, TAGS_FOLDER, name] = parts.as_slice()
                && file.size > 0
                && let (Some(version), Some(number)) = (parse_version(version), parse_entry(name))
            {
                let last = last.entry(version).or_default();
                *last = (*last).max(number);
            }
        }
        let mut changed = BTreeMap::new();
        for (version, number) in last {
            changed.insert(version, self.tag_entry(model, version, number).await?);
        }
        Ok(changed)
    }

    /// Plans a change of a version's tags: those of `set` are added or replaced, and those of `removed` are
    /// removed. Nothing is written.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let location = folder.path().display().to_string();
    /// # let config = onnward_repository::RepositoryConfig { location, ..Default::default() };
    /// # let repository = onnward_repository::Repository::create(&config)?;
    /// # repository.publish("churn", b"an ONNX file".to_vec(), None).await?;
    /// let set = [("reviewed-by".to_owned(), "ada".to_owned())].into();
    /// let change = repository.plan_tags("churn", 1, set, &[]).await?;
    /// repository.apply_tags(&change).await?;
    /// assert_eq!(repository.changed_tags("churn").await?[&1]["reviewed-by"], "ada");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`RepositoryError::UnknownVersion`], [`RepositoryError::Tag`]; those of reading.
    pub async fn plan_tags(
        &self,
        model: &str,
        version: u64,
        set: Tags,
        removed: &[String],
    ) -> Result<TagChange, RepositoryError> {
        if !self.has_version(model, version).await? {
            return Err(self.missing_version(model, version).await);
        }
        let folder = tags_path(model, version, 1);
        let folder = Path::from(folder.rsplit_once('/').map_or("", |(folder, _)| folder));
        let listing = self.store.list_with_delimiter(Some(&folder)).await;
        let listing = listing.map_err(|source| self.reading(folder.as_ref(), source))?;
        let LogEnd { last, next } = LogEnd::of(&listing.objects, Utc::now());
        let before = match last {
            0 => self.manifest(model, version).await?.tags,
            number => self.tag_entry(model, version, number).await?,
        };
        let mut tags = before.clone();
        tags.retain(|key, _| !removed.contains(key));
        tags.extend(set);
        check_tags(&tags)?;
        let changes = tags != before;
        Ok(TagChange { model: model.to_owned(), version, before, tags, changes, next })
    }

    /// Applies a planned change of tags, unless they were changed since.
    ///
    /// # Errors
    /// [`RepositoryError::TagsChanged`]; those of writing.
    pub async fn apply_tags(&self, change: &TagChange) -> Result<(), RepositoryError> {
        if !change.changes {
            return Ok(());
        }
        let TagChange { model, version, tags, next, .. } = change;
        let path = tags_path(model, *version, *next);
        let entry = Entry { tags: tags.clone(), created: time::now_in_millis(), id: new_id() };
        let text = serde_json::to_vec_pretty(&entry)
            .map_err(|source| RepositoryError::Json { path: path.clone(), source })?;
        match self.create_own_file(&path, text.into()).await? {
            true => Ok(()),
            false => Err(RepositoryError::TagsChanged { model: model.clone(), version: *version }),
        }
    }

    async fn tag_entry(&self, model: &str, version: u64, number: u64) -> Result<Tags, RepositoryError> {
        let path = tags_path(model, version, number);
        let text = self.read(&path, MAX_ENTRY_BYTES).await?;
        let entry: Entry = serde_json::from_slice(&text)
            .map_err(|source| RepositoryError::Malformed { path: path.clone(), source })?;
        Ok(entry.tags)
    }
}
