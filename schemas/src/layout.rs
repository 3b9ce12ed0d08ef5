//! The paths of a model repository.
//!
//! A version is `<model>/<version>/model.onnx` with `manifest.json` beside it, and maybe `config.toml` and
//! `signatures/<key id>.json`. A pointer to a version is a folder of numbered entries:
//! `<model>/aliases/<alias>/<entry>.json` and `<model>/pin/<entry>.json`.
//!
//! ```
//! use onnward_schemas::layout;
//!
//! assert_eq!(layout::model_path("churn", 3), "churn/3/model.onnx");
//! assert_eq!(layout::parse_version("3"), Some(3));
//! assert_eq!(layout::parse_version("latest"), None);
//! assert!(layout::is_model_name("bank-churn_2.1") && !layout::is_model_name("../churn"));
//! ```

/// The artifact's file name within a version.
pub const MODEL_FILE: &str = "model.onnx";
/// The manifest's file name within a version.
pub const MANIFEST_FILE: &str = "manifest.json";
/// The file with what an external ONNX file does not say of itself; optional in a version.
pub const CONFIG_FILE: &str = "config.toml";
/// The folder of a version's signatures; optional.
pub const SIGNATURES_FOLDER: &str = "signatures";
/// The folder of the changes of a version's tags; optional.
pub const TAGS_FOLDER: &str = "tags";
/// The file that stays in a version's folder once the version is deleted, so that its number is never given
/// again.
pub const DELETED_FILE: &str = "deleted.json";
/// The folder of a model's aliases.
pub const ALIASES_FOLDER: &str = "aliases";
/// The folder of a model's pin.
pub const PIN_FOLDER: &str = "pin";

const LONGEST_NAME: usize = 64;
/// The digits of the largest number. Entries are written with all of them, so that a store lists them in
/// order.
const ENTRY_DIGITS: usize = 20;

/// Returns whether a model's or an alias's name can be a folder, a path segment of a URL and a metric's label
/// as it is: 1 to 64 of lower-case letters, digits, `-`, `_` and `.`, a letter or a digit first.
pub fn is_model_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= LONGEST_NAME
        && name.starts_with(plain)
        && name.chars().all(|c| plain(c) || matches!(c, '-' | '_' | '.'))
}

/// Reads the version that a folder's name means: a whole number from 1 without leading zeros. Every other
/// folder is no version and is ignored.
pub fn parse_version(folder: &str) -> Option<u64> {
    let digits = !folder.starts_with('0') && folder.bytes().all(|byte| byte.is_ascii_digit());
    if digits { folder.parse().ok() } else { None }
}

/// Returns the path of a version's artifact, from the repository's root.
pub fn model_path(model: &str, version: u64) -> String {
    format!("{model}/{version}/{MODEL_FILE}")
}

/// Returns the path of a version's manifest, from the repository's root.
pub fn manifest_path(model: &str, version: u64) -> String {
    format!("{model}/{version}/{MANIFEST_FILE}")
}

/// Returns the path of what remains of a deleted version, from the repository's root.
pub fn deleted_path(model: &str, version: u64) -> String {
    format!("{model}/{version}/{DELETED_FILE}")
}

/// Returns the path of a version's configuration, from the repository's root.
pub fn config_path(model: &str, version: u64) -> String {
    format!("{model}/{version}/{CONFIG_FILE}")
}

/// Returns the path of a version's signature by the key with this id, from the repository's root.
pub fn signature_path(model: &str, version: u64, key_id: &str) -> String {
    format!("{model}/{version}/{SIGNATURES_FOLDER}/{key_id}.json")
}

/// Returns the path of an entry of a version's tags, from the repository's root.
pub fn tags_path(model: &str, version: u64, entry: u64) -> String {
    format!("{model}/{version}/{TAGS_FOLDER}/{}", entry_file(entry))
}

/// Returns the folder of an alias's entries, from the repository's root.
pub fn alias_folder(model: &str, alias: &str) -> String {
    format!("{model}/{ALIASES_FOLDER}/{alias}")
}

/// Returns the folder of a pin's entries, from the repository's root.
pub fn pin_folder(model: &str) -> String {
    format!("{model}/{PIN_FOLDER}")
}

/// Returns the file name of a pointer's entry.
pub fn entry_file(entry: u64) -> String {
    format!("{entry:0ENTRY_DIGITS$}.json")
}

/// Reads the entry that a file name means: a number from 1 with all its leading zeros. Every other file is no
/// entry and is ignored.
pub fn parse_entry(file: &str) -> Option<u64> {
    let digits = file.strip_suffix(".json").filter(|digits| digits.len() == ENTRY_DIGITS)?;
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|entry| is_number && *entry > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_sort_as_they_count() {
        assert!(entry_file(9) < entry_file(10));
        for entry in [1, 10, u64::MAX] {
            assert_eq!(parse_entry(&entry_file(entry)), Some(entry));
        }
        for file in ["1.json", "00000000000000000000.json", "0000000000000000000x.json", "latest.json"] {
            assert_eq!(parse_entry(file), None, "{file:?}");
        }
    }

    #[test]
    fn versions_are_whole_numbers_from_one() {
        assert_eq!(parse_version("1"), Some(1));
        assert_eq!(parse_version("120"), Some(120));
        for folder in ["", "0", "01", "+1", "1.0", "latest", "99999999999999999999999"] {
            assert_eq!(parse_version(folder), None, "{folder:?}");
        }
    }

    #[test]
    fn model_names_are_safe_in_paths() {
        assert!(is_model_name("churn") && is_model_name("bank-churn_2.1"));
        for name in ["", ".", "..", "a/b", "Churn", "-x", "a b", &"x".repeat(65)] {
            assert!(!is_model_name(name), "{name:?}");
        }
    }
}
