use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::fixtures::issuer::{IssuerKey, claims, key_set, token_rules};

/// A file with keys of every algorithm, and a verifier of tokens for it.
pub struct Doors {
    pub keys: [IssuerKey; 4],
    pub path: PathBuf,
    pub tokens: Tokens,
    _folder: TempDir,
}

impl Doors {
    pub fn new() -> Self {
        Self::with(|rules| rules)
    }

    pub fn with(change: impl Fn(TokenRules) -> TokenRules) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("jwks.json");
        let keys = TokenAlgorithm::ALL.map(|algorithm| IssuerKey::new(algorithm, algorithm.name()));
        std::fs::write(&path, key_set(&keys.each_ref())).unwrap();
        let tokens = Tokens::open(change(token_rules(JwksPlace::File(path.clone())))).unwrap();
        Self { keys, path, tokens, _folder: folder }
    }

    pub fn key(&self, algorithm: TokenAlgorithm) -> &IssuerKey {
        self.keys.iter().find(|key| key.id == algorithm.name()).unwrap()
    }

    pub async fn identify(&self, token: &str) -> Result<Arc<Caller>, TokenRefusal> {
        self.tokens.identify(token).await
    }

    /// Returns the same claims signed by each key.
    pub async fn all(&self, claims: &Value) -> Vec<Result<Arc<Caller>, TokenRefusal>> {
        let mut answers = Vec::new();
        for key in &self.keys {
            answers.push(self.identify(&key.token(claims)).await);
        }
        answers
    }

    #[track_caller]
    pub fn refused(answers: Vec<Result<Arc<Caller>, TokenRefusal>>) -> Vec<TokenRefusal> {
        answers.into_iter().map(Result::unwrap_err).collect()
    }
}

/// Returns valid claims with one replaced.
pub fn changed(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

/// Returns valid claims without one.
pub fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}
