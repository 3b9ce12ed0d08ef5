//! The drift routes.

use serde_json::{Value, json};

use crate::fixtures::{Engine, PHONE_ROW};

#[tokio::test]
async fn what_was_asked_is_compared_with_training() {
    let engine = Engine::ready();
    let rows = format!("[{}]", [PHONE_ROW; 20].join(","));
    assert_eq!(engine.post("/models/phone/predict", rows).await.status, 200);
    let drift = engine.get("/models/phone/drift").await.json();
    assert_eq!((&drift["model"], &drift["version"]), (&json!("phone"), &json!(3)));
    assert_eq!((&drift["sliding"]["ready"], &drift["sliding"]["rows"]), (&json!(true), &json!(20)));
    assert_eq!(drift["tumbling"]["ready"], false);
    assert!(drift["since"].as_str() <= drift["sliding"]["to"].as_str(), "{drift}");
    let features = drift["sliding"]["features"].as_array().unwrap();
    assert_eq!((features.len(), &features[0]["name"]), (5, &json!("months")));
    let over_one = json!({
        "name": "2 and more", "content": "range", "from": 1.0, "training": 0.5, "live": 1.0, "training_rows": 1,
        "live_rows": 20,
    });
    assert_eq!(features[0]["bins"][1], over_one);
    assert!(features[0]["psi"].as_f64().unwrap() > 0.5, "{}", features[0]);
    assert!(drift["sliding"]["score"]["psi"].as_f64().unwrap() > 0.5, "{}", drift["sliding"]["score"]);
    assert_eq!(engine.get("/models/phone/drift?version=3").await.json()["sliding"]["rows"], 20);

    let page = engine.get("/models/phone/drift/report?window=sliding").await;
    assert_eq!(
        (page.status.as_u16(), page.headers["content-type"].as_bytes()),
        (200, &b"text/html; charset=utf-8"[..])
    );
    assert!(page.text.contains("<h1>") && page.text.contains("months"), "{}", page.text);

    let models = engine.get("/models").await.json();
    let listed: Vec<&Value> =
        models["models"].as_array().unwrap().iter().map(|model| &model["drift"]).collect();
    assert_eq!(listed, [&json!(null), &json!("/models/phone/drift")]);

    let metrics = engine.get("/metrics").await.text;
    let rows = r#"onnward_drift_window_rows{model="phone",version="3",window="sliding"} 20"#;
    let psi =
        r#"onnward_drift_psi{feature="months",kind="feature",model="phone",version="3",window="sliding"}"#;
    assert!(metrics.contains(rows) && metrics.contains(psi), "{metrics}");
    assert!(
        !metrics.contains(r#"window="tumbling",} 0"#)
            && !metrics.contains(r#"model="bank",version="3",window"#)
    );
}

#[tokio::test]
async fn what_is_not_there_is_said_to_be_so() {
    let engine = Engine::ready();
    let refused = async |path: &str, status| engine.get(path).await.problem(status)["detail"].to_string();
    for path in ["/models/none/drift", "/models/none/drift/report"] {
        assert!(refused(path, 404).await.contains("bank, phone"));
    }
    assert!(refused("/models/bank/drift", 404).await.contains("`drift.enabled` is false"));
    assert!(refused("/models/phone/drift?version=9", 404).await.contains("Version 9"));
    assert!(refused("/models/phone/drift?version=03", 400).await.contains("`version`"));
    assert!(refused("/models/phone/drift/report?window=last", 400).await.contains("`sliding` or `tumbling`"));
    assert!(
        refused("/models/phone/drift?versoin=3", 400).await.contains("parameters are `version` and `window`")
    );
}
