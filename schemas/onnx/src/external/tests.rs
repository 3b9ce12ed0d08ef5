use onnward_schemas::{FeatureKind, UnknownPolicy};

use super::*;
use crate::artifact::decode_model;
use crate::probability::Activation;
use crate::proto::tensor_proto::{DataLocation, DataType};
use crate::proto::tensor_shape_proto::{Dimension, dimension};
use crate::proto::{
    AttributeProto, GraphProto, NodeProto, StringStringEntryProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto, type_proto,
};

/// Returns a value of shape `sizes`, where 0 is any size.
fn value(name: &str, element: DataType, sizes: &[i64]) -> ValueInfoProto {
    let size = |size: &i64| Dimension {
        value: (*size != 0).then_some(dimension::Value::DimValue(*size)),
        ..Dimension::default()
    };
    let shape = TensorShapeProto { dim: sizes.iter().map(size).collect() };
    let tensor = type_proto::Tensor { elem_type: Some(element as i32), shape: Some(shape) };
    let value = Some(type_proto::Value::TensorType(tensor));
    ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: Some(TypeProto { value, ..TypeProto::default() }),
        ..ValueInfoProto::default()
    }
}

/// Returns a value that is not a tensor, such as the output of a ZipMap.
fn map(name: &str) -> ValueInfoProto {
    ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: Some(TypeProto::default()),
        ..ValueInfoProto::default()
    }
}

fn node(operator: &str, inputs: &[&str], outputs: &[&str], attributes: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        op_type: Some(operator.to_owned()),
        input: inputs.iter().map(|name| (*name).to_owned()).collect(),
        output: outputs.iter().map(|name| (*name).to_owned()).collect(),
        attribute: attributes,
        ..NodeProto::default()
    }
}

fn strings(name: &str, values: &[&str]) -> AttributeProto {
    let strings = values.iter().map(|value| value.as_bytes().to_vec().into()).collect();
    AttributeProto { name: Some(name.to_owned()), strings, ..AttributeProto::default() }
}

fn integers(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { name: Some(name.to_owned()), ints: values.to_vec(), ..AttributeProto::default() }
}

fn integer(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: Some(name.to_owned()), i: Some(value), ..AttributeProto::default() }
}

/// Returns a graph whose nodes do not matter.
fn graph(inputs: &[ValueInfoProto], outputs: &[ValueInfoProto]) -> GraphProto {
    GraphProto { input: inputs.to_vec(), output: outputs.to_vec(), ..GraphProto::default() }
}

fn try_decode(graph: GraphProto, config: &str) -> Result<ExternalModel, ExternalError> {
    let model = ModelProto { ir_version: Some(8), graph: Some(graph), ..ModelProto::default() };
    ExternalModel::decode("churn", &model.encode_to_vec(), Some(config))
}

#[track_caller]
fn decode(graph: GraphProto, config: &str) -> ExternalModel {
    try_decode(graph, config).unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn refused(graph: GraphProto, config: &str) -> String {
    try_decode(graph, config).unwrap_err().to_string()
}

fn fields(model: &ExternalModel) -> Vec<&str> {
    model.schema.features.iter().map(|feature| feature.name.as_str()).collect()
}

const FLOAT: DataType = DataType::Float;

fn matrix() -> ValueInfoProto {
    value("x", FLOAT, &[0, 3])
}

/// Returns the output of scikit-learn's converter for a logistic regression: labels, and a ZipMap over the
/// probabilities.
fn zip_mapped(labels: AttributeProto) -> GraphProto {
    let mut graph = graph(&[matrix()], &[value("label", DataType::Int64, &[0]), map("output_probability")]);
    graph.node = vec![
        node("LinearClassifier", &["x"], &["label", "probabilities"], vec![]),
        node("Cast", &["label"], &["output_label"], vec![]),
        node("ZipMap", &["probabilities"], &["output_probability"], vec![labels]),
    ];
    graph
}

#[test]
fn a_zip_map_gives_way_to_its_input_and_names_the_labels() {
    let model = decode(zip_mapped(strings("classlabels_strings", &["no", "yes"])), "");
    assert_eq!(model.output.name, "probabilities");
    assert_eq!((model.schema.label.positive.as_str(), model.schema.label.negative.as_str()), ("yes", "no"));
    let run = decode_model(&model.encode()).unwrap().graph.unwrap();
    let operators: Vec<&str> = run.node.iter().map(|node| node.op_type()).collect();
    assert_eq!(operators, ["LinearClassifier"]);
    assert_eq!(run.output.len(), 1);
    assert_eq!(run.output[0].name(), "probabilities");

    let negative = decode(
        zip_mapped(strings("classlabels_strings", &["no", "yes"])),
        "[output]\nlabel = \"no\"\nlabel_name = \"stays\"\nthreshold = 0.3",
    );
    assert_eq!(negative.output.column, Some(0));
    assert_eq!(negative.schema.label.name, "stays");
    assert_eq!(negative.schema.threshold, 0.3);
    let message = refused(zip_mapped(integers("classlabels_int64s", &[0, 1])), "[output]\nlabel = \"yes\"");
    assert!(message.contains("the labels of \"output_probability\" are 0, 1"), "{message}");
}

#[test]
fn of_three_labels_the_positive_one_must_be_named() {
    let three = || zip_mapped(strings("classlabels_strings", &["a", "b", "c"]));
    let message = refused(three(), "");
    assert!(message.contains("3 columns (a, b, c)") && message.contains("label = "), "{message}");
    assert_eq!(decode(three(), "[output]\nlabel = \"c\"").output.column, Some(2));
    assert_eq!(decode(three(), "[output]\ncolumn = 1").schema.label.negative, "not b");
    assert!(refused(three(), "[output]\ncolumn = 3").contains("columns 0 to 2"));
    assert!(refused(three(), "[output]\ncolumn = 1\nlabel = \"c\"").contains("one of the two"));
}

#[test]
fn the_probability_is_the_usual_name_or_the_only_output_of_floats() {
    let label = || value("label", DataType::Int64, &[0]);
    let p = |name: &str| value(name, FLOAT, &[0, 2]);
    let chosen =
        |outputs: &[ValueInfoProto], config: &str| decode(graph(&[matrix()], outputs), config).output.name;
    assert_eq!(chosen(&[label(), p("scores"), p("probabilities")], ""), "probabilities");
    assert_eq!(chosen(&[label(), value("dense_2", FLOAT, &[0, 1])], ""), "dense_2");
    assert_eq!(chosen(&[p("a"), p("b")], "[output]\nname = \"b\""), "b");
    let refused = |outputs: &[ValueInfoProto], config: &str| refused(graph(&[matrix()], outputs), config);
    assert!(refused(&[p("a"), p("b")], "").contains("a or b: write `name = "));
    assert!(refused(&[label()], "").contains("its outputs are label"));
    assert!(refused(&[label(), p("a")], "[output]\nname = \"label\"").contains("float numbers are a"));
}

#[test]
fn logits_are_not_taken_for_probabilities() {
    let logits = |columns| graph(&[matrix()], &[value("logits", FLOAT, &[0, columns])]);
    assert!(refused(logits(1), "").contains("write `activation = \"sigmoid\"`"));
    assert_eq!(
        decode(logits(1), "[output]\nactivation = \"sigmoid\"").output.activation,
        Activation::Sigmoid
    );
    assert_eq!(decode(logits(1), "[output]\nactivation = \"none\"").output.activation, Activation::None);
    assert!(refused(logits(1), "[output]\nactivation = \"softmax\"").contains("\"sigmoid\""));
    decode(logits(2), "[output]\nactivation = \"softmax\"");
}

fn with_inputs(inputs: &[ValueInfoProto]) -> GraphProto {
    graph(inputs, &[value("probabilities", FLOAT, &[0, 2])])
}

#[test]
fn each_input_or_column_of_one_is_a_field() {
    let named = with_inputs(&[
        value("tenure", FLOAT, &[0, 1]),
        value("calls", DataType::Int64, &[0]),
        value("paperless", DataType::Bool, &[0, 1]),
        value("city", DataType::String, &[0, 1]),
    ]);
    let model = decode(named.clone(), "[inputs]\nrename = { tenure = \"calls\", calls = \"tenure\" }");
    assert_eq!(fields(&model), ["calls", "tenure", "paperless", "city"]);
    let required: Vec<bool> = model.schema.features.iter().map(|feature| feature.required).collect();
    assert_eq!(required, [false, true, true, true]);
    assert_eq!(model.schema.text_features(), [3]);
    let names: Vec<&str> = model.inputs.iter().map(|input| input.name.as_str()).collect();
    assert_eq!(names, ["tenure", "calls", "paperless", "city"]);
    assert!(refused(named, "[inputs]\nrename = { x = \"y\" }").contains("the fields are tenure, calls"));

    assert_eq!(fields(&decode(with_inputs(&[matrix()]), "")), ["f0", "f1", "f2"]);
    let config = "[inputs]\nfeatures = [\"a\", \"b\", \"c\"]";
    assert_eq!(fields(&decode(with_inputs(&[matrix()]), config)), ["a", "b", "c"]);
    assert!(refused(with_inputs(&[value("x", FLOAT, &[0, 2])]), config).contains("2 columns"));
    let two = with_inputs(&[matrix(), value("y", FLOAT, &[0, 2])]);
    assert_eq!(fields(&decode(two.clone(), "")), ["x_0", "x_1", "x_2", "y_0", "y_1"]);
    assert!(refused(two, config).contains("several"));
    let unknown = with_inputs(&[value("x", FLOAT, &[0, 0])]);
    assert_eq!(fields(&decode(unknown.clone(), config)), ["a", "b", "c"]);
    assert!(refused(unknown, "").contains("write their names as `features = "));
}

#[test]
fn initializers_among_the_inputs_are_no_fields() {
    let mut graph = with_inputs(&[matrix(), value("weight", FLOAT, &[8, 3])]);
    graph.initializer.push(TensorProto {
        name: Some("weight".to_owned()),
        data_type: Some(FLOAT as i32),
        dims: vec![8, 3],
        float_data: vec![0.5; 24],
        ..TensorProto::default()
    });
    let model = decode(graph, "");
    assert_eq!(fields(&model), ["f0", "f1", "f2"]);
    assert_eq!(decode_model(&model.encode()).unwrap().graph.unwrap().input.len(), 1);
}

#[test]
fn an_input_that_rows_do_not_have_is_named_with_what_to_do() {
    let cases = [
        (value("x", FLOAT, &[0, 3, 2]), "the shape [?, 3, 2]"),
        (value("x", DataType::Float16, &[0, 3]), "contains float16"),
        (value("x", FLOAT, &[32, 3]), "takes exactly 32 rows"),
        (map("x"), "contains no tensor"),
    ];
    for (input, said) in cases {
        let message = refused(with_inputs(&[input]), "");
        assert!(message.contains(said) && message.contains("export it again"), "{message}");
    }
    assert!(decode(with_inputs(&[value("x", FLOAT, &[1, 3])]), "").one_row_a_run);
}

#[test]
fn weights_in_another_file_are_refused_with_the_exporters_option() {
    let mut graph = with_inputs(&[matrix()]);
    let location = StringStringEntryProto { key: Some("location".into()), value: Some("model.data".into()) };
    graph.initializer.push(TensorProto {
        data_location: Some(DataLocation::External as i32),
        external_data: vec![location],
        ..TensorProto::default()
    });
    let message = refused(graph, "");
    assert!(message.contains("\"model.data\"") && message.contains("external_data=False"), "{message}");
}

/// Returns two one-hot encoded columns. The first encoder fails on unknown values.
fn encoded() -> GraphProto {
    let mut graph =
        with_inputs(&[value("plan", DataType::String, &[0, 1]), value("calls", DataType::Int64, &[0, 1])]);
    let known = strings("cats_strings", &["basic", "full"]);
    graph.node = vec![
        node("OneHotEncoder", &["plan"], &["a"], vec![known, integer("zeros", 0)]),
        node("Cast", &["calls"], &["cast"], vec![]),
        node("OneHotEncoder", &["cast"], &["b"], vec![integers("cats_int64s", &[3, 5]), integer("zeros", 0)]),
        node("Concat", &["a", "b"], &["probabilities"], vec![]),
    ];
    graph
}

#[test]
fn categories_on_which_the_graph_would_fail_are_refused_by_the_schema() {
    let model = decode(encoded(), "");
    for (feature, expected) in model.schema.features.iter().zip([["basic", "full"], ["3", "5"]]) {
        let FeatureKind::Categorical { values, unknown } = &feature.kind else { panic!("{feature:?}") };
        assert_eq!((values.as_slice(), *unknown), (&expected.map(str::to_owned)[..], UnknownPolicy::Reject));
    }
    let mut open = encoded();
    open.node[0].attribute[1].i = Some(1);
    let plan = decode(open, "").schema.features.remove(0);
    assert!(plan.is_text() && plan.categories().unwrap() == ["basic", "full"], "{plan:?}");
}

#[test]
fn the_example_is_held_against_the_inputs_and_tried_first() {
    let model = decode(encoded(), "[example]\nplan = \"full\"\ncalls = 5");
    assert_eq!(model.typical_rows, [[GoldenValue::Text("full".into()), GoldenValue::Number(5.0)]]);
    let message = refused(encoded(), "[example]\nplan = \"gold\"\ntenure = 5");
    for part in ["/plan: expected one of \"basic\"", "/tenure", "/calls"] {
        assert!(message.contains(part), "{message}");
    }
    let made = decode(encoded(), "").typical_rows;
    let accepted = |row: &Vec<GoldenValue>| {
        let features = model.schema.features.iter();
        features.zip(row).all(|(feature, value)| feature.encode(value.as_value()).is_ok())
    };
    assert!(made.len() > 1 && made.iter().all(accepted), "{made:?}");
}

#[test]
fn what_is_wrong_with_the_configuration_is_said_with_its_line() {
    let message = refused(with_inputs(&[matrix()]), "[output]\nname = \"p\"\nactivation = \"relu\"");
    assert!(message.contains("line 3") && message.contains("sigmoid"), "{message}");
    let message = refused(with_inputs(&[matrix()]), "[output]\nnames = \"p\"");
    assert!(message.contains("line 2") && message.contains("label_name"), "{message}");
    let message = refused(with_inputs(&[matrix()]), "[output]\nlabel_name = \"version\"");
    assert!(message.contains("taken by the answer"), "{message}");
}
