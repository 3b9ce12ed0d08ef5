//! Calls of engines over HTTP.

use std::env;
use std::fmt::{self, Display, Formatter};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use onnward_repository::prepare_tls;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::CommandError;
use crate::cli::repository::WaitArguments;

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
    let key = engine_key(arguments.engine_key_file.as_deref())?;
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
    let response = match send(client, engine, key, &format!("/models/{model}")).await {
        Ok(response) => response,
        Err(reason) => return Step::Waiting(answer(None, reason)),
    };
    let status = response.status();
    match status.as_u16() {
        // The engine does not have the model yet, or is starting.
        404 | 429 | 500..=599 => return Step::Waiting(answer(None, format!("it responded with {status}"))),
        401 | 403 => return Step::Failed(answer(None, needs_key(status))),
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

/// Gets the JSON of a route of each engine. A failure is a sentence that names the engine.
///
/// # Errors
/// [`CommandError::Key`] for a key that no header can hold.
pub async fn get_from_engines<T: DeserializeOwned>(
    engines: &[Url],
    key_file: Option<&Path>,
    path_and_query: &str,
) -> Result<Vec<Result<T, String>>, CommandError> {
    let key = engine_key(key_file)?;
    let client = client(false)?;
    let mut answers = Vec::new();
    for engine in engines {
        let answer = get(&client, engine, key.as_ref(), path_and_query).await;
        answers.push(answer.map_err(|reason| format!("{}: {reason}", named(engine))));
    }
    Ok(answers)
}

/// Sends a request to an engine. A failure is a sentence without the engine's name.
async fn send(
    client: &Client,
    engine: &Url,
    key: Option<&HeaderValue>,
    path_and_query: &str,
) -> Result<Response, String> {
    let (path, query) = match path_and_query.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path_and_query, engine.query()),
    };
    let mut url = engine.clone();
    url.set_path(&format!("{}{path}", engine.path().trim_end_matches('/')));
    url.set_query(query);
    let request = client.get(url);
    let request = match key {
        Some(key) => request.header(AUTHORIZATION, key.clone()),
        None => request,
    };
    request.send().await.map_err(|error| format!("no response: {}", root_cause(&error)))
}

async fn get<T: DeserializeOwned>(
    client: &Client,
    engine: &Url,
    key: Option<&HeaderValue>,
    path_and_query: &str,
) -> Result<T, String> {
    let response = send(client, engine, key, path_and_query).await?;
    let status = response.status();
    let text = response.text().await.map_err(|error| root_cause(&error))?;
    match status.as_u16() {
        200 => serde_json::from_str(&text)
            .map_err(|error| format!("its response is not that of an engine of this version: {error}")),
        401 | 403 => Err(needs_key(status)),
        _ => {
            // A problem document says in a sentence what is wrong.
            let problem: Option<Problem> = serde_json::from_str(&text).ok();
            let detail = problem.map(|problem| format!(": {}", problem.detail)).unwrap_or_default();
            Err(format!("it responded with {status}{detail}"))
        }
    }
}

/// The part of an engine's problem document that is shown.
#[derive(Deserialize)]
struct Problem {
    detail: String,
}

fn needs_key(status: StatusCode) -> String {
    format!(
        "it responded with {status}: set {KEY_VARIABLE}, or --engine-key-file, to a key with the scope read"
    )
}

/// Reads a secret: from a file, else from a variable. Blanks around it do not count.
pub fn read_secret(file: Option<&Path>, variable: &str) -> Result<Option<String>, CommandError> {
    let text = match file {
        Some(path) => Some(fs::read_to_string(path).map_err(|source| CommandError::reading(path, source))?),
        None => env::var(variable).ok().filter(|secret| !secret.trim().is_empty()),
    };
    Ok(text.map(|text| text.trim().to_owned()))
}

/// Reads the key for the engines: from the environment, or from a file.
fn engine_key(file: Option<&Path>) -> Result<Option<HeaderValue>, CommandError> {
    let Some(text) = read_secret(file, KEY_VARIABLE)? else { return Ok(None) };
    let mut key = HeaderValue::try_from(format!("Bearer {text}")).map_err(|_| CommandError::Key)?;
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

/// Creates a client that follows no redirect: it would take the body, or a key, to another place.
pub fn client(uses_proxy: bool) -> Result<Client, CommandError> {
    prepare_tls();
    let builder = Client::builder().timeout(CALL_TIMEOUT).redirect(Policy::none());
    let builder = if uses_proxy { builder } else { builder.no_proxy() };
    builder.build().map_err(|error| CommandError::HttpClient(root_cause(&error)))
}

/// Returns a URL without its path and query, which may hold a secret.
pub fn named(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// Returns the message of the first cause of an error.
pub fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
