//! The one place where errors become responses: problem details, as RFC 9457 defines them.
//!
//! A handler returns an [`ApiError`]. Its response holds the error as an extension. [`finish`] has the
//! request's path and id, and writes the body. It also writes the body of error responses from axum and its
//! layers.

mod head;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE,
};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use onnward_schemas::{Violation, Violations};
use onnward_serving::batcher::SubmitError;
use serde::Serialize;
use thiserror::Error;

pub use self::head::HeadError;
use crate::auth::Scope;
use crate::settings::ErrorDetail;

/// The reason why a request failed. Its `Display` is the `detail` of the problem document.
#[derive(Debug, Clone, Error)]
pub enum ApiError {
    #[error("No such route. GET / lists the routes.")]
    UnknownPath,
    #[error("The method is not allowed for this route. The Allow header lists the allowed methods.")]
    MethodNotAllowed,
    #[error("No model of this name is served; {}.", list("available", .serving))]
    UnknownModel { serving: Vec<String> },
    #[error("The model {name} is in the repository, but could not be loaded: {reason}.")]
    ModelFailed { name: String, reason: String },
    #[error("Version {version} of {name} is not loaded; {}.", list("loaded", .loaded))]
    VersionNotLoaded { name: String, version: u64, loaded: Vec<u64> },
    #[error("The model has no such alias; {}.", list("aliases", .aliases))]
    UnknownAlias { aliases: Vec<String> },
    #[error("The version must be a whole number from 1, as in /models/NAME/versions/3/predict.")]
    BadVersion,
    #[error("Version {version} of {name} has no drift detection: {reason}.")]
    NoDrift { name: String, version: u64, reason: &'static str },
    #[error("The query parameter `{parameter}` {valid}.")]
    BadParameter { parameter: String, valid: &'static str },
    #[error(
        "Models required by the configuration are not served: {}. GET /models shows why.",
        .missing.join(", ")
    )]
    RequiredModels { missing: Vec<String> },
    #[error("The model repository cannot be read: {reason}.")]
    RepositoryUnreachable { reason: String },
    #[error(
        "Too many reloads are pending, or the engine is shutting down; try again after Retry-After seconds."
    )]
    ReloadRefused,
    #[error(
        "The default model is not served; send the request to /models/NAME/predict ({}).",
        list("available", .serving)
    )]
    NoDefaultModel { serving: Vec<String> },
    #[error(
        "This route requires an API key or a token: send either as `authorization: Bearer …`, or a key as \
         `x-api-key: KEY`."
    )]
    NoKey,
    #[error(
        "The API key or token is invalid or no longer valid; ask the operator of the engine for a new one."
    )]
    WrongKey,
    #[error("The token has expired; request a new one from its issuer.")]
    TokenExpired,
    #[error(
        "Tokens cannot be verified yet, because the issuer's keys have not been fetched; try again after \
         Retry-After seconds."
    )]
    NoTokenKeys,
    #[error("The API key or token lacks the scope `{}`, which this route requires.", .scope.name())]
    MissingScope { scope: Scope },
    #[error("The models are being loaded; try again after Retry-After seconds.{}", retried(.models))]
    Loading { models: Vec<String> },
    #[error(
        "No model is served. GET /models lists the models in the repository and why they failed to load."
    )]
    NoModels,
    #[error("The engine is shutting down; send the request to another instance.")]
    Stopping,
    #[error("The body must be JSON: send it with `content-type: application/json`.")]
    NotJsonType,
    #[error(
        "The body must be uncompressed, or compressed once: send it with `content-encoding: gzip` or `zstd`."
    )]
    UnknownCoding,
    #[error(
        "The body is not valid {coding}: {reason}; compress it again, or send it without `content-encoding`."
    )]
    BadCompression { coding: &'static str, reason: String },
    #[error("The body is compressed: send it with `content-encoding: {coding}`, and compress it only once.")]
    UndeclaredCoding { coding: &'static str },
    #[error("`x-request-timeout-ms` must be a whole number of milliseconds of at least 1.")]
    BadTimeout,
    #[error("The body is larger than {limit} bytes; send fewer rows per request.")]
    BodyTooLarge { limit: usize },
    #[error("The decompressed body is larger than {limit} bytes; send fewer rows per request.")]
    ContentTooLarge { limit: usize },
    #[error("Too many large bodies are being read or sent; try again after Retry-After seconds.")]
    BodiesFull,
    #[error("The body was not received within {} ms.", .after.as_millis())]
    BodyTimedOut { after: Duration },
    #[error(
        "The body stopped arriving, and its connection was needed for another client; send the request again."
    )]
    UploadEvicted,
    #[error("The body ended before its declared length, or its chunks are malformed; send it again.")]
    BodyBroken,
    #[error(
        "The body is empty; send an object of fields, an array of such objects, or {{\"instances\": [...]}}."
    )]
    BodyEmpty,
    #[error("The body is not UTF-8: the byte at offset {offset} is invalid; encode it as UTF-8.")]
    NotUtf8 { offset: usize },
    #[error("The body is not JSON: {reason}.")]
    NotJson { reason: String },
    #[error("The body exceeds a limit: {reason}.")]
    TooComplex { reason: String },
    #[error("The rows do not match the model's schema; `errors` lists the violations.")]
    InvalidRows(Violations),
    #[error("The outcomes are invalid, and none was joined; `errors` lists the violations.")]
    InvalidOutcomes(Violations),
    #[error(
        "This engine stores no predictions to join outcomes to: set outcomes.folder in its configuration."
    )]
    NoOutcomes,
    #[error("The prediction store is unavailable: {reason}.")]
    OutcomesFailed { reason: String },
    #[error("Too many outcomes are waiting; try again after Retry-After seconds.")]
    OutcomesFull { retry_after: Duration },
    #[error(
        "The outcomes were not written within {} ms; send them again. Those that were joined are then \
         reported as duplicates.",
        .after.as_millis()
    )]
    OutcomesTimedOut { after: Duration },
    #[error("Version {version} of {name} is unknown; {}.", list("known", .known))]
    UnknownVersion { name: String, version: u64, known: Vec<u64> },
    #[error("Too many requests; try again after Retry-After seconds.")]
    TooOften { retry_after: Duration },
    #[error("Too many requests are in flight; try again after Retry-After seconds.")]
    Busy,
    #[error("Too many rows are waiting; try again after Retry-After seconds.")]
    QueueFull { retry_after: Duration },
    #[error("{rows} rows exceed the capacity of the queue; send at most {limit} per request.")]
    TooManyRows { rows: usize, limit: usize },
    #[error(
        "The rows were not scored within {} ms; send fewer rows or allow a longer timeout.",
        .after.as_millis()
    )]
    TimedOut { after: Duration },
    #[error("Internal error; the log contains the reason under this request's id.")]
    Failed { reason: String },
    #[error("The header `{name}` is there more than once; send it once.")]
    DuplicateHeader { name: String },
    #[error("The request has no `host` header, which HTTP/1.1 requires.")]
    NoHost,
    #[error(
        "The engine is not served under the host `{host}`: add it to http.allowed_hosts in its configuration."
    )]
    UnknownHost { host: String },
    #[error(
        "The request comes from a page of another site: add its origin to http.cors_origins in the engine's \
         configuration."
    )]
    CrossSite,
    #[error("Of expectations only `expect: 100-continue` is supported.")]
    UnknownExpectation,
    #[error(transparent)]
    Head(#[from] HeadError),
    #[error("The request was rejected.")]
    Other(StatusCode),
}

impl From<SubmitError> for ApiError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::QueueFull { retry_after } => Self::QueueFull { retry_after },
            SubmitError::TooManyRows { rows, limit } => Self::TooManyRows { rows, limit },
            SubmitError::TimedOut { after } => Self::TimedOut { after },
            SubmitError::ShuttingDown => Self::Stopping,
            SubmitError::Failed(reason) => Self::Failed { reason },
        }
    }
}

/// The default `Retry-After`.
const RETRY_SOON: Duration = Duration::from_secs(1);
/// The `Retry-After` for models and stores that are unavailable, which usually takes longer to fix.
const RETRY_LATER: Duration = Duration::from_secs(30);

impl ApiError {
    /// The error for an engine that has not loaded its models.
    pub const LOADING: Self = Self::Loading { models: Vec::new() };

    /// Returns the problem's stable name, the last part of its `type`.
    fn name(&self) -> &'static str {
        match self {
            Self::UnknownPath => "unknown-path",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::UnknownModel { .. } => "unknown-model",
            Self::ModelFailed { .. } => "model-failed",
            Self::VersionNotLoaded { .. } => "version-not-loaded",
            Self::UnknownAlias { .. } => "unknown-alias",
            Self::BadVersion => "bad-version",
            Self::NoDrift { .. } => "no-drift",
            Self::BadParameter { .. } => "bad-parameter",
            Self::RequiredModels { .. } => "required-models",
            Self::RepositoryUnreachable { .. } => "repository-unreachable",
            Self::ReloadRefused => "reload-refused",
            Self::NoDefaultModel { .. } => "no-default-model",
            Self::NoKey => "no-key",
            Self::WrongKey => "wrong-key",
            Self::TokenExpired => "token-expired",
            Self::NoTokenKeys => "no-token-keys",
            Self::MissingScope { .. } => "missing-scope",
            Self::Loading { .. } => "loading",
            Self::NoModels => "no-models",
            Self::Stopping => "stopping",
            Self::NotJsonType => "not-json-type",
            Self::UnknownCoding => "unknown-coding",
            Self::BadCompression { .. } => "bad-compression",
            Self::UndeclaredCoding { .. } => "undeclared-coding",
            Self::BadTimeout => "bad-timeout",
            Self::BodyTooLarge { .. } | Self::ContentTooLarge { .. } => "body-too-large",
            Self::BodiesFull => "bodies-full",
            Self::BodyTimedOut { .. } => "body-timed-out",
            Self::UploadEvicted => "upload-evicted",
            Self::BodyBroken => "body-broken",
            Self::BodyEmpty => "body-empty",
            Self::NotUtf8 { .. } => "not-utf8",
            Self::NotJson { .. } => "not-json",
            Self::TooComplex { .. } => "too-complex",
            Self::InvalidRows(_) => "invalid-rows",
            Self::InvalidOutcomes(_) => "invalid-outcomes",
            Self::NoOutcomes => "no-outcomes",
            Self::OutcomesFailed { .. } => "outcomes-failed",
            Self::OutcomesFull { .. } => "outcomes-full",
            Self::OutcomesTimedOut { .. } => "outcomes-timed-out",
            Self::UnknownVersion { .. } => "unknown-version",
            Self::TooOften { .. } => "too-often",
            Self::Busy => "busy",
            Self::QueueFull { .. } => "queue-full",
            Self::TooManyRows { .. } => "too-many-rows",
            Self::TimedOut { .. } => "timed-out",
            Self::Failed { .. } => "failed",
            Self::DuplicateHeader { .. } => "duplicate-header",
            Self::NoHost => "no-host",
            Self::UnknownHost { .. } => "unknown-host",
            Self::CrossSite => "cross-site",
            Self::UnknownExpectation => "unknown-expectation",
            Self::Head(error) => error.name(),
            Self::Other(_) => "refused",
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::UnknownPath
            | Self::UnknownModel { .. }
            | Self::VersionNotLoaded { .. }
            | Self::UnknownVersion { .. }
            | Self::UnknownAlias { .. }
            | Self::NoDrift { .. } => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoKey | Self::WrongKey | Self::TokenExpired => StatusCode::UNAUTHORIZED,
            Self::MissingScope { .. } | Self::CrossSite => StatusCode::FORBIDDEN,
            Self::UnknownHost { .. } => StatusCode::MISDIRECTED_REQUEST,
            Self::UnknownExpectation => StatusCode::EXPECTATION_FAILED,
            Self::ModelFailed { .. }
            | Self::RequiredModels { .. }
            | Self::RepositoryUnreachable { .. }
            | Self::ReloadRefused
            | Self::Busy
            | Self::NoTokenKeys
            | Self::OutcomesFailed { .. }
            | Self::NoDefaultModel { .. }
            | Self::Loading { .. }
            | Self::NoModels
            | Self::Stopping => StatusCode::SERVICE_UNAVAILABLE,
            Self::NotJsonType | Self::UnknownCoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BodyTooLarge { .. } | Self::ContentTooLarge { .. } | Self::TooManyRows { .. } => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            Self::BodyTimedOut { .. } | Self::UploadEvicted => StatusCode::REQUEST_TIMEOUT,
            Self::Head(error) => error.status(),
            Self::DuplicateHeader { .. }
            | Self::NoHost
            | Self::BadTimeout
            | Self::BadVersion
            | Self::BadParameter { .. }
            | Self::BadCompression { .. }
            | Self::UndeclaredCoding { .. }
            | Self::BodyBroken
            | Self::BodyEmpty
            | Self::NotUtf8 { .. }
            | Self::NotJson { .. }
            | Self::TooComplex { .. } => StatusCode::BAD_REQUEST,
            Self::InvalidRows(_) | Self::InvalidOutcomes(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooOften { .. } | Self::QueueFull { .. } | Self::BodiesFull | Self::OutcomesFull { .. } => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Self::NoOutcomes => StatusCode::NOT_IMPLEMENTED,
            // As google.rpc.Code maps DEADLINE_EXCEEDED.
            Self::TimedOut { .. } | Self::OutcomesTimedOut { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::Failed { .. } => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Other(status) => *status,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooOften { retry_after }
            | Self::QueueFull { retry_after }
            | Self::OutcomesFull { retry_after } => Some(*retry_after),
            Self::BodiesFull => Some(RETRY_SOON),
            Self::ModelFailed { .. }
            | Self::NoDefaultModel { .. }
            | Self::NoModels
            | Self::OutcomesFailed { .. } => Some(RETRY_LATER),
            _ if self.status() == StatusCode::SERVICE_UNAVAILABLE => Some(RETRY_SOON),
            _ => None,
        }
    }

    /// Returns the message without names of schemas, models or internals. `None` if the full message contains
    /// none.
    fn public_message(&self) -> Option<&'static str> {
        Some(match self {
            Self::UnknownModel { .. } => "No model of this name is served.",
            Self::ModelFailed { .. } => "The model could not be loaded.",
            Self::VersionNotLoaded { .. } => "This version of the model is not loaded.",
            Self::UnknownVersion { .. } => "This version of the model is unknown.",
            Self::UnknownAlias { .. } => "The model has no such alias.",
            Self::NoDrift { .. } => "This version of the model has no drift detection.",
            Self::RequiredModels { .. } | Self::NoModels => "The engine is not ready.",
            Self::RepositoryUnreachable { .. } => "The model repository cannot be read.",
            Self::NoDefaultModel { .. } => "The default model is not served.",
            Self::UnknownHost { .. } => "The engine is not served under this host.",
            Self::CrossSite => "The request comes from a page of another site.",
            Self::InvalidRows(_) => "The rows do not match the model's schema.",
            Self::InvalidOutcomes(_) => "The outcomes are invalid, and none was joined.",
            Self::OutcomesFailed { .. } => "The prediction store is unavailable.",
            _ => return None,
        })
    }

    /// Returns the `WWW-Authenticate` challenge of RFC 6750.
    fn challenge(&self) -> Option<&'static str> {
        match self {
            Self::NoKey => Some("Bearer realm=\"onnward\""),
            Self::WrongKey => Some("Bearer realm=\"onnward\", error=\"invalid_token\""),
            Self::TokenExpired => Some(
                "Bearer realm=\"onnward\", error=\"invalid_token\", error_description=\"The token has expired\"",
            ),
            Self::MissingScope { .. } => Some("Bearer realm=\"onnward\", error=\"insufficient_scope\""),
            _ => None,
        }
    }

    /// Returns the internal reason, for the log alone.
    fn internal_reason(&self) -> Option<&str> {
        match self {
            Self::Failed { reason } => Some(reason),
            _ => None,
        }
    }
}

/// Names the models whose load failed and is retried, in a sentence of its own.
fn retried(models: &[String]) -> String {
    if models.is_empty() { String::new() } else { format!(" {}.", list("Failed and being retried", models)) }
}

/// Formats a labelled list, such as `loaded: 1, 2, 3` or `loaded: none`.
fn list<T: ToString>(label: &str, items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(T::to_string).collect();
    if items.is_empty() { format!("{label}: none") } else { format!("{label}: {}", items.join(", ")) }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        if let Some(wait) = self.retry_after() {
            // Whole seconds, rounded up: 0 would ask for a retry at once.
            let seconds = wait.as_millis().div_ceil(1000).max(1);
            response
                .headers_mut()
                .extend(HeaderValue::try_from(seconds.to_string()).map(|s| (RETRY_AFTER, s)));
        }
        // What would be accepted (RFC 9110, section 15.5.16).
        match &self {
            Self::NotJsonType => {
                response.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
            }
            Self::UnknownCoding => {
                response.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip, zstd"));
            }
            _ => {}
        }
        if let Some(challenge) = self.challenge() {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

#[derive(Serialize)]
struct Problem<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: String,
    instance: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    violations: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<&'a [Violation]>,
}

impl<'a> Problem<'a> {
    fn of(error: &'a ApiError, instance: &'a str, request_id: &'a str, detail: ErrorDetail) -> Self {
        let violations = match error {
            ApiError::InvalidRows(violations) | ApiError::InvalidOutcomes(violations) => Some(violations),
            _ => None,
        };
        let status = error.status();
        let is_terse = detail == ErrorDetail::Terse;
        let terse = error.public_message().filter(|_| is_terse);
        Self {
            r#type: format!("urn:onnward:problem:{}", error.name()),
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: terse.map_or_else(|| error.to_string(), str::to_owned),
            instance,
            request_id,
            violations: violations.map(Violations::total),
            errors: violations.filter(|_| !is_terse).map(Violations::listed),
        }
    }
}

/// Builds an example response for the API description.
pub fn example(error: &ApiError, instance: &str) -> (StatusCode, serde_json::Value) {
    let problem = Problem::of(error, instance, "3f1c6a52-7d0e-4f0e-9d55-0c1d2e3f4a5b", ErrorDetail::Full);
    (error.status(), serde_json::to_value(problem).unwrap_or_default())
}

/// Adds the problem document to an error response, and returns every other response unchanged. `instance` is
/// the request's path.
pub fn finish(mut response: Response, instance: &str, request_id: &str, detail: ErrorDetail) -> Response {
    let error = match response.extensions_mut().remove::<Arc<ApiError>>() {
        Some(error) => error,
        None if is_bare_error(&response) => Arc::new(ApiError::Other(response.status())),
        None => return response,
    };
    if let Some(reason) = error.internal_reason() {
        tracing::error!(request_id, reason, "a request failed");
    }
    // Strings and numbers always serialize to JSON.
    let body = serde_json::to_vec(&Problem::of(&error, instance, request_id, detail)).unwrap_or_default();
    response.headers_mut().remove(CONTENT_LENGTH);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    *response.body_mut() = Body::from(body);
    response
}

/// The media type of problem details.
pub const PROBLEM_JSON: &str = "application/problem+json";

fn is_bare_error(response: &Response) -> bool {
    let status = response.status();
    status.is_client_error() || status.is_server_error()
}
