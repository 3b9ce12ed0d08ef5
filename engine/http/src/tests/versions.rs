//! Versions, aliases, reloads and readiness.

use std::sync::Arc;

use onnward_serving::registry::{LoadFailure, Loading, Registry, RepositoryState};
use onnward_serving::reload;

use crate::fixtures::{BANK_ROW, Engine};

#[tokio::test]
async fn a_loaded_version_is_reached_by_its_number_and_by_its_alias() {
    let engine = Engine::ready();
    for path in ["/models/bank/versions/3/predict", "/models/bank/aliases/champion/predict"] {
        let answer = engine.post(path, BANK_ROW).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["version"]), (200, &3.into()), "{}", answer.text);
    }
    let refused =
        async |path: &str, status| engine.post(path, BANK_ROW).await.problem(status)["detail"].to_string();
    assert!(refused("/models/bank/versions/4/predict", 404).await.contains("loaded: 3"));
    assert!(refused("/models/bank/versions/03/predict", 400).await.contains("whole number"));
    assert!(refused("/models/bank/aliases/other/predict", 404).await.contains("aliases: champion"));
    assert!(refused("/models/none/versions/3/predict", 404).await.contains("bank, phone"));
    engine.registry.change("bank", |entry| entry.aliases.insert("challenger".to_owned(), 4));
    assert!(refused("/models/bank/aliases/challenger/predict", 404).await.contains("Version 4"));
}

#[tokio::test]
async fn a_model_tells_what_is_desired_loading_and_wrong() {
    let engine = Engine::ready();
    engine.registry.change("bank", |entry| entry.loading = Some(Loading::now(5)));
    engine.registry.fail("bank", LoadFailure::now(Some(4), "golden", "golden row 1 differs".to_owned()));
    let model = engine.get("/models/bank").await.json();
    assert_eq!((&model["serving"]["version"], &model["loading"]["version"]), (&3.into(), &5.into()));
    assert_eq!(model["last_error"]["step"], "golden");
    assert!(model["last_error"]["time"].is_string());
    assert_eq!(model["loaded"][0]["role"], "serving");
    assert_eq!(model["failing"], false, "version 4 is not what is desired");
    engine.registry.fail("new", LoadFailure::now(None, "repository", "it has no version".to_owned()));
    let model = engine.get("/models/new").await.json();
    assert_eq!((&model["serving"], &model["failing"]), (&serde_json::Value::Null, &true.into()));
}

#[tokio::test]
async fn it_is_not_ready_without_a_model_that_is_required() {
    let mut engine = Engine::ready();
    let registry = Registry::new(None, vec!["bank".to_owned(), "churn".to_owned()]);
    let bank = engine.registry.entry("bank").unwrap();
    registry.change("bank", |entry| *entry = bank.as_ref().clone());
    registry.set_loaded();
    engine.registry = Arc::new(registry);
    let problem = engine.get("/health/ready").await.problem(503);
    assert_eq!(problem["type"], "urn:onnward:problem:required-models");
    assert!(problem["detail"].as_str().unwrap().contains("not served: churn"), "{problem}");
    assert_eq!(engine.post("/models/bank/predict", BANK_ROW).await.status, 200);
}

#[tokio::test]
async fn a_reload_answers_once_it_has_been_acted_upon() {
    let mut engine = Engine::ready();
    let (reloader, mut nudges) = reload::channel();
    engine.reloader = reloader;
    tokio::spawn(async move {
        nudges.recv().await.unwrap().send(Ok(())).unwrap();
        nudges.recv().await.unwrap().send(Err("the store does not answer".to_owned())).unwrap();
    });
    let answer = engine.post("/admin/reload", "").await;
    assert_eq!((answer.status.as_u16(), &answer.json()["models"][0]["name"]), (200, &"bank".into()));
    let problem = engine.post("/admin/reload", "").await.problem(503);
    assert_eq!(problem["type"], "urn:onnward:problem:repository-unreachable");
    assert!(problem["detail"].as_str().unwrap().contains("does not answer"), "{problem}");
    engine.post("/admin/reload", "").await.problem(503);
    engine.get("/admin/reload").await.problem(405);
}

#[tokio::test]
async fn a_store_that_is_down_is_told_of() {
    let engine = Engine::loading();
    engine.registry.set_loaded();
    engine.registry.set_repository_state(RepositoryState {
        location: "s3://models".to_owned(),
        reachable: Some(false),
        error: Some("the store does not answer".to_owned()),
        ..RepositoryState::default()
    });
    let problem = engine.get("/health/ready").await.problem(503);
    assert_eq!(problem["type"], "urn:onnward:problem:repository-unreachable");
    assert_eq!(engine.get("/models").await.json()["repository"]["reachable"], false);
}
