//! Security headers, and the level of detail of errors.

use crate::fixtures::{BANK_ROW, Engine};
use crate::settings::ErrorDetail;

#[tokio::test]
async fn answers_are_neither_guessed_at_nor_kept_nor_framed() {
    let mut engine = Engine::ready();
    let answers = [
        engine.post("/predict", BANK_ROW).await,
        engine.post("/predict", "{}").await,
        engine.get("/models").await,
        engine.get("/nowhere").await,
    ];
    for answer in &answers {
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("strict-transport-security"), None, "it would be a lie over plain HTTP");
    }
    for page in ["/docs/", "/models/phone/drift/report"] {
        let page = engine.get(page).await;
        assert_eq!(page.status, 200);
        let policy = page.header("content-security-policy").unwrap();
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        assert!(
            !policy.contains("script-src 'self' '"),
            "no script but from the engine's own files: {policy}"
        );
        assert!(!page.text.contains("<script>"), "a page has no script in it: {}", page.text);
        assert_eq!(page.header("x-frame-options"), Some("DENY"));
    }
    engine.uses_tls = true;
    assert!(engine.get("/models").await.header("strict-transport-security").is_some());
}

/// Words that only appear in schemas, models or internals.
const INSIDE: [&str; 7] = ["balance", "Country", "bank", "phone", "months", "version 3", "FR"];

#[tokio::test]
async fn terse_errors_name_no_field_and_no_model() {
    let mut engine = Engine::ready();
    let requests = [
        ("/predict", r#"{"balance": "many", "Country/Region": "XX", "other": 1}"#),
        ("/predict", r#"{"balance": 1}"#),
        ("/models/other/predict", BANK_ROW),
        ("/models/x/versions/9/predict", BANK_ROW),
        ("/outcomes", r#"{"id": "no", "actual": 3}"#),
    ];
    for (path, body) in requests {
        engine.config.errors = ErrorDetail::Full;
        let full = engine.post(path, body).await;
        engine.config.errors = ErrorDetail::Terse;
        let terse = engine.post(path, body).await;
        let problem = terse.problem(full.status.as_u16());
        assert_eq!(problem["type"], full.json()["type"]);
        assert_eq!(problem["violations"], full.json()["violations"]);
        assert!(problem.get("errors").is_none(), "{problem}");
        for word in INSIDE {
            assert!(!problem["detail"].as_str().unwrap().contains(word), "{word}: {problem}");
        }
    }
    engine.config.errors = ErrorDetail::Full;
    let full = engine.post("/predict", requests[0].1).await;
    assert_eq!(full.json()["errors"].as_array().unwrap().len(), 3);
}
