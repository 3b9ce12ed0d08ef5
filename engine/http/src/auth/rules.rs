//! What a token has to be like.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use jsonwebtoken::{Algorithm, Validation};
use reqwest::Url;
use serde::Deserialize;

/// What a token has to be like, and what is read off it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRules {
    /// Where the keys are with which tokens are checked.
    pub jwks: JwksPlace,
    /// Who issues the tokens: the claim `iss`.
    pub issuer: String,
    /// For whom they are: the claim `aud`.
    pub audience: String,
    /// The claim that holds what a caller may do; dots lead into claims that are objects.
    pub scope_claim: String,
    /// What stands before the name of each scope there.
    pub scope_prefix: String,
    /// The claim that holds who the caller is; dots lead into claims that are objects.
    pub name_claim: String,
    /// How tokens may be signed.
    pub algorithms: Vec<TokenAlgorithm>,
    /// How far the issuer's clock may be off.
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

/// Where a JSON Web Key Set is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JwksPlace {
    /// In a file, which may hold secrets.
    File(PathBuf),
    /// Where an issuer publishes it.
    Url {
        /// The address.
        url: Url,
        /// How often it is fetched again.
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

/// How a token can be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum TokenAlgorithm {
    /// HMAC with SHA-256: whoever can check a token can also make one.
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
    /// All of them.
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
