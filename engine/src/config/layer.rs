use std::path::Path;

use figment::util::nest;
use figment::value::{Dict, Map, Value};
use figment::{Error, Metadata, Profile, Provider};

use super::error::ConfigError;
use super::keys::{self, Key};
use super::units::in_units_of_keys;

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
        Ok(Self { source: path.display().to_string(), values: in_units_of_keys("", values) })
    }

    /// Makes the paths of a file relative to its folder.
    pub fn relative_to(self, folder: &Path) -> Self {
        Self { values: in_folder(folder, "", self.values), ..self }
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
        Self { source, values: in_units_of_keys("", values) }
    }
}

/// Makes the paths of a table relative to a folder.
fn in_folder(folder: &Path, table: &str, values: Dict) -> Dict {
    let join = |text: String| {
        let is_url = text.contains("://");
        let path = Path::new(&text);
        if text.trim().is_empty() || is_url || path.is_absolute() {
            return Value::from(text);
        }
        folder.join(path).to_str().map_or_else(|| Value::from(text.as_str()), Value::from)
    };
    let resolve = |key: String, value: Value| {
        let path = if table.is_empty() { key.clone() } else { format!("{table}.{key}") };
        let is_path = keys::find(&path).is_some_and(|key| key.is_path);
        let value = match value {
            Value::Dict(tag, values) => Value::Dict(tag, in_folder(folder, &path, values)),
            Value::String(_, text) if is_path => join(text),
            Value::Array(tag, paths) if is_path => {
                let join_text = |value| if let Value::String(_, text) = value { join(text) } else { value };
                Value::Array(tag, paths.into_iter().map(join_text).collect())
            }
            other => other,
        };
        (key, value)
    };
    values.into_iter().map(|(key, value)| resolve(key, value)).collect()
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
