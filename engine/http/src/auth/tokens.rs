//! JSON Web Tokens (RFC 7519): identifies the caller of a token after checking its signature, times, issuer
//! and audience.

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

/// The maximum size of a token. A larger one is rejected without parsing it.
const MAX_BYTES: usize = 8 << 10;

/// The reason why a token was rejected, for the log. The client learns at most that the token has expired, or
/// that tokens cannot be verified yet.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TokenRefusal {
    /// The token is too long.
    #[error("the token is longer than {MAX_BYTES} bytes")]
    TooLong,
    /// The text is not a token, or its algorithm does not exist.
    #[error("the token has no valid header")]
    NoHeader,
    /// The header requires extensions (`crit`), and none is supported.
    #[error("the token requires header extensions (`crit`), and none is supported")]
    Critical,
    /// There is no key for the token.
    #[error(transparent)]
    NoKey(#[from] NoKey),
    /// The token has expired.
    #[error("the token has expired")]
    Expired,
    /// The signature, issuer or audience does not match, or the token is not valid yet.
    #[error("the token is rejected: {0}")]
    Invalid(String),
    /// The token has no valid name claim.
    #[error(transparent)]
    Claim(#[from] BadClaim),
    /// The keys have not been fetched yet.
    #[error("the token keys have not been fetched yet")]
    NoKeysYet,
}

/// The verifier of tokens.
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

    /// Returns the keys that verify tokens.
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
        kind => TokenRefusal::Invalid(describe(kind)),
    })?;
    Ok(decoded.claims)
}

/// Describes why a token is invalid. The library's own messages are not used, because they could repeat parts
/// of the token.
fn describe(kind: &ErrorKind) -> String {
    let reason = match kind {
        ErrorKind::InvalidSignature => "its signature is invalid",
        ErrorKind::MissingRequiredClaim(claim) => {
            return format!("its claim `{claim}` is missing or invalid");
        }
        ErrorKind::InvalidClaimFormat(claim) => return format!("its claim `{claim}` has an invalid format"),
        ErrorKind::InvalidIssuer => "its issuer (`iss`) is not auth.jwt.issuer",
        ErrorKind::InvalidAudience => "its audience (`aud`) is not auth.jwt.audience",
        ErrorKind::ImmatureSignature => "it is not valid yet (`nbf`)",
        ErrorKind::InvalidAlgorithm | ErrorKind::UnsupportedAlgorithm => {
            "its algorithm does not match its key"
        }
        ErrorKind::InvalidToken | ErrorKind::Json(_) | ErrorKind::Base64(_) | ErrorKind::Utf8(_) => {
            "it is malformed"
        }
        _ => "its key cannot verify it",
    };
    reason.to_owned()
}
