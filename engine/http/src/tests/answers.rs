//! The form of prediction responses.

use serde_json::json;
use uuid::Uuid;

use crate::fixtures::{BANK_ROW, Engine, PHONE_ROW};

#[tokio::test]
async fn one_object_gets_one_object() {
    let answer = Engine::ready().post("/models/phone/predict", PHONE_ROW).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let (id, rest) = id_of(&answer.text);
    assert_eq!(rest, r#"{"model":"phone","version":3,"probability":0.12,"churn":false}"#);
    let uuid = Uuid::parse_str(&id).unwrap();
    assert_eq!((uuid.get_version_num(), uuid.hyphenated().to_string()), (7, id));
}

/// Returns the id, and the response without it.
fn id_of(answer: &str) -> (String, String) {
    let (id, rest) = answer.strip_prefix(r#"{"id":""#).unwrap().split_once(r#"","#).unwrap();
    (id.to_owned(), format!("{{{rest}"))
}

#[tokio::test]
async fn a_list_gets_a_list_in_its_order() {
    let row = |balance: u32| format!(r#"{{"balance": {balance}, "Country/Region": "FR"}}"#);
    let rows = format!("[{},{},{}]", row(90), row(29), row(30));
    let expected = json!({"model": "bank", "version": 3, "predictions": [
        {"probability": 0.9, "has_left": true},
        {"probability": 0.29, "has_left": false},
        {"probability": 0.3, "has_left": true},
    ]});
    let engine = Engine::ready();
    let wrapped = format!(r#"{{"instances": {rows}}}"#);
    for body in [rows, wrapped] {
        let mut answer = engine.post("/models/bank/predict", body).await.json();
        let predictions = answer["predictions"].as_array_mut().unwrap().iter_mut();
        let ids: Vec<_> = predictions
            .map(|prediction| prediction.as_object_mut().unwrap().remove("id").unwrap())
            .map(|id| Uuid::parse_str(id.as_str().unwrap()).unwrap())
            .collect();
        assert_eq!(answer, expected);
        assert!(ids[0] < ids[1] && ids[1] < ids[2], "{ids:?}");
    }
    let one = engine.post("/models/bank/predict", format!("[{}]", row(90))).await.json();
    assert_eq!(one["predictions"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_default_model_answers_where_none_is_named() {
    let answer = Engine::ready().post("/predict", BANK_ROW).await;
    assert_eq!(id_of(&answer.text).1, r#"{"model":"bank","version":3,"probability":1.0,"has_left":true}"#);
}

#[tokio::test]
async fn a_printed_probability_that_equals_the_threshold_is_positive() {
    // 0.7 in single precision is below 0.7 when widened to double precision.
    let engine = Engine::scoring(|matrix| vec![0.5; matrix.nrows()]);
    assert!(engine.post("/predict", PHONE_ROW).await.text.ends_with(r#""probability":0.5,"churn":true}"#));
    let bank = Engine::ready();
    let answer = bank.post("/models/bank/predict", r#"{"balance": 30, "Country/Region": "FR"}"#).await;
    assert!(answer.text.ends_with(r#""probability":0.3,"has_left":true}"#), "{}", answer.text);
}

#[tokio::test]
async fn an_optional_field_may_be_null_or_absent_and_an_open_category_unknown() {
    let engine = Engine::ready();
    for row in [
        r#"{"months": 12, "charges": null, "plan": "full", "senior": "0"}"#,
        r#"{"months": 12, "plan": "full", "senior": 0, "region": "an island"}"#,
        r#"{"id": {"any": ["thing"]}, "months": 12.0, "plan": "full", "senior": 0, "region": null}"#,
    ] {
        let answer = engine.post("/models/phone/predict", row).await;
        assert_eq!(answer.status, 200, "{row}: {}", answer.text);
    }
}

#[tokio::test]
async fn many_rows_are_parsed_and_answered_like_few() {
    let mut engine = Engine::ready();
    engine.config.max_request_rows = 10_000;
    let rows: Vec<String> =
        (0..10_000).map(|i| format!(r#"{{"balance": {}, "Country/Region": "FR"}}"#, i % 100)).collect();
    let answer = engine.post("/predict", format!("[{}]", rows.join(","))).await.json();
    let predictions = answer["predictions"].as_array().unwrap();
    assert_eq!(predictions.len(), 10_000);
    assert_eq!(predictions[9_942]["probability"], json!(0.42));
}
