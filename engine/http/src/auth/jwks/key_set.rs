use std::fmt;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{DecodingKey, DecodingKeyKind, Validation};
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use crate::auth::rules::{JwksPlace, TokenAlgorithm, TokenRules};

/// RSA keys with fewer bits can be broken by those who have the means.
const MIN_RSA_BITS: usize = 2048;
/// What ring verifies at most; more would only cost time.
const MAX_RSA_BITS: usize = 8192;
/// A secret has at least as many bytes as the digest, as RFC 7518 has it.
const MIN_SECRET_BYTES: usize = 32;
/// A coordinate of P-256, and a key of Ed25519.
const CURVE_BYTES: usize = 32;

/// Why a text is no key set.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MalformedSet {
    /// It is not JSON, or has not the list `keys`.
    #[error(
        "it must be a JSON Web Key Set, `{{\"keys\": [...]}}`, which ends at line {line}, column {column}"
    )]
    NoSet {
        /// The line, counted from 1.
        line: usize,
        /// The column, counted from 1.
        column: usize,
    },
}

/// Why a key of a set is not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SkippedKey {
    /// It is for something else, as sets may hold such.
    Unsupported(String),
    /// It would not protect.
    Unsafe(String),
}

impl fmt::Display for SkippedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Unsupported(why) | Self::Unsafe(why)) = self;
        f.write_str(why)
    }
}

/// Why there is no key for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NoKey {
    /// No key has this id. It may have come since.
    #[error("no key has the token's `kid`")]
    UnknownId,
    /// The key with this id is for another algorithm.
    #[error("the key with the token's `kid` is for another algorithm")]
    OtherAlgorithm,
    /// The token names no key, and there are several that it could mean, or none.
    #[error("the token has no `kid`, and not exactly one key is for its algorithm")]
    Ambiguous,
}

/// A key, the one algorithm that it is for, and what is checked of the tokens that it signed.
#[derive(Debug)]
pub struct TokenKey {
    id: Option<String>,
    algorithm: TokenAlgorithm,
    /// What verifies signatures.
    pub key: DecodingKey,
    /// What the library checks.
    pub validation: Validation,
}

/// The keys of a set that are for tokens.
#[derive(Debug)]
pub struct KeySet {
    keys: Vec<TokenKey>,
    skipped: Vec<SkippedKey>,
}

#[derive(Deserialize)]
struct RawSet {
    keys: Vec<Value>,
}

impl KeySet {
    /// Parses a key set. Keys that are unsuitable or too weak are skipped.
    ///
    /// # Errors
    /// [`MalformedSet`], without anything that the text holds: it may be secret.
    pub fn parse(text: &[u8], rules: &TokenRules) -> Result<Self, MalformedSet> {
        let set: RawSet = serde_json::from_slice(text)
            .map_err(|error| MalformedSet::NoSet { line: error.line(), column: error.column() })?;
        let mut keys: Vec<TokenKey> = Vec::new();
        let mut skipped = Vec::new();
        for (index, value) in set.keys.into_iter().enumerate() {
            match token_key(index, value, rules) {
                Ok(key) if keys.iter().any(|other| other.is_ambiguous_with(&key)) => {
                    let why = format!("the {} is there twice; the first one counts", key.describe(index));
                    skipped.push(SkippedKey::Unsafe(why));
                }
                Ok(key) => keys.push(key),
                Err(why) => skipped.push(why),
            }
        }
        Ok(Self { keys, skipped })
    }

    /// Finds the key for a token's header. The key determines the algorithm, never the token.
    ///
    /// # Errors
    /// [`NoKey`].
    pub fn find(&self, id: Option<&str>, algorithm: jsonwebtoken::Algorithm) -> Result<&TokenKey, NoKey> {
        let fits = |key: &&TokenKey| jsonwebtoken::Algorithm::from(key.algorithm) == algorithm;
        if id.is_some() {
            let mut named = self.keys.iter().filter(|key| key.id.as_deref() == id).peekable();
            named.peek().ok_or(NoKey::UnknownId)?;
            return named.find(fits).ok_or(NoKey::OtherAlgorithm);
        }
        let mut fitting = self.keys.iter().filter(fits);
        match (fitting.next(), fitting.next()) {
            (Some(only), None) => Ok(only),
            _ => Err(NoKey::Ambiguous),
        }
    }

    /// Returns the number of keys.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Returns why others were passed over.
    pub fn skipped(&self) -> &[SkippedKey] {
        &self.skipped
    }
}

impl TokenKey {
    /// Returns whether a token could refer to either key.
    fn is_ambiguous_with(&self, other: &Self) -> bool {
        self.id.is_some() && self.id == other.id && self.algorithm == other.algorithm
    }

    fn describe(&self, index: usize) -> String {
        describe(self.id.as_deref(), index)
    }
}

fn describe(id: Option<&str>, index: usize) -> String {
    match id {
        Some(id) => format!("key {:?}", id.chars().take(80).collect::<String>()),
        None => format!("key number {}", index + 1),
    }
}

/// Builds a verification key.
fn token_key(index: usize, value: Value, rules: &TokenRules) -> Result<TokenKey, SkippedKey> {
    let unreadable = |_| SkippedKey::Unsupported(format!("the {} is no JSON Web Key", describe(None, index)));
    let jwk: Jwk = serde_json::from_value(value).map_err(unreadable)?;
    let id = jwk.common.key_id.clone();
    let name = describe(id.as_deref(), index);
    let algorithm = algorithm_of(&jwk).map_err(|why| SkippedKey::Unsupported(format!("the {name} {why}")))?;
    if !rules.algorithms.contains(&algorithm) {
        let why = format!("the {name} is for {}, which auth.jwt.algorithms leaves out", algorithm.name());
        return Err(SkippedKey::Unsupported(why));
    }
    if algorithm == TokenAlgorithm::Hs256 && !matches!(rules.jwks, JwksPlace::File(_)) {
        let why = format!(
            "the {name} is a secret, which is published to everybody; secrets are read from files only"
        );
        return Err(SkippedKey::Unsafe(why));
    }
    let key = DecodingKey::from_jwk(&jwk)
        .map_err(|_| SkippedKey::Unsupported(format!("the {name} is not written in base64url")))?;
    let key = validate_key(key, algorithm).map_err(|why| SkippedKey::Unsafe(format!("the {name} {why}")))?;
    Ok(TokenKey { id, algorithm, key, validation: rules.validation(algorithm) })
}

/// Returns the one algorithm that a key is for.
fn algorithm_of(jwk: &Jwk) -> Result<TokenAlgorithm, &'static str> {
    let common = &jwk.common;
    if common.public_key_use.as_ref().is_some_and(|usage| *usage != PublicKeyUse::Signature)
        || common
            .key_operations
            .as_ref()
            .is_some_and(|operations| !operations.contains(&KeyOperations::Verify))
    {
        return Err("is not for signatures");
    }
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::OctetKey(_) => TokenAlgorithm::Hs256,
        AlgorithmParameters::RSA(_) => TokenAlgorithm::Rs256,
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => TokenAlgorithm::Es256,
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            TokenAlgorithm::EdDsa
        }
        _ => return Err("is of a kind that is not supported"),
    };
    let own = KeyAlgorithm::from(jsonwebtoken::Algorithm::from(algorithm));
    match common.key_algorithm {
        Some(named) if named != own => Err("is for an algorithm that is not supported"),
        _ => Ok(algorithm),
    }
}

/// Checks the key's length and converts it to ring's form.
fn validate_key(key: DecodingKey, algorithm: TokenAlgorithm) -> Result<DecodingKey, String> {
    match (algorithm, key.kind()) {
        (TokenAlgorithm::Rs256, DecodingKeyKind::RsaModulusExponent { n, e }) => {
            // Some issuers write a zero before the first digit, which ring does not take.
            let (n, e) = (strip_leading_zeros(n), strip_leading_zeros(e));
            let bits = n.len() * 8 - n.first().map_or(0, |first| first.leading_zeros() as usize);
            if !(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) {
                return Err(format!("has {bits} bits; RSA keys must have {MIN_RSA_BITS} to {MAX_RSA_BITS}"));
            }
            Ok(DecodingKey::from_rsa_raw_components(n, e))
        }
        (TokenAlgorithm::Hs256, DecodingKeyKind::SecretOrDer(secret)) if secret.len() < MIN_SECRET_BYTES => {
            Err(format!("has {} bytes; secrets must have at least {MIN_SECRET_BYTES}", secret.len()))
        }
        (TokenAlgorithm::Es256, DecodingKeyKind::SecretOrDer(point))
            if point.len() != 1 + 2 * CURVE_BYTES =>
        {
            Err("is no point on P-256".to_owned())
        }
        (TokenAlgorithm::EdDsa, DecodingKeyKind::SecretOrDer(point)) if point.len() != CURVE_BYTES => {
            Err("is no key of Ed25519".to_owned())
        }
        _ => Ok(key),
    }
}

fn strip_leading_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|digit| **digit == 0).count();
    number.get(zeros..).unwrap_or_default()
}
