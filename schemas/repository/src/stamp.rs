use std::collections::BTreeMap;

use object_store::ObjectMeta;
use onnward_schemas::layout::{CONFIG_FILE, MANIFEST_FILE, MODEL_FILE, SIGNATURES_FOLDER};

/// A fingerprint of a version's files by the listing of a store. It changes when one of them is changed,
/// added or removed. Two stamps can be compared, and mean nothing beyond that.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stamp(BTreeMap<String, FileStamp>);

/// A fingerprint of a file by the listing of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileStamp {
    /// The size in bytes.
    pub size: u64,
    /// The ETag, or the time of the last change in a store without ETags.
    tag: String,
}

impl Stamp {
    /// Adds a file, if engines read it; `path` is its path within the version's folder.
    pub(crate) fn add(&mut self, path: &[&str], file: &ObjectMeta) {
        if let [MODEL_FILE | MANIFEST_FILE | CONFIG_FILE] | [SIGNATURES_FOLDER, _] = path {
            self.0.insert(path.join("/"), FileStamp::of(file));
        }
    }
}

impl FileStamp {
    /// Returns the stamp of a file in a listing.
    pub fn of(file: &ObjectMeta) -> Self {
        let changed = || file.last_modified.to_rfc3339();
        Self { size: file.size, tag: file.e_tag.clone().unwrap_or_else(changed) }
    }
}
