//! Where things lie in a model repository: `<model>/<version>/model.onnx` with `manifest.json` beside it.

/// The artifact's file name within a version.
pub const MODEL_FILE: &str = "model.onnx";
/// The manifest's file name within a version.
pub const MANIFEST_FILE: &str = "manifest.json";

const LONGEST_NAME: usize = 64;

/// Whether a model's name can be a folder, a path segment of a URL and a metric's label as it is: 1 to 64 of lower-case
/// letters, digits, `-`, `_` and `.`, a letter or a digit first.
pub fn is_model_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= LONGEST_NAME
        && name.starts_with(plain)
        && name.chars().all(|c| plain(c) || matches!(c, '-' | '_' | '.'))
}

/// The version that a folder's name stands for: a whole number from 1 without leading zeros. Everything else is no
/// version and is ignored.
pub fn parse_version(folder: &str) -> Option<u64> {
    let digits = !folder.starts_with('0') && folder.bytes().all(|byte| byte.is_ascii_digit());
    if digits { folder.parse().ok() } else { None }
}

/// The path of a version's artifact, from the repository's root.
pub fn model_path(model: &str, version: u64) -> String {
    format!("{model}/{version}/{MODEL_FILE}")
}

/// The path of a version's manifest, from the repository's root.
pub fn manifest_path(model: &str, version: u64) -> String {
    format!("{model}/{version}/{MANIFEST_FILE}")
}

#[cfg(test)]
mod tests {
    use super::*;

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
