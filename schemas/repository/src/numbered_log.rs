//! Logs of numbered entries: the highest counts, and the next one is created if it is not there.

use chrono::{DateTime, TimeDelta, Utc};
use object_store::ObjectMeta;
use onnward_schemas::layout::parse_entry;

/// The age from which an empty entry is no longer being written. In a folder without hard links, an empty file claims
/// the name of an entry, and whoever is killed then leaves it behind.
const ABANDONED: TimeDelta = TimeDelta::minutes(10);

/// The end of a log, by the listing of its folder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LogEnd {
    /// The number of the last entry; 0 if there is none.
    pub last: u64,
    /// The number of the entry to write next. It is beyond empty entries that nobody completes any more.
    pub next: u64,
}

impl LogEnd {
    /// Finds the end of a log.
    pub fn of<'a>(files: impl IntoIterator<Item = &'a ObjectMeta>, now: DateTime<Utc>) -> Self {
        let (mut last, mut taken) = (0, 0);
        for file in files {
            let Some(number) = file.location.filename().and_then(parse_entry) else { continue };
            let is_written = file.size > 0;
            if is_written {
                last = number.max(last);
            }
            if is_written || now.signed_duration_since(file.last_modified) > ABANDONED {
                taken = number.max(taken);
            }
        }
        Self { last, next: taken.saturating_add(1) }
    }
}

#[cfg(test)]
mod tests {
    use object_store::path::Path;
    use onnward_schemas::layout::entry_file;

    use super::*;

    #[test]
    fn an_empty_entry_blocks_its_log_for_minutes_and_not_for_ever() {
        let now = Utc::now();
        let file = |number: u64, size: u64, minutes: i64| ObjectMeta {
            location: Path::from(format!("churn/aliases/champion/{}", entry_file(number))),
            last_modified: now - TimeDelta::minutes(minutes),
            size,
            e_tag: None,
            version: None,
        };
        let of = |files: &[ObjectMeta]| {
            let LogEnd { last, next } = LogEnd::of(files, now);
            (last, next)
        };
        assert_eq!(of(&[]), (0, 1));
        assert_eq!(of(&[file(1, 9, 0), file(2, 9, 0)]), (2, 3));
        // Whoever writes it may be at work: the next move finds the number taken.
        assert_eq!(of(&[file(1, 9, 60), file(2, 0, 1)]), (1, 2));
        assert_eq!(of(&[file(1, 9, 60), file(2, 0, 11)]), (1, 3));
        // It was passed, and is not the end.
        assert_eq!(of(&[file(1, 9, 60), file(2, 0, 60), file(3, 9, 0)]), (3, 4));
    }
}
