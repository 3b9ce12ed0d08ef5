use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};
use thiserror::Error;

use crate::root_cause::root_cause;

/// How long an answer may take, all of it.
const TIMEOUT: Duration = Duration::from_secs(5);
/// What is larger is no key set.
const MAX_BYTES: usize = 1 << 20;

/// Why an address gave nothing.
#[derive(Debug, Error)]
pub enum FetchError {
    /// There was no answer, or not a whole one.
    #[error("{0}")]
    NoAnswer(String),
    /// It sends its callers elsewhere, where anybody could be.
    #[error("it redirects; if the target belongs to the issuer, set auth.jwt.jwks to it")]
    Redirect,
    /// It answers with something else.
    #[error("it answers with status {}", .0.as_u16())]
    Status(StatusCode),
    /// The answer does not end.
    #[error("it answers with more than {MAX_BYTES} bytes")]
    TooLarge,
}

impl From<reqwest::Error> for FetchError {
    fn from(error: reqwest::Error) -> Self {
        if error.is_timeout() {
            return Self::NoAnswer(format!("it does not answer within {} s", TIMEOUT.as_secs()));
        }
        Self::NoAnswer(root_cause(&error))
    }
}

/// What asks one address.
#[derive(Debug)]
pub struct Fetcher {
    client: Client,
    url: Url,
}

impl Fetcher {
    /// Creates the HTTP client without sending a request.
    ///
    /// # Errors
    /// What the client says, where the system's certificates cannot be read.
    pub fn new(url: &Url) -> Result<Self, String> {
        let is_encrypted = url.scheme() == "https";
        let client = Client::builder().timeout(TIMEOUT).redirect(Policy::none()).https_only(is_encrypted);
        // Without TLS it is the loopback, for which there is no proxy.
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
