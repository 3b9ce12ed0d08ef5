use std::sync::Arc;

use onnward_schemas::fixtures::{PHONE, metadata};
use onnward_schemas::{ClassPredictions, Numbers, PredictedValues, Predictions};

use super::*;
use crate::fixtures::{Constant, Fake, SERVING, artifact};
use crate::{ModelFile, Verifier};

const FORMS: [GraphForm; 2] = [GraphForm::Full, GraphForm::Subgraph];

fn expected(metadata: &Metadata) -> Vec<f32> {
    metadata.golden.rows.iter().map(|row| row.prediction.probability().unwrap() as f32).collect()
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

/// A session that returns these predictions, whatever it is given.
struct Returns(PredictedValues);

impl Session for Returns {
    fn score(&mut self, _: Batch<'_>) -> Result<Predictions, BackendError> {
        Ok(self.0.clone().into())
    }
}

/// Replays one golden row with this prediction on a session that returns these values.
fn replayed(prediction: GoldenPrediction, values: PredictedValues) -> Result<Replay, GoldenError> {
    let mut metadata = metadata(PHONE);
    metadata.golden.tolerance = 1e-6;
    metadata.golden.rows.truncate(1);
    metadata.golden.rows[0].prediction = prediction;
    replay(&mut Returns(values), &metadata, GraphForm::Subgraph)
}

fn numbers(values: &[f64]) -> Numbers {
    Numbers::Double(values.to_vec())
}

fn class_of(index: u32, probabilities: &[f64]) -> PredictedValues {
    let probabilities = Some(numbers(probabilities));
    PredictedValues::Classes(ClassPredictions { indices: vec![index], probabilities })
}

#[test]
fn the_probability_of_every_class_is_compared() {
    let golden = || GoldenPrediction::Probabilities(vec![0.2, 0.5, 0.3]);
    assert_eq!(replayed(golden(), class_of(1, &[0.2, 0.5, 0.3])).unwrap().max_difference, 0.0);
    let close = replayed(golden(), class_of(1, &[0.2, 0.5 + 5e-7, 0.3])).unwrap();
    assert!(close.max_difference > 4e-7, "{close:?}");
    for class in 0..3 {
        let mut other = [0.2, 0.5, 0.3];
        other[class] += 1e-3;
        let error = replayed(golden(), class_of(1, &other)).unwrap_err();
        let GoldenError::Mismatch { expected, actual, .. } = error else { panic!("{error}") };
        assert_eq!((expected, actual), ([0.2, 0.5, 0.3][class], other[class]));
        other[class] = f64::NAN;
        assert!(replayed(golden(), class_of(1, &other)).is_err());
    }
    assert!(replayed(golden(), class_of(1, &[0.2, 0.5])).is_err());
}

#[test]
fn a_number_is_compared_relative_to_the_expected_one() {
    let of = |expected: f64, actual: f64| {
        replayed(GoldenPrediction::Number(expected), PredictedValues::Numbers(numbers(&[actual])))
    };
    for expected in [0.5_f64, -0.5, 1e-9, 1.0, 1e6, -1e6, 1e12] {
        let scale = expected.abs();
        assert!(of(expected, expected + 0.9e-6 * scale).is_ok(), "{expected}");
        assert!(of(expected, expected - 1.1e-6 * scale).is_err(), "{expected}");
        for wrong in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(of(expected, wrong).is_err(), "{expected}");
        }
    }
}

#[test]
fn a_prediction_of_another_task_reproduces_nothing() {
    let golden = [
        GoldenPrediction::Probability(1.0),
        GoldenPrediction::Probabilities(vec![1.0]),
        GoldenPrediction::Number(1.0),
    ];
    let values = [
        PredictedValues::Probabilities(numbers(&[1.0])),
        class_of(0, &[1.0]),
        PredictedValues::Numbers(numbers(&[1.0])),
    ];
    for (of, golden) in golden.iter().enumerate() {
        for (task, values) in values.iter().enumerate() {
            assert_eq!(replayed(golden.clone(), values.clone()).is_ok(), of == task, "{golden:?} {values:?}");
        }
    }
}
