use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::metadata::Provenance;
use crate::schema::SchemaFile;

const SHOP: &str = r#"
    name = "shop"
    version = 1
    label = { column = "Left", positive = "1", negative = "0" }
    [[features]]
    name = "orders"
    type = "numeric"
    [[features]]
    name = "plan"
    type = "categorical"
    values = ["basic", "full"]
"#;

/// Returns the figures of an honest artifact, each part under its name.
fn honest() -> Value {
    let mut score = vec![0; SCORE_BINS];
    (score[3], score[19]) = (6, 4);
    json!({
        "parameters": {"c": 1.0},
        "evaluation": {
            "train_rows": 100,
            "test_rows": 10,
            "cross_validation": {"fold_roc_auc": [0.7, 0.9], "roc_auc_mean": 0.8, "roc_auc_std": 0.1},
            "test": {
                "accuracy": 0.8, "precision": 0.0, "recall": 1.0, "f1": 0.5, "roc_auc": 0.9,
                "average_precision": 0.6, "log_loss": 1.4, "brier": 0.1,
                "confusion": {
                    "true_positives": 1, "false_positives": 2, "true_negatives": 3, "false_negatives": 4
                }
            }
        },
        "profile": {
            "rows": 100,
            "features": [
                {
                    "type": "numeric", "edges": [-1.0, 2.5, 7.0], "counts": [10, 20, 30, 35], "missing": 5,
                    "min": -1.0, "median": 2.0, "mean": 3.0, "max": 9.0
                },
                {"type": "categorical", "counts": [60, 30], "missing": 9, "unknown": 1}
            ],
            "score": score
        },
        "golden": {
            "tolerance": 1e-6,
            "rows": [
                {"values": [2.0, "full"], "probability": 0.0},
                {"values": [null, null], "probability": 1.0}
            ]
        }
    })
}

/// Reads the parts, as from a file's properties. `None` for a value that JSON's reader itself refuses.
fn read(figures: &Value) -> Option<Metadata> {
    fn part<T: serde::de::DeserializeOwned>(figures: &Value, name: &str) -> Option<T> {
        serde_json::from_str(&figures[name].to_string()).ok()
    }
    Some(Metadata {
        schema: SchemaFile::parse(SHOP).unwrap().schema,
        family: "logistic".to_owned(),
        parameters: part(figures, "parameters")?,
        evaluation: part(figures, "evaluation")?,
        profile: part(figures, "profile")?,
        golden: part(figures, "golden")?,
        provenance: Provenance { data_sha256: "ab".repeat(32), seed: 1, versions: BTreeMap::new() },
    })
}

#[track_caller]
fn rejected(pointer: &str, bad: Value) -> String {
    let mut figures = honest();
    *figures.pointer_mut(pointer).expect(pointer) = bad.clone();
    let Some(metadata) = read(&figures) else { return String::new() };
    let Err(error) = metadata.checked() else { panic!("{bad} is accepted at {pointer}") };
    error.to_string()
}

/// Finds every number in the figures, by its JSON pointer.
fn numbers(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Number(_) => found.push(at.to_owned()),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| numbers(item, &format!("{at}/{index}"), found));
        }
        Value::Object(fields) => {
            fields.iter().for_each(|(name, field)| numbers(field, &format!("{at}/{name}"), found));
        }
        _ => {}
    }
}

fn all_numbers() -> Vec<String> {
    let mut found = Vec::new();
    numbers(&honest(), "", &mut found);
    assert!(found.len() > 50);
    found
}

#[test]
fn what_a_trainer_writes_is_accepted() {
    let metadata = read(&honest()).unwrap();
    assert_eq!(metadata.clone().checked(), Ok(metadata));
    let mut figures = honest();
    figures["golden"]["tolerance"] = json!(1e-4);
    assert!(read(&figures).unwrap().checked().is_ok());
}

#[test]
fn no_figure_may_be_beyond_every_range() {
    for pointer in all_numbers().iter().filter(|pointer| !pointer.starts_with("/parameters")) {
        for beyond in [1e300, -1e300] {
            rejected(pointer, json!(beyond));
        }
    }
}

#[test]
fn a_file_cannot_choose_how_wrong_it_may_be() {
    for tolerance in [0.0, -0.0, -1e-9, 1.000_001e-4, 1e-3, 0.5, 1.0, 1e6, 1e308] {
        let said = rejected("/golden/tolerance", json!(tolerance));
        assert!(said.starts_with("golden.tolerance is ") && said.contains("at most 0.0001"), "{said}");
    }
    let said = rejected("/golden/rows", json!([]));
    assert!(said.contains("golden.rows is empty"), "{said}");
    for (row, probability) in [(0, -1e-9), (0, 1.000_000_1), (1, 2.0), (1, 1e6)] {
        let said = rejected(&format!("/golden/rows/{row}/probability"), json!(probability));
        assert!(said.contains(&format!("golden.rows[{row}].probability is ")), "{said}");
        assert!(said.contains("from 0 to 1"), "{said}");
    }
    for values in [json!([]), json!([1.0]), json!([1.0, "full", 1.0])] {
        let said = rejected("/golden/rows/1/values", values);
        assert!(said.contains("golden.rows[1].values is a list of"), "{said}");
    }
}

#[test]
fn every_share_is_one() {
    let shares = all_numbers().into_iter().filter(|pointer| {
        let is_figure = pointer.starts_with("/evaluation/test/") && !pointer.contains("/confusion/");
        let is_share = is_figure && !pointer.ends_with("/log_loss");
        is_share || pointer.starts_with("/evaluation/cross_validation")
    });
    let shares: Vec<String> = shares.collect();
    assert_eq!(shares.len(), 11);
    for pointer in shares {
        for bad in [-1e-6, 1.000_001, 80.0] {
            let said = rejected(&pointer, json!(bad));
            let name = pointer.rsplit('/').next().unwrap();
            assert!(said.contains("from 0 to 1") && (said.contains(name) || said.contains("fold")), "{said}");
        }
    }
    assert!(rejected("/evaluation/test/log_loss", json!(-0.1)).contains("from 0 to 1000"));
}

#[test]
fn counts_add_up_to_their_rows() {
    let is_count = |pointer: &&String| {
        let counted = ["/counts/", "/missing", "/unknown", "/confusion/", "/profile/score/"];
        counted.iter().any(|part| pointer.contains(part))
    };
    for pointer in all_numbers().iter().filter(is_count) {
        let count = honest().pointer(pointer).unwrap().as_u64().unwrap();
        for bad in [count + 1, count + 1_000_000, u64::MAX, u64::MAX - 50] {
            let said = rejected(pointer, json!(bad));
            assert!(said.contains("sum of counts"), "{said}");
        }
    }
    for (pointer, bad) in [
        ("/evaluation/test_rows", json!(11)),
        ("/evaluation/train_rows", json!(0)),
        ("/evaluation/train_rows", json!(101)),
        ("/profile/rows", json!(0)),
        ("/profile/rows", json!(99)),
        ("/profile/score", json!(vec![0; SCORE_BINS])),
        ("/profile/score", json!([u64::MAX, 1])),
        ("/profile/score", json!(vec![u64::MAX; SCORE_BINS])),
        ("/profile/features/0/counts", json!([100])),
        ("/profile/features/1/counts", json!([60, 29, 1])),
        ("/profile/features", json!([])),
    ] {
        rejected(pointer, bad);
    }
}

/// Empty counts that add up to no rows would leave nothing to compare live rows with.
#[test]
fn a_profile_is_of_the_rows_that_the_model_was_fitted_on() {
    let mut figures = honest();
    figures["profile"]["rows"] = json!(0);
    for (feature, counts) in [(0, 4), (1, 2)] {
        let feature = &mut figures["profile"]["features"][feature];
        feature["counts"] = json!(vec![0; counts]);
        feature["missing"] = json!(0);
    }
    figures["profile"]["features"][1]["unknown"] = json!(0);
    let said = read(&figures).unwrap().checked().unwrap_err().to_string();
    assert!(said.starts_with("profile.rows is 0; it must be 100, as evaluation.train_rows says"), "{said}");
}

#[test]
fn names_and_lists_that_pages_print_are_short() {
    let long = "n".repeat(MAX_NAME_BYTES + 1);
    let mut metadata = read(&honest()).unwrap();
    metadata.family.clone_from(&long);
    assert!(metadata.checked().unwrap_err().to_string().contains("201 bytes; it must be 1 to 200 bytes"));
    for bad in ["", "a\nb", "\u{1b}[31m"] {
        let mut metadata = read(&honest()).unwrap();
        metadata.family = bad.to_owned();
        let said = metadata.checked().unwrap_err().to_string();
        assert!(said.starts_with("family is ") && !said.contains(|c: char| c.is_control()), "{said}");
    }
    let parameter = |name: &str| json!({ name: 1.0 });
    assert!(rejected("/parameters", parameter(&long)).contains("1 to 200 bytes"));
    let many: BTreeMap<String, f64> = (0..=MAX_PARAMETERS).map(|n| (n.to_string(), 1.0)).collect();
    assert!(rejected("/parameters", json!(many)).contains("a list of at most 1000"));
    let folds = json!(vec![0.5; MAX_FOLDS + 1]);
    assert!(rejected("/evaluation/cross_validation/fold_roc_auc", folds).contains("a list of at most 1000"));
}

#[test]
fn segments_and_provenance_are_what_a_trainer_writes() {
    let said = |change: fn(&mut Metadata)| {
        let mut metadata = read(&honest()).unwrap();
        change(&mut metadata);
        metadata.checked().unwrap_err().to_string()
    };
    let segments = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    for (bad, at) in
        [(segments(&["orders"]), 0), (segments(&["nothing"]), 0), (segments(&["plan", "plan"]), 1)]
    {
        let mut metadata = read(&honest()).unwrap();
        metadata.schema.segments = bad;
        assert!(metadata.checked().unwrap_err().to_string().starts_with(&format!("segments[{at}] is ")));
    }
    assert!(said(|metadata| metadata.provenance.data_sha256 = "x".repeat(1 << 20)).len() < 300);
    let many = |metadata: &mut Metadata| {
        metadata.provenance.versions = (0..=MAX_VERSIONS).map(|n| (n.to_string(), "1".to_owned())).collect();
    };
    assert!(said(many).contains("provenance.versions is a list of 101"));
    let long = |metadata: &mut Metadata| {
        metadata.provenance.versions.insert("onnward".to_owned(), "1".repeat(MAX_NAME_BYTES + 1));
    };
    assert!(said(long).starts_with("provenance.versions is "));
}

#[test]
fn edges_ascend_from_the_smallest_value_to_the_largest() {
    for (at, bad) in [(0, -1.5), (0, 2.5), (0, 3.0), (1, -1.0), (1, 7.0), (1, 1e39), (2, 2.5), (2, 9.5)] {
        let said = rejected(&format!("/profile/features/0/edges/{at}"), json!(bad));
        assert!(said.contains("profile.features[0].edges["), "{said}");
    }
    for (name, bad) in [
        ("min", 2.5),
        ("median", -2.0),
        ("median", 9.5),
        ("max", 1.0),
        ("max", 1e39),
        ("mean", -1.1),
        ("mean", 9.1),
        ("mean", 1e308),
    ] {
        rejected(&format!("/profile/features/0/{name}"), json!(bad));
    }
    let edges: Vec<f32> = (0..=MAX_EDGES).map(|edge| edge as f32 / 1000.0).collect();
    assert!(rejected("/profile/features/0/edges", json!(edges)).contains("at most 1000"));
}

#[test]
fn a_profile_is_of_its_features_kind() {
    let [numeric, categorical] = [0, 1].map(|at| honest()["profile"]["features"][at].clone());
    let said = rejected("/profile/features/0", categorical);
    assert!(said.contains("profile.features[0].type is categorical; it must be numeric"), "{said}");
    rejected("/profile/features/1", numeric);
}
