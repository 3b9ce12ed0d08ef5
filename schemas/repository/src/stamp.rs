use std::collections::BTreeMap;

use object_store::ObjectMeta;
use onnward_schemas::layout::{CONFIG_FILE, MANIFEST_FILE, MODEL_FILE, SIGNATURES_FOLDER};

/// What the listing of a store says of a version's files: it is another as soon as one of them has been changed, added or
/// taken away. Two stamps can be compared, and mean nothing beyond that.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stamp(BTreeMap<String, FileStamp>);

/// What the listing of a store says of a file's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileStamp {
    /// In bytes.
    pub size: u64,
    /// The ETag; of a store without them the time of the last change.
    tag: String,
}

impl Stamp {
    /// Takes a file in, if it is one that an engine reads; `path` is its path within the version's folder.
    pub(crate) fn add(&mut self, path: &[&str], file: &ObjectMeta) {
        if let [MODEL_FILE | MANIFEST_FILE | CONFIG_FILE] | [SIGNATURES_FOLDER, _] = path {
            self.0.insert(path.join("/"), FileStamp::of(file));
        }
    }
}

impl FileStamp {
    /// The stamp of a file in a listing.
    pub fn of(file: &ObjectMeta) -> Self {
        let changed = || file.last_modified.to_rfc3339();
        Self { size: file.size, tag: file.e_tag.clone().unwrap_or_else(changed) }
    }
}
