use std::fmt;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{DecodingKey, DecodingKeyKind, Validation};
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use crate::auth::rules::{JwksPlace, TokenAlgorithm, TokenRules};

/// The minimum size of an RSA key: smaller ones can be broken with enough resources.
const MIN_RSA_BITS: usize = 2048;
/// The maximum size of an RSA key that ring verifies.
const MAX_RSA_BITS: usize = 8192;
/// The minimum size of a secret: that of the digest, as RFC 7518 requires.
const MIN_SECRET_BYTES: usize = 32;
/// The size of a P-256 coordinate, and of an Ed25519 key.
const CURVE_BYTES: usize = 32;

/// The reason why a text is not a key set.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MalformedSet {
    /// The text is not JSON, or has no list `keys`.
    #[error(
        "it must be a JSON Web Key Set, `{{\"keys\": [...]}}`; parsing failed at line {line}, column {column}"
    )]
    NoSet {
        /// The line, counted from 1.
        line: usize,
        /// The column, counted from 1.
        column: usize,
    },
}

/// The reason why a key of a set is not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SkippedKey {
    /// The key has another purpose or algorithm, which key sets may contain.
    Unsupported(String),
    /// The key is not secure.
    Unsafe(String),
}

impl fmt::Display for SkippedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Unsupported(why) | Self::Unsafe(why)) = self;
        f.write_str(why)
    }
}

/// The reason why there is no key for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NoKey {
    /// No key has this id. It may have been published since the last fetch.
    #[error("no key has the token's `kid`")]
    UnknownId,
    /// The key with this id has another algorithm.
    #[error("the key with the token's `kid` is for another algorithm than the token's `alg`")]
    OtherAlgorithm,
    /// The token has no key id, and none or several keys have its algorithm.
    #[error("the token has no `kid`, which requires exactly one key for its algorithm")]
    Ambiguous,
}

/// A key with its only algorithm, and the validation rules for its tokens.
#[derive(Debug)]
pub struct TokenKey {
    id: Option<String>,
    algorithm: TokenAlgorithm,
    /// The key that verifies signatures.
    pub key: DecodingKey,
    /// The validation rules for the library.
    pub validation: Validation,
}

/// The usable keys of a set.
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
    /// [`MalformedSet`]. It contains nothing of the text, which may be secret.
    pub fn parse(text: &[u8], rules: &TokenRules) -> Result<Self, MalformedSet> {
        let set: RawSet = serde_json::from_slice(text)
            .map_err(|error| MalformedSet::NoSet { line: error.line(), column: error.column() })?;
        let mut keys: Vec<TokenKey> = Vec::new();
        let mut skipped = Vec::new();
        for (index, value) in set.keys.into_iter().enumerate() {
            match token_key(index, value, rules) {
                Ok(key) if keys.iter().any(|other| other.is_ambiguous_with(&key)) => {
                    let why = format!("the {} is a duplicate; the first one is used", key.describe(index));
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

    /// Returns whether the set has no usable key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Returns the reasons why other keys were skipped.
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
    let unreadable =
        |_| SkippedKey::Unsupported(format!("the {} is not a JSON Web Key", describe(None, index)));
    let jwk: Jwk = serde_json::from_value(value).map_err(unreadable)?;
    let id = jwk.common.key_id.clone();
    let name = describe(id.as_deref(), index);
    let algorithm = algorithm_of(&jwk).map_err(|why| SkippedKey::Unsupported(format!("the {name} {why}")))?;
    if !rules.algorithms.contains(&algorithm) {
        let why = format!("the {name} is for {}, which is not in auth.jwt.algorithms", algorithm.name());
        return Err(SkippedKey::Unsupported(why));
    }
    if algorithm == TokenAlgorithm::Hs256 && !matches!(rules.jwks, JwksPlace::File(_)) {
        let why = format!(
            "the {name} is a secret, but is published at a URL; secrets are accepted from files only"
        );
        return Err(SkippedKey::Unsafe(why));
    }
    let key = DecodingKey::from_jwk(&jwk)
        .map_err(|_| SkippedKey::Unsupported(format!("the {name} is not valid base64url")))?;
    let key = validate_key(key, algorithm).map_err(|why| SkippedKey::Unsafe(format!("the {name} {why}")))?;
    Ok(TokenKey { id, algorithm, key, validation: rules.validation(algorithm) })
}

/// Returns the only algorithm of a key.
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
        _ => return Err("has an unsupported type or curve"),
    };
    let own = KeyAlgorithm::from(jsonwebtoken::Algorithm::from(algorithm));
    match common.key_algorithm {
        Some(named) if named != own => Err("is for an unsupported algorithm"),
        _ => Ok(algorithm),
    }
}

/// Checks the key's length and converts it to ring's form.
fn validate_key(key: DecodingKey, algorithm: TokenAlgorithm) -> Result<DecodingKey, String> {
    match (algorithm, key.kind()) {
        (TokenAlgorithm::Rs256, DecodingKeyKind::RsaModulusExponent { n, e }) => {
            // Some issuers write leading zeros, which ring rejects.
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
            Err("is not a point on P-256".to_owned())
        }
        (TokenAlgorithm::EdDsa, DecodingKeyKind::SecretOrDer(point)) if point.len() != CURVE_BYTES => {
            Err("is not an Ed25519 key".to_owned())
        }
        _ => Ok(key),
    }
}

fn strip_leading_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|digit| **digit == 0).count();
    number.get(zeros..).unwrap_or_default()
}
