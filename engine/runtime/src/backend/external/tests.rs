use onnward_rows::{RowParser, RowsLimits};

use super::*;
use crate::fixtures::Scripted;

/// Named inputs: two floats, an integer, a closed set of strings, any string.
const PIPELINE: &[u8] = include_bytes!("../../../../../tests/data/external/sklearn-pipeline.onnx");
/// One matrix of three floats.
const NETWORK: &[u8] = include_bytes!("../../../../../tests/data/external/torch-logits.onnx");

fn decode(bytes: &[u8]) -> ExternalModel {
    ExternalModel::decode("external", bytes, None).unwrap()
}

fn open(model: &ExternalModel, score: fn(&[Input]) -> Result<Vec<f32>, String>) -> ExternalSession {
    ExternalSession::open(&Scripted { score }, model, &[]).unwrap()
}

fn read(model: &ExternalModel, body: &str) -> Rows {
    let parser = RowParser::new(model.schema.clone());
    parser.parse(body.as_bytes(), RowsLimits::of_rows(10), false).unwrap().rows
}

/// Scores as a worker does.
fn score(session: &mut ExternalSession, rows: &Rows) -> Vec<f32> {
    let matrix = ArrayView2::from_shape((rows.len, rows.values.len() / rows.len), &rows.values).unwrap();
    let batch = match rows.kept.is_empty() {
        true => Batch::Features(matrix),
        false => Batch::FeaturesAndKept(matrix, &rows.kept),
    };
    let scored = session.score(batch).unwrap();
    scored.probabilities().unwrap().to_vec()
}

const TWO_ROWS: &str = r#"[
    {"months": 1, "charges": 20.5, "calls": 3, "plan": "full", "region": "north"},
    {"months": 2, "charges": null, "calls": -4, "plan": "basic", "region": "anywhere"}
]"#;

#[test]
fn rows_become_inputs_of_their_own_types_and_shapes() {
    let pipeline = decode(PIPELINE);
    let mut session = open(&pipeline, |inputs| {
        let [months, charges, calls, plan, region] = inputs else { panic!("{inputs:?}") };
        assert_eq!(*months, Input::column("months", InputValues::Floats(vec![1.0, 2.0])));
        let InputValues::Floats(charges) = &charges.values else { panic!("{charges:?}") };
        assert!(charges[0] == 20.5 && charges[1].is_nan());
        assert_eq!(*calls, Input::column("calls", InputValues::Int64s(vec![3, -4])));
        let texts = |texts: [&str; 2]| InputValues::Texts(texts.map(str::to_owned).to_vec());
        assert_eq!(
            (&plan.values, &region.values),
            (&texts(["full", "basic"]), &texts(["north", "anywhere"]))
        );
        Ok(vec![0.25, 0.75])
    });
    assert_eq!(score(&mut session, &read(&pipeline, TWO_ROWS)), [0.25, 0.75]);

    let network = decode(NETWORK);
    let mut session = open(&network, |inputs| {
        let values = InputValues::Floats(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(inputs, [Input { name: "input".to_owned(), row_shape: Some(vec![3]), rows: 2, values }]);
        Ok(vec![0.5, 0.5])
    });
    let rows = read(&network, r#"[{"f0": 1, "f1": 2, "f2": 3}, {"f2": 6, "f1": 5, "f0": 4}]"#);
    assert_eq!(score(&mut session, &rows), [0.5, 0.5]);
}

#[test]
fn a_row_that_the_graph_fails_on_has_no_probability_and_the_others_keep_theirs() {
    let pipeline = decode(PIPELINE);
    let mut session = open(&pipeline, |inputs| {
        let InputValues::Texts(regions) = &inputs[4].values else { panic!("{inputs:?}") };
        let InputValues::Floats(months) = &inputs[0].values else { panic!("{inputs:?}") };
        match regions.iter().any(|region| region == "anywhere") {
            true => Err("unknown region".to_owned()),
            false => Ok(months.iter().map(|months| months / 4.0).collect()),
        }
    });
    let rows = read(&pipeline, TWO_ROWS);
    let scored = score(&mut session, &rows);
    assert!(scored[0] == 0.25 && scored[1].is_nan(), "{scored:?}");
    assert!(session.score_rows(&rows).unwrap_err().to_string().contains("unknown region"));
}

#[test]
fn what_lies_outside_of_0_and_1_is_no_probability() {
    let network = decode(NETWORK);
    let rows = read(
        &network,
        r#"[{"f0": 1, "f1": 0, "f2": 0}, {"f0": 2, "f1": 0, "f2": 0}, {"f0": 3, "f1": 0, "f2": 0}]"#,
    );
    let mut session = open(&network, |_| Ok(vec![1.000_001, -0.000_001, 1.5]));
    let scored = score(&mut session, &rows);
    assert!(scored[..2] == [1.0, 0.0] && scored[2].is_nan(), "{scored:?}");
}

#[test]
fn a_graph_that_takes_one_row_is_run_on_one_at_a_time() {
    let mut network = decode(NETWORK);
    network.one_row_a_run = true;
    let mut session = open(&network, |inputs| {
        let InputValues::Floats(values) = &inputs[0].values else { panic!("{inputs:?}") };
        assert_eq!(values.len(), 3);
        Ok(vec![values[0] / 4.0])
    });
    let rows = read(
        &network,
        r#"[{"f0": 1, "f1": 0, "f2": 0}, {"f0": 2, "f1": 0, "f2": 0}, {"f0": 3, "f1": 0, "f2": 0}]"#,
    );
    assert_eq!(score(&mut session, &rows), [0.25, 0.5, 0.75]);
}
