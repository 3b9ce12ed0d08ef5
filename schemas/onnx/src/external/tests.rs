use onnward_schemas::{FeatureKind, Kept, Task, UnknownPolicy};

use super::*;
use crate::artifact::decode_model;
use crate::output_reader::{Activation, ClassesOutput, ProbabilityOutput};
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

fn probability(model: &ExternalModel) -> &ProbabilityOutput {
    let OutputReader::Probability(output) = &model.output else { panic!("{model:?}") };
    output
}

/// Returns the positive and the negative label.
fn labels(model: &ExternalModel) -> (&str, &str) {
    let binary = model.schema.binary().unwrap();
    (&binary.positive, &binary.negative)
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
    assert_eq!(probability(&model).name, "probabilities");
    assert_eq!(labels(&model), ("yes", "no"));
    let run = decode_model(&model.encode()).unwrap().graph.unwrap();
    let operators: Vec<&str> = run.node.iter().map(|node| node.op_type()).collect();
    assert_eq!(operators, ["LinearClassifier"]);
    assert_eq!(run.output.len(), 1);
    assert_eq!(run.output[0].name(), "probabilities");

    let negative = decode(
        zip_mapped(strings("classlabels_strings", &["no", "yes"])),
        "[output]\nlabel = \"no\"\nlabel_name = \"stays\"\nthreshold = 0.3",
    );
    assert_eq!(probability(&negative).column, Some(0));
    assert_eq!(negative.schema.label.name, "stays");
    assert_eq!(negative.schema.binary().unwrap().threshold, 0.3);
    let message = refused(zip_mapped(integers("classlabels_int64s", &[0, 1])), "[output]\nlabel = \"yes\"");
    assert!(message.contains("the labels of \"output_probability\" are 0, 1"), "{message}");
}

#[test]
fn three_labels_are_classes_unless_one_of_them_is_named() {
    let three = || zip_mapped(strings("classlabels_strings", &["a", "b", "c"]));
    let model = decode(three(), "");
    let OutputReader::Classes(ClassesOutput { label, scores, classes }) = &model.output else {
        panic!("{model:?}")
    };
    assert_eq!((label.as_deref(), classes.join("")), (Some("label"), "abc".to_owned()));
    assert_eq!(scores.as_ref().unwrap().0, "probabilities");
    assert_eq!((model.decided_by, model.schema.label.name.as_str()), (KindSource::Guess, "class"));
    let message = refused(three(), "[output]\nkind = \"probability\"");
    assert!(message.contains("3 columns (a, b, c)") && message.contains("label = "), "{message}");
    assert_eq!(probability(&decode(three(), "[output]\nlabel = \"c\"")).column, Some(2));
    assert_eq!(labels(&decode(three(), "[output]\ncolumn = 1")).1, "not b");
    assert!(refused(three(), "[output]\ncolumn = 3").contains("columns 0 to 2"));
    assert!(refused(three(), "[output]\ncolumn = 1\nlabel = \"c\"").contains("one of the two"));
}

#[test]
fn the_probability_is_the_usual_name_or_the_only_output_of_floats() {
    let label = || value("label", DataType::Int64, &[0]);
    let p = |name: &str| value(name, FLOAT, &[0, 2]);
    let stated = "[output]\nkind = \"probability\"";
    let chosen = |outputs: &[ValueInfoProto], config: &str| {
        probability(&decode(graph(&[matrix()], outputs), config)).name.clone()
    };
    assert_eq!(chosen(&[label(), p("scores"), p("probabilities")], ""), "probabilities");
    assert_eq!(chosen(&[label(), value("dense_2", FLOAT, &[0, 1])], stated), "dense_2");
    assert_eq!(chosen(&[p("a"), p("b")], &format!("{stated}\nname = \"b\"")), "b");
    let refused = |outputs: &[ValueInfoProto], config: &str| refused(graph(&[matrix()], outputs), config);
    assert!(refused(&[p("a"), p("b")], stated).contains("a or b: write `name = "));
    assert!(refused(&[label()], stated).contains("its outputs are label"));
    assert!(
        refused(&[label(), p("a")], &format!("{stated}\nname = \"label\"")).contains("it can name are a")
    );
}

/// Returns what is answered of a graph whose outputs are computed by these nodes.
fn kind_of(nodes: &[NodeProto], outputs: &[ValueInfoProto]) -> &'static str {
    let mut graph = graph(&[matrix()], outputs);
    graph.node = nodes.to_vec();
    match decode(graph, "").output {
        OutputReader::Probability(_) => "probability",
        OutputReader::Classes(_) => "classes",
        OutputReader::Number(_) => "number",
        OutputReader::Raw(_) => "raw",
    }
}

#[test]
fn the_operators_show_what_is_answered() {
    let y = |columns| value("y", FLOAT, &[0, columns]);
    let ends_with = |operator: &str, columns| {
        kind_of(
            &[node(operator, &["x"], &["z"], vec![]), node("Identity", &["z"], &["y"], vec![])],
            &[y(columns)],
        )
    };
    assert_eq!(ends_with("Sigmoid", 1), "probability");
    assert_eq!(ends_with("Softmax", 2), "probability");
    assert_eq!(ends_with("Softmax", 4), "classes");
    assert_eq!(ends_with("Sigmoid", 2), "raw", "two labels that do not exclude each other");
    for regressor in ["LinearRegressor", "SVMRegressor", "TreeEnsembleRegressor", "Relu", "MatMul"] {
        assert_eq!(ends_with(regressor, 1), "number", "{regressor}");
        assert_eq!(ends_with(regressor, 3), "raw", "{regressor}");
    }
    let label = || value("label", DataType::Int64, &[0]);
    let detector = [node("Less", &["x"], &["label"], vec![]), node("Sub", &["x"], &["y"], vec![])];
    assert_eq!(kind_of(&detector, &[label(), y(1)]), "raw", "an anomaly detector");
    assert_eq!(kind_of(&detector, &[label(), y(5)]), "raw", "a clustering");
    assert_eq!(kind_of(&detector[..1], &[label()]), "raw", "its classes are not known");
    let svc = || {
        let labels = strings("classlabels_strings", &["a", "b"]);
        node("SVMClassifier", &["x"], &["label", "y"], vec![labels])
    };
    assert_eq!(kind_of(&[svc()], &[value("label", DataType::String, &[0]), y(2)]), "raw", "decision scores");
}

#[test]
fn a_normalizer_of_strings_has_a_locale_that_every_system_has() {
    let locale_of = |attributes| {
        let mut graph = graph(&[matrix()], &[value("y", FLOAT, &[0, 1])]);
        graph.node = vec![node("StringNormalizer", &["x"], &["y"], attributes)];
        let run = decode_model(&decode(graph, "").encode()).unwrap().graph.unwrap();
        let locale = run.node[0].attribute.iter().find(|one| one.name() == "locale");
        locale.map(|locale| String::from_utf8_lossy(locale.s()).into_owned())
    };
    let named = |locale: &str| {
        vec![AttributeProto {
            name: Some("locale".to_owned()),
            s: Some(locale.as_bytes().to_vec().into()),
            ..AttributeProto::default()
        }]
    };
    assert_eq!(locale_of(vec![]).as_deref(), Some("C.UTF-8"));
    assert_eq!(locale_of(named("de_DE.UTF-8")).as_deref(), Some("C.UTF-8"));
    for kept in ["tr_TR.UTF-8", "C", "ja_JP.SJIS"] {
        assert_eq!(locale_of(named(kept)).as_deref(), Some(kept));
    }
}

#[test]
fn labels_are_followed_to_the_list_that_they_are_looked_up_in() {
    let classes = TensorProto {
        name: Some("classes".to_owned()),
        data_type: Some(DataType::String as i32),
        dims: vec![3],
        string_data: ["low", "middle", "high"].map(|text| text.as_bytes().to_vec().into()).to_vec(),
        ..TensorProto::default()
    };
    let mut voting =
        graph(&[matrix()], &[value("label", DataType::String, &[0]), value("probabilities", FLOAT, &[0, 3])]);
    voting.initializer.push(classes);
    voting.node = vec![
        node("Foo", &["x"], &["probabilities"], vec![]),
        node("ArgMax", &["probabilities"], &["best"], vec![]),
        node("ArrayFeatureExtractor", &["classes", "best"], &["picked"], vec![]),
        node("Reshape", &["picked"], &["label"], vec![]),
    ];
    let model = decode(voting.clone(), "");
    let OutputReader::Classes(output) = &model.output else { panic!("{model:?}") };
    assert_eq!(output.classes, ["low", "middle", "high"]);
    let named = decode(voting, "[output]\nlabels = [\"l\", \"m\", \"h\"]");
    let OutputReader::Classes(output) = &named.output else { panic!("{named:?}") };
    assert_eq!(output.classes, ["l", "m", "h"]);
}

#[test]
fn a_kind_that_is_stated_decides_and_other_keys_must_fit_it() {
    let sigmoid = || {
        let mut graph = graph(&[matrix()], &[value("y", FLOAT, &[0, 1])]);
        graph.node = vec![node("Sigmoid", &["x"], &["y"], vec![])];
        graph
    };
    let number = decode(sigmoid(), "[output]\nkind = \"number\"\nlabel_name = \"share\"");
    assert!(matches!(number.output, OutputReader::Number(_)) && number.decided_by == KindSource::Config);
    assert_eq!(number.schema.label.name, "share");
    assert!(matches!(decode(sigmoid(), "[output]\nkind = \"raw\"").output, OutputReader::Raw(_)));
    let message = refused(sigmoid(), "[output]\nkind = \"number\"\nthreshold = 0.4");
    assert!(message.contains("`threshold`") && message.contains("kind = \"number\""), "{message}");
    let wide = graph(&[matrix()], &[value("y", FLOAT, &[0, 3])]);
    assert!(refused(wide.clone(), "[output]\nkind = \"number\"").contains("3 numbers a row: write `column"));
    let second = decode(wide.clone(), "[output]\nkind = \"number\"\ncolumn = 1");
    assert!(matches!(second.output, OutputReader::Number(output) if output.column == Some(1)));
    let message = refused(wide, "[output]\nkind = \"classes\"\nlabels = [\"a\", \"b\"]");
    assert!(message.contains("3 columns for 2 classes"), "{message}");
}

#[test]
fn whole_numbers_that_a_row_divides_are_scored_in_a_process_of_their_own() {
    let x = |element| value("x", element, &[0, 1]);
    let divided = |element: DataType, divisor: &[i64]| {
        let mut graph = graph(&[x(element), value("y", element, &[0, 1])], &[value("z", element, &[0, 1])]);
        if !divisor.is_empty() {
            graph.input.pop();
            graph.initializer.push(TensorProto {
                name: Some("y".to_owned()),
                data_type: Some(DataType::Int64 as i32),
                dims: vec![divisor.len() as i64],
                int64_data: divisor.to_vec(),
                ..TensorProto::default()
            });
        }
        graph.node = vec![node("Abs", &["x"], &["a"], vec![]), node("Div", &["a", "y"], &["z"], vec![])];
        decode(graph, "").memory_demand()
    };
    let alone = MemoryDemand::DependsOnValues { operator: "Div".to_owned() };
    assert_eq!(divided(DataType::Int64, &[]), alone);
    assert_eq!(divided(DataType::Int64, &[2, -1]), alone);
    assert_ne!(divided(DataType::Int64, &[2, 60]), alone);
    assert_ne!(divided(FLOAT, &[]), alone, "fractions do not overflow");
}

#[test]
fn a_graph_in_training_mode_is_refused() {
    let mode = |on: i32| TensorProto {
        name: Some("mode".to_owned()),
        data_type: Some(DataType::Bool as i32),
        int32_data: vec![on],
        ..TensorProto::default()
    };
    let dropout = |on| {
        let mut graph = graph(&[matrix()], &[value("y", FLOAT, &[0, 1])]);
        graph.initializer.push(mode(on));
        graph.node = vec![node("Dropout", &["x", "", "mode"], &["y"], vec![])];
        graph
    };
    assert!(refused(dropout(1), "").contains("Dropout is in training mode"));
    decode(dropout(0), "");
    let mut batch = graph(&[matrix()], &[value("y", FLOAT, &[0, 1])]);
    batch.node = vec![node("BatchNormalization", &["x"], &["y"], vec![integer("training_mode", 1)])];
    assert!(refused(batch, "").contains("model.eval()"));
}

#[test]
fn raw_outputs_keep_their_names_and_a_map_its_keys() {
    let raw = decode(zip_mapped(strings("classlabels_strings", &["no", "yes"])), "[output]\nkind = \"raw\"");
    let Task::Raw(outputs) = &raw.schema.label.task else { panic!("{raw:?}") };
    let names: Vec<&str> = outputs.fields.iter().map(|field| field.name.as_str()).collect();
    assert_eq!(names, ["label", "output_probability"]);
    assert_eq!(outputs.fields[1].keys, ["no", "yes"]);
    assert_eq!(raw.output.tensors(), ["label", "probabilities"]);
}

#[test]
fn logits_are_not_taken_for_probabilities() {
    let logits = |columns| graph(&[matrix()], &[value("logits", FLOAT, &[0, columns])]);
    assert!(refused(logits(1), "").contains("write `activation = \"sigmoid\"`"));
    let activation = |config: &str| probability(&decode(logits(1), config)).activation;
    assert_eq!(activation("[output]\nactivation = \"sigmoid\""), Activation::Sigmoid);
    assert_eq!(activation("[output]\nactivation = \"none\""), Activation::None);
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
    assert!(model.schema.features.iter().all(|feature| feature.required));
    let nullable: Vec<bool> = model.schema.features.iter().map(|feature| feature.nullable).collect();
    assert_eq!(nullable, [true, false, false, false], "only a number with a fraction has a missing value");
    assert_eq!(model.schema.kept_features(), [1, 2, 3]);
    let optional =
        decode(named.clone(), "[inputs]\noptional = [\"tenure\"]\nrename = { tenure = \"months\" }");
    assert!(!optional.schema.features[0].required && optional.schema.features[0].name == "months");
    assert!(refused(named.clone(), "[inputs]\noptional = [\"calls\"]").contains("no missing value"));
    assert!(refused(named.clone(), "[inputs]\noptional = [\"x\"]").contains("`optional` under [inputs]"));
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
        (value("x", FLOAT, &[0, 3, 2, 2, 2]), "the shape [?, 3, 2, 2, 2]"),
        (value("x", DataType::Complex64, &[0, 3]), "contains complex64"),
        (value("x", FLOAT, &[32, 3]), "takes exactly 32 rows"),
        (map("x"), "contains no tensor"),
    ];
    for (input, said) in cases {
        let message = refused(with_inputs(&[input]), "");
        assert!(message.contains(said) && message.contains("export it again"), "{message}");
    }
    assert!(decode(with_inputs(&[value("x", FLOAT, &[1, 3])]), "").one_row_a_run);
    assert!(
        decode(with_inputs(&[matrix(), value("t", FLOAT, &[])]), "").one_row_a_run,
        "rows share a scalar"
    );
    assert!(decode(with_inputs(&[matrix()]), "[model]\nrows_per_run = 1").one_row_a_run);
    assert!(refused(with_inputs(&[matrix()]), "[model]\nrows_per_run = 8").contains("can only be 1"));
}

#[test]
fn every_numeric_type_and_arrays_are_fields() {
    use DataType::*;
    let types = [Float16, Bfloat16, Double, Int8, Int16, Int32, Int64, Uint8, Uint16, Uint32, Uint64, Bool];
    for element in types {
        let model = decode(with_inputs(&[value("x", element, &[0])]), "");
        assert_eq!(fields(&model), ["x"], "{element:?}");
        let history = decode(with_inputs(&[value("h", element, &[0, 0, 3])]), "");
        let FeatureKind::Kept(kept) = &history.schema.features[0].kind else { panic!("{element:?}") };
        assert_eq!((kept.shape.as_slice(), history.inputs[0].layout), (&[None, Some(3)][..], Layout::Arrays));
        for row in model.typical_rows.iter().chain(&history.typical_rows) {
            let encoded = model.schema.encode_rows(std::slice::from_ref(row));
            assert_eq!(encoded.len, 1);
        }
        let kept = history.schema.encode_rows(&history.typical_rows).kept;
        assert!(kept.iter().all(|kept| matches!(kept, Kept::Array(_))), "{element:?}");
    }
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
    assert!(plan.is_kept() && plan.categories().unwrap() == ["basic", "full"], "{plan:?}");
}

#[test]
fn the_example_is_held_against_the_inputs_and_tried_first() {
    let model = decode(encoded(), "[example]\nplan = \"full\"\ncalls = 5");
    let row = |plan: &str, calls: f64| vec![GoldenValue::Text(plan.into()), GoldenValue::Number(calls)];
    // Of calls, 3 and 5 are known.
    let text =
        |plan: &str, calls: &str| vec![GoldenValue::Text(plan.into()), GoldenValue::Text(calls.into())];
    assert_eq!(model.typical_rows[0], row("full", 5.0));
    assert_eq!(model.typical_rows[1], row("basic", 5.0), "then each field is changed");
    let several = decode(
        encoded(),
        "[[example]]\nplan = \"full\"\ncalls = \"5\"\n[[example]]\nplan = \"basic\"\ncalls = \"3\"",
    );
    assert_eq!(several.typical_rows[..2], [text("full", "5"), text("basic", "3")]);
    assert_eq!(several.typical_rows[2..], [text("basic", "5"), text("full", "3"), text("basic", "3")]);
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
