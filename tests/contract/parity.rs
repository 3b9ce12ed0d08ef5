//! One suite for every model family on every backend: native score = ONNX score, full graph = subgraph,
//! batch = single.

use ndarray::{Array2, ArrayView2, Axis, s};
use onnward_exporter::export::export;
use onnward_models::{Estimator, Scores, TrainedModel};
use onnward_onnx::Artifact;
use onnward_runtime::backend::{Backend, Batch, Input, InputValues, Session};
use onnward_runtime::golden::{self, GraphForm};
use onnward_schemas::{FeatureKind, Prediction, Predictions, Schema, TaskKind};

use crate::support::{
    Trained, backends, bank, rows_with_gaps, schema, telco, train_small, train_wide, trained,
};

#[test]
fn telco_scores_are_the_same_everywhere() {
    check_all(telco());
}

#[test]
fn bank_scores_are_the_same_everywhere() {
    check_all(bank());
}

#[test]
fn classes_are_the_same_everywhere() {
    for name in CLASSES {
        check_all(&trained(name));
    }
}

#[test]
fn numbers_are_the_same_everywhere() {
    for name in NUMBERS {
        check_all(&trained(name));
    }
}

#[test]
fn a_linear_model_of_many_columns_scores_the_same_everywhere() {
    let trained = train_wide(150);
    let tolerance = trained.models[0].metadata.golden.tolerance;
    assert!(tolerance > 1e-6 && tolerance < 5e-5, "{tolerance}");
    check_all(&trained);
}

/// The schemas with a label of classes, and those with one that is a number.
const CLASSES: [&str; 2] = ["plans", "churn_reason"];
const NUMBERS: [&str; 2] = ["lifetime_value", "rent"];

/// Samples, trains and exports twice. Another seed produces other bytes, so that the equality means
/// something.
#[test]
fn the_same_data_and_seed_give_the_same_bytes() {
    let export_all = |name: &str, seed: u64| -> Vec<(String, Vec<u8>)> {
        let models = train_small(name, seed).models;
        let exported =
            models.iter().map(|model| (model.metadata.family.clone(), export(model).unwrap().encode()));
        exported.collect()
    };
    for name in ["telco", "bank"].into_iter().chain(CLASSES).chain(NUMBERS) {
        let first = export_all(name, 1);
        let other = export_all(name, 2);
        let task = schema(name).schema.label.task.kind();
        let fitting = Estimator::ALL.into_iter().filter(|estimator| estimator.fits(task));
        assert_eq!(first.len(), fitting.count());
        for (((family, bytes), (_, again)), (_, other)) in first.iter().zip(&export_all(name, 1)).zip(&other)
        {
            assert!(bytes == again, "{family} on {name}: two trainings with one seed differ");
            assert!(bytes != other, "{family} on {name}: another seed changes nothing");
        }
    }
}

#[test]
fn an_artifact_that_is_read_and_written_stays_the_same() {
    for trained in [telco(), bank()] {
        for model in &trained.models {
            let bytes = export(model).unwrap().encode();
            assert_eq!(bytes, export(model).unwrap().encode());
            let again = Artifact::decode(&bytes).unwrap();
            assert_eq!(again.metadata.golden, model.metadata.golden);
            assert_eq!(again.encode(), bytes);
        }
    }
}

fn check_all(trained: &Trained) {
    let rows = rows_with_gaps(trained);
    for model in &trained.models {
        let artifact = export(model).unwrap();
        let expected = native(&model.predict(rows.view()));
        for backend in backends() {
            let what = format!("{} on {}", model.metadata.family, backend.kind());
            check(&what, backend.as_ref(), &artifact, model, &rows, &expected);
        }
    }
}

fn check(
    what: &str,
    backend: &dyn Backend,
    artifact: &Artifact,
    model: &TrainedModel,
    rows: &Array2<f32>,
    expected: &[Vec<f64>],
) {
    let task = &model.metadata.schema.label.task;
    let mut whole = backend.open(&artifact.encode(), task).unwrap();
    let mut cut = backend.open(&artifact.encode_subgraph().unwrap(), task).unwrap();
    golden::replay(whole.as_mut(), &model.metadata, GraphForm::Full).unwrap();
    golden::replay(cut.as_mut(), &model.metadata, GraphForm::Subgraph).unwrap();

    let from_whole = whole.score(Batch::Inputs(&raw_columns(&model.metadata.schema, rows.view()))).unwrap();
    let from_cut = cut.score(Batch::Features(rows.view())).unwrap();
    assert_eq!(from_whole.len(), rows.nrows());
    assert_eq!(from_whole, from_cut, "{what}: the full graph and the subgraph differ");

    let (got, unit) = (numbers(&from_cut), model.metadata.golden.unit());
    let largest =
        got.iter().flatten().zip(expected.iter().flatten()).fold(0.0, |largest: f64, (got, expected)| {
            // Numbers are compared relative to their size, as golden rows are.
            let scale = if task.kind() == TaskKind::Number { expected.abs().max(unit) } else { 1.0 };
            largest.max((got - expected).abs() / scale)
        });
    assert_eq!(got.iter().map(Vec::len).sum::<usize>(), expected.iter().map(Vec::len).sum::<usize>());
    println!("{what}: largest difference {largest:.1e} over {} rows", rows.nrows());
    assert!(largest <= model.metadata.golden.tolerance, "{what} differs from the native score by {largest}");

    for size in [1, 2, 3, 7, 32, 33, 256] {
        let batched = in_batches(cut.as_mut(), rows, size);
        let differs = batched.iter().zip(&got).find(|(one, other)| one != other);
        assert_eq!((differs, batched.len()), (None, got.len()), "{what}: batches of {size} differ");
    }
}

/// Returns the numbers of each row: a probability, those of all classes, or the number.
fn native(scores: &Scores) -> Vec<Vec<f64>> {
    match scores {
        Scores::Probabilities(all) | Scores::Numbers(all) => all.iter().map(|one| vec![*one]).collect(),
        Scores::ClassProbabilities(all) => all.outer_iter().map(|row| row.to_vec()).collect(),
    }
}

/// Returns the same of what a backend computes. The class is the most probable one.
fn numbers(predictions: &Predictions) -> Vec<Vec<f64>> {
    let of = |row| match predictions.row(row).unwrap() {
        Prediction::Probability(number) | Prediction::Number(number) => vec![number.to_f64()],
        Prediction::Class(class, probabilities) => {
            let probabilities: Vec<f64> = probabilities.unwrap().iter().collect();
            assert!(probabilities.iter().all(|other| *other <= probabilities[class]), "{probabilities:?}");
            probabilities
        }
        Prediction::Outputs(outputs) => panic!("{outputs:?}"),
    };
    (0..predictions.len()).map(of).collect()
}

fn in_batches(session: &mut dyn Session, rows: &Array2<f32>, size: usize) -> Vec<Vec<f64>> {
    let starts = (0..rows.nrows()).step_by(size);
    let batch = |start: usize| rows.slice(s![start..(start + size).min(rows.nrows()), ..]);
    let score = |start: usize| session.score(Batch::Features(batch(start))).unwrap();
    starts.map(score).flat_map(|scored| numbers(&scored)).collect()
}

/// Returns the rows as a program without Onnward would pass them to the full graph.
fn raw_columns(schema: &Schema, rows: ArrayView2<'_, f32>) -> Vec<Input> {
    let column = |(feature, codes): (&onnward_schemas::Feature, ndarray::ArrayView1<'_, f32>)| {
        let values = match &feature.kind {
            FeatureKind::Numeric { .. } | FeatureKind::Kept(_) => InputValues::Floats(codes.to_vec()),
            FeatureKind::Categorical { values, .. } => {
                let text = |code: &f32| match *code {
                    code if code.is_nan() => String::new(),
                    code if code < 0.0 => "a value that nobody has seen".to_owned(),
                    code => values[code as usize].clone(),
                };
                InputValues::Texts(codes.iter().map(text).collect())
            }
        };
        Input::column(&feature.name, values)
    };
    schema.features.iter().zip(rows.axis_iter(Axis(1))).map(column).collect()
}
