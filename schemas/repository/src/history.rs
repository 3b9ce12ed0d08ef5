//! The history of an alias: its entries, but for those that were removed for their age.

use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use onnward_schemas::layout::{alias_folder, parse_entry};
use serde::Serialize;

use crate::error::RepositoryError;
use crate::inventory::READS_AT_A_TIME;
use crate::pointer::Pointer;
use crate::store::{Repository, check_name};

/// One move of an alias.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HistoryEntry {
    /// The entry's number, from 1.
    pub entry: u64,
    /// The version that the alias named from then on; absent after it was deleted.
    pub version: Option<u64>,
    /// The entry that a rollback restores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollback_to: Option<u64>,
    /// The time of the move, in RFC 3339 and UTC.
    pub moved: String,
}

impl Repository {
    /// Returns the moves of an alias, the first one first; none if it was never set.
    ///
    /// # Errors
    /// [`RepositoryError::Name`], [`RepositoryError::NoModel`]; those of reading.
    pub async fn history(&self, model: &str, alias: &str) -> Result<Vec<HistoryEntry>, RepositoryError> {
        check_name(alias)?;
        self.known(model).await?;
        let folder = alias_folder(model, alias);
        let listing = self.store.list_with_delimiter(Some(&Path::from(folder.as_str()))).await;
        let listing = listing.map_err(|source| self.reading(&folder, source))?;
        let written = listing.objects.iter().filter(|object| object.size > 0);
        let numbers = written.filter_map(|object| parse_entry(object.location.filename()?));
        let mut numbers: Vec<u64> = numbers.collect();
        numbers.sort_unstable();
        let pointer = &Pointer::Alias(alias.to_owned());
        let entries = stream::iter(numbers).map(async |number| {
            let found = self.find_entry(model, pointer, number).await?;
            Ok::<_, RepositoryError>(found.map(|entry| {
                let (version, rollback_to) = (entry.version, entry.rollback_to);
                HistoryEntry { entry: number, version, rollback_to, moved: entry.created }
            }))
        });
        let entries: Vec<Option<HistoryEntry>> = entries.buffered(READS_AT_A_TIME).try_collect().await?;
        Ok(entries.into_iter().flatten().collect())
    }
}
