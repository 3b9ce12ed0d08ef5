//! JSON Web Tokens (RFC 7519): who is named by one, if it is signed by a key of the issuer's, for this engine, and now.

mod claims;

use std::sync::Arc;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{decode, decode_header};
use serde_json::{Map, Value};
use thiserror::Error;

pub use self::claims::BadClaim;
use super::jwks::{Jwks, JwksError, KeySet, NoKey};
use super::rules::TokenRules;
use super::{Caller, signatures};

/// A longer token is not looked at.
const MAX_BYTES: usize = 8 << 10;

/// Why a token is not accepted. Only the log is told; whoever presents it learns at most that it has expired.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TokenRefusal {
    /// It is too long.
    #[error("the token is longer than {MAX_BYTES} bytes")]
    TooLong,
    /// It is no token, or of an algorithm that there is not.
    #[error("the token has no header that can be read")]
    NoHeader,
    /// Its header says that something must be understood which is not.
    #[error("the token has a critical header, of which none is known")]
    Critical,
    /// There is no key for it.
    #[error(transparent)]
    NoKey(#[from] NoKey),
    /// It was good once.
    #[error("the token has expired")]
    Expired,
    /// It is not for this engine, not from its issuer, or not yet valid.
    #[error("the token is refused: {0}")]
    Invalid(String),
    /// It does not say who it is for.
    #[error(transparent)]
    Claim(#[from] BadClaim),
    /// There are no keys yet.
    #[error("the keys of tokens have not been fetched yet")]
    NoKeysYet,
}

/// What checks tokens.
#[derive(Debug)]
pub struct Tokens {
    rules: Arc<TokenRules>,
    jwks: Jwks,
}

impl Tokens {
    /// Reads the keys, or prepares to fetch them.
    ///
    /// # Errors
    /// [`JwksError`].
    pub fn open(rules: TokenRules) -> Result<Self, JwksError> {
        signatures::install();
        let rules = Arc::new(rules);
        Ok(Self { jwks: Jwks::open(Arc::clone(&rules))?, rules })
    }

    /// Returns the keys with which tokens are checked.
    pub fn jwks(&self) -> &Jwks {
        &self.jwks
    }

    /// Identifies the caller of a token. An unknown key triggers a refresh of the key set, if one is due.
    ///
    /// # Errors
    /// [`TokenRefusal`].
    pub async fn identify(&self, token: &str) -> Result<Arc<Caller>, TokenRefusal> {
        if token.len() > MAX_BYTES {
            return Err(TokenRefusal::TooLong);
        }
        match self.try_identify(token) {
            Err(TokenRefusal::NoKey(NoKey::UnknownId) | TokenRefusal::NoKeysYet) => {
                self.jwks.wait_for_refresh().await;
                self.try_identify(token)
            }
            known => known,
        }
    }

    fn try_identify(&self, token: &str) -> Result<Arc<Caller>, TokenRefusal> {
        let keys = self.jwks.current().ok_or(TokenRefusal::NoKeysYet)?;
        let claims = verify(token, &keys)?;
        Ok(Arc::new(claims::caller(&claims, &self.rules)?))
    }
}

/// Verifies a token's signature, times, issuer and audience, and returns its claims.
fn verify(token: &str, keys: &KeySet) -> Result<Map<String, Value>, TokenRefusal> {
    let header = decode_header(token).map_err(|_| TokenRefusal::NoHeader)?;
    if header.crit.is_some() {
        return Err(TokenRefusal::Critical);
    }
    let key = keys.find(header.kid.as_deref(), header.alg)?;
    let decoded = decode(token, &key.key, &key.validation).map_err(|error| match error.kind() {
        ErrorKind::ExpiredSignature => TokenRefusal::Expired,
        // What the others say in full could repeat the token.
        ErrorKind::Json(_) | ErrorKind::Base64(_) | ErrorKind::Utf8(_) => {
            TokenRefusal::Invalid("it is not written as tokens are".to_owned())
        }
        kind => TokenRefusal::Invalid(format!("{kind:?}")),
    })?;
    Ok(decoded.claims)
}
