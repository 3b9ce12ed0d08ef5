//! API keys and scopes, tested through the router.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use onnward_serving::reload;
use onnward_telemetry::logging::LogFormat;
use serde_json::Value;
use tempfile::TempDir;

use super::bodies::Stalled;
use crate::auth::Protected;
use crate::auth::{Authenticator, generate};
use crate::fixtures::{Answered, BANK_ROW, Engine, answered, api_key, captured_log};
use crate::server::PeerAddress;

/// An engine that requires keys, and a key for each scope.
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
        let keys = ["predict", "outcomes", "read", "admin"].map(|scope| {
            let (key, entry) = api_key(scope, &format!("'{scope}'"), "");
            text.push_str(&entry);
            (scope, key)
        });
        std::fs::write(&path, text).unwrap();
        let mut engine = Engine::ready();
        engine.auth = Authenticator::open(Some(&path), None).unwrap().map(Arc::new);
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

/// Every route that requires a key, with its scope.
const GUARDED: [(&str, &str, &str); 12] = [
    ("POST", "/predict", "predict"),
    ("POST", "/models/bank/predict", "predict"),
    ("POST", "/models/bank/versions/3/predict", "predict"),
    ("POST", "/models/bank/aliases/champion/predict", "predict"),
    ("POST", "/outcomes", "outcomes"),
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
        // Of two credentials, the one in `x-api-key` counts.
        vec![("x-api-key", half), ("authorization", bearer.as_str())],
    ] {
        let answer = guarded.send("POST", "/predict", &headers).await;
        answer.problem(401);
        assert!(!answer.text.contains(half), "{}", answer.text);
    }
    // Keys in the URL are not accepted either.
    guarded.send("POST", &format!("/predict?api_key={key}"), &[]).await.problem(401);
    for headers in [vec![("x-api-key", key)], vec![("authorization", bearer.as_str())]] {
        assert_eq!(guarded.send("POST", "/predict", &headers).await.status.as_u16(), 200);
    }
}

#[tokio::test]
async fn a_body_is_not_read_for_somebody_without_a_key() {
    let guarded = Guarded::new();
    let request = Request::post("/predict").header("content-type", "application/json");
    let request = request.body(Body::new(Stalled::after(0, None))).unwrap();
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
    let requests = lines.lines().filter(|line| line.contains("\"onnward.access\""));
    let by_predict = requests.filter(|line| line.contains("\"user.name\":\"predict\""));
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
    // The admin routes are not on the public router.
    for (method, path, _) in GUARDED.into_iter().filter(|(_, _, scope)| *scope != "admin") {
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
    assert_eq!(document["paths"]["/health/ready"]["get"]["security"], serde_json::json!([]));
    let open = Engine::ready().get("/openapi.json").await.json();
    assert!(open["components"]["securitySchemes"].is_null());
}

#[tokio::test]
async fn every_request_of_an_administrator_is_on_record_with_who_where_and_how_it_ended() {
    let (log, _guard) = captured_log(LogFormat::Json);
    let mut guarded = Guarded::new();
    let file = TempDir::new().unwrap().keep().join("audit.jsonl");
    guarded.engine.audit_file = Some(file.clone());
    let (reloader, mut nudges) = reload::channel();
    guarded.engine.reloader = reloader;
    tokio::spawn(async move { nudges.recv().await.unwrap().send(Ok(())) });
    let admin = format!("Bearer {}", guarded.key("admin"));
    let predict = format!("Bearer {}", guarded.key("predict"));
    for authorization in [admin.as_str(), &predict, "Bearer nobody"] {
        let request = Request::post("/admin/reload")
            .header("authorization", authorization)
            .header("x-request-id", "a-request")
            .extension(PeerAddress("192.0.2.7".parse().unwrap()));
        guarded.engine.send(request.body(Body::empty()).unwrap()).await;
    }
    guarded.send_as("predict", "POST", "/predict").await;

    let lines = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told =
        lines.iter().map(|line| (line["who"].as_str(), line["status"].as_u64(), line["outcome"].as_str()));
    let expected = [
        (Some("admin"), Some(200), Some("success")),
        (Some("predict"), Some(403), Some("failure")),
        (None, Some(401), Some("failure")),
    ];
    assert_eq!(told.collect::<Vec<_>>(), expected);
    for line in &lines {
        assert_eq!((&line["from"], &line["action"]), (&"192.0.2.7".into(), &"POST /admin/reload".into()));
        assert!(line["time"].is_string() && line["request_id"] == "a-request", "{line}");
    }
    let log = log.text();
    let audited: Vec<&str> = log.lines().filter(|line| line.contains("onnward.audit")).collect();
    assert_eq!(audited.len(), 3, "{log}");
    assert!(
        audited[1].contains("\"client.address\":\"192.0.2.7\"")
            && audited[1].contains("\"user.name\":\"predict\"")
    );
    std::fs::remove_file(&file).unwrap();
    assert!(!log.contains(&predict[20..60]));
}

#[tokio::test]
async fn what_administrators_do_is_at_their_own_address_alone() {
    let engine = Engine::ready();
    let ask = async |router: Router, method: &str, path: &str| {
        let request = Request::builder().method(method).uri(path).body(Body::from(BANK_ROW)).unwrap();
        answered(router, request).await.status.as_u16()
    };
    for path in ["/admin/reload", "//admin/reload", "/admin", "/models/../admin/reload", "/%61dmin/reload"] {
        assert_eq!(ask(engine.router(), "POST", path).await, 404, "{path}");
    }
    for (method, path, expected) in [
        ("GET", "/health/ready", 200),
        ("GET", "/metrics", 200),
        ("GET", "/admin/reload", 405),
        ("POST", "/predict", 404),
        ("GET", "/models", 404),
        ("GET", "/docs/", 404),
    ] {
        assert_eq!(ask(engine.admin_router(), method, path).await, expected, "{path}");
    }
}
