//! Health checks, metrics and the state of models.

use axum::body::Body;
use axum::http::Request;
use onnward_serving::registry::LoadFailure;

use crate::fixtures::{BANK_ROW, Engine, PHONE_ROW, answered};

#[tokio::test]
async fn while_models_load_the_process_lives_and_is_not_ready() {
    let engine = Engine::loading();
    assert_eq!(engine.get("/health/live").await.status, 200);
    for answer in [
        engine.get("/health/ready").await,
        engine.get("/health").await,
        engine.post("/predict", BANK_ROW).await,
        engine.post("/models/bank/predict", BANK_ROW).await,
        engine.get("/models/bank").await,
    ] {
        assert_eq!(answer.problem(503)["type"], "urn:onnward:problem:loading");
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    assert_eq!(engine.get("/models").await.json()["loading"], true);
}

#[tokio::test]
async fn it_is_ready_once_a_model_is_served_and_never_with_none() {
    let engine = Engine::loading();
    engine.registry.set_loaded();
    assert_eq!(engine.get("/health/ready").await.problem(503)["type"], "urn:onnward:problem:no-models");
    assert_eq!(engine.post("/predict", BANK_ROW).await.problem(503)["type"], "urn:onnward:problem:no-models");
    let ready = Engine::ready();
    for path in ["/health", "/health/ready"] {
        let answer = ready.get(path).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, r#"{"status":"ready"}"#));
    }
}

#[tokio::test]
async fn models_are_listed_with_those_that_failed() {
    let engine = Engine::ready();
    engine.registry.fail("broken", LoadFailure::now(Some(7), "digest", "no manifest".into()));
    let list = engine.get("/models").await.json();
    assert_eq!(list["loading"], false);
    let names: Vec<_> = list["models"].as_array().unwrap().iter().map(|model| &model["name"]).collect();
    assert_eq!(names, ["bank", "phone"]);
    assert_eq!((&list["models"][0]["default"], &list["models"][1]["default"]), (&true.into(), &false.into()));
    let failed = &list["failed"][0];
    assert_eq!((&failed["name"], &failed["version"]), (&"broken".into(), &7.into()));
    assert_eq!((&failed["step"], &failed["reason"]), (&"digest".into(), &"no manifest".into()));
    assert!(failed["time"].is_string() && failed["serving"].is_null());
}

#[tokio::test]
async fn a_model_tells_its_schema_its_figures_and_where_it_comes_from() {
    let model = Engine::ready().get("/models/phone").await.json();
    assert_eq!(model["version"], 3);
    let champion = serde_json::json!({"rule": "alias", "alias": "champion"});
    assert_eq!((&model["serving"]["version"], &model["serving"]["decided_by"]), (&3.into(), &champion));
    assert_eq!(model["backend"], "tract");
    assert_eq!(model["sha256"], "cd".repeat(32));
    assert_eq!(model["schema"]["features"][0]["name"], "months");
    assert_eq!(model["evaluation"]["test"]["roc_auc"], 0.85);
    assert_eq!(model["parameters"]["alpha"], 1.0);
    assert_eq!(model["provenance"]["seed"], 42);
}

#[tokio::test]
async fn the_root_is_json_for_programs_and_a_page_for_browsers() {
    let engine = Engine::ready();
    let root = engine.get("/").await.json();
    assert_eq!(root["name"], "onnward-engine");
    assert_eq!(root["models"][1]["predict"], "/models/phone/predict");
    assert_eq!(root["links"]["docs"], "/docs");
    let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    let page = engine.send(Request::get("/").header("accept", browser).body(Body::empty()).unwrap()).await;
    assert!(page.header("content-type").unwrap().starts_with("text/html"));
    assert!(page.text.contains("POST /models/phone/predict") && page.text.contains("href=\"/docs\""));
}

#[tokio::test]
async fn requests_are_counted_by_route_and_never_by_what_clients_make_up() {
    let router = Engine::ready().router();
    let send = async |method: &str, path: &str, body: &'static str| {
        let request = Request::builder().method(method).uri(path).body(Body::from(body)).unwrap();
        answered(router.clone(), request).await
    };
    send("POST", "/models/bank/predict", BANK_ROW).await;
    send("POST", "/models/bank/predict", "{}").await;
    send("GET", "/no/such/path", "").await;
    send("BREW", "/another", "").await;
    let text = send("GET", "/metrics", "").await.text;
    for line in [
        r#"onnward_http_requests_total{method="POST",route="/models/{name}/predict",status="200"} 1"#,
        r#"onnward_http_requests_total{method="POST",route="/models/{name}/predict",status="422"} 1"#,
        r#"onnward_http_requests_total{method="GET",route="unmatched",status="404"} 1"#,
        r#"onnward_http_requests_total{method="other",route="unmatched",status="404"} 1"#,
        r#"onnward_http_request_duration_seconds_count{route="/models/{name}/predict"} 2"#,
        "onnward_http_requests_in_flight 1",
    ] {
        assert!(text.lines().any(|printed| printed == line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn what_was_predicted_and_how_large_it_was_is_in_the_next_scrape() {
    let engine = Engine::ready();
    let router = engine.router();
    let send = async |path: &str, body: String| {
        let method = if body.is_empty() { "GET" } else { "POST" };
        answered(router.clone(), Request::builder().method(method).uri(path).body(Body::from(body)).unwrap())
            .await
    };
    let with_plan = |plan: &str| PHONE_ROW.replace("full", plan);
    send("/models/phone/predict", with_plan("full")).await;
    send("/models/phone/predict", format!("[{}, {}]", with_plan("full"), with_plan("basic"))).await;
    let text = send("/metrics", String::new()).await.text;
    for line in [
        r#"onnward_inference_requests_total{backend="tract",model="phone",version="3"} 2"#,
        r#"onnward_inference_rows_total{backend="tract",model="phone",version="3"} 3"#,
        r#"onnward_inference_stage_duration_seconds_count{backend="tract",model="phone",stage="encode",version="3"} 2"#,
        r#"onnward_inference_stage_duration_seconds_count{backend="tract",model="phone",stage="run",version="3"} 2"#,
        r#"onnward_inference_stage_duration_seconds_count{backend="tract",model="phone",stage="respond",version="3"} 2"#,
        r#"onnward_predictions_by_segment_total{model="phone",segment="plan",value="full",version="3"} 2"#,
        r#"onnward_predictions_by_segment_total{model="phone",segment="plan",value="basic",version="3"} 1"#,
        r#"onnward_http_request_body_bytes_count{route="/models/{name}/predict"} 2"#,
        r#"onnward_http_response_body_bytes_count{route="/models/{name}/predict"} 2"#,
        r#"onnward_queue_rows{model="phone"} 0"#,
        r#"onnward_queue_oldest_age_seconds{model="phone"} 0"#,
        r#"onnward_queue_capacity_rows{model="phone"} 100000"#,
        r#"onnward_model_desired_version{model="phone"} 3"#,
        r#"onnward_model_serving_version{model="phone"} 3"#,
        r#"onnward_model_evaluation{figure="roc_auc",model="phone",version="3"} 0.85"#,
    ] {
        assert!(text.lines().any(|printed| printed == line), "{line} is not in\n{text}");
    }
}
