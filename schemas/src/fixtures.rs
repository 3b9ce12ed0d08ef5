//! Fixtures of tests: two small schemas, rows that they accept, and metadata of their models.

// A test fails by panicking.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

use std::collections::BTreeMap;

use crate::{
    BinaryFigures, Confusion, Criterion, CrossValidation, Evaluation, FeatureProfile, Figures, Golden,
    GoldenPrediction, GoldenRow, GoldenValue, Metadata, Profile, Provenance, SCORE_BINS, Schema, SchemaFile,
    ScoreProfile,
};

/// Customers of a telephone company: an identifier, a category of digits, an optional number, an open category.
pub const PHONE: &str = r#"
    name = "phone"
    version = 1
    identifier = "id"
    segments = ["plan"]
    [label]
    column = "Churn"
    positive = "Yes"
    negative = "No"
    [[features]]
    name = "months"
    description = "Months since the contract began."
    type = "numeric"
    min = 0
    max = 100
    integer = true
    [[features]]
    name = "charges"
    type = "numeric"
    min = 0
    required = false
    [[features]]
    name = "plan"
    type = "categorical"
    values = ["basic", "full"]
    [[features]]
    name = "senior"
    type = "categorical"
    values = ["0", "1"]
    [[features]]
    name = "region"
    type = "categorical"
    values = ["north", "south"]
    unknown = "ignore"
    required = false
"#;

/// Customers of a bank: no identifier, other columns, another label and threshold.
pub const BANK: &str = r#"
    name = "bank"
    version = 2
    threshold = 0.3
    [label]
    column = "Exited"
    name = "has_left"
    positive = "1"
    negative = "0"
    [[features]]
    name = "balance"
    type = "numeric"
    [[features]]
    name = "Country/Region"
    type = "categorical"
    values = ["FR", "DE"]
"#;

/// Parses a schema.
pub fn schema(toml: &str) -> Schema {
    SchemaFile::parse(toml).unwrap().schema
}

/// A row of [`PHONE`] that is accepted.
pub const PHONE_ROW: &str =
    r#"{"months": 12, "charges": 70.5, "plan": "full", "senior": 1, "region": "north"}"#;
/// A row of [`BANK`] that is accepted.
pub const BANK_ROW: &str = r#"{"balance": 100, "Country/Region": "DE"}"#;

/// Returns what [`PHONE`]'s and [`BANK`]'s models say about themselves. The first golden row holds an unknown category.
pub fn metadata(toml: &str) -> Metadata {
    let schema = schema(toml);
    let number = |value: f64| GoldenValue::Number(value);
    let text = |value: &str| GoldenValue::Text(value.to_owned());
    let rows: Vec<Vec<GoldenValue>> = if schema.name == "phone" {
        vec![
            vec![number(1.0), number(20.0), text("?"), text("0"), text("north")],
            vec![number(80.0), GoldenValue::Missing, text("full"), text("1"), text("west")],
        ]
    } else {
        vec![vec![number(45.7), text("FR")]]
    };
    let probability =
        |row: &[GoldenValue]| if let GoldenValue::Number(first) = row[0] { first / 100.0 } else { 0.0 };
    let golden = |values: Vec<GoldenValue>| GoldenRow {
        prediction: GoldenPrediction::Probability(probability(&values)),
        values,
    };
    let rows = rows.into_iter().map(golden).collect();
    let features = schema.features.iter().map(|feature| match feature.categories() {
        Some(values) => FeatureProfile::Categorical {
            counts: (0..values.len()).map(|value| u64::from(value < 2)).collect(),
            missing: 0,
            unknown: 0,
        },
        None => FeatureProfile::Numeric {
            edges: vec![1.0],
            counts: vec![1, 1],
            missing: 0,
            min: 0.0,
            median: 1.0,
            mean: 1.0,
            max: 2.0,
        },
    });
    let mut score = vec![0; SCORE_BINS];
    (score[1], score[16]) = (7, 3);
    Metadata {
        profile: Profile {
            rows: 2,
            features: features.collect(),
            score: ScoreProfile::Probability(score),
            errors: None,
        },
        schema,
        family: "logistic".to_owned(),
        parameters: BTreeMap::from([("alpha".to_owned(), 1.0)]),
        evaluation: evaluation(),
        golden: Golden { tolerance: 1e-6, rows },
        provenance: Provenance { data_sha256: "ab".repeat(32), seed: 42, versions: BTreeMap::new() },
    }
}

fn evaluation() -> Evaluation {
    let confusion =
        Confusion { true_positives: 1, false_positives: 2, true_negatives: 3, false_negatives: 4 };
    let test = BinaryFigures {
        accuracy: 0.8,
        precision: 0.7,
        recall: 0.6,
        f1: 0.65,
        roc_auc: 0.85,
        average_precision: 0.6,
        log_loss: 0.4,
        brier: 0.1,
        confusion,
    };
    let cross_validation =
        CrossValidation { criterion: Criterion::RocAuc, folds: vec![0.84, 0.86], mean: 0.85, std: 0.01 };
    Evaluation {
        train_rows: 2,
        test_rows: 10,
        cross_validation,
        test: Figures::Binary(test),
        threshold: None,
    }
}
