//! Calls of engines and of webhooks over HTTP.

use std::env;
use std::fmt::{self, Display, Formatter};
use std::fs;
use std::time::{Duration, Instant};

use onnward_repository::{Repository, prepare_tls};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use serde::{Deserialize, Serialize};

use super::CommandError;
use super::audit::{actor, now};
use crate::cli::repository::{WaitArguments, WebhookUrl};

/// The longest time for one call.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// The time between two questions to an engine.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// The variable that holds a key for the engines. A key on the command line would be seen by every user.
const KEY_VARIABLE: &str = "ONNWARD_ENGINE_KEY";

/// What an engine says of a version that was promoted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EngineAnswer {
    /// The engine's URL.
    pub engine: String,
    /// The version that it serves.
    pub serving: Option<u64>,
    /// Whether that is the version that was waited for.
    pub done: bool,
    /// The reason why it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The part of an engine's `GET /models/{name}` that is read.
#[derive(Deserialize)]
struct EngineModel {
    serving: Option<Served>,
    #[serde(default)]
    failing: bool,
    last_error: Option<LastError>,
}

#[derive(Deserialize)]
struct Served {
    version: u64,
    decided_by: serde_json::Value,
}

#[derive(Deserialize)]
struct LastError {
    version: Option<u64>,
    reason: String,
}

/// What an engine answers once: it serves the version, it has failed, or it may still do it.
enum Step {
    Done,
    Failed(EngineAnswer),
    Waiting(EngineAnswer),
}

/// Waits until every engine serves a version, or cannot.
///
/// # Errors
/// [`CommandError::Key`] for a key that no header can hold. An engine that does not serve the version is part
/// of the result.
pub async fn wait_for_engines(
    arguments: &WaitArguments,
    model: &str,
    version: u64,
) -> Result<Vec<EngineAnswer>, CommandError> {
    let key = engine_key(arguments)?;
    let client = client(false)?;
    let deadline = Instant::now() + Duration::from_secs(arguments.wait_timeout);
    let mut answers = Vec::new();
    for engine in &arguments.wait {
        answers.push(wait_for(&client, engine, key.as_ref(), (model, version), deadline).await);
    }
    Ok(answers)
}

async fn wait_for(
    client: &Client,
    engine: &Url,
    key: Option<&HeaderValue>,
    (model, version): (&str, u64),
    deadline: Instant,
) -> EngineAnswer {
    loop {
        match ask(client, engine, key, model, version).await {
            Step::Done => {
                return EngineAnswer {
                    engine: named(engine),
                    serving: Some(version),
                    done: true,
                    reason: None,
                };
            }
            Step::Failed(answer) => return answer,
            Step::Waiting(answer) if Instant::now() >= deadline => return answer,
            Step::Waiting(_) => tokio::time::sleep(POLL_INTERVAL).await,
        }
    }
}

async fn ask(client: &Client, engine: &Url, key: Option<&HeaderValue>, model: &str, version: u64) -> Step {
    let answer = |serving, reason: String| EngineAnswer {
        engine: named(engine),
        serving,
        done: false,
        reason: Some(reason),
    };
    let mut url = engine.clone();
    url.set_path(&format!("{}/models/{model}", engine.path().trim_end_matches('/')));
    let request = client.get(url);
    let request = key.map_or(request.try_clone(), |key| Some(request.header(AUTHORIZATION, key.clone())));
    let Some(request) = request else { return Step::Failed(answer(None, "it cannot be called".to_owned())) };
    let response = match request.send().await {
        Ok(response) => response,
        Err(error) => return Step::Waiting(answer(None, format!("no response: {}", root_cause(&error)))),
    };
    let status = response.status();
    match status.as_u16() {
        // The engine does not have the model yet, or is starting.
        404 | 429 | 500..=599 => return Step::Waiting(answer(None, format!("it responded with {status}"))),
        401 | 403 => {
            let reason = format!(
                "it responded with {status}: set {KEY_VARIABLE}, or --engine-key-file, to a key with the scope read"
            );
            return Step::Failed(answer(None, reason));
        }
        200 => {}
        _ => return Step::Failed(answer(None, format!("it responded with {status}: it is not an engine"))),
    }
    let text = response.text().await.unwrap_or_default();
    let Ok(found) = serde_json::from_str::<EngineModel>(&text) else {
        return Step::Failed(answer(None, "the response is not from an engine".to_owned()));
    };
    let serving = found.serving.as_ref().map(|served| served.version);
    let error = found.last_error.filter(|error| found.failing && error.version == Some(version));
    match (serving, error) {
        (Some(serving), _) if serving == version => Step::Done,
        (serving, Some(error)) => {
            Step::Failed(answer(serving, format!("it cannot serve version {version}: {}", error.reason)))
        }
        (Some(serving), None) => {
            let rule = found.serving.map(|served| served.decided_by.to_string()).unwrap_or_default();
            Step::Waiting(answer(Some(serving), format!("it serves version {serving}, by the rule {rule}")))
        }
        (None, None) => Step::Waiting(answer(None, "it serves no version yet".to_owned())),
    }
}

/// Reads the key for the engines: from the environment, or from a file.
fn engine_key(arguments: &WaitArguments) -> Result<Option<HeaderValue>, CommandError> {
    let text = match &arguments.engine_key_file {
        Some(path) => Some(fs::read_to_string(path).map_err(|source| CommandError::reading(path, source))?),
        None => env::var(KEY_VARIABLE).ok().filter(|key| !key.trim().is_empty()),
    };
    let Some(text) = text else { return Ok(None) };
    let mut key = HeaderValue::try_from(format!("Bearer {}", text.trim())).map_err(|_| CommandError::Key)?;
    key.set_sensitive(true);
    Ok(Some(key))
}

impl Display for EngineAnswer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match (&self.reason, self.serving) {
            (Some(reason), _) => write!(f, "{}: {reason}", self.engine),
            (None, Some(version)) => write!(f, "{} serves version {version}", self.engine),
            (None, None) => write!(f, "{}", self.engine),
        }
    }
}

/// What happened, as webhooks are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum WebhookEvent {
    /// A version was published.
    #[serde(rename = "version.published")]
    Published,
    /// An alias or the pin was moved.
    #[serde(rename = "pointer.moved")]
    Moved,
}

/// The body that a webhook gets.
#[derive(Debug, Clone, Serialize)]
pub struct Notification {
    /// What happened.
    pub event: WebhookEvent,
    /// The command that did it.
    pub command: &'static str,
    /// The model.
    pub model: String,
    /// The version that was published, or that the pointer names now; null once it is removed.
    pub version: Option<u64>,
    /// The version that the pointer named before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<u64>,
    /// The alias that moved; absent for the pin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// The SHA-256 of the published file, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

impl Notification {
    /// Creates the notification of a version that was published.
    pub fn published(command: &'static str, model: &str, version: u64, sha256: &str) -> Self {
        Self {
            event: WebhookEvent::Published,
            command,
            model: model.to_owned(),
            version: Some(version),
            previous: None,
            alias: None,
            sha256: Some(sha256.to_owned()),
        }
    }
}

/// The whole body: the notification, and where, when and by whom.
#[derive(Serialize)]
struct Body<'a> {
    #[serde(flatten)]
    notification: &'a Notification,
    repository: &'a str,
    time: String,
    who: String,
    from: String,
}

/// The result of a call of a webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WebhookCall {
    /// The webhook's host. Its path may be a secret.
    pub webhook: String,
    /// Whether it answered with a success.
    pub delivered: bool,
    /// The status, or the reason why there is none.
    pub result: String,
}

/// Tells every webhook, once each. A failure is a warning, since the change has been made.
pub async fn notify(
    webhooks: &[WebhookUrl],
    repository: &Repository,
    notification: &Notification,
) -> Vec<WebhookCall> {
    let mut calls = Vec::new();
    for webhook in webhooks {
        let call = call(webhook, repository, notification).await;
        if !call.delivered {
            eprintln!("warning: the webhook at {} was not told: {}", call.webhook, call.result);
        }
        calls.push(call);
    }
    calls
}

async fn call(webhook: &WebhookUrl, repository: &Repository, notification: &Notification) -> WebhookCall {
    let place = named(webhook.url());
    let failed = |result: String| WebhookCall { webhook: place.clone(), delivered: false, result };
    let actor = actor();
    let repository = repository.place();
    let body = Body { notification, repository, time: now(), who: actor.who, from: actor.from };
    let (client, body) = match (client(true), serde_json::to_vec(&body)) {
        (Ok(client), Ok(body)) => (client, body),
        (Err(error), _) => return failed(error.to_string()),
        (_, Err(error)) => return failed(error.to_string()),
    };
    let request = client.post(webhook.url().clone()).header(CONTENT_TYPE, "application/json").body(body);
    match request.send().await {
        Ok(response) if response.status().is_success() => {
            WebhookCall { webhook: place, delivered: true, result: response.status().to_string() }
        }
        Ok(response) => failed(format!("it responded with {}", response.status())),
        // The error's own text holds the whole URL.
        Err(error) => failed(root_cause(&error.without_url())),
    }
}

/// Creates a client that follows no redirect: it would take the body, or a key, to another place.
fn client(uses_proxy: bool) -> Result<Client, CommandError> {
    prepare_tls();
    let builder = Client::builder().timeout(CALL_TIMEOUT).redirect(Policy::none());
    let builder = if uses_proxy { builder } else { builder.no_proxy() };
    builder.build().map_err(|error| CommandError::HttpClient(root_cause(&error)))
}

/// Returns a URL without its path and query, which may hold a secret.
fn named(url: &Url) -> String {
    url.origin().ascii_serialization()
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
