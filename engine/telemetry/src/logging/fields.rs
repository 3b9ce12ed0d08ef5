//! The names of log fields, in the engine's code and in JSON.
//!
//! Lines follow the Elastic Common Schema (<https://www.elastic.co/docs/reference/ecs>) with dotted keys, as
//! the ecs-logging libraries write them. What it has no name for is under `onnward.`. A name keeps its type
//! and its meaning.

use self::Kind::{Boolean, Long, Milliseconds, Text};

/// The type of a field's values in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A string.
    Text,
    /// A whole number.
    Long,
    /// A Boolean.
    Boolean,
    /// A time: milliseconds in the code and on a terminal, whole nanoseconds in JSON, as the schema has it.
    Milliseconds,
}

/// A field of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldName {
    /// Its name in the code and on a terminal.
    pub short: &'static str,
    /// The key in a line of JSON.
    pub key: &'static str,
    /// The type of its values.
    pub kind: Kind,
}

/// The keys that every line of JSON has, in the order in which they are written around the others.
pub const COMMON_KEYS: [&str; 8] = [
    "@timestamp",
    "log.level",
    "message",
    "log.logger",
    "event.dataset",
    "service.name",
    "service.version",
    "ecs.version",
];

/// The prefix of a library's fields: `labels` is the schema's place for names that are not its own.
pub const LABELS: &str = "labels.";

/// Every field of the engine's own lines. Those of access lines are first, because they are looked up in
/// order.
pub const FIELDS: [FieldName; 62] = [
    field("method", "http.request.method", Text),
    field("route", "http.route", Text),
    field("status", "http.response.status_code", Long),
    field("ms", "event.duration", Milliseconds),
    field("rows", "onnward.rows", Long),
    field("bytes", "http.response.body.bytes", Long),
    field("request_id", "http.request.id", Text),
    field("caller", "user.name", Text),
    field("model", "onnward.model", Text),
    field("version", "onnward.version", Long),
    field("trace_id", "trace.id", Text),
    field("span_id", "span.id", Text),
    field("client", "client.address", Text),
    field("left_out", "onnward.lines_left_out", Long),
    // Errors.
    field("error", "error.message", Text),
    field("reason", "error.message", Text),
    field("problem", "error.message", Text),
    field("why", "error.message", Text),
    // A request's body, if values are configured to be logged.
    field("body", "http.request.body.content", Text),
    field("backend", "onnward.backend", Text),
    field("address", "onnward.address", Text),
    field("docs", "onnward.docs", Text),
    field("signal", "onnward.signal", Text),
    field("place", "onnward.place", Text),
    field("lost", "onnward.lost", Long),
    field("region", "cloud.region", Text),
    // The configuration.
    field("applied", "onnward.applied_keys", Text),
    field("needs_restart", "onnward.keys_that_need_a_restart", Text),
    // The model repository and what is served from it.
    field("repository", "onnward.repository", Text),
    field("from", "onnward.from_version", Long),
    field("to", "onnward.to_version", Long),
    field("serving", "onnward.serving_version", Long),
    field("decided_by", "onnward.decided_by", Text),
    field("step", "onnward.step", Text),
    field("desired", "onnward.desired_version", Long),
    field("from_cache", "onnward.from_cache", Boolean),
    field("alias", "onnward.alias", Text),
    field("aliases", "onnward.aliases", Text),
    field("pointer", "onnward.pointer", Text),
    // Loading a model.
    field("costs", "onnward.costs", Text),
    field("max_batch_rows", "onnward.max_batch_rows", Long),
    field("with", "onnward.compared_with", Text),
    field("library", "onnward.library", Text),
    field("producer", "onnward.producer", Text),
    field("fields", "onnward.fields", Text),
    field("output", "onnward.output", Text),
    field("task", "onnward.task", Text),
    field("guessed", "onnward.guessed", Boolean),
    field("first_row", "onnward.first_row", Long),
    field("one_row_a_run", "onnward.one_row_a_run", Boolean),
    field("operator", "onnward.operator", Text),
    // Files, of the cache most of all.
    field("path", "file.path", Text),
    field("digest", "file.hash.sha256", Text),
    field("size", "file.size", Long),
    field("max_bytes", "onnward.max_bytes", Long),
    // Stored predictions and exported traces.
    field("folder", "onnward.folder", Text),
    field("predictions", "onnward.predictions", Long),
    field("feature", "onnward.feature", Text),
    field("endpoint", "onnward.endpoint", Text),
    // Authentication.
    field("keys", "onnward.keys", Long),
    field("action", "event.action", Text),
    field("outcome", "event.outcome", Text),
];

const fn field(short: &'static str, key: &'static str, kind: Kind) -> FieldName {
    FieldName { short, key, kind }
}

/// Returns the field with this name in the code.
pub fn find_field(short: &str) -> Option<&'static FieldName> {
    FIELDS.iter().find(|field| field.short == short)
}
