use super::*;
use crate::backend::{Input, InputValues};
use crate::fixtures::Scripted;

const NETWORK: &[u8] = include_bytes!("../../../../../tests/data/external/torch-logits.onnx");

fn first_column(inputs: &[Input]) -> Vec<f32> {
    let InputValues::Floats(values) = &inputs[0].values else { panic!("{inputs:?}") };
    values.chunks(3).map(|row| row[0]).collect()
}

/// Runs the smoke test on the network, with this function in place of its graph.
fn try_network(score: fn(&[Input]) -> Result<Vec<f32>, String>) -> Result<usize, String> {
    let model = ExternalModel::decode("external", NETWORK, None).unwrap();
    smoke_test(&Scripted { score }, &model, &[]).map_err(|error| error.to_string())
}

#[test]
fn rows_that_the_model_rejects_are_skipped() {
    let rows = try_network(|inputs| match first_column(inputs) {
        numbers if numbers.iter().any(|number| *number < 0.0) => Err("it must be positive".to_owned()),
        numbers => Ok(numbers.iter().map(|number| number / 1000.0).collect()),
    });
    assert!(rows.as_ref().is_ok_and(|rows| (2..16).contains(rows)), "{rows:?}");
}

#[test]
fn a_model_that_scores_no_row_is_refused_with_what_to_write() {
    let failure = try_network(|_| Err("unknown category".to_owned())).unwrap_err();
    assert!(failure.contains("unknown category") && failure.contains("[example]"), "{failure}");
    let failure = try_network(|inputs| Ok(first_column(inputs).iter().map(|_| f32::NAN).collect()));
    assert!(failure.unwrap_err().contains("not a number"));
}

#[test]
fn logits_are_noticed_by_their_values() {
    let failure = try_network(|inputs| Ok(first_column(inputs))).unwrap_err();
    assert!(failure.contains("which is not a probability") && failure.contains("activation"), "{failure}");
}

#[test]
fn a_model_whose_rows_depend_on_each_other_is_refused() {
    let failure = try_network(|inputs| {
        let rows = first_column(inputs).len();
        Ok(vec![1.0 / rows as f32; rows])
    });
    let failure = failure.unwrap_err();
    assert!(
        failure.contains("depends on the rows beside it") && failure.contains("model.eval()"),
        "{failure}"
    );
}

#[test]
fn a_model_that_has_no_probability_for_a_row_in_a_batch_is_refused() {
    let failure = try_network(|inputs| match first_column(inputs).len() {
        1 => Ok(vec![0.25]),
        rows => Ok((0..rows).map(|row| if row == 1 { f32::NAN } else { 0.25 }).collect()),
    });
    let failure = failure.unwrap_err();
    assert!(failure.contains("0.25 alone, NaN in a batch"), "{failure}");
}

#[test]
fn a_model_that_leaves_out_rows_of_a_batch_is_refused() {
    let failure = try_network(|inputs| Ok(vec![0.25; first_column(inputs).len().div_ceil(2)]));
    let failure = failure.unwrap_err();
    assert!(failure.contains("not one for each row"), "{failure}");
}
