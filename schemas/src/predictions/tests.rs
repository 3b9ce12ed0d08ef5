use serde_json::json;

use super::*;
use crate::task::{OutputElement, OutputField};

fn written(task: &Task, prediction: Prediction<'_>) -> serde_json::Value {
    let text = serde_json::to_string(&LabelledPrediction { task, key: "plan", prediction }).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn classes() -> PredictedValues {
    let probabilities = Some(Numbers::Single(vec![0.5, 0.25, 0.25, 0.0, 0.0, 1.0]));
    PredictedValues::Classes(ClassPredictions { indices: vec![0, 2], probabilities })
}

/// Returns predictions of every task for two rows, of which the last failed in one.
fn all_kinds() -> Vec<Predictions> {
    let output = |values| TypedArray { shape: vec![2], values };
    let outputs = vec![
        vec![
            output(TypedValues::Integers(vec![1, 2])),
            output(TypedValues::Texts(vec!["a".into(), "b".into()])),
        ],
        Vec::new(),
    ];
    let failures = vec![RowFailure { row: 1, reason: "no".to_owned() }];
    vec![
        vec![0.25, 0.75].into(),
        PredictedValues::Probabilities(Numbers::Double(vec![0.25, 0.1])).into(),
        classes().into(),
        PredictedValues::Classes(ClassPredictions { indices: vec![3, 1], probabilities: None }).into(),
        PredictedValues::Numbers(Numbers::Double(vec![-1e300, 2.5])).into(),
        Predictions { values: PredictedValues::Outputs(outputs), failures },
    ]
}

#[test]
fn parts_that_are_put_together_again_are_the_whole() {
    for whole in all_kinds() {
        let mut parts = whole.slice(0..1);
        assert_eq!(parts.len(), 1);
        assert_eq!(parts.row(0), whole.row(0));
        assert!(parts.append(whole.slice(1..2)));
        assert_eq!(parts, whole);
        assert_eq!(whole.largest_difference(&parts, 1.0), (0, 0.0));
        assert!(whole.slice(1..9).len() == 1 && whole.slice(2..3).is_empty());
    }
}

#[test]
fn predictions_of_two_forms_are_not_put_together_and_differ() {
    let kinds = all_kinds();
    for (index, one) in kinds.iter().enumerate() {
        for (other_index, other) in kinds.iter().enumerate().filter(|(other, _)| *other != index) {
            assert!(!one.clone().append(other.clone()), "{index} and {other_index}");
        }
    }
    assert_eq!(kinds[0].largest_difference(&kinds[4], 1.0).1, f64::INFINITY);
    let classes =
        |index| PredictedValues::Classes(ClassPredictions { indices: vec![index], probabilities: None });
    assert_eq!(Predictions::from(classes(1)).largest_difference(&classes(2).into(), 1.0), (0, f64::INFINITY));
    let nan = Predictions::from(vec![0.5, f32::NAN]);
    assert_eq!(nan.largest_difference(&nan, 1.0), (1, f64::INFINITY));
}

#[test]
fn a_prediction_is_written_in_the_terms_of_its_label() {
    let binary = crate::schema::Label::binary("plan", "yes", "no").task;
    let probability = |number| Prediction::Probability(number);
    assert_eq!(
        written(&binary, probability(Number::Single(0.5))),
        json!({ "probability": 0.5, "plan": true })
    );
    let exact = 0.123_456_789_012_345_67;
    assert_eq!(
        written(&binary, probability(Number::Double(exact))),
        json!({ "probability": exact, "plan": false })
    );
    let three = Task::Classes(Classes { values: ["basic", "gold", "none"].map(str::to_owned).to_vec() });
    let predicted = Predictions::from(classes());
    assert_eq!(
        written(&three, predicted.row(1).unwrap()),
        json!({ "plan": "none", "probabilities": { "basic": 0.0, "gold": 0.0, "none": 1.0 } })
    );
    assert_eq!(written(&three, Prediction::Class(1, None)), json!({ "plan": "gold" }));
    assert_eq!(written(&Task::Number, Prediction::Number(Number::Double(51.9))), json!({ "plan": 51.9 }));
}

#[test]
fn outputs_are_written_by_name_as_nested_lists_or_under_their_keys() {
    let field = |name: &str, keys: &[&str]| OutputField {
        name: name.to_owned(),
        element: OutputElement::Number,
        rank: None,
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
    };
    let fields =
        vec![field("matrix", &[]), field("one", &[]), field("map", &["a", "b"]), field("texts", &[])];
    let task = Task::Raw(Outputs { fields });
    let numbers = |shape: &[usize], numbers: &[f64]| TypedArray {
        shape: shape.to_vec(),
        values: TypedValues::Numbers(Numbers::Double(numbers.to_vec())),
    };
    let outputs = [
        numbers(&[2, 2], &[1.0, 2.0, 3.0, f64::NAN]),
        numbers(&[], &[7.0]),
        numbers(&[2], &[0.5, 0.25]),
        TypedArray { shape: vec![1], values: TypedValues::Texts(vec!["x".to_owned()]) },
    ];
    assert_eq!(
        written(&task, Prediction::Outputs(&outputs)),
        json!({ "outputs": {
            "matrix": [[1.0, 2.0], [3.0, null]], "one": 7.0, "map": { "a": 0.5, "b": 0.25 }, "texts": ["x"]
        } })
    );
}

#[test]
fn a_row_without_a_number_is_not_finite() {
    assert!(!Prediction::Number(Number::Single(f32::NAN)).is_finite());
    assert!(!Prediction::Class(ClassPredictions::NONE as usize, None).is_finite());
    assert!(!Prediction::Outputs(&[]).is_finite());
    assert!(Prediction::Class(0, Some(NumberSlice::Double(&[1.0]))).is_finite());
}
