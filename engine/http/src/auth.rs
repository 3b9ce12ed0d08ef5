//! Authentication by API keys and tokens, and scopes. Independent of HTTP.

mod jwks;
mod key;
mod keys;
mod keys_file;
mod rules;
mod signatures;
mod tokens;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use self::jwks::JwksError;
pub use self::key::{generate, is_key_name};
use self::keys::ValidKeys;
pub use self::keys_file::{Keys, KeysFileError, RawEntry, RawKeys};
pub use self::rules::{JwksPlace, TokenAlgorithm, TokenRules};
use self::tokens::Tokens;
pub use self::tokens::{BadClaim, TokenRefusal};
use crate::periodic::every;

/// A group of routes that needs no credential by default, even if authentication is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protected {
    /// `/metrics`.
    Metrics,
    /// `/docs` and `/openapi.json`.
    Docs,
}

/// A permission of a caller. No scope includes another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Predict.
    Predict,
    /// Report outcomes, and correct those of others.
    Outcomes,
    /// Read models, performance, drift and protected routes.
    Read,
    /// Use the admin routes.
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 4] = [Self::Predict, Self::Outcomes, Self::Read, Self::Admin];

    /// Returns the name in a keys file, and in a token.
    pub fn name(self) -> &'static str {
        match self {
            Self::Predict => "predict",
            Self::Outcomes => "outcomes",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }
}

/// An authenticated caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The name of the key, or the name claim of the token.
    pub name: String,
    /// The caller's scopes.
    pub scopes: Vec<Scope>,
}

/// The credential of a request.
#[derive(Clone, Copy)]
pub enum Credential<'a> {
    /// An API key, sent as `X-API-Key`.
    Key(&'a str),
    /// An API key or a token, sent as `Authorization: Bearer`.
    Bearer(&'a str),
}

/// The reason why a credential was rejected. The client only learns that it is invalid, that a token has
/// expired, or that tokens cannot be verified yet.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The key is not one of the valid keys.
    #[error("the API key is unknown")]
    Unknown,
    /// The key has expired.
    #[error("the API key has expired")]
    Expired,
    /// The token is not accepted.
    #[error(transparent)]
    Token(#[from] TokenRefusal),
}

/// The reason why authentication cannot be set up.
#[derive(Debug, Error)]
pub enum AuthError {
    /// The API keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeysFileError),
    /// The keys of tokens cannot be used.
    #[error(transparent)]
    Tokens(#[from] JwksError),
}

/// An authenticator for API keys, tokens or both. Its files are reloaded when they change.
#[derive(Debug)]
pub struct Authenticator {
    keys: Option<ValidKeys>,
    tokens: Option<Tokens>,
}

impl Authenticator {
    /// Opens the API keys and the keys of tokens. `None` if neither is configured.
    ///
    /// # Errors
    /// [`AuthError`] if a file cannot be read or is invalid.
    pub fn open(keys_file: Option<&Path>, tokens: Option<TokenRules>) -> Result<Option<Self>, AuthError> {
        let keys = keys_file.map(ValidKeys::open).transpose()?;
        let tokens = tokens.map(Tokens::open).transpose()?;
        Ok((keys.is_some() || tokens.is_some()).then_some(Self { keys, tokens }))
    }

    /// Returns whether API keys are accepted.
    pub fn has_api_keys(&self) -> bool {
        self.keys.is_some()
    }

    /// Returns whether tokens are accepted.
    pub fn has_tokens(&self) -> bool {
        self.tokens.is_some()
    }

    /// Returns the caller of a credential. A bearer credential with the prefix of API keys is treated as a
    /// key, never as a token.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn identify(
        &self,
        presented: Credential<'_>,
        now: DateTime<Utc>,
    ) -> Result<Arc<Caller>, Refusal> {
        match (presented, &self.keys, &self.tokens) {
            (Credential::Bearer(token), _, Some(tokens)) if !key::looks_like_key(token) => {
                Ok(tokens.identify(token).await?)
            }
            (Credential::Key(key) | Credential::Bearer(key), Some(keys), _) => keys.identify(key, now),
            _ => Err(Refusal::Unknown),
        }
    }

    /// Reloads the keys periodically if their files have changed.
    pub async fn watch(self: Arc<Self>, pause: Duration) {
        let auth = Arc::clone(&self);
        tokio::join!(every(pause, move || auth.reload_if_changed()), async {
            if let Some(tokens) = &self.tokens {
                tokens.jwks().run_refresh().await;
            }
        });
    }

    fn reload_if_changed(&self) {
        if let Some(keys) = &self.keys {
            keys.reload_if_changed();
        }
        if let Some(tokens) = &self.tokens {
            tokens.jwks().reload_if_changed();
        }
    }
}

#[cfg(test)]
mod tests;
