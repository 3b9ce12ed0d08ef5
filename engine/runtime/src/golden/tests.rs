use std::sync::Arc;

use onnward_schemas::fixtures::{PHONE, metadata};

use super::*;
use crate::fixtures::{Constant, Fake, SERVING, artifact};
use crate::{ModelFile, Verifier};

const FORMS: [GraphForm; 2] = [GraphForm::Full, GraphForm::Subgraph];

fn expected(metadata: &Metadata) -> Vec<f32> {
    metadata.golden.rows.iter().map(|row| row.probability as f32).collect()
}

#[test]
fn every_golden_row_needs_a_score_of_its_own() {
    let metadata = metadata(PHONE);
    let scores = expected(&metadata);
    for form in FORMS {
        for count in 0..5 {
            let cycled = scores.iter().copied().cycle().take(count).collect();
            let replayed = replay(&mut Constant(cycled), &metadata, form);
            if count == scores.len() {
                assert_eq!(replayed.unwrap().rows, count);
                continue;
            }
            let error = BackendError::ScoreCount { rows: scores.len(), scores: count };
            assert!(matches!(replayed, Err(GoldenError::Backend(found)) if found == error), "{count}");
        }
    }
}

#[test]
fn a_model_whose_session_leaves_rows_out_is_refused() {
    let short = Fake { score: |rows| vec![0.01; rows.nrows() - 1], ..SERVING };
    let verified = Verifier::new(vec![Arc::new(short)]).verify("phone", &ModelFile::new(&artifact(1.0)));
    let error = verified.err().unwrap().to_string();
    assert!(error.contains("1 scores for 2 rows"), "{error}");
}

#[test]
fn no_tolerance_covers_what_is_not_a_number() {
    let mut metadata = metadata(PHONE);
    for tolerance in [1e-6, Golden::MAX_TOLERANCE, f64::INFINITY] {
        metadata.golden.tolerance = tolerance;
        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for row in 0..metadata.golden.rows.len() {
                let mut scores = expected(&metadata);
                scores[row] = wrong;
                let failure = replay(&mut Constant(scores), &metadata, GraphForm::Subgraph).unwrap_err();
                assert!(matches!(failure, GoldenError::Mismatch { row: found, .. } if found == row));
            }
        }
    }
}

#[test]
fn a_tolerance_that_no_file_may_state_weakens_nothing() {
    let mut metadata = metadata(PHONE);
    let scores: Vec<f32> = expected(&metadata).into_iter().map(|score| score + 2e-4).collect();
    for tolerance in [1e-4, 1e6, f64::MAX, f64::INFINITY, f64::NAN, 0.0, -1.0, f64::NEG_INFINITY] {
        metadata.golden.tolerance = tolerance;
        for form in FORMS {
            let replayed = replay(&mut Constant(scores.clone()), &metadata, form);
            assert!(matches!(replayed, Err(GoldenError::Mismatch { row: 0, .. })), "{tolerance}");
        }
    }
}

#[test]
fn without_golden_rows_nothing_is_verified() {
    let mut metadata = metadata(PHONE);
    metadata.golden.rows.clear();
    let replayed = replay(&mut Constant(Vec::new()), &metadata, GraphForm::Subgraph);
    assert!(matches!(replayed, Err(GoldenError::NoRows)));
}
