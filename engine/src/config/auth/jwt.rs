//! `[auth.jwt]`: whose tokens are accepted.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use onnward_http::auth::{JwksPlace, TokenAlgorithm, TokenRules};
use reqwest::Url;
use serde::Deserialize;

use crate::config::error::Invalid;
use crate::config::value::within;

/// An issuer's clock may not be off by more.
const MAX_LEEWAY_S: u64 = 300;

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawJwt {
    jwks: Option<String>,
    issuer: Option<String>,
    audience: Option<String>,
    scope_claim: String,
    scope_prefix: String,
    name_claim: String,
    algorithms: Vec<TokenAlgorithm>,
    leeway_s: u64,
    refresh_s: u64,
}

impl Default for RawJwt {
    fn default() -> Self {
        Self {
            jwks: None,
            issuer: None,
            audience: None,
            scope_claim: "scope".to_owned(),
            scope_prefix: String::new(),
            name_claim: "sub".to_owned(),
            algorithms: TokenAlgorithm::ALL.to_vec(),
            leeway_s: 30,
            refresh_s: 300,
        }
    }
}

impl RawJwt {
    /// What the keys mean; `None` without a key set.
    pub fn check(self) -> Result<Option<TokenRules>, Invalid> {
        let refresh = Duration::from_secs(within("auth.jwt.refresh_s", self.refresh_s, 30..=86_400)?);
        let leeway = Duration::from_secs(within("auth.jwt.leeway_s", self.leeway_s, 0..=MAX_LEEWAY_S)?);
        let Some(jwks) = set(self.jwks) else {
            return match set(self.issuer).or(set(self.audience)) {
                None => Ok(None),
                Some(_) => refuse(
                    "auth.jwt.jwks",
                    "is not set although a token's issuer or audience is: name the file or the address of the issuer's key set",
                ),
            };
        };
        let Some(issuer) = set(self.issuer) else {
            return refuse(
                "auth.jwt.issuer",
                "is not set: name whose tokens are accepted, as they say in `iss`",
            );
        };
        let Some(audience) = set(self.audience) else {
            let problem = "is not set: name what tokens for this engine say in `aud`; those for another service must not open this one";
            return refuse("auth.jwt.audience", problem);
        };
        for (key, claim) in
            [("auth.jwt.scope_claim", &self.scope_claim), ("auth.jwt.name_claim", &self.name_claim)]
        {
            if claim.is_empty() {
                return refuse(key, "is empty; name a claim, or leave it out");
            }
        }
        let jwks = place(&jwks, refresh)?;
        check_algorithms(&self.algorithms, &jwks)?;
        let Self { scope_claim, scope_prefix, name_claim, algorithms, .. } = self;
        Ok(Some(TokenRules {
            jwks,
            issuer,
            audience,
            scope_claim,
            scope_prefix,
            name_claim,
            algorithms,
            leeway,
        }))
    }
}

fn refuse<T>(key: &'static str, problem: &str) -> Result<T, Invalid> {
    Err(Invalid { key, problem: problem.to_owned() })
}

fn set(value: Option<String>) -> Option<String> {
    value.filter(|text| !text.trim().is_empty())
}

fn check_algorithms(algorithms: &[TokenAlgorithm], jwks: &JwksPlace) -> Result<(), Invalid> {
    match (algorithms, jwks) {
        ([], _) => refuse(
            "auth.jwt.algorithms",
            "is empty; name at least one of HS256, RS256, ES256, EdDSA, or leave it out",
        ),
        ([TokenAlgorithm::Hs256], JwksPlace::Url { .. }) => refuse(
            "auth.jwt.algorithms",
            "names HS256 alone, whose secrets are read from files only, and auth.jwt.jwks is an address",
        ),
        _ => Ok(()),
    }
}

/// A file or an address. What is refused is not repeated: it may hold a password.
fn place(text: &str, refresh: Duration) -> Result<JwksPlace, Invalid> {
    const KEY: &str = "auth.jwt.jwks";
    if !text.contains("://") {
        return Ok(JwksPlace::File(PathBuf::from(text)));
    }
    let Ok(url) = Url::parse(text) else {
        return refuse(
            KEY,
            "must be a file or an address such as https://login.example.com/.well-known/jwks.json",
        );
    };
    match url.scheme() {
        _ if !url.username().is_empty() || url.password().is_some() => {
            refuse(KEY, "must not hold credentials: a key set is public")
        }
        "http" if !is_loopback(&url) => refuse(
            KEY,
            "must begin with https://, unless it is an address of this machine: whoever can change the keys on their way lets in whom they like",
        ),
        "http" | "https" => Ok(JwksPlace::Url { url, refresh }),
        _ => refuse(KEY, "must be a file, or an address that begins with https://"),
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(jwks: &str) -> RawJwt {
        let text = |text: &str| Some(text.to_owned());
        RawJwt {
            jwks: text(jwks),
            issuer: text("https://login.example"),
            audience: text("onnward"),
            ..RawJwt::default()
        }
    }

    #[test]
    fn keys_come_from_files_over_tls_or_from_this_machine() {
        for file in ["jwks.json", "/etc/onnward/jwks.json"] {
            assert_eq!(raw(file).check().unwrap().unwrap().jwks, JwksPlace::File(file.into()));
        }
        for url in
            ["https://login.example/jwks", "http://127.0.0.1:8080/k", "http://[::1]/k", "http://localhost/k"]
        {
            assert!(matches!(raw(url).check().unwrap().unwrap().jwks, JwksPlace::Url { .. }), "{url}");
        }
        for (url, part) in [
            ("http://login.example/jwks", "must begin with https://"),
            ("http://127.0.0.1.evil.example/jwks", "must begin with https://"),
            ("http://localhost.evil.example/jwks", "must begin with https://"),
            ("ftp://hidden/jwks", "begins with https://"),
            ("https://name:hidden@login.example/jwks", "must not hold credentials"),
            ("https://", "must be a file or an address"),
        ] {
            let Invalid { key, problem } = raw(url).check().unwrap_err();
            assert!(key == "auth.jwt.jwks" && problem.contains(part), "{url}: {problem}");
            assert!(!problem.contains("hidden"), "{problem}");
        }
    }

    #[test]
    fn tokens_of_anybody_for_anything_are_never_accepted() {
        let key_of = |raw: RawJwt| raw.check().unwrap_err().key;
        assert_eq!(key_of(RawJwt { issuer: None, ..raw("f") }), "auth.jwt.issuer");
        assert_eq!(key_of(RawJwt { audience: Some(" ".to_owned()), ..raw("f") }), "auth.jwt.audience");
        assert_eq!(key_of(RawJwt { jwks: None, ..raw("f") }), "auth.jwt.jwks");
        assert_eq!(key_of(RawJwt { leeway_s: 301, ..raw("f") }), "auth.jwt.leeway_s");
        assert_eq!(key_of(RawJwt { algorithms: Vec::new(), ..raw("f") }), "auth.jwt.algorithms");
        let secrets_alone = RawJwt { algorithms: vec![TokenAlgorithm::Hs256], ..raw("https://a.example/k") };
        assert_eq!(key_of(secrets_alone), "auth.jwt.algorithms");
        assert_eq!(RawJwt::default().check(), Ok(None));
    }
}
