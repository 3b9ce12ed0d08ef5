//! `[auth.jwt]`: the issuer and the rules of accepted tokens.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use onnward_http::auth::{JwksPlace, TokenAlgorithm, TokenRules};
use reqwest::Url;
use serde::Deserialize;

use crate::config::error::Invalid;
use crate::config::value::within;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
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

impl RawJwt {
    /// Validates the keys. `None` without a key set.
    pub fn validate(self) -> Result<Option<TokenRules>, Invalid> {
        let refresh = Duration::from_secs(within("auth.jwt.refresh_s", self.refresh_s)?);
        let leeway = Duration::from_secs(within("auth.jwt.leeway_s", self.leeway_s)?);
        let Some(jwks) = set(self.jwks) else {
            return match set(self.issuer).or(set(self.audience)) {
                None => Ok(None),
                Some(_) => invalid(
                    "auth.jwt.jwks",
                    "is not set, but auth.jwt.issuer or auth.jwt.audience is: set it to the file or URL of the issuer's key set",
                ),
            };
        };
        let Some(issuer) = set(self.issuer) else {
            return invalid("auth.jwt.issuer", "is not set: set it to the `iss` of accepted tokens");
        };
        let Some(audience) = set(self.audience) else {
            let problem = "is not set: set it to the `aud` of tokens for this engine, so that those for other services are rejected";
            return invalid("auth.jwt.audience", problem);
        };
        for (key, claim) in
            [("auth.jwt.scope_claim", &self.scope_claim), ("auth.jwt.name_claim", &self.name_claim)]
        {
            if claim.is_empty() {
                return invalid(key, "is empty; set it to a claim, or leave it out");
            }
        }
        let jwks = parse_jwks(&jwks, refresh)?;
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

fn invalid<T>(key: &'static str, problem: &str) -> Result<T, Invalid> {
    Err(Invalid { key, problem: problem.to_owned() })
}

fn set(value: Option<String>) -> Option<String> {
    value.filter(|text| !text.trim().is_empty())
}

fn check_algorithms(algorithms: &[TokenAlgorithm], jwks: &JwksPlace) -> Result<(), Invalid> {
    match (algorithms, jwks) {
        ([], _) => invalid(
            "auth.jwt.algorithms",
            "is empty; list at least one of HS256, RS256, ES256, EdDSA, or leave it out",
        ),
        ([TokenAlgorithm::Hs256], JwksPlace::Url { .. }) => invalid(
            "auth.jwt.algorithms",
            "lists only HS256, whose secrets are read only from files, but auth.jwt.jwks is a URL",
        ),
        _ => Ok(()),
    }
}

/// Parses a file path or URL. Errors never repeat the value, which may hold a password.
fn parse_jwks(text: &str, refresh: Duration) -> Result<JwksPlace, Invalid> {
    const KEY: &str = "auth.jwt.jwks";
    if !text.contains("://") {
        return Ok(JwksPlace::File(PathBuf::from(text)));
    }
    let Ok(url) = Url::parse(text) else {
        return invalid(
            KEY,
            "must be a file or an address such as https://login.example.com/.well-known/jwks.json",
        );
    };
    match url.scheme() {
        _ if !url.username().is_empty() || url.password().is_some() => {
            invalid(KEY, "must not hold credentials: a key set is public")
        }
        "http" if !is_loopback(&url) => invalid(
            KEY,
            "must begin with https://, unless the host is this machine: an attacker who changes the keys in transit could admit any client",
        ),
        "http" | "https" => Ok(JwksPlace::Url { url, refresh }),
        _ => invalid(KEY, "must be a file, or a URL that begins with https://"),
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use figment::Figment;

    use super::*;
    use crate::config::layer::Layer;

    fn defaults() -> RawJwt {
        Figment::from(Layer::defaults().unwrap()).extract_inner("auth.jwt").unwrap()
    }

    fn raw(jwks: &str) -> RawJwt {
        let text = |text: &str| Some(text.to_owned());
        RawJwt {
            jwks: text(jwks),
            issuer: text("https://login.example"),
            audience: text("onnward"),
            ..defaults()
        }
    }

    #[test]
    fn keys_come_from_files_over_tls_or_from_this_machine() {
        for file in ["jwks.json", "/etc/onnward/jwks.json"] {
            assert_eq!(raw(file).validate().unwrap().unwrap().jwks, JwksPlace::File(file.into()));
        }
        for url in
            ["https://login.example/jwks", "http://127.0.0.1:8080/k", "http://[::1]/k", "http://localhost/k"]
        {
            assert!(matches!(raw(url).validate().unwrap().unwrap().jwks, JwksPlace::Url { .. }), "{url}");
        }
        for (url, part) in [
            ("http://login.example/jwks", "must begin with https://"),
            ("http://127.0.0.1.evil.example/jwks", "must begin with https://"),
            ("http://localhost.evil.example/jwks", "must begin with https://"),
            ("ftp://hidden/jwks", "begins with https://"),
            ("https://name:hidden@login.example/jwks", "must not hold credentials"),
            ("https://", "must be a file or an address"),
        ] {
            let Invalid { key, problem } = raw(url).validate().unwrap_err();
            assert!(key == "auth.jwt.jwks" && problem.contains(part), "{url}: {problem}");
            assert!(!problem.contains("hidden"), "{problem}");
        }
    }

    #[test]
    fn tokens_need_an_issuer_an_audience_and_algorithms() {
        let key_of = |raw: RawJwt| raw.validate().unwrap_err().key;
        assert_eq!(key_of(RawJwt { issuer: None, ..raw("f") }), "auth.jwt.issuer");
        assert_eq!(key_of(RawJwt { audience: Some(" ".to_owned()), ..raw("f") }), "auth.jwt.audience");
        assert_eq!(key_of(RawJwt { jwks: None, ..raw("f") }), "auth.jwt.jwks");
        assert_eq!(key_of(RawJwt { leeway_s: 301, ..raw("f") }), "auth.jwt.leeway_s");
        assert_eq!(key_of(RawJwt { algorithms: Vec::new(), ..raw("f") }), "auth.jwt.algorithms");
        let secrets_alone = RawJwt { algorithms: vec![TokenAlgorithm::Hs256], ..raw("https://a.example/k") };
        assert_eq!(key_of(secrets_alone), "auth.jwt.algorithms");
        assert_eq!(defaults().validate(), Ok(None));
    }
}
