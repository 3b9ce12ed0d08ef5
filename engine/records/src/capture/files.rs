//! Collects lines in files: one at a time for each model, until it is large or old enough.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

/// A file that is complete.
#[derive(Debug, PartialEq, Eq)]
pub struct File {
    /// The model whose predictions it holds.
    pub model: String,
    /// Its path at the destination.
    pub path: String,
    /// Its lines.
    pub bytes: Vec<u8>,
    /// The number of requests they come from.
    pub requests: u64,
}

/// The files that are being filled.
#[derive(Debug)]
pub struct Files {
    open: BTreeMap<String, OpenFile>,
    max_bytes: usize,
    max_age: Duration,
    /// The name that distinguishes the files of this process from those of others.
    instance: String,
    number: u64,
}

#[derive(Debug)]
struct OpenFile {
    file: File,
    due: Instant,
}

impl Files {
    /// Creates an empty set of files, named by `instance`.
    pub fn new(instance: String, max_bytes: usize, max_age: Duration) -> Self {
        Self { open: BTreeMap::new(), max_bytes, max_age, instance, number: 0 }
    }

    /// Adds the lines of one request. Returns the model's file if it is now large enough.
    pub fn add(&mut self, model: &str, lines: &[u8], now: DateTime<Utc>) -> Option<File> {
        if !self.open.contains_key(model) {
            self.number += 1;
            let path =
                format!("{model}/{}-{}-{}.jsonl", now.format("%Y-%m-%d/%H%M%S"), self.instance, self.number);
            let file = File { model: model.to_owned(), path, bytes: Vec::new(), requests: 0 };
            self.open.insert(model.to_owned(), OpenFile { file, due: Instant::now() + self.max_age });
        }
        let file = &mut self.open.get_mut(model)?.file;
        file.bytes.extend_from_slice(lines);
        file.requests += 1;
        let is_full = file.bytes.len() >= self.max_bytes;
        if is_full { self.open.remove(model).map(|open| open.file) } else { None }
    }

    /// Returns when the next file is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.open.values().map(|open| open.due).min()
    }

    /// Takes the files that are due.
    pub fn take_due(&mut self) -> Vec<File> {
        let now = Instant::now();
        self.open.extract_if(.., |_, open| open.due <= now).map(|(_, open)| open.file).collect()
    }

    /// Takes every file, however small.
    pub fn take_all(&mut self) -> Vec<File> {
        std::mem::take(&mut self.open).into_values().map(|open| open.file).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-11-22T10:45:01Z".parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_is_complete_when_it_is_large_or_old_enough_and_never_has_anothers_path() {
        let mut files = Files::new("3f1c".to_owned(), 10, Duration::from_secs(60));
        assert_eq!(files.add("churn", b"12345\n", now()), None);
        assert_eq!(files.add("bank", b"1\n", now()), None);
        let full = files.add("churn", b"6789\n", now()).unwrap();
        assert_eq!((full.path.as_str(), full.requests), ("churn/2026-11-22/104501-3f1c-1.jsonl", 2));
        assert_eq!(full.bytes, b"12345\n6789\n");

        tokio::time::advance(Duration::from_secs(30)).await;
        files.add("churn", b"1\n", now());
        tokio::time::sleep_until(files.next_due().unwrap()).await;
        let due: Vec<String> = files.take_due().into_iter().map(|file| file.path).collect();
        assert_eq!(due, ["bank/2026-11-22/104501-3f1c-2.jsonl"]);
        assert_eq!(files.take_all().len(), 1);
        assert_eq!(files.next_due(), None);
    }
}
