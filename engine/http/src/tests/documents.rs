//! The OpenAPI document.

use std::collections::HashSet;

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use crate::fixtures::{Engine, PHONE, schema};

async fn document(engine: &Engine) -> Value {
    engine.get("/openapi.json").await.json()
}

#[tokio::test]
async fn every_model_is_described_by_its_own_schema() {
    let document = document(&Engine::ready()).await;
    assert_eq!(document["openapi"], "3.1.0");
    let row = &document["components"]["schemas"]["PhoneRow"];
    assert_eq!(row["required"], json!(["months", "plan", "senior"]));
    assert_eq!(row["additionalProperties"], false);
    let fields = &row["properties"];
    let months = json!({"type": "integer", "minimum": 0, "maximum": 100,
        "description": "Months since the contract began."});
    assert_eq!(fields["months"], months);
    let largest = f64::from(f32::MAX);
    assert_eq!(fields["charges"], json!({"type": ["number", "null"], "minimum": 0, "maximum": largest}));
    let closed =
        |values: Value, names: Value| json!({"type": "string", "enum": values, "x-enum-varnames": names});
    assert_eq!(fields["plan"], closed(json!(["basic", "full"]), json!(["BASIC", "FULL"])));
    let texts = closed(json!(["0", "1"]), json!(["VALUE_0", "VALUE_1"]));
    assert_eq!(fields["senior"], json!({"anyOf": [texts, {"type": "number", "enum": [0, 1]}]}));
    assert_eq!(fields["region"], json!({"type": ["string", "null"], "examples": ["north", "south"]}));
    assert!(fields["id"]["description"].is_string());
    let schemas = &document["components"]["schemas"];
    assert_eq!(schemas["BankPrediction"]["properties"]["has_left"]["type"], "boolean");
    assert_eq!(schemas["BankScore"]["required"], json!(["id", "probability", "has_left"]));
    let scores = &schemas["BankPredictions"]["properties"]["predictions"]["items"];
    assert_eq!(scores["$ref"], "#/components/schemas/BankScore");
}

/// A schema whose names and values generators would confuse.
const ODD: &str = r##"
version = 1
name = "odd"
identifier = "id"
[label]
column = "left"
positive = "yes"
negative = "no"
[[features]]
name = "a/b"
type = "numeric"
[[features]]
name = "a b"
type = "numeric"
required = false
[[features]]
name = "ID"
type = "numeric"
[[features]]
name = "__proto__"
type = "categorical"
values = ["x", "X", "1", "01", "0.5", "true", "<a>"]
[[features]]
name = "\"><img src=x>"
type = "categorical"
values = ["true", "false"]
required = false
"##;

/// Visits every value of a document.
fn visit(value: &Value, found: &mut impl FnMut(&Value)) {
    found(value);
    match value {
        Value::Object(fields) => fields.values().for_each(|value| visit(value, found)),
        Value::Array(items) => items.iter().for_each(|value| visit(value, found)),
        _ => {}
    }
}

fn is_identifier(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[tokio::test]
async fn generators_can_make_types_operations_and_constants_of_every_document() {
    let odd = Engine::ready();
    for name in ["outcome", "phone-version", "phone.version", "phone_version", "1", "model", "a-", "a"] {
        odd.serve_schema(name, ODD);
    }
    for engine in [Engine::loading(), Engine::ready(), odd] {
        let document = document(&engine).await;
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let folded = |name: &str| name.to_lowercase().replace('_', "");
        let mut types = HashSet::new();
        for name in schemas.keys() {
            assert!(is_identifier(name) && types.insert(folded(name)), "{name}");
        }
        assert_eq!(document["servers"], json!([{"url": "/"}]));
        let mut operations = HashSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for operation in item.as_object().unwrap().values() {
                let id = operation["operationId"].as_str().unwrap();
                assert!(is_identifier(id) && operations.insert(folded(id)), "{path}: {id}");
                assert_eq!(operation["security"], json!([]), "{path}");
            }
        }
        visit(&document["components"]["schemas"], &mut |schema| {
            if let Some(reference) = schema["$ref"].as_str() {
                let name = reference.strip_prefix("#/components/schemas/").unwrap();
                assert!(schemas.contains_key(name), "{reference}");
            }
            if let (Some(values), Some("string")) = (schema["enum"].as_array(), schema["type"].as_str()) {
                let names = schema["x-enum-varnames"].as_array().unwrap();
                assert_eq!(names.len(), values.len());
                assert!(names.iter().all(|name| is_identifier(name.as_str().unwrap())), "{names:?}");
                assert!(values.iter().all(Value::is_string), "{values:?}");
            }
        });
    }
}

#[tokio::test]
async fn a_row_keeps_fields_that_generators_would_confuse_in_patterns() {
    let engine = Engine::ready();
    engine.serve_schema("odd", ODD);
    let row = &document(&engine).await["components"]["schemas"]["OddRow"];
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&row["properties"]), ["\"><img src=x>", "__proto__"]);
    assert_eq!(names(&row["patternProperties"]), ["^ID$", "^a b$", "^a\\/b$", "^id$"]);
    assert_eq!(row["patternProperties"]["^a b$"]["type"], json!(["number", "null"]));
    let all = json!({"enum": ["id", "a/b", "a b", "ID", "__proto__", "\"><img src=x>"]});
    assert_eq!((&row["propertyNames"], &row["additionalProperties"]), (&all, &json!(true)));
    assert_eq!(row["required"], json!(["a/b", "ID", "__proto__"]));
    let forms = json!([
        {
            "type": "string",
            "enum": ["x", "X", "1", "01", "0.5", "true", "<a>"],
            "x-enum-varnames": ["X", "X_2", "VALUE_1", "VALUE_01", "VALUE_0_5", "TRUE", "A"],
        },
        {"type": "number", "enum": [1]},
        {"type": "number", "minimum": 0.5, "maximum": 0.5},
        {"type": "boolean", "const": true},
    ]);
    assert_eq!(row["properties"]["__proto__"], json!({"anyOf": forms}));
    let closed = &row["properties"]["\"><img src=x>"]["anyOf"];
    assert_eq!((&closed[1], &closed[2]), (&json!({"type": "boolean"}), &json!({"type": "null"})));
}

#[tokio::test]
async fn fields_keep_the_order_of_the_schema() {
    let text = Engine::ready().get("/openapi.json").await.text;
    let row = &text[text.find("\"PhoneRow\"").unwrap()..];
    let places: Vec<usize> =
        schema(PHONE).features.iter().map(|f| row.find(&format!("\"{}\":{{", f.name)).unwrap()).collect();
    assert!(places.is_sorted(), "{places:?}");
}

#[tokio::test]
async fn every_example_is_answered_as_it_says() {
    let engine = Engine::ready();
    let document = document(&engine).await;
    let paths = document["paths"].as_object().unwrap();
    let posts: Vec<_> = paths.iter().filter(|(path, _)| path.ends_with("/predict")).collect();
    assert_eq!(posts.len(), 7, "the default model, and two models by name, version and alias");
    for (path, item) in posts {
        let parameters = item["post"]["parameters"].as_array().unwrap().iter();
        let filled = |path: String, parameter: &Value| {
            let name = parameter["name"].as_str().unwrap();
            path.replace(&format!("{{{name}}}"), parameter["example"].to_string().trim_matches('"'))
        };
        let asked = &parameters.fold(path.clone(), filled);
        let content = |part: &'static str| &item["post"][part];
        let examples = &content("requestBody")["content"]["application/json"]["examples"];
        let one = engine.post(asked, examples["one"]["value"].to_string()).await;
        assert_eq!(one.status, 200, "{}", one.text);
        let told = &content("responses")["200"]["content"]["application/json"]["example"];
        let probability = |answer: &Value| answer["probability"].as_f64().unwrap();
        assert!((probability(&one.json()) - probability(told)).abs() < 1e-6, "{told}");
        assert_eq!(one.json().as_object().unwrap().len(), told.as_object().unwrap().len());
        assert!(told.to_string().len() <= one.text.len(), "{told} is printed in single precision");
        let refused = &content("responses")["422"]["content"]["application/problem+json"]["example"];
        assert_eq!((&refused["instance"], &refused["violations"]), (&json!(path), &json!(1)));
        assert_eq!(refused["errors"][0]["got"], "an array");
        let several = engine.post(asked, examples["several"]["value"].to_string()).await;
        assert_eq!(several.json()["predictions"].as_array().unwrap().len(), 2);
    }
}

#[tokio::test]
async fn every_route_of_the_document_is_there() {
    let engine = Engine::ready();
    let document = document(&engine).await;
    for (path, item) in document["paths"].as_object().unwrap() {
        if item["get"].is_object() {
            let path = path.replace("{name}", "phone");
            assert_eq!(engine.get(&path).await.status, 200, "{path}");
        }
    }
    let loading = document_paths(&Engine::loading()).await;
    assert!(loading.contains(&"/health/ready".to_owned()) && !loading.contains(&"/predict".to_owned()));
}

async fn document_paths(engine: &Engine) -> Vec<String> {
    document(engine).await["paths"].as_object().unwrap().keys().cloned().collect()
}

#[tokio::test]
async fn the_page_comes_from_the_program_itself() {
    let engine = Engine::ready();
    let moved = engine.get("/docs").await;
    assert_eq!((moved.status.as_u16(), moved.header("location")), (303, Some("/docs/")));
    let page = engine.get("/docs/").await;
    assert_eq!(page.status, 200);
    assert!(!page.text.contains("https://"), "{}", page.text);
    let script = engine.get("/docs/swagger-initializer.js").await;
    assert!(script.text.contains("/openapi.json"), "{}", script.text);
}

/// Returns the values of the attributes that name files.
fn files_of(page: &str) -> Vec<String> {
    let names = page.split("=\"").skip(1).map(|rest| rest.split('"').next().unwrap());
    names.filter(|name| name.contains("?v=")).map(|name| name.trim_start_matches("./").to_owned()).collect()
}

#[tokio::test]
async fn the_files_of_the_page_are_kept_under_their_digests_and_come_compressed() {
    let engine = Engine::ready();
    let get = async |path: &str, name: &'static str, value: &str| {
        let request = Request::get(format!("/docs/{path}")).header(name, value);
        engine.send(request.body(Body::empty()).unwrap()).await
    };
    let page = get("", "accept-encoding", "gzip").await;
    assert_eq!(page.header("cache-control"), Some("no-cache"));
    let files = files_of(&page.text);
    assert_eq!(files.len(), 7, "{}", page.text);
    for path in &files {
        let compressed = get(path, "accept-encoding", "gzip").await;
        assert_eq!(compressed.status, 200, "{path}");
        assert_eq!(compressed.header("cache-control"), Some("public, max-age=31536000, immutable"), "{path}");
        let plain = get(path, "accept", "*/*").await;
        assert_eq!(plain.header("content-encoding"), None, "{path}");
        assert_eq!(plain.header("etag"), compressed.header("etag"));
        if path.starts_with("swagger-ui") {
            assert_eq!(compressed.header("content-encoding"), Some("gzip"), "{path}");
            for answer in [&compressed, &plain] {
                let vary: Vec<_> = answer.headers.get_all("vary").iter().collect();
                assert_eq!(vary, ["accept-encoding"], "{path}");
            }
            let sent: usize = compressed.header("content-length").unwrap().parse().unwrap();
            assert!(sent * 2 < plain.text.len(), "{path}");
        } else if path.contains(".png") {
            assert_eq!(compressed.header("content-encoding"), None, "{path}");
        }

        let name = path.split('?').next().unwrap();
        let asked_again = get(name, "accept-encoding", "gzip").await;
        assert_eq!(asked_again.header("cache-control"), Some("no-cache"), "{name}");
        let etag = asked_again.header("etag").unwrap();
        for known in [etag, &format!("\"x\", {etag}"), etag.trim_start_matches("W/"), "*"] {
            let unchanged = get(name, "if-none-match", known).await;
            assert_eq!((unchanged.status.as_u16(), unchanged.text.as_str()), (304, ""), "{name} {known}");
            assert_eq!(unchanged.header("etag"), Some(etag));
        }
        assert_eq!(get(name, "if-none-match", "W/\"x\"").await.status, 200, "{name}");
        assert_eq!(
            get(&format!("{name}?v=0"), "accept", "*/*").await.header("cache-control"),
            Some("no-cache")
        );
    }
    let other = get("nothing.js", "accept-encoding", "gzip").await;
    assert_eq!(other.problem(404)["type"], "urn:onnward:problem:unknown-path");
}
