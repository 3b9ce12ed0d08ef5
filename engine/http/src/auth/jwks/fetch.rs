use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};
use thiserror::Error;

use crate::root_cause::root_cause;

/// The time limit of a fetch, including the whole response.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The maximum size of a response. A larger one is not a key set.
const MAX_BYTES: usize = 1 << 20;

/// The reason why a fetch failed.
#[derive(Debug, Error)]
pub enum FetchError {
    /// No complete response was received.
    #[error("{0}")]
    NoAnswer(String),
    /// The server redirects. Redirects are not followed, because the target may not belong to the issuer.
    #[error("the server redirects; if the target belongs to the issuer, set auth.jwt.jwks to it")]
    Redirect,
    /// The server responds with another status than 200.
    #[error("the server responds with status {}", .0.as_u16())]
    Status(StatusCode),
    /// The response is too large.
    #[error("the response has more than {MAX_BYTES} bytes")]
    TooLarge,
}

impl From<reqwest::Error> for FetchError {
    fn from(error: reqwest::Error) -> Self {
        if error.is_timeout() {
            return Self::NoAnswer(format!("no complete response within {} s", TIMEOUT.as_secs()));
        }
        Self::NoAnswer(root_cause(&error))
    }
}

/// An HTTP client for one address.
#[derive(Debug)]
pub struct Fetcher {
    client: Client,
    url: Url,
}

impl Fetcher {
    /// Creates the HTTP client without sending a request.
    ///
    /// # Errors
    /// The client's error, for example if the system's certificates cannot be read.
    pub fn new(url: &Url) -> Result<Self, String> {
        let is_encrypted = url.scheme() == "https";
        let client = Client::builder().timeout(TIMEOUT).redirect(Policy::none()).https_only(is_encrypted);
        // Without TLS the address is the loopback, which needs no proxy.
        let client = if is_encrypted { client } else { client.no_proxy() };
        let client = client.build().map_err(|error| FetchError::from(error).to_string())?;
        Ok(Self { client, url: url.clone() })
    }

    /// Returns the address.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Fetches the key set.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn get(&self) -> Result<Vec<u8>, FetchError> {
        let mut answer =
            self.client.get(self.url.clone()).header("accept", "application/json").send().await?;
        match answer.status() {
            StatusCode::OK => {}
            status if status.is_redirection() => return Err(FetchError::Redirect),
            status => return Err(FetchError::Status(status)),
        }
        let mut content = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            if content.len() + chunk.len() > MAX_BYTES {
                return Err(FetchError::TooLarge);
            }
            content.extend_from_slice(&chunk);
        }
        Ok(content)
    }
}
