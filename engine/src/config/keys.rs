//! The table of all configuration keys, with defaults, valid ranges and descriptions. It provides the lowest layer of the
//! configuration and the ranges for validation, and `onnward-engine config` prints it.

use std::fmt::{self, Write};
use std::ops::RangeInclusive;

use onnward_schemas::Schema;
use serde::Serialize;

/// One key of a table.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The name within its table.
    pub name: &'static str,
    /// The default as TOML, or an example if there is no default.
    pub value: &'static str,
    has_default: bool,
    /// The valid range, if there is one.
    pub range: Option<Range>,
    /// The description.
    doc: &'static str,
}

/// The valid range of a number.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Range {
    /// Whole numbers.
    Whole {
        /// The smallest.
        min: u64,
        /// The largest.
        max: u64,
    },
    /// Any numbers.
    Number {
        /// The smallest.
        min: f64,
        /// The largest.
        max: f64,
    },
}

/// The keys of one table of the file.
#[derive(Debug, Clone, Copy)]
struct Table {
    /// The table's name; empty for the keys above all tables.
    name: &'static str,
    keys: &'static [Key],
}

/// The machine-readable reference of a key.
#[derive(Debug, Serialize)]
struct KeyReference {
    key: String,
    /// The default, as TOML.
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<&'static str>,
    /// An example as TOML, if there is no default.
    #[serde(skip_serializing_if = "Option::is_none")]
    example: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    range: Option<Range>,
    doc: &'static str,
}

impl Key {
    const fn new(name: &'static str, value: &'static str, doc: &'static str) -> Self {
        Self { name, value, has_default: true, range: None, doc }
    }

    /// Creates a key without a default.
    const fn optional(name: &'static str, example: &'static str, doc: &'static str) -> Self {
        Self { name, value: example, has_default: false, range: None, doc }
    }

    /// Returns whether its value is text.
    pub fn is_text(&self) -> bool {
        self.value.starts_with('"')
    }

    const fn within(self, range: RangeInclusive<u64>) -> Self {
        let range = Range::Whole { min: *range.start(), max: *range.end() };
        Self { range: Some(range), ..self }
    }

    const fn between(self, min: f64, max: f64) -> Self {
        Self { range: Some(Range::Number { min, max }), ..self }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole { min, max } => write!(f, "a whole number from {min} to {max}"),
            Self::Number { min, max } => write!(f, "a number from {min} to {max}"),
        }
    }
}

/// Finds a key by its full name, such as `batching.workers`.
pub fn find(path: &str) -> Option<&'static Key> {
    let (table, name) = path.rsplit_once('.').unwrap_or(("", path));
    TABLES.iter().find(|one| one.name == table)?.keys.iter().find(|key| key.name == name)
}

/// Returns every key with its full name.
pub fn all() -> impl Iterator<Item = (String, &'static Key)> {
    let path =
        |table: &str, name| if table.is_empty() { String::from(name) } else { format!("{table}.{name}") };
    TABLES.iter().flat_map(move |table| table.keys.iter().map(move |key| (path(table.name, key.name), key)))
}

/// Returns the reference of all keys as a TOML file with the defaults.
pub fn reference() -> String {
    let mut text = String::new();
    for table in TABLES {
        if !table.name.is_empty() {
            // Writing to a String cannot fail.
            let _ = write!(text, "\n[{}]\n", table.name);
        }
        for Key { name, value, has_default, range, doc } in table.keys {
            let range = range.map(|range| format!(" Valid: {range}.")).unwrap_or_default();
            let comment = if *has_default { "" } else { "# " };
            let _ = write!(text, "# {doc}{range}\n{comment}{name} = {value}\n");
        }
    }
    text
}

/// Returns the machine-readable reference of all keys.
pub fn reference_json() -> impl Serialize {
    let reference = |(path, key): (String, &'static Key)| KeyReference {
        key: path,
        default: key.has_default.then_some(key.value),
        example: (!key.has_default).then_some(key.value),
        range: key.range,
        doc: key.doc,
    };
    all().map(reference).collect::<Vec<_>>()
}

const TEN_MINUTES_MS: u64 = 600_000;
const DAY_MS: u64 = 86_400_000;
const YEAR_SECONDS: u64 = 366 * 86_400;
const GIBIBYTE: u64 = 1 << 30;
/// The maximum size of a protobuf message, just below 2 GiB.
const MAX_PROTOBUF_BYTES: u64 = (1 << 31) - 1;

const TABLES: &[Table] = &[
    Table {
        name: "",
        keys: &[
            Key::optional(
                "repository",
                "\"model-repository\"",
                "The model repository: a folder, file:///folder or s3://bucket/prefix. It must be \
                 set.",
            ),
            Key::new("listen", "\"127.0.0.1:8000\"", "The address to listen on."),
            Key::new(
                "backend",
                "\"auto\"",
                "The runtime: onnxruntime, tract, or auto, which takes the faster one for each model.",
            ),
            Key::optional(
                "default_model",
                "\"churn\"",
                "The model that answers POST /predict; without it, the first by name.",
            ),
            Key::new("alias", "\"champion\"", "The alias whose version is served."),
            Key::new("required_models", "[]", "The engine is not ready without these models."),
            Key::new(
                "loaded_versions",
                "3",
                "Loaded versions of a model: the served one, the previous one, then those that \
                 aliases name.",
            )
            .within(1..=1000),
        ],
    },
    Table {
        name: "s3",
        keys: &[
            Key::optional(
                "endpoint",
                "\"https://store.example.org\"",
                "The URL of an S3 store other than AWS itself. What [s3] does not set comes from \
                 AWS's environment variables and roles.",
            ),
            Key::optional("region", "\"eu-central-1\"", "The region of the store."),
            Key::optional("access_key_id", "\"…\"", "The access key's id."),
            Key::optional("secret_access_key", "\"…\"", "The secret access key."),
            Key::optional("session_token", "\"…\"", "The session token of a temporary key."),
            Key::optional(
                "path_style",
                "true",
                "The bucket is in the path of a URL (true, as by default), or in its host name \
                 (false).",
            ),
            Key::optional("allow_http", "false", "Allows a store without TLS."),
        ],
    },
    Table {
        name: "watch",
        keys: &[
            Key::new("interval_ms", "5000", "How often the repository is polled, give or take a fifth.")
                .within(10..=DAY_MS),
            Key::new("max_backoff_ms", "60000", "After failed polls the wait doubles, up to this.")
                .within(10..=DAY_MS),
        ],
    },
    Table {
        name: "store",
        keys: &[Key::new(
            "timeout_ms",
            "10000",
            "The timeout for a connection to the store, and between two bytes.",
        )
        .within(100..=TEN_MINUTES_MS)],
    },
    Table {
        name: "cache",
        keys: &[
            Key::optional(
                "folder",
                "\"/var/cache/onnward\"",
                "Where fetched models are kept; by default ~/.cache/onnward, for object stores alone.",
            ),
            Key::new(
                "max_bytes",
                "10737418240",
                "When the cache is larger, the least recently used files are removed.",
            )
            .within(0..=(u64::MAX >> 1)),
        ],
    },
    Table {
        name: "models",
        keys: &[
            Key::new("max_bytes", "536870912", "The largest model.onnx that is downloaded and loaded.")
                .within(1024..=MAX_PROTOBUF_BYTES),
            Key::new("max_nodes", "20000", "The most nodes of a graph.").within(1..=10_000_000),
            Key::new("max_tree_nodes", "10000000", "The most nodes of all its trees together.")
                .within(1..=1_000_000_000),
            Key::new("max_tree_depth", "256", "The greatest depth of a tree.").within(1..=100_000),
            Key::new("max_features", "10000", "The most features.").within(1..=Schema::MAX_FEATURES as u64),
        ],
    },
    Table {
        name: "signing",
        keys: &[Key::new(
            "public_keys",
            "[]",
            "Files of public keys; if there are any, one of them must have signed each served \
                 version.",
        )],
    },
    Table {
        name: "onnxruntime",
        keys: &[Key::optional(
            "library",
            "\".onnxruntime/libonnxruntime.so\"",
            "ONNX Runtime's shared library; by default it is searched for beside the program and \
                 above it.",
        )],
    },
    Table {
        name: "batching",
        keys: &[
            Key::new(
                "workers",
                "0",
                "Worker threads of each model, each with its own session; 0 = one per core.",
            )
            .within(0..=1024),
            Key::optional(
                "max_batch_rows",
                "1024",
                "The most rows of a batch; by default measured for each model.",
            )
            .within(1..=1_000_000),
            Key::new("max_queue_rows", "16384", "The most rows that may wait; more are refused with 429.")
                .within(1..=100_000_000),
            Key::new(
                "max_queue_delay_ms",
                "0",
                "How long a batch that is not full waits for more rows; 0 = not at all.",
            )
            .within(0..=10_000),
        ],
    },
    Table {
        name: "http",
        keys: &[
            Key::new("max_body_bytes", "8388608", "The largest body of a request.").within(1024..=GIBIBYTE),
            Key::new("max_request_rows", "10000", "The most rows of a request.").within(1..=1_000_000),
            Key::new(
                "request_timeout_ms",
                "30000",
                "The time limit of a request; x-request-timeout-ms may shorten it.",
            )
            .within(1..=TEN_MINUTES_MS),
            Key::new("cors_origins", "[]", "Origins whose pages may call the engine (CORS), or \"*\"."),
            Key::new(
                "errors",
                "\"full\"",
                "How much an error tells a client: full, or terse, which leaves out the names of \
                 fields and models and what was wrong with each.",
            ),
        ],
    },
    Table {
        name: "tls",
        keys: &[
            Key::optional(
                "certificate_file",
                "\"server.pem\"",
                "The certificate and its chain, in PEM. Without a certificate the engine speaks plain \
                 HTTP.",
            ),
            Key::optional("private_key_file", "\"server.key\"", "The certificate's private key, in PEM."),
            Key::optional(
                "client_ca_file",
                "\"clients.pem\"",
                "With it, only clients with a certificate of this authority are accepted.",
            ),
            Key::new("min_version", "\"1.2\"", "The oldest TLS version: 1.2 or 1.3."),
        ],
    },
    Table {
        name: "admin",
        keys: &[
            Key::optional(
                "listen",
                "\"127.0.0.1:8001\"",
                "The address of the admin routes; without it they are disabled.",
            ),
            Key::optional("audit_file", "\"audit.jsonl\"", "A file with one line for each admin request."),
        ],
    },
    Table {
        name: "limits",
        keys: &[
            Key::new(
                "max_connections",
                "0",
                "0 = the open-file limit, at most 8,192. When full, the longest-idle connection is \
                 closed.",
            )
            .within(0..=1_000_000),
            Key::new(
                "max_requests",
                "16384",
                "Requests that are answered at once; more are refused with 503.",
            )
            .within(1..=1_000_000),
            Key::new("max_headers", "64", "The most header fields of a request.").within(16..=1000),
            Key::new("max_header_bytes", "32768", "The most bytes of a request's head.")
                .within(8192..=1024 * 1024),
            Key::new("max_streams", "128", "Requests under way on one HTTP/2 connection.").within(1..=10_000),
            Key::new(
                "requests_per_second_per_address",
                "0",
                "The most requests per second of each address; 0 = no limit.",
            )
            .within(0..=1_000_000),
            Key::new(
                "burst_per_address",
                "0",
                "How many requests of an address may come at once; 0 = as many as in a second.",
            )
            .within(0..=1_000_000),
            Key::new(
                "requests_per_second_per_key",
                "0",
                "The most requests per second of each API key or token; 0 = no limit.",
            )
            .within(0..=1_000_000),
            Key::new(
                "burst_per_key",
                "0",
                "How many requests of a key or token may come at once; 0 = as many as in a second.",
            )
            .within(0..=1_000_000),
            Key::new(
                "trusted_proxies",
                "[]",
                "Networks whose X-Forwarded-For is believed, such as the load balancer's.",
            ),
        ],
    },
    Table {
        name: "auth",
        keys: &[
            Key::optional(
                "keys_file",
                "\"keys.toml\"",
                "The file of API keys. Without keys and tokens, the engine listens on the loopback \
                 alone, and anybody there may do anything.",
            ),
            Key::new("protect", "[]", "Routes that need a key as well: \"metrics\", \"docs\"."),
            Key::new(
                "allow_everybody",
                "false",
                "Listens elsewhere without keys too, behind something that checks who calls.",
            ),
        ],
    },
    Table {
        name: "auth.jwt",
        keys: &[
            Key::optional(
                "jwks",
                "\"https://login.example.com/jwks.json\"",
                "The issuer's key set: a file or a URL. Without it no token is accepted.",
            ),
            Key::optional(
                "issuer",
                "\"https://login.example.com/\"",
                "The required `iss` of tokens; needed with jwks.",
            ),
            Key::optional("audience", "\"onnward\"", "The required `aud` of tokens; needed with jwks."),
            Key::new(
                "scope_claim",
                "\"scope\"",
                "The claim that holds the scopes, or a path such as realm_access.roles.",
            ),
            Key::new(
                "scope_prefix",
                "\"\"",
                "What precedes predict, read and admin in that claim, such as \"onnward:\".",
            ),
            Key::new("name_claim", "\"sub\"", "The claim that names the caller."),
            Key::new(
                "algorithms",
                "[\"HS256\", \"RS256\", \"ES256\", \"EdDSA\"]",
                "Accepted algorithms; HS256 only with secrets from a file.",
            ),
            Key::new("leeway_s", "30", "How far the issuer's clock may be off.").within(0..=300),
            Key::new("refresh_s", "300", "How often a key set is fetched again.").within(30..=86_400),
        ],
    },
    Table {
        name: "shutdown",
        keys: &[
            Key::new(
                "grace_ms",
                "1000",
                "How long the engine still accepts requests after it has become unready.",
            )
            .within(0..=TEN_MINUTES_MS),
            Key::new("drain_timeout_ms", "25000", "How long requests in flight may then take.")
                .within(0..=TEN_MINUTES_MS),
        ],
    },
    Table {
        name: "log",
        keys: &[
            Key::optional(
                "format",
                "\"json\"",
                "pretty or json; by default pretty on a terminal and json elsewhere.",
            ),
            Key::new("level", "\"info\"", "error, warn, info, debug or trace."),
            Key::new(
                "access_sample",
                "1.0",
                "The share of requests that leave a line. Requests with a 5xx and slow ones always \
                 do, successful probes never.",
            )
            .between(0.0, 1.0),
            Key::new("access_slow_ms", "1000", "From this duration on a request is slow.")
                .within(0..=TEN_MINUTES_MS),
            Key::new("values", "false", "For development: writes what requests hold, at level debug."),
        ],
    },
    Table {
        name: "metrics",
        keys: &[
            Key::new("enabled", "true", "Whether requests and predictions are counted."),
            Key::new("risk_bands", "[0.3, 0.6]", "The edges between the bands of risk: low, medium, high."),
            Key::new("certificates", "[]", "PEM files whose expiry is shown, such as the load balancer's."),
        ],
    },
    Table {
        name: "drift",
        keys: &[
            Key::new("enabled", "true", "Whether live rows are compared with the training profile."),
            Key::new(
                "window_rows",
                "10000",
                "A window ends after so many rows, or after `window_seconds`, whichever comes first.",
            )
            .within(10..=100_000_000),
            Key::new(
                "window_seconds",
                "86400",
                "A window ends after so many seconds, or after `window_rows`, whichever comes first.",
            )
            .within(1..=YEAR_SECONDS),
            Key::new("min_rows", "500", "With fewer rows a window is not judged.").within(10..=100_000_000),
            Key::new("sample", "1.0", "The share of rows that are counted.").between(1e-06, 1.0),
            Key::new(
                "max_rows_per_second",
                "10000",
                "The most rows of each version that are counted in a second; above it rows are \
                 sampled.",
            )
            .within(1..=100_000_000),
            Key::new("alpha", "0.01", "At most this share of windows is a false alarm.").between(1e-09, 0.5),
            Key::new("psi_threshold", "0.1", "A smaller population stability index is not reported.")
                .between(0.0, 100.0),
        ],
    },
    Table {
        name: "outcomes",
        keys: &[
            Key::optional(
                "folder",
                "\"/var/lib/onnward\"",
                "Where predictions and their ground truth are kept; without it none is.",
            ),
            Key::new("retention_days", "90", "How long predictions are kept.").within(1..=3650),
            Key::new(
                "max_predictions",
                "10000000",
                "The oldest are removed first. Each takes 70 bytes, or 184 with the customer's key.",
            )
            .within(1_000..=10_000_000_000),
            Key::new("window_days", "30", "How long an outcome counts after it came.").within(1..=3650),
            Key::new("window_outcomes", "10000", "The most outcomes of a version that count: the last ones.")
                .within(10..=1_000_000),
            Key::new("estimate_rows", "10000", "The fewest scores that an estimate covers: the last ones.")
                .within(100..=100_000_000),
        ],
    },
    Table {
        name: "capture",
        keys: &[
            Key::optional(
                "place",
                "\"s3://bucket/captures\"",
                "An object store such as s3://bucket/captures, or a folder; without it nothing is \
                 captured.",
            ),
            Key::new("sample", "0.01", "The share of the answered requests.").between(0.0, 1.0),
            Key::new("redact", "[]", "Features whose values are left out."),
            Key::new("identifier", "false", "Whether the identifier is written."),
            Key::new("max_file_bytes", "16777216", "A file is written when it has this size.")
                .within(1024..=GIBIBYTE),
            Key::new("max_file_age_ms", "300000", "A file is written when it is this old, however small.")
                .within(100..=DAY_MS),
            Key::new(
                "max_waiting_bytes",
                "67108864",
                "The most bytes in memory while the place is slow; more is lost, and counted.",
            )
            .within(1024..=4 * GIBIBYTE),
        ],
    },
    Table {
        name: "tracing",
        keys: &[
            Key::optional(
                "endpoint",
                "\"http://127.0.0.1:4318\"",
                "A collector (OTLP over HTTP); without it nothing is sent.",
            ),
            Key::new("sample", "1.0", "The share of the requests whose caller has not decided.")
                .between(0.0, 1.0),
            Key::optional(
                "headers_file",
                "\"otlp-headers\"",
                "Lines of `name: value`, sent as headers to authenticate.",
            ),
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Flags};

    #[test]
    fn the_reference_equals_the_defaults() {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("engine.toml");
        std::fs::write(&file, reference()).unwrap();
        let defaults = Flags { repository: Some("models".to_owned()), ..Flags::default() };
        let shown = Flags { config: Some(file), ..defaults.clone() };
        assert_eq!(Config::load(&shown, []).unwrap(), Config::load(&defaults, []).unwrap());
    }

    /// Every key is read, whether it has a default or an example, and a number at either end of its range is
    /// valid. A rule that joins two keys may still refuse it, and then says so.
    #[test]
    fn every_key_of_the_table_is_read() {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("engine.toml");
        for (path, key) in all() {
            let ends = match key.range {
                Some(Range::Whole { min, max }) => vec![min.to_string(), max.to_string()],
                Some(Range::Number { min, max }) => vec![format!("{min:?}"), format!("{max:?}")],
                None => Vec::new(),
            };
            for value in std::iter::once(key.value.to_owned()).chain(ends) {
                let toml = format!("{path} = {value}");
                std::fs::write(&file, &toml).unwrap();
                let flags = Flags {
                    config: Some(file.clone()),
                    repository: Some("m".to_owned()),
                    ..Flags::default()
                };
                if let Err(error) = Config::load(&flags, []) {
                    let error = error.to_string();
                    let is_refused = error.contains("unknown key") || error.contains("must be a");
                    assert!(!is_refused, "{toml}: {error}");
                }
            }
        }
    }

    #[test]
    fn the_readme_shows_the_reference() {
        let readme = include_str!("../../README.md");
        let shown = readme.split("<!-- onnward-engine config -->").nth(1).unwrap();
        let shown = shown.split("<!-- end -->").next().unwrap().trim();
        assert_eq!(shown, format!("```text\n{}```", reference()), "run `onnward-engine config`");
    }
}
