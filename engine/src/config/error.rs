use std::path::PathBuf;

use figment::Figment;
use figment::error::{Actual, Kind};
use thiserror::Error;

use super::keys::{self, Key};
use super::layer::is_secret;
use super::units::Unit;

/// An error in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// The file that `--config` names cannot be read.
    #[error("the configuration file {} cannot be read: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        error: String,
    },
    /// The file is not TOML.
    #[error("the configuration file {} is not TOML: line {line}: {error}", path.display())]
    NotToml {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The parser's message.
        error: String,
    },
    /// An unknown key.
    #[error("unknown key `{key}` ({source_name}): {valid}")]
    UnknownKey {
        /// The key, with its table.
        key: String,
        /// The source of the key.
        source_name: String,
        /// The valid keys, as text.
        valid: String,
    },
    /// A value that does not fit its key.
    #[error("`{key}` ({source_name}) {problem}")]
    BadValue {
        /// The key, with its table.
        key: String,
        /// The source of the value.
        source_name: String,
        /// The problem and the valid values.
        problem: String,
    },
    /// A required key that no source sets.
    #[error("`{key}` {problem}")]
    Unset {
        /// The key.
        key: String,
        /// The way to set it.
        problem: String,
    },
}

/// A well-formed value that is not valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// The key, with its table.
    pub key: &'static str,
    /// The problem and the valid values.
    pub problem: String,
}

impl Invalid {
    /// Adds the source of the value.
    pub fn with_source(self, figment: &Figment) -> ConfigError {
        let Self { key, problem } = self;
        let key = key.to_owned();
        match figment.find_metadata(&key) {
            Some(metadata) => ConfigError::BadValue { key, source_name: metadata.name.to_string(), problem },
            None => ConfigError::Unset { key, problem },
        }
    }
}

impl ConfigError {
    /// Converts figment's error, which is its first.
    pub fn from_figment(error: figment::Error, figment: &Figment) -> Self {
        let key = error.path.join(".");
        let problem = match error.kind {
            Kind::UnknownField(_, valid) => {
                let source_name = source_of(figment, &key);
                return Self::UnknownKey {
                    key,
                    source_name,
                    valid: format!("valid keys are {}", list(valid)),
                };
            }
            Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) if is_secret(&key) => {
                format!("must be {}", describe_expected(&expected, keys::find(&key)))
            }
            Kind::InvalidType(got, expected) | Kind::InvalidValue(got, expected) => {
                let with_unit =
                    Unit::of(&key).map(|unit| format!(", or a text such as \"{}\"", unit.example()));
                let expected = describe_expected(&expected, keys::find(&key));
                format!("is {}, but must be {expected}{}", describe(&got), with_unit.unwrap_or_default())
            }
            Kind::UnknownVariant(got, valid) => format!("is \"{got}\", but must be one of {}", list(valid)),
            kind => kind.to_string(),
        };
        Self::BadValue { source_name: source_of(figment, &key), key, problem }
    }
}

/// Names the source of a key. An element of a list has that of its list.
fn source_of(figment: &Figment, key: &str) -> String {
    let lists = std::iter::successors(Some(key), |key| key.rsplit_once('.').map(|(list, _)| list));
    let source = lists.filter_map(|key| figment.find_metadata(key)).next();
    source.map_or_else(|| "default".to_owned(), |metadata| metadata.name.to_string())
}

fn list(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

fn describe(got: &Actual) -> String {
    match got {
        Actual::Bool(value) => value.to_string(),
        Actual::Unsigned(number) => number.to_string(),
        Actual::Signed(number) => number.to_string(),
        Actual::Float(number) => number.to_string(),
        Actual::Str(text) => format!("\"{text}\""),
        Actual::Seq => "a list".to_owned(),
        Actual::Map => "a table".to_owned(),
        other => other.to_string(),
    }
}

/// Describes what serde expected, without naming Rust types.
fn describe_expected(expected: &str, key: Option<&Key>) -> String {
    match (expected, key) {
        ("u64" | "usize" | "u32" | "f64" | "f32", Some(Key { range: Some(range), .. })) => range.to_string(),
        ("u64" | "usize" | "u32", _) => "a whole number of at least 0".to_owned(),
        ("f64" | "f32", _) => "a number".to_owned(),
        ("a sequence", Some(key)) if key.value != "[]" => format!("a list such as {}", key.value),
        ("a sequence", _) => "a list such as [\"a\", \"b\"]".to_owned(),
        (other, _) if other.starts_with("struct ") => "a table of keys".to_owned(),
        (_, Some(key)) if key.is_text() => format!("a string such as {}", key.value),
        (other, _) if other.starts_with("enum ") => "a string".to_owned(),
        (other, _) => other.to_owned(),
    }
}
