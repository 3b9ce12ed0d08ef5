use std::path::Path;

use figment::util::nest;
use figment::value::{Dict, Map, Value};
use figment::{Error, Metadata, Profile, Provider};

use super::error::ConfigError;
use super::keys::{self, Key};
use super::units::in_unit_of_key;

/// A source of values, with its name for errors.
pub struct Layer {
    source: String,
    values: Dict,
}

/// The prefix of the engine's environment variables.
const PREFIX: &str = "ONNWARD_";
/// The keys of the exporter's variables, such as `ONNWARD_ACTOR`, which jobs set for both programs.
const OF_EXPORTER: [&str; 6] =
    ["actor", "engine_key", "engine_key_file", "webhooks", "webhook_secret", "webhook_secret_file"];
/// The beginning of the exporter's variables for the repository that a version is copied to.
const OF_TARGET: &str = "target_";

impl Layer {
    /// Creates the lowest layer from the defaults in the table of keys.
    pub fn defaults() -> Result<Self, ConfigError> {
        Ok(Self { source: "default".to_owned(), ..Self::file(Path::new("default"), &keys::reference())? })
    }

    /// Creates a layer from the text of a TOML file.
    pub fn file(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let values = toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let line = text.get(..start).unwrap_or_default().matches('\n').count() + 1;
            ConfigError::NotToml { path: path.to_owned(), line, error: error.message().replace('\n', " ") }
        })?;
        Ok(Self { source: path.display().to_string(), values: map_values("", values, &in_unit_of_key) })
    }

    /// Makes the paths of a file relative to its folder.
    pub fn relative_to(self, folder: &Path) -> Self {
        let relative = |key: &str, value| in_folder(folder, key, value);
        Self { values: map_values("", self.values, &relative), ..self }
    }

    /// Creates a layer from a variable that sets a key under another name.
    pub fn of_variable(name: &str, key: &str, value: Value) -> Self {
        Self::nested(format!("environment variable {name}"), key, value)
    }

    /// Creates a layer from an environment variable: `ONNWARD_BATCHING__WORKERS` sets `batching.workers`.
    /// `None` if the variable is not for the engine.
    pub fn variable(name: &str, value: &str) -> Option<Self> {
        let key = name.strip_prefix(PREFIX)?.to_ascii_lowercase();
        let is_of_exporter = OF_EXPORTER.contains(&key.as_str()) || key.starts_with(OF_TARGET);
        if is_of_exporter || is_kubernetes_service_variable(&key) {
            return None;
        }
        let key = key.replace("__", ".");
        Some(Self::of_variable(name, &key, value_of_variable(&key, value)))
    }

    /// Creates a layer from a command-line flag, by the key that it sets.
    pub fn flag(key: &str, value: String) -> Self {
        Self::nested(format!("flag --{}", key.replace('.', "-")), key, Value::from(value))
    }

    fn nested(source: String, key: &str, value: Value) -> Self {
        let values = nest(key, value).into_dict().unwrap_or_default();
        Self { source, values: map_values("", values, &in_unit_of_key) }
    }
}

/// Changes every value of a table, and of those in it, by its full key.
fn map_values(table: &str, values: Dict, change: &impl Fn(&str, Value) -> Value) -> Dict {
    let changed = |(name, value): (String, Value)| {
        let key = keys::full_name(table, &name);
        let value = match value {
            Value::Dict(tag, values) => Value::Dict(tag, map_values(&key, values, change)),
            value => change(&key, value),
        };
        (name, value)
    };
    values.into_iter().map(changed).collect()
}

/// Makes the paths in a key's value relative to a folder.
fn in_folder(folder: &Path, key: &str, value: Value) -> Value {
    let join = |value| match value {
        Value::String(_, text) if is_relative_path(&text) => {
            folder.join(&text).to_str().map_or_else(|| Value::from(text.as_str()), Value::from)
        }
        value => value,
    };
    match value {
        value if !keys::find(key).is_some_and(|key| key.is_path) => value,
        Value::Array(tag, paths) => Value::Array(tag, paths.into_iter().map(join).collect()),
        value => join(value),
    }
}

fn is_relative_path(text: &str) -> bool {
    !text.trim().is_empty() && !text.contains("://") && Path::new(text).is_relative()
}

/// Reads a variable in figment's notation: numbers, Booleans and ["lists"] are parsed, everything else is a
/// string. So is what a key of text looks like: 12 is a name, and 1.3 a version.
fn value_of_variable(key: &str, text: &str) -> Value {
    if is_secret(key) {
        return text.into();
    }
    match text.parse().unwrap_or_else(|never| match never {}) {
        parsed @ Value::String(..) => parsed,
        _ if keys::find(key).is_some_and(Key::is_text) => text.into(),
        parsed => parsed,
    }
}

/// Returns whether a key's value is secret.
pub fn is_secret(key: &str) -> bool {
    matches!(key, "s3.access_key_id" | "s3.secret_access_key" | "s3.session_token")
}

/// Returns whether Kubernetes sets the variable in every pod beside a service called `onnward`, such as
/// `ONNWARD_SERVICE_HOST` and `ONNWARD_PORT_8000_TCP_ADDR`.
fn is_kubernetes_service_variable(key: &str) -> bool {
    let words: Vec<&str> = key.split('_').collect();
    let service = words.windows(2).any(|pair| pair == ["service", "host"] || pair == ["service", "port"]);
    let port = words.iter().position(|word| *word == "port").map(|at| &words[at + 1..]);
    service || matches!(port, Some([] | [_, "tcp" | "udp" | "sctp", ..]))
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.source.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}
