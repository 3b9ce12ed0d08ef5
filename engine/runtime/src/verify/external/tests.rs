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
    try_configured("[output]\nkind = \"probability\"", score)
}

fn try_configured(config: &str, score: fn(&[Input]) -> Result<Vec<f32>, String>) -> Result<usize, String> {
    smoke_test(&Scripted { score }, NETWORK, Some(config)).map_err(|error| error.to_string())
}

/// An example on which the network is run beside rows that differ from it.
const EXAMPLE: &str = "[output]\nkind = \"probability\"\n[example]\nf0 = 1\nf1 = 2\nf2 = 3\n";

#[test]
fn an_example_is_run_beside_rows_that_differ_in_every_field() {
    let rows = try_configured(EXAMPLE, |inputs| {
        let InputValues::Floats(values) = &inputs[0].values else { panic!("{inputs:?}") };
        Ok(values.chunks(3).map(|row| (row[0] + row[1] + row[2]) / 100.0).collect())
    });
    assert_eq!(rows, Ok(5), "the example, each field changed, and all of them");
    let by_batch = |inputs: &[Input]| {
        let numbers = first_column(inputs);
        let mean = numbers.iter().sum::<f32>() / numbers.len() as f32;
        Ok(numbers.iter().map(|number| 0.5 + (number - mean) / 100.0).collect())
    };
    let failure = try_configured(EXAMPLE, by_batch).unwrap_err();
    assert!(failure.contains("rows_per_run = 1"), "{failure}");
    let single = format!("{EXAMPLE}[model]\nrows_per_run = 1\n");
    assert!(try_configured(&single, by_batch).is_ok(), "a row at a time, rows cannot depend on each other");
}

#[test]
fn one_row_alone_shows_nothing_of_others() {
    let only_the_example = |inputs: &[Input]| match first_column(inputs).as_slice() {
        numbers if numbers.iter().all(|number| *number == 1.0) => {
            let InputValues::Floats(values) = &inputs[0].values else { panic!("{inputs:?}") };
            let is_example = values.chunks(3).all(|row| row == [1.0, 2.0, 3.0]);
            if is_example { Ok(vec![0.5; numbers.len()]) } else { Err("not seen in training".to_owned()) }
        }
        _ => Err("not seen in training".to_owned()),
    };
    let failure = try_configured(EXAMPLE, only_the_example).unwrap_err();
    assert!(failure.contains("[[example]]") && failure.contains("rows_per_run"), "{failure}");
    let single = format!("{EXAMPLE}[model]\nrows_per_run = 1\n");
    assert_eq!(try_configured(&single, only_the_example), Ok(1));
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
