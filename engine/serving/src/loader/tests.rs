use std::time::Duration;

use ndarray::ArrayView2;
use onnward_runtime::backend::BackendKind;
use onnward_runtime::cross_check::DRAWN_ROWS;
use onnward_runtime::fixtures::first_feature_in_hundredths;
use onnward_runtime::fixtures::{Fake, OTHER, SERVING, artifact};

use super::*;
use crate::fixtures::{fetched, loader};

fn load(backends: &[Fake]) -> Result<ServingModel, LoadError> {
    loader(backends).load("phone", 1, &fetched(artifact(1.0)))
}

fn refusal(backends: &[Fake]) -> (LoadStep, String) {
    let error = load(backends).map(|model| model.backend).unwrap_err();
    (error.step(), error.to_string())
}

#[test]
fn two_backends_that_agree_are_said_to() {
    let model = load(&[SERVING, OTHER]).unwrap();
    assert_eq!(model.backend, BackendKind::OnnxRuntime);
    let comparison = model.comparison.unwrap();
    assert_eq!((comparison.with, comparison.drawn_rows), (BackendKind::Tract, DRAWN_ROWS));
    assert_eq!(load(&[OTHER]).unwrap().comparison, None, "there is nothing to compare with");
}

#[test]
fn one_row_that_another_backend_scores_otherwise_refuses_the_model_and_is_named() {
    let off = |matrix: ArrayView2<'_, f32>| {
        let mut scores = first_feature_in_hundredths(matrix);
        // The first two are golden rows.
        scores[19] += 2e-6;
        scores
    };
    let (step, message) = refusal(&[SERVING, Fake { score: off, ..OTHER }]);
    assert_eq!(step, LoadStep::Differential);
    assert!(message.starts_with("drawn row 17 ") && message.contains("{\"months\": "), "{message}");
    let barely = |matrix: ArrayView2<'_, f32>| {
        first_feature_in_hundredths(matrix).into_iter().map(|score| score + 5e-7).collect()
    };
    assert!(load(&[SERVING, Fake { score: barely, ..OTHER }]).is_ok());
}

#[test]
fn a_backend_that_cannot_open_the_model_is_passed_over() {
    let closed = |fake| Fake { opens: false, ..fake };
    let model = load(&[SERVING, closed(OTHER)]).unwrap();
    assert_eq!((model.backend, model.comparison), (BackendKind::OnnxRuntime, None));
    let model = load(&[closed(SERVING), OTHER]).unwrap();
    assert_eq!((model.backend, model.comparison), (BackendKind::Tract, None));
    let (step, message) = refusal(&[closed(SERVING), closed(OTHER)]);
    assert_eq!(step, LoadStep::Open);
    assert!(
        message.contains("onnxruntime cannot open") && message.contains("tract cannot open"),
        "{message}"
    );
    assert_eq!(refusal(&[]).0, LoadStep::NoBackend);
}

#[test]
fn a_backend_that_cannot_run_the_compared_rows_does_not_block_another() {
    let model = load(&[SERVING, Fake { max_rows: 2, ..OTHER }]).unwrap();
    assert_eq!((model.backend, model.comparison), (BackendKind::OnnxRuntime, None));
}

/// Takes its time for every batch.
fn slowly(matrix: ArrayView2<'_, f32>) -> Vec<f32> {
    std::thread::sleep(Duration::from_millis(2));
    first_feature_in_hundredths(matrix)
}

#[test]
fn how_long_batches_take_does_not_choose_the_backend() {
    for fakes in [[Fake { score: slowly, ..SERVING }, OTHER], [SERVING, Fake { score: slowly, ..OTHER }]] {
        let model = load(&fakes).unwrap();
        assert_eq!(model.backend, BackendKind::OnnxRuntime);
        assert_eq!(model.comparison.unwrap().with, BackendKind::Tract);
        assert_eq!(model.batcher.max_batch_rows(), 256, "it is configured");
    }
}

#[test]
fn a_preferred_backend_that_computes_something_else_is_not_worked_around() {
    let wrong = |matrix: ArrayView2<'_, f32>| {
        first_feature_in_hundredths(matrix).into_iter().map(|score| score + 1e-3).collect()
    };
    let (step, message) = refusal(&[Fake { score: wrong, ..SERVING }, OTHER]);
    assert_eq!(step, LoadStep::Golden);
    assert!(message.contains("on onnxruntime, golden row 0"), "{message}");
}

#[test]
fn a_batch_size_that_cannot_be_run_has_a_reason_of_its_own() {
    let (step, message) = refusal(&[Fake { max_rows: 31, ..SERVING }, OTHER]);
    assert_eq!(step, LoadStep::WarmUp);
    assert!(message.contains("a 32-row batch"), "{message}");
}
