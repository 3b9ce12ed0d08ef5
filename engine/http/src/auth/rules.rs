//! The configured rules for tokens.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use jsonwebtoken::{Algorithm, Validation};
use reqwest::Url;
use serde::Deserialize;

/// The rules that a token must meet, and the claims that identify its caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRules {
    /// The location of the keys that verify tokens.
    pub jwks: JwksPlace,
    /// The issuer: the required value of the claim `iss`.
    pub issuer: String,
    /// The audience: the required value of the claim `aud`.
    pub audience: String,
    /// The claim with the caller's scopes. Dots address nested objects.
    pub scope_claim: String,
    /// The prefix of each scope's name in that claim.
    pub scope_prefix: String,
    /// The claim with the caller's name. Dots address nested objects.
    pub name_claim: String,
    /// The accepted signature algorithms.
    pub algorithms: Vec<TokenAlgorithm>,
    /// The tolerance for differences between the issuer's clock and the engine's.
    pub leeway: Duration,
}

impl TokenRules {
    /// Returns the validation rules for a token with this algorithm.
    pub fn validation(&self, algorithm: TokenAlgorithm) -> Validation {
        let mut validation = Validation::new(algorithm.into());
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        validation.leeway = self.leeway.as_secs();
        validation.validate_nbf = true;
        validation
    }
}

/// The location of a JSON Web Key Set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JwksPlace {
    /// A file, which may contain secrets.
    File(PathBuf),
    /// The URL at which the issuer publishes it.
    Url {
        /// The URL.
        url: Url,
        /// The interval between fetches.
        refresh: Duration,
    },
}

impl fmt::Display for JwksPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Url { url, .. } => url.fmt(f),
        }
    }
}

/// A signature algorithm of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum TokenAlgorithm {
    /// HMAC with SHA-256. The same secret verifies and signs tokens.
    #[serde(rename = "HS256")]
    Hs256,
    /// RSA, PKCS #1 v1.5, with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

impl TokenAlgorithm {
    /// Every algorithm.
    pub const ALL: [Self; 4] = [Self::Hs256, Self::Rs256, Self::Es256, Self::EdDsa];

    /// Returns the name in a token's header.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

impl From<TokenAlgorithm> for Algorithm {
    fn from(algorithm: TokenAlgorithm) -> Self {
        match algorithm {
            TokenAlgorithm::Hs256 => Self::HS256,
            TokenAlgorithm::Rs256 => Self::RS256,
            TokenAlgorithm::Es256 => Self::ES256,
            TokenAlgorithm::EdDsa => Self::EdDSA,
        }
    }
}
