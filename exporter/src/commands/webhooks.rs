//! Calls of webhooks, signed as <https://www.standardwebhooks.com> describes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::Utc;
use onnward_repository::Repository;
use reqwest::header::CONTENT_TYPE;
use ring::hmac;
use serde::Serialize;

use super::CommandError;
use super::audit::{actor, now};
use super::calls::{client, named, read_secret, root_cause};
use crate::cli::repository::{WebhookArguments, WebhookUrl};

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

/// The webhooks to tell, and the secret that signs what they are told.
#[derive(Debug)]
pub struct Webhooks {
    urls: Vec<WebhookUrl>,
    secret: Option<hmac::Key>,
}

/// The variable that holds the secret. A secret on the command line would be seen by every user.
const SECRET_VARIABLE: &str = "ONNWARD_WEBHOOK_SECRET";
/// The beginning of a secret, as Standard Webhooks writes it; it may be left out.
const SECRET_PREFIX: &str = "whsec_";
/// The least number of bytes of a secret, by Standard Webhooks.
const MIN_SECRET_BYTES: usize = 24;

impl Webhooks {
    /// Reads the secret, before anything is changed.
    ///
    /// # Errors
    /// [`CommandError::WebhookSecret`]; the secret's file cannot be read.
    pub fn new(arguments: &WebhookArguments) -> Result<Self, CommandError> {
        let urls = arguments.urls.clone();
        let text = match urls.is_empty() {
            true => None,
            false => read_secret(arguments.webhook_secret_file.as_deref(), SECRET_VARIABLE)?,
        };
        let secret = text.map(|text| parse_secret(&text).ok_or(CommandError::WebhookSecret));
        Ok(Self { urls, secret: secret.transpose()? })
    }
}

fn parse_secret(text: &str) -> Option<hmac::Key> {
    let text = text.strip_prefix(SECRET_PREFIX).unwrap_or(text);
    let bytes = STANDARD.decode(text).ok().filter(|bytes| bytes.len() >= MIN_SECRET_BYTES)?;
    Some(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

/// The headers of Standard Webhooks: they let a receiver refuse what others have sent, or sent again later.
struct Signed {
    id: String,
    timestamp: String,
    signature: Option<String>,
}

impl Signed {
    fn new(body: &[u8], secret: Option<&hmac::Key>, id: String, timestamp: i64) -> Self {
        let timestamp = timestamp.to_string();
        let signature = secret.map(|secret| {
            let text = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
            format!("v1,{}", STANDARD.encode(hmac::sign(secret, &text)))
        });
        Self { id, timestamp, signature }
    }
}

/// Tells every webhook, once each. A failure is a warning, since the change has been made.
pub async fn notify(
    webhooks: &Webhooks,
    repository: &Repository,
    notification: &Notification,
) -> Vec<WebhookCall> {
    let mut calls = Vec::new();
    for webhook in &webhooks.urls {
        let call = call(webhook, webhooks.secret.as_ref(), repository, notification).await;
        if !call.delivered {
            eprintln!("warning: the webhook at {} was not told: {}", call.webhook, call.result);
        }
        calls.push(call);
    }
    calls
}

async fn call(
    webhook: &WebhookUrl,
    secret: Option<&hmac::Key>,
    repository: &Repository,
    notification: &Notification,
) -> WebhookCall {
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
    let id = format!("msg_{:032x}", rand::random::<u128>());
    let Signed { id, timestamp, signature } = Signed::new(&body, secret, id, Utc::now().timestamp());
    let request = client.post(webhook.url().clone()).header(CONTENT_TYPE, "application/json");
    let request = request.header("webhook-id", id).header("webhook-timestamp", timestamp);
    let request = match signature {
        Some(signature) => request.header("webhook-signature", signature),
        None => request,
    };
    let request = request.body(body);
    match request.send().await {
        Ok(response) if response.status().is_success() => {
            WebhookCall { webhook: place, delivered: true, result: response.status().to_string() }
        }
        Ok(response) => failed(format!("it responded with {}", response.status())),
        // The error's own text holds the whole URL.
        Err(error) => failed(root_cause(&error.without_url())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification.
    #[test]
    fn a_signature_is_the_one_of_standard_webhooks() {
        let secret = parse_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek".to_owned();
        let signed = Signed::new(br#"{"test": 2432232314}"#, Some(&secret), id, 1_614_265_330);
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(signed.signature.as_deref(), Some(expected));
    }

    #[test]
    fn a_secret_that_is_short_or_no_base64_is_none() {
        assert!(parse_secret("whsec_c2hvcnQ=").is_none());
        assert!(parse_secret("not base64 at all, and long enough").is_none());
        assert!(parse_secret(&STANDARD.encode([7; 24])).is_some());
    }
}
