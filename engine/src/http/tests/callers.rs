//! Who may do what, tried from outside.

use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use tempfile::TempDir;

use super::bodies::Stalled;
use crate::auth::{Authenticator, generate};
use crate::config::{LogFormat, Protected};
use crate::fixtures::{Answered, BANK_ROW, Engine, api_key, captured_log};

/// An engine that asks for keys, and a key for each scope.
struct Guarded {
    engine: Engine,
    keys: Vec<(&'static str, String)>,
    _folder: TempDir,
}

impl Guarded {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("keys.toml");
        let mut text = String::new();
        let keys = ["predict", "read", "admin"].map(|scope| {
            let (key, entry) = api_key(scope, &format!("'{scope}'"), "");
            text.push_str(&entry);
            (scope, key)
        });
        std::fs::write(&path, text).unwrap();
        let mut engine = Engine::ready();
        engine.auth = Some(Arc::new(Authenticator::open(&path).unwrap()));
        Self { engine, keys: keys.to_vec(), _folder: folder }
    }

    fn key(&self, scope: &str) -> &str {
        &self.keys.iter().find(|(name, _)| *name == scope).unwrap().1
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answered {
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        self.engine.send(request.body(Body::from(BANK_ROW)).unwrap()).await
    }

    async fn send_as(&self, scope: &str, method: &str, path: &str) -> Answered {
        self.send(method, path, &[("authorization", &format!("Bearer {}", self.key(scope)))]).await
    }
}

/// Every route that asks for a key, with the scope that it asks for.
const GUARDED: [(&str, &str, &str); 12] = [
    ("POST", "/predict", "predict"),
    ("POST", "/models/bank/predict", "predict"),
    ("POST", "/models/bank/versions/3/predict", "predict"),
    ("POST", "/models/bank/aliases/champion/predict", "predict"),
    ("POST", "/outcomes", "predict"),
    ("GET", "/", "read"),
    ("GET", "/models", "read"),
    ("GET", "/models/bank", "read"),
    ("GET", "/models/phone/drift", "read"),
    ("GET", "/models/phone/drift/report", "read"),
    ("GET", "/models/bank/performance", "read"),
    ("POST", "/admin/reload", "admin"),
];

#[tokio::test]
async fn each_route_is_for_its_scope_alone() {
    let guarded = Guarded::new();
    for (method, path, scope) in GUARDED {
        let nobody = guarded.send(method, path, &[]).await;
        assert_eq!(nobody.problem(401)["type"], "urn:onnward:problem:no-key", "{path}");
        assert_eq!(nobody.header("www-authenticate"), Some("Bearer realm=\"onnward\""));
        for (key, _) in &guarded.keys {
            let answer = guarded.send_as(key, method, path).await;
            if *key == scope {
                let status = answer.status.as_u16();
                assert!(![401, 403].contains(&status), "{path} as {key}: {status}");
            } else {
                let detail = answer.problem(403)["detail"].to_string();
                assert!(detail.contains(&format!("`{scope}`")), "{path} as {key}: {detail}");
            }
        }
    }
}

#[tokio::test]
async fn probes_ask_for_nothing_and_metrics_and_docs_only_where_they_are_protected() {
    let mut guarded = Guarded::new();
    let open = ["/health", "/health/live", "/health/ready", "/metrics", "/docs/", "/openapi.json"];
    for path in open {
        assert_eq!(guarded.send("GET", path, &[]).await.status.as_u16(), 200, "{path}");
    }
    guarded.engine.protect = vec![Protected::Metrics, Protected::Docs];
    for path in &open[..3] {
        assert_eq!(guarded.send("GET", path, &[]).await.status.as_u16(), 200, "{path}");
    }
    for path in &open[3..] {
        guarded.send("GET", path, &[]).await.problem(401);
        assert_eq!(guarded.send_as("read", "GET", path).await.status.as_u16(), 200, "{path}");
    }
}

#[tokio::test]
async fn what_is_no_valid_key_gets_nobody_in_and_is_not_repeated() {
    let guarded = Guarded::new();
    let key = guarded.key("predict");
    let (half, bearer, basic) = (&key[..key.len() - 1], format!("Bearer {key}"), format!("Basic {key}"));
    let unknown = generate("predict").unwrap();
    for headers in [
        vec![("x-api-key", half)],
        vec![("x-api-key", unknown.as_str())],
        vec![("x-api-key", "")],
        vec![("authorization", basic.as_str())],
        vec![("authorization", key)],
        // Of two, the one that is meant for the engine counts.
        vec![("x-api-key", half), ("authorization", bearer.as_str())],
    ] {
        let answer = guarded.send("POST", "/predict", &headers).await;
        answer.problem(401);
        assert!(!answer.text.contains(half), "{}", answer.text);
    }
    // Nor by the address.
    guarded.send("POST", &format!("/predict?api_key={key}"), &[]).await.problem(401);
    for headers in [vec![("x-api-key", key)], vec![("authorization", bearer.as_str())]] {
        assert_eq!(guarded.send("POST", "/predict", &headers).await.status.as_u16(), 200);
    }
}

#[tokio::test]
async fn a_body_is_not_read_for_somebody_without_a_key() {
    let guarded = Guarded::new();
    let request = Request::post("/predict").header("content-type", "application/json");
    let request = request.body(Body::new(Stalled)).unwrap();
    guarded.engine.send(request).await.problem(401);
}

#[tokio::test]
async fn the_log_says_who_it_was_and_holds_no_key() {
    let (log, _guard) = captured_log(LogFormat::Json);
    let guarded = Guarded::new();
    guarded.send_as("predict", "POST", "/predict").await;
    guarded.send_as("predict", "POST", "/admin/reload").await;
    guarded.send("POST", "/predict", &[("x-api-key", &format!("{}0", guarded.key("read")))]).await;
    let lines = log.text();
    let by_predict = lines.lines().filter(|line| line.contains("\"user.name\":\"predict\""));
    assert_eq!(by_predict.count(), 2, "{lines}");
    for (_, key) in &guarded.keys {
        assert!(!lines.contains(&key[20..60]), "{lines}");
    }
}

#[tokio::test]
async fn the_description_says_what_needs_a_key() {
    let guarded = Guarded::new();
    let document = guarded.engine.get("/openapi.json").await.json();
    assert!(document["components"]["securitySchemes"]["key"].is_object());
    for (method, path, _) in GUARDED {
        let path = path
            .replace("/versions/3/", "/versions/{version}/")
            .replace("/aliases/champion/", "/aliases/{alias}/");
        let path = if path.ends_with("predict") {
            path
        } else {
            path.replace("bank", "{name}").replace("phone", "{name}")
        };
        let operation = &document["paths"][&path][method.to_lowercase()];
        assert!(operation["responses"]["401"].is_object(), "{method} {path}: {operation}");
        assert_eq!(operation["security"], serde_json::json!([{"key": []}, {"header": []}]), "{path}");
    }
    assert!(document["paths"]["/health/ready"]["get"]["security"].is_null());
    let open = Engine::ready().get("/openapi.json").await.json();
    assert!(open["components"]["securitySchemes"].is_null());
}
