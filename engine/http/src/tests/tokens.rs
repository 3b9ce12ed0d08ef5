//! Tokens and scopes, tested through the router.

use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use chrono::Utc;
use onnward_telemetry::logging::LogFormat;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::auth::Protected;
use crate::auth::{Authenticator, JwksPlace, TokenAlgorithm};
use crate::fixtures::issuer::{IssuerKey, claims, key_set, token_rules};
use crate::fixtures::{Answered, BANK_ROW, Engine, api_key, captured_log};

/// An engine that accepts API keys and an issuer's tokens.
struct Guarded {
    engine: Engine,
    issuer: IssuerKey,
    api_key: String,
    _folder: TempDir,
}

impl Guarded {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let (keys_file, jwks) = (folder.path().join("keys.toml"), folder.path().join("jwks.json"));
        let (api_key, entry) = api_key("batch", "'predict'", "");
        std::fs::write(&keys_file, entry).unwrap();
        let issuer = IssuerKey::new(TokenAlgorithm::EdDsa, "k");
        std::fs::write(&jwks, key_set(&[&issuer])).unwrap();
        let mut engine = Engine::ready();
        let rules = token_rules(JwksPlace::File(jwks));
        engine.auth = Authenticator::open(Some(&keys_file), Some(rules)).unwrap().map(Arc::new);
        Self { engine, issuer, api_key, _folder: folder }
    }

    fn token(&self, name: &str, value: Value) -> String {
        let mut claims = claims();
        claims[name] = value;
        self.issuer.token(&claims)
    }

    async fn send(&self, method: &str, path: &str, header: &str, value: &str) -> Answered {
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        let body = Body::from(BANK_ROW);
        self.engine.send(request.header(header, value).body(body).unwrap()).await
    }

    async fn bearer(&self, method: &str, path: &str, token: &str) -> Answered {
        self.send(method, path, "authorization", &format!("Bearer {token}")).await
    }
}

#[tokio::test]
async fn a_token_opens_what_its_scopes_name_and_keys_work_beside_it() {
    let mut guarded = Guarded::new();
    guarded.engine.protect = vec![Protected::Metrics];
    let (predict, read) =
        (guarded.token("scope", json!("predict")), guarded.token("scope", json!("openid read")));
    assert_eq!(guarded.bearer("POST", "/predict", &predict).await.status.as_u16(), 200);
    assert_eq!(guarded.bearer("POST", "/predict", &guarded.api_key).await.status.as_u16(), 200);
    assert_eq!(guarded.bearer("GET", "/models", &read).await.status.as_u16(), 200);
    assert_eq!(guarded.bearer("GET", "/metrics", &read).await.status.as_u16(), 200);
    for (method, path, token) in [
        ("POST", "/predict", &read),
        ("GET", "/models", &predict),
        ("GET", "/metrics", &predict),
        ("POST", "/admin/reload", &read),
    ] {
        let answer = guarded.bearer(method, path, token).await;
        assert_eq!(
            answer.header("www-authenticate"),
            Some("Bearer realm=\"onnward\", error=\"insufficient_scope\"")
        );
        assert_eq!(answer.problem(403)["type"], "urn:onnward:problem:missing-scope", "{path}");
    }
    assert_eq!(guarded.engine.get("/health/ready").await.status.as_u16(), 200);
}

#[tokio::test]
async fn a_refused_token_is_told_that_it_is_not_valid_and_at_most_that_it_has_expired() {
    let guarded = Guarded::new();
    let stranger = IssuerKey::new(TokenAlgorithm::EdDsa, "k").token(&claims());
    let mut said = Vec::new();
    for token in [
        stranger,
        guarded.token("aud", json!("other")),
        guarded.token("iss", json!("other")),
        guarded.token("sub", json!("a\nb")),
        IssuerKey::new(TokenAlgorithm::EdDsa, "unknown").token(&claims()),
        guarded.api_key.replace('b', "a"),
        "x".repeat(9_000),
    ] {
        let answer = guarded.bearer("POST", "/predict", &token).await;
        assert_eq!(
            answer.header("www-authenticate"),
            Some("Bearer realm=\"onnward\", error=\"invalid_token\"")
        );
        let problem = answer.problem(401);
        assert!(!answer.text.contains(&token[..20]), "{}", answer.text);
        said.push((problem["type"].clone(), problem["detail"].clone()));
    }
    said.dedup();
    assert_eq!(said.len(), 1, "{said:?}");
    let expired = guarded.token("exp", json!(Utc::now().timestamp() - 60));
    let answer = guarded.bearer("POST", "/predict", &expired).await;
    assert_eq!(answer.problem(401)["type"], "urn:onnward:problem:token-expired");
    assert!(
        answer.header("www-authenticate").unwrap().contains("error=\"invalid_token\", error_description=")
    );
    // The error does not reveal that another issuer's token has expired.
    let mut old = claims();
    old["exp"] = json!(1);
    let forged = IssuerKey::new(TokenAlgorithm::EdDsa, "k").token(&old);
    assert_eq!(
        guarded.bearer("POST", "/predict", &forged).await.problem(401)["type"],
        "urn:onnward:problem:wrong-key"
    );
}

#[tokio::test]
async fn a_token_is_sent_as_a_bearer_and_in_no_other_way() {
    let guarded = Guarded::new();
    let token = guarded.token("scope", json!("predict"));
    guarded.send("POST", "/predict", "x-api-key", &token).await.problem(401);
    guarded.send("POST", "/predict", "authorization", &token).await.problem(401);
    guarded.send("POST", "/predict", "authorization", &format!("Basic {token}")).await.problem(401);
    guarded.send("POST", "/predict", "cookie", &format!("access_token={token}")).await.problem(401);
    guarded.send("POST", &format!("/predict?access_token={token}"), "x-other", "1").await.problem(401);
    let lower = format!("bearer {token}");
    assert_eq!(guarded.send("POST", "/predict", "authorization", &lower).await.status.as_u16(), 200);
}

#[tokio::test]
async fn the_log_names_the_caller_says_why_one_is_refused_and_holds_no_token() {
    let (log, _guard) = captured_log(LogFormat::Json);
    let guarded = Guarded::new();
    let (good, bad) = (guarded.token("scope", json!("predict")), guarded.token("aud", json!("other")));
    guarded.bearer("POST", "/predict", &good).await;
    guarded.bearer("POST", "/predict", &bad).await;
    let lines = log.text();
    assert!(lines.contains("\"user.name\":\"alice\""), "{lines}");
    assert!(lines.contains("\"error.message\":\"the token is rejected: its audience"), "{lines}");
    for token in [&good, &bad] {
        assert!(token.split('.').all(|part| !lines.contains(part)), "{lines}");
    }
}

#[tokio::test]
async fn without_the_issuers_keys_tokens_are_asked_to_come_again() {
    onnward_repository::prepare_tls();
    let mut guarded = Guarded::new();
    // Nothing fetches the keys here.
    let url = "http://127.0.0.1:9/jwks".parse().unwrap();
    let place = JwksPlace::Url { url, refresh: std::time::Duration::from_secs(300) };
    guarded.engine.auth = Authenticator::open(None, Some(token_rules(place))).unwrap().map(Arc::new);
    tokio::time::pause();
    let answer = guarded.bearer("POST", "/predict", &guarded.token("scope", json!("predict"))).await;
    assert_eq!(answer.problem(503)["type"], "urn:onnward:problem:no-token-keys");
    assert!(answer.header("retry-after").is_some());
    guarded.bearer("POST", "/predict", &guarded.api_key).await.problem(401);
}

#[tokio::test]
async fn the_description_names_tokens_where_they_are_taken() {
    let guarded = Guarded::new();
    let request = Request::get("/openapi.json").body(Body::empty()).unwrap();
    let document = guarded.engine.send(request).await.json();
    assert_eq!(document["components"]["securitySchemes"]["token"]["bearerFormat"], "JWT");
    let security = &document["paths"]["/models"]["get"]["security"];
    assert_eq!(*security, json!([{"key": []}, {"header": []}, {"token": []}]));
}
