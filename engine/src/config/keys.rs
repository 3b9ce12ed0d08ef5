//! The table of all configuration keys, with defaults, valid ranges and descriptions. It provides the lowest layer of the
//! configuration and the ranges for validation, and `onnward-engine config` prints it.

use std::fmt::{self, Write};
use std::ops::RangeInclusive;

use onnward_onnx::ModelBounds;
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
    /// Whether the value is the path of a file or folder, or a list of paths.
    pub is_path: bool,
    /// Whether a running engine applies a new value on SIGHUP.
    pub is_reloadable: bool,
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
    /// Whether a running engine applies a new value on SIGHUP.
    reloadable: bool,
    doc: &'static str,
}

impl Key {
    const fn new(name: &'static str, value: &'static str, doc: &'static str) -> Self {
        let (is_path, is_reloadable) = (false, false);
        Self { name, value, has_default: true, range: None, is_path, is_reloadable, doc }
    }

    /// Creates a key without a default.
    const fn optional(name: &'static str, example: &'static str, doc: &'static str) -> Self {
        Self { has_default: false, ..Self::new(name, example, doc) }
    }

    /// Returns whether its value is text.
    pub fn is_text(&self) -> bool {
        self.value.starts_with('"')
    }

    const fn within(self, range: RangeInclusive<u64>) -> Self {
        let range = Range::Whole { min: *range.start(), max: *range.end() };
        Self { range: Some(range), ..self }
    }

    const fn path(self) -> Self {
        Self { is_path: true, ..self }
    }

    const fn reloadable(self) -> Self {
        Self { is_reloadable: true, ..self }
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

/// Returns the full name of a key of a table; the table of the keys above all tables has no name.
pub fn full_name(table: &str, name: &str) -> String {
    if table.is_empty() { name.to_owned() } else { format!("{table}.{name}") }
}

/// Returns every key with its full name.
pub fn all() -> impl Iterator<Item = (String, &'static Key)> {
    let of_table =
        |table: &'static Table| table.keys.iter().map(|key| (full_name(table.name, key.name), key));
    TABLES.iter().flat_map(of_table)
}

/// The first lines of the reference.
const NOTATION: &str = "\
# Times and sizes are numbers in the unit that the key names, or texts with a unit: \"5s\", \"2h 30m\", \"64MiB\".
# Paths are relative to the folder of this file; in the environment and in flags, to the working directory.
";

/// Returns the reference of all keys as a TOML file with the defaults.
pub fn reference() -> String {
    let mut text = String::from(NOTATION);
    for table in TABLES {
        if !table.name.is_empty() {
            // Writing to a String cannot fail.
            let _ = write!(text, "\n[{}]\n", table.name);
        }
        for Key { name, value, has_default, range, is_reloadable, doc, .. } in table.keys {
            let range = range.map(|range| format!(" Valid: {range}.")).unwrap_or_default();
            let reloaded = if *is_reloadable { " Applied on SIGHUP." } else { "" };
            let comment = if *has_default { "" } else { "# " };
            let _ = write!(text, "# {doc}{range}{reloaded}\n{comment}{name} = {value}\n");
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
        reloadable: key.is_reloadable,
        doc: key.doc,
    };
    all().map(reference).collect::<Vec<_>>()
}

const TEN_MINUTES_MS: u64 = 600_000;
const DAY_MS: u64 = 86_400_000;
const YEAR_SECONDS: u64 = 366 * 86_400;
const GIBIBYTE: u64 = 1 << 30;

const TABLES: &[Table] = &[
    Table {
        name: "",
        keys: &[
            Key::optional(
                "repository",
                "\"model-repository\"",
                "The model repository: a folder, file:///folder or s3://bucket/prefix. Required.",
            ).path(),
            Key::new("listen", "\"127.0.0.1:8000\"", "The address to listen on."),
            Key::new(
                "backend",
                "\"auto\"",
                "The runtime: onnxruntime, tract or auto. auto uses ONNX Runtime if its library is \
                 found, except for forests, which tract scores several times as fast; without the library \
                 it uses tract.",
            ),
            Key::optional(
                "default_model",
                "\"churn\"",
                "The model that POST /predict uses; by default the first by name.",
            ).reloadable(),
            Key::new(
                "alias",
                "\"champion\"",
                "The alias whose version is served, unless the model is pinned.",
            ),
            Key::new(
                "required_alias",
                "false",
                "Whether a model without the alias and without a pin is not served. By default, its highest version \
                 is.",
            ).reloadable(),
            Key::new("required_models", "[]", "Models that must be loaded before the engine is ready.").reloadable(),
            Key::new(
                "loaded_versions",
                "3",
                "Maximum number of loaded versions of each model: the served one, the previous one, then \
                 those that aliases name.",
            ).reloadable()
            .within(1..=1000),
        ],
    },
    Table {
        name: "s3",
        keys: &[
            Key::optional(
                "endpoint",
                "\"https://store.example.org\"",
                "The URL of an S3-compatible store other than AWS. Keys of [s3] that are not set default \
                 to AWS's environment variables and roles.",
            ),
            Key::optional("region", "\"eu-central-1\"", "The region of the store."),
            Key::optional("access_key_id", "\"…\"", "The access key's ID."),
            Key::optional("secret_access_key", "\"…\"", "The secret access key."),
            Key::optional("session_token", "\"…\"", "The session token of a temporary key."),
            Key::optional(
                "path_style",
                "true",
                "Whether URLs contain the bucket in the path (true, the default) or in the host name \
                 (false).",
            ),
            Key::optional("allow_http", "false", "Whether plain HTTP to the store is allowed."),
            Key::optional(
                "ca_file",
                "\"/etc/onnward/store-ca.pem\"",
                "A file of certificates in PEM that are trusted beside those of the system.",
            ).path(),
        ],
    },
    Table {
        name: "watch",
        keys: &[
            Key::new("interval_ms", "5000", "Poll interval of the repository, ±20 %.").reloadable().within(10..=DAY_MS),
            Key::new(
                "max_backoff_ms",
                "60000",
                "Maximum backoff after failed polls. The backoff doubles with each failure.",
            ).reloadable()
            .within(10..=DAY_MS),
        ],
    },
    Table {
        name: "store",
        keys: &[Key::new(
            "timeout_ms",
            "10000",
            "Timeout of a connection to the store, and between two received bytes.",
        )
        .within(100..=TEN_MINUTES_MS)],
    },
    Table {
        name: "cache",
        keys: &[
            Key::optional(
                "folder",
                "\"/var/cache/onnward\"",
                "The cache folder of downloaded models; by default ~/.cache/onnward, which for a local folder \
                 only keeps which versions were served.",
            ).path(),
            Key::new(
                "max_bytes",
                "10737418240",
                "Maximum size of the cache. When it is exceeded, the least recently used files are \
                 removed.",
            )
            .within(0..=(u64::MAX >> 1)),
        ],
    },
    Table {
        name: "models",
        keys: &[
            Key::new(
                "names",
                "[]",
                "The models of the repository that are served: names, or their beginnings as in \"churn*\". By default, \
                 all.",
            ).reloadable(),
            Key::new("max_bytes", "536870912", "Maximum size of a model.onnx that is downloaded and loaded.")
                .within(1024..=ModelBounds::LARGEST.max_bytes),
            Key::new("max_nodes", "20000", "Maximum number of nodes in a graph.")
                .within(1..=ModelBounds::LARGEST.max_nodes as u64),
            Key::new(
                "max_tree_nodes",
                "10000000",
                "Maximum number of nodes in all trees of a graph together.",
            )
            .within(1..=ModelBounds::LARGEST.max_tree_nodes as u64),
            Key::new("max_tree_depth", "256", "Maximum depth of a tree.")
                .within(1..=ModelBounds::LARGEST.max_tree_depth as u64),
            Key::new("max_features", "10000", "Maximum number of features of a model.")
                .within(1..=ModelBounds::LARGEST.max_features as u64),
            Key::new(
                "all_operators",
                "false",
                "Whether every operator of ONNX Runtime's own domain (com.microsoft) is accepted in a model, and not only the usual ones.",
            ),
            Key::optional(
                "memory",
                "4294967296",
                "Maximum memory of all models together, in bytes, with those that are being loaded. The limit \
                 of the container or the machine holds without this key.",
            )
            .within(1 << 20..=(u64::MAX >> 1)),
            Key::new(
                "isolated_memory",
                "536870912",
                "Maximum memory of a process in which a model is opened, and perhaps scored, because its file \
                 does not bound what it takes.",
            )
            .within(128 << 20..=(u64::MAX >> 1)),
            Key::new(
                "load_timeout_ms",
                "120000",
                "Time in which a version must be opened and tested. After it the version is refused.",
            )
            .within(1000..=DAY_MS),
        ],
    },
    Table {
        name: "signing",
        keys: &[Key::new(
            "public_keys",
            "[]",
            "Files of public keys. If the list is not empty, only versions signed with one of these \
                 keys are served.",
        ).path()],
    },
    Table {
        name: "onnxruntime",
        keys: &[Key::optional(
            "library",
            "\".onnxruntime/libonnxruntime.so\"",
            "ONNX Runtime's shared library; by default ORT_DYLIB_PATH, else it is searched for in \
                 the program's folder and the folders above.",
        ).path()],
    },
    Table {
        name: "batching",
        keys: &[
            Key::new(
                "workers",
                "0",
                "Number of sessions of each model: the batches that it runs at once; 0 = one per core.",
            )
            .within(0..=1024),
            Key::new(
                "threads",
                "0",
                "Maximum number of threads that run batches of all models; 0 = four per core, at least 32.",
            )
            .within(0..=4096),
            Key::optional(
                "max_batch_rows",
                "1024",
                "Maximum number of rows in a batch; by default measured for each model.",
            )
            .within(1..=1_000_000),
            Key::new(
                "max_queue_rows",
                "16384",
                "Maximum number of queued rows. When the queue is full, requests are rejected with 429.",
            )
            .within(1..=100_000_000),
            Key::new(
                "max_queue_delay_ms",
                "0",
                "Maximum time that a batch waits for more rows; 0 = no waiting.",
            )
            .within(0..=10_000),
        ],
    },
    Table {
        name: "http",
        keys: &[
            Key::new("max_body_bytes", "8388608", "Maximum size of a request body.").within(1024..=GIBIBYTE),
            Key::new("max_request_rows", "10000", "Maximum number of rows in a request.")
                .within(1..=1_000_000),
            Key::new(
                "request_timeout_ms",
                "30000",
                "Timeout of a request. The header x-request-timeout-ms can shorten it.",
            )
            .within(1..=TEN_MINUTES_MS),
            Key::new(
                "cors_origins",
                "[]",
                "Origins whose pages may send requests (CORS), or \"*\". Requests from pages of all other origins are \
                 rejected.",
            ),
            Key::new(
                "allowed_hosts",
                "[]",
                "Hosts that requests may name, such as api.example.org, *.example.org or api.example.org:8443; \"*\" \
                 = all. Empty: all, but only loopback hosts on a loopback address without keys.",
            ),
            Key::new(
                "errors",
                "\"full\"",
                "Detail of error responses: full, or terse, which omits the names of fields and models \
                 and the problem of each.",
            ),
        ],
    },
    Table {
        name: "tls",
        keys: &[
            Key::optional(
                "certificate_file",
                "\"server.pem\"",
                "The certificate and its chain, in PEM. Without a certificate, plain HTTP is served.",
            ).path(),
            Key::optional("private_key_file", "\"server.key\"", "The certificate's private key, in PEM.").path(),
            Key::optional(
                "client_ca_file",
                "\"clients.pem\"",
                "The CA certificate for client certificates (mutual TLS). If set, only clients with a \
                 certificate of this CA are accepted.",
            ).path(),
            Key::new("min_version", "\"1.2\"", "Minimum TLS version: 1.2 or 1.3."),
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
            Key::optional(
                "audit_file",
                "\"audit.jsonl\"",
                "The audit file, with one line for each admin request.",
            ).path(),
        ],
    },
    Table {
        name: "limits",
        keys: &[
            Key::new(
                "max_connections",
                "0",
                "Maximum number of connections; 0 = the open-file limit, at most 8,192. At the maximum, \
                 the longest-idle connection is closed.",
            )
            .within(0..=1_000_000),
            Key::new(
                "max_requests",
                "16384",
                "Maximum number of concurrent requests; further ones are rejected with 503.",
            )
            .within(1..=1_000_000),
            Key::new("max_headers", "64", "Maximum number of header fields in a request.").within(16..=1000),
            Key::new("max_header_bytes", "32768", "Maximum size of a request's head.")
                .within(8192..=1024 * 1024),
            Key::new("max_streams", "128", "Maximum number of concurrent requests on one HTTP/2 connection.")
                .within(1..=10_000),
            Key::new(
                "requests_per_second_per_address",
                "0",
                "Maximum rate of requests per second of each client address; 0 = no limit.",
            )
            .within(0..=1_000_000),
            Key::new(
                "burst_per_address",
                "0",
                "Maximum burst of requests of each client address; 0 = the rate of one second.",
            )
            .within(0..=1_000_000),
            Key::new(
                "requests_per_second_per_key",
                "0",
                "Maximum rate of requests per second of each API key or token; 0 = no limit.",
            )
            .within(0..=1_000_000),
            Key::new(
                "burst_per_key",
                "0",
                "Maximum burst of requests of each API key or token; 0 = the rate of one second.",
            )
            .within(0..=1_000_000),
            Key::new(
                "trusted_proxies",
                "[]",
                "Networks whose X-Forwarded-For header is trusted, such as the load balancer's.",
            ),
        ],
    },
    Table {
        name: "auth",
        keys: &[
            Key::optional(
                "keys_file",
                "\"keys.toml\"",
                "The file of API keys. Without API keys and tokens, the engine listens only on the \
                 loopback interface, and every client has every scope.",
            ).path(),
            Key::new(
                "protect",
                "[]",
                "Further routes that require an API key or token with the scope read: \"metrics\", \
                 \"docs\".",
            ),
            Key::new(
                "allow_everybody",
                "false",
                "Whether the engine may listen on other interfaces without authentication. Only for an \
                 engine behind a proxy that authenticates clients.",
            ),
        ],
    },
    Table {
        name: "auth.jwt",
        keys: &[
            Key::optional(
                "jwks",
                "\"https://login.example.com/jwks.json\"",
                "The issuer's key set (JWKS): a file or a URL. Without it, no token is accepted.",
            ).path(),
            Key::optional(
                "issuer",
                "\"https://login.example.com/\"",
                "The required `iss` claim of tokens; must be set if jwks is.",
            ),
            Key::optional(
                "audience",
                "\"onnward\"",
                "The required `aud` claim of tokens; must be set if jwks is.",
            ),
            Key::new(
                "scope_claim",
                "\"scope\"",
                "The claim that contains the scopes, or a path such as realm_access.roles.",
            ),
            Key::new(
                "scope_prefix",
                "\"\"",
                "The prefix of predict, outcomes, read and admin in that claim, such as \"onnward:\".",
            ),
            Key::new("name_claim", "\"sub\"", "The claim that contains the client's name."),
            Key::new(
                "algorithms",
                "[\"HS256\", \"RS256\", \"ES256\", \"EdDSA\"]",
                "Accepted signature algorithms. HS256 is accepted only with secrets from a file.",
            ),
            Key::new("leeway_s", "30", "Maximum clock difference to the issuer.").within(0..=300),
            Key::new("refresh_s", "300", "Refresh interval of the key set.").within(30..=86_400),
        ],
    },
    Table {
        name: "shutdown",
        keys: &[
            Key::new(
                "grace_ms",
                "1000",
                "Time during which a stopping engine reports that it is not ready and still accepts \
                 requests.",
            )
            .within(0..=TEN_MINUTES_MS),
            Key::new("drain_timeout_ms", "25000", "Timeout of requests in flight, after the grace time.")
                .within(0..=TEN_MINUTES_MS),
        ],
    },
    Table {
        name: "log",
        keys: &[
            Key::optional(
                "format",
                "\"json\"",
                "Format: pretty or json; by default pretty on a terminal and json elsewhere.",
            ),
            Key::new("level", "\"info\"", "Minimum level: error, warn, info, debug or trace.").reloadable(),
            Key::new(
                "access_sample",
                "1.0",
                "Sampling rate of successful requests in the access log. Failed and slow requests are always \
                 logged, also those of probes; other successful probes never.",
            )
            .between(0.0, 1.0)
            .reloadable(),
            Key::new("access_slow_ms", "1000", "Duration from which a request is slow.")
                .within(0..=TEN_MINUTES_MS)
                .reloadable(),
            Key::new(
                "access_lines_per_second",
                "100",
                "Maximum number of access lines per second. Lines beyond it are left out and counted in the next line, \
                 except those with a 5xx status and of slow requests; 0 = no limit.",
            )
            .within(0..=1_000_000)
            .reloadable(),
            Key::new(
                "values",
                "false",
                "Whether request bodies are logged, at level debug; for development.",
            ),
        ],
    },
    Table {
        name: "metrics",
        keys: &[
            Key::new("enabled", "true", "Whether requests and predictions are counted."),
            Key::new(
                "risk_bands",
                "[0.3, 0.6]",
                "The probabilities that separate the risk bands: low, medium, high.",
            ),
            Key::new(
                "certificates",
                "[]",
                "Further PEM files whose expiry is exported as a metric, such as the load balancer's.",
            ).path(),
        ],
    },
    Table {
        name: "drift",
        keys: &[
            Key::new("enabled", "true", "Whether live rows are compared with the training profile."),
            Key::new(
                "window_rows",
                "10000",
                "Maximum number of rows in a window. A window ends at this number or after \
                 `window_seconds`, whichever is first.",
            )
            .within(10..=100_000_000),
            Key::new(
                "window_seconds",
                "86400",
                "Maximum length of a window. A window ends after this time or at `window_rows`, \
                 whichever is first.",
            )
            .within(1..=YEAR_SECONDS),
            Key::new("min_rows", "500", "Minimum number of rows in a window for a result.")
                .within(10..=100_000_000),
            Key::new("sample", "1.0", "Sampling rate of rows.").between(1e-06, 1.0),
            Key::new(
                "max_rows_per_second",
                "10000",
                "Maximum number of rows per second and version that are counted. Above it, a random \
                 sample of the rows is counted.",
            )
            .within(1..=100_000_000),
            Key::new("alpha", "0.01", "Significance level: the maximum share of windows with a false alarm.")
                .between(1e-09, 0.5),
            Key::new(
                "psi_threshold",
                "0.1",
                "Minimum population stability index (PSI) that is reported as drift.",
            )
            .between(0.0, 100.0),
        ],
    },
    Table {
        name: "outcomes",
        keys: &[
            Key::optional(
                "folder",
                "\"/var/lib/onnward\"",
                "The folder of predictions and their ground truth; without it, none are stored.",
            ).path(),
            Key::new("retention_days", "90", "Retention of predictions.").within(1..=3650),
            Key::new(
                "max_predictions",
                "10000000",
                "Maximum number of stored predictions; the oldest are removed first. Each takes 70 \
                 bytes, or 184 with the customer's key.",
            )
            .within(1_000..=10_000_000_000),
            Key::new("window_days", "30", "Period of outcomes that count, from when they were received.")
                .within(1..=3650),
            Key::new(
                "window_outcomes",
                "10000",
                "Maximum number of the latest outcomes of each version that count.",
            )
            .within(10..=1_000_000),
            Key::new(
                "estimate_rows",
                "10000",
                "Minimum number of the latest scores of each version that an estimate covers.",
            )
            .within(100..=100_000_000),
        ],
    },
    Table {
        name: "capture",
        keys: &[
            Key::optional(
                "place",
                "\"s3://bucket/captures\"",
                "The destination: a folder or an object store such as s3://bucket/captures. Without it, \
                 nothing is captured.",
            ).path(),
            Key::new("sample", "0.01", "Sampling rate of answered requests.").between(0.0, 1.0),
            Key::new("redact", "[]", "Features whose values are omitted."),
            Key::new("identifier", "false", "Whether the row's identifier is written."),
            Key::new("max_file_bytes", "16777216", "Size at which a file is written.")
                .within(1024..=GIBIBYTE),
            Key::new("max_file_age_ms", "300000", "Age at which a file is written, whatever its size.")
                .within(100..=DAY_MS),
            Key::new(
                "max_waiting_bytes",
                "67108864",
                "Maximum size of the lines in memory while the destination is slow. Further lines are \
                 dropped, and counted by a metric.",
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
                "The URL of a collector (OTLP over HTTP); without it, no traces are sent.",
            ),
            Key::new(
                "sample",
                "1.0",
                "Sampling rate of traces that begin here. Requests with a valid traceparent header keep \
                 the client's decision.",
            )
            .between(0.0, 1.0),
            Key::optional(
                "headers_file",
                "\"otlp-headers\"",
                "A file of headers sent to the collector, such as its authentication: lines \
                 of `name: value`.",
            ).path(),
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
                    let is_out_of_range =
                        key.range.is_some_and(|range| error.contains(&format!("must be {range}")));
                    let is_refused = error.contains("unknown key") || error.contains("must be a string");
                    let is_refused = is_refused || is_out_of_range;
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
