use std::path::Path;

use figment::util::nest;
use figment::value::{Dict, Map, Value};
use figment::{Error, Metadata, Profile, Provider};

use super::error::ConfigError;
use super::keys::{self, Key};

/// A source of values, with its name for errors.
pub struct Layer {
    source: String,
    values: Dict,
}

/// The prefix of the engine's environment variables.
const PREFIX: &str = "ONNWARD_";
/// The keys of the exporter's variables, such as `ONNWARD_ACTOR`, which jobs set for both programs.
const OF_EXPORTER: [&str; 4] = ["actor", "engine_key", "engine_key_file", "webhooks"];

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
        Ok(Self { source: path.display().to_string(), values })
    }

    /// Creates a layer from an environment variable: `ONNWARD_BATCHING__WORKERS` sets `batching.workers`.
    /// `None` if the variable is not for the engine.
    pub fn variable(name: &str, value: &str) -> Option<Self> {
        let key = name.strip_prefix(PREFIX)?.to_ascii_lowercase();
        if is_kubernetes_service_variable(&key) || OF_EXPORTER.contains(&key.as_str()) {
            return None;
        }
        let key = key.replace("__", ".");
        Some(Self::nested(format!("environment variable {name}"), &key, value_of_variable(&key, value)))
    }

    /// Creates a layer from a command-line flag, by the key that it sets.
    pub fn flag(key: &str, value: String) -> Self {
        Self::nested(format!("flag --{}", key.replace('.', "-")), key, Value::from(value))
    }

    fn nested(source: String, key: &str, value: Value) -> Self {
        let values = nest(key, value).into_dict().unwrap_or_default();
        Self { source, values }
    }
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
