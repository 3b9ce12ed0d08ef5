//! Who may do what: callers, told apart by their API keys or by tokens, and their scopes. It knows nothing of HTTP.

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

/// What is open unless it is protected, although there are keys or tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protected {
    /// `/metrics`.
    Metrics,
    /// `/docs` and `/openapi.json`.
    Docs,
}

/// What a caller may be allowed to do; none of them includes another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// To have rows scored, and to tell what became of them.
    Predict,
    /// To see models, their performance and their drift, and what is protected beside them.
    Read,
    /// To make the engine do something.
    Admin,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Predict, Self::Read, Self::Admin];

    /// The name in a keys file, and in a token.
    pub fn name(self) -> &'static str {
        match self {
            Self::Predict => "predict",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }
}

/// Who made a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The name of the key, or what the token names.
    pub name: String,
    /// What the caller may do.
    pub scopes: Vec<Scope>,
}

/// What a request shows of its sender.
#[derive(Clone, Copy)]
pub enum Credential<'a> {
    /// What can only be an API key.
    Key(&'a str),
    /// An API key or a token.
    Bearer(&'a str),
}

/// Why somebody is not let in. Whoever it is learns no more than that, or that their time is over.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// It is not one of the keys.
    #[error("the key is not known")]
    Unknown,
    /// Its time is over.
    #[error("the key has expired")]
    Expired,
    /// The token is not accepted.
    #[error(transparent)]
    Token(#[from] TokenRefusal),
}

/// Why callers cannot be told apart.
#[derive(Debug, Error)]
pub enum AuthError {
    /// The API keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeysFileError),
    /// The keys of tokens cannot be used.
    #[error(transparent)]
    Tokens(#[from] JwksError),
}

/// What knows callers by API keys, by tokens, or by both. What it goes by is read again when it changes.
#[derive(Debug)]
pub struct Authenticator {
    keys: Option<ValidKeys>,
    tokens: Option<Tokens>,
}

impl Authenticator {
    /// Reads the keys; `None` where nobody is to be told from anybody else.
    ///
    /// # Errors
    /// [`AuthError`] when a file cannot be read or is not as it should be.
    pub fn open(keys_file: Option<&Path>, tokens: Option<TokenRules>) -> Result<Option<Self>, AuthError> {
        let keys = keys_file.map(ValidKeys::open).transpose()?;
        let tokens = tokens.map(Tokens::open).transpose()?;
        Ok((keys.is_some() || tokens.is_some()).then_some(Self { keys, tokens }))
    }

    /// Whether there are API keys.
    pub fn takes_keys(&self) -> bool {
        self.keys.is_some()
    }

    /// Whether tokens are accepted.
    pub fn takes_tokens(&self) -> bool {
        self.tokens.is_some()
    }

    /// The caller who shows this. What looks like an API key is one, wherever it is shown.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn identify(&self, shown: Credential<'_>, now: DateTime<Utc>) -> Result<Arc<Caller>, Refusal> {
        match (shown, &self.keys, &self.tokens) {
            (Credential::Bearer(token), _, Some(tokens)) if !key::is_meant_as_key(token) => {
                Ok(tokens.identify(token).await?)
            }
            (Credential::Key(key) | Credential::Bearer(key), Some(keys), _) => keys.identify(key, now),
            _ => Err(Refusal::Unknown),
        }
    }

    /// Looks again and again whether the keys have changed.
    pub async fn watch(self: Arc<Self>, pause: Duration) {
        let auth = Arc::clone(&self);
        tokio::join!(every(pause, move || auth.look_at_files()), async {
            if let Some(tokens) = &self.tokens {
                tokens.jwks().keep_fetched().await;
            }
        });
    }

    fn look_at_files(&self) {
        if let Some(keys) = &self.keys {
            keys.reload_if_changed();
        }
        if let Some(tokens) = &self.tokens {
            tokens.jwks().look_at_file();
        }
    }
}

#[cfg(test)]
mod tests;
