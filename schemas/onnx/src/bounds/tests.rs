mod sizes;
mod trees;

use std::time::{Duration, Instant};

use bytes::Bytes;
use onnward_schemas::{Feature, FeatureKind, Label, Schema};

use super::*;
use crate::external::{ExternalError, ExternalModel};
use crate::proto::tensor_proto::{DataLocation, DataType};
use crate::proto::tensor_shape_proto::{Dimension, dimension};
use crate::proto::{
    AttributeProto, FunctionProto, GraphProto, NodeProto, OperatorSetIdProto, SparseTensorProto,
    StringStringEntryProto, TensorProto, TensorShapeProto, TrainingInfoProto, TypeProto, ValueInfoProto,
    type_proto,
};

const BOUNDS: ModelBounds = ModelBounds {
    max_bytes: 8_000_000,
    max_nodes: 50,
    max_tree_nodes: 1000,
    max_tree_depth: 20,
    max_features: 30,
    all_operators: false,
};

/// Returns why a model is refused, which must be found immediately, whatever the model claims.
#[track_caller]
fn refused_bytes(bytes: &[u8]) -> BoundsError {
    let start = Instant::now();
    let refused = decode_model_within(bytes, &BOUNDS);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    match refused {
        Err(ArtifactError::Bounds(error)) => error,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it is accepted"),
    }
}

#[track_caller]
fn refused(graph: GraphProto) -> BoundsError {
    refused_bytes(&encoded(graph))
}

#[track_caller]
fn accepted(graph: GraphProto) {
    decode_model_within(&encoded(graph), &BOUNDS).unwrap();
}

fn encoded(graph: GraphProto) -> Vec<u8> {
    ModelProto { graph: Some(graph), ..ModelProto::default() }.encode_to_vec()
}

fn of_node(node: NodeProto) -> GraphProto {
    GraphProto { node: vec![node], ..GraphProto::default() }
}

fn of_tensor(tensor: TensorProto) -> GraphProto {
    GraphProto { initializer: vec![tensor], ..GraphProto::default() }
}

fn node(domain: &str, operator: &str, attribute: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        name: Some("the node".to_owned()),
        domain: Some(domain.to_owned()),
        op_type: Some(operator.to_owned()),
        attribute,
        ..NodeProto::default()
    }
}

fn attribute(name: &str) -> AttributeProto {
    AttributeProto { name: Some(name.to_owned()), ..AttributeProto::default() }
}

/// Returns a graph for every place that can hold a tensor.
fn places_of(tensor: &TensorProto) -> Vec<GraphProto> {
    let value = AttributeProto { t: Some(tensor.clone()), ..attribute("value") };
    let values = AttributeProto { tensors: vec![tensor.clone()], ..attribute("values") };
    let mut places = vec![of_tensor(tensor.clone())];
    places.extend([value, values].map(|attribute| of_node(node("", "Constant", vec![attribute]))));
    places.extend(places.clone().into_iter().map(nested));
    places
}

/// Returns the graph as a branch of another one.
fn nested(graph: GraphProto) -> GraphProto {
    of_node(node("", "If", vec![AttributeProto { g: Some(graph), ..attribute("then_branch") }]))
}

fn floats(dims: &[i64], values: &[f32]) -> TensorProto {
    TensorProto {
        name: Some("weights".to_owned()),
        data_type: Some(DataType::Float as i32),
        dims: dims.to_vec(),
        float_data: values.to_vec(),
        ..TensorProto::default()
    }
}

#[test]
fn weights_outside_of_the_file_are_refused_wherever_they_hide() {
    let location = |file: &str| StringStringEntryProto {
        key: Some("location".to_owned()),
        value: Some(file.to_owned()),
    };
    let external = TensorProto {
        data_location: Some(DataLocation::External as i32),
        external_data: vec![location("/etc/passwd")],
        ..floats(&[1], &[])
    };
    // One that does not say so, but has the entries that a reader might follow.
    let hidden = TensorProto { external_data: vec![location("../../other")], ..floats(&[1], &[1.0]) };
    for (tensor, file) in [(external, "/etc/passwd"), (hidden, "../../other")] {
        for graph in places_of(&tensor) {
            let error = refused(graph);
            assert_eq!(
                error,
                BoundsError::ExternalData { tensor: "weights".to_owned(), file: file.to_owned() }
            );
            assert!(error.to_string().contains("external_data=False"), "{error}");
        }
    }
}

#[test]
fn a_tensor_holds_the_elements_that_it_claims_to_have() {
    let string = |texts: usize| TensorProto {
        data_type: Some(DataType::String as i32),
        string_data: vec![Bytes::from_static(b"x"); texts],
        ..floats(&[3], &[])
    };
    let raw = |data_type: DataType, dims: &[i64], bytes: usize| TensorProto {
        data_type: Some(data_type as i32),
        raw_data: Some(vec![0; bytes].into()),
        ..floats(dims, &[])
    };
    let right = [
        floats(&[2, 2], &[0.0; 4]),
        floats(&[], &[1.0]),
        floats(&[0, i64::MAX], &[]),
        string(3),
        raw(DataType::Int4, &[3], 2),
        raw(DataType::Int64, &[3, 1], 24),
        TensorProto { data_type: Some(DataType::Bool as i32), int32_data: vec![1; 2], ..floats(&[2], &[]) },
    ];
    right.into_iter().flat_map(|tensor| places_of(&tensor)).for_each(accepted);

    let wrong = [
        floats(&[i64::MAX, i64::MAX], &[1.0]),
        floats(&[1 << 32, 1 << 32, 1 << 32], &[]),
        floats(&[1 << 40], &[1.0]),
        floats(&[-1], &[]),
        floats(&[-1, -4], &[0.0; 4]),
        floats(&[2], &[0.0; 3]),
        string(2),
        raw(DataType::Float, &[1 << 61], 16),
        raw(DataType::Int64, &[3], 23),
        raw(DataType::String, &[1], 8),
        TensorProto { raw_data: Some(vec![0; 4].into()), ..floats(&[1], &[1.0]) },
        TensorProto { int64_data: vec![1], ..floats(&[1], &[1.0]) },
        TensorProto { data_type: Some(99), ..floats(&[1], &[1.0]) },
        TensorProto { data_type: None, ..floats(&[1], &[1.0]) },
    ];
    for tensor in wrong {
        for graph in places_of(&tensor) {
            let error = refused(graph);
            assert!(matches!(&error, BoundsError::Tensor { tensor, .. } if tensor == "weights"), "{error}");
        }
    }
}

#[test]
fn operators_that_are_not_onnxs_own_are_refused_wherever_they_hide() {
    for domain in ["com.microsoft", "ai.onnx.contrib", "ai.onnx.ml ", "x"] {
        let custom = of_node(node(domain, "Evil", vec![]));
        for graph in [custom.clone(), nested(custom.clone()), nested(nested(custom))] {
            let error = refused(graph);
            let (operator, domain) = ("Evil".to_owned(), domain.to_owned());
            assert_eq!(error, BoundsError::CustomOperator { operator, domain });
        }
    }
    for domain in ["", "ai.onnx", "ai.onnx.ml"] {
        accepted(of_node(node(domain, "Identity", vec![])));
    }
    accepted(of_node(node("com.microsoft", "Tokenizer", vec![])));
    let graph = of_node(node("com.microsoft", "Evil", vec![]));
    let model = ModelProto { graph: Some(graph), ..ModelProto::default() };
    let bounds = ModelBounds { all_operators: true, ..BOUNDS };
    assert!(decode_model_within(&model.encode_to_vec(), &bounds).is_ok());
}

#[test]
fn functions_training_loops_and_sparse_tensors_are_refused() {
    let said = |model: &ModelProto| refused_bytes(&model.encode_to_vec()).to_string();
    let model = ModelProto { graph: Some(GraphProto::default()), ..ModelProto::default() };
    let function = ModelProto { functions: vec![FunctionProto::default()], ..model.clone() };
    assert!(said(&function).contains("which inlines them"), "{}", said(&function));
    let training = ModelProto { training_info: vec![TrainingInfoProto::default()], ..model };
    assert!(said(&training).contains("for inference"), "{}", said(&training));

    let round = of_node(node("", "Loop", vec![]));
    assert!(refused(nested(round)).to_string().contains("without loops"));
    let sparse = SparseTensorProto { values: Some(floats(&[1], &[1.0])), ..SparseTensorProto::default() };
    let attribute = AttributeProto { sparse_tensor: Some(sparse.clone()), ..attribute("value") };
    let graphs = [
        GraphProto { sparse_initializer: vec![sparse], ..GraphProto::default() },
        of_node(node("", "Constant", vec![attribute])),
    ];
    for graph in graphs {
        assert!(refused(graph).to_string().contains("dense"));
    }
}

#[test]
fn nodes_are_counted_with_those_of_nested_graphs() {
    let many = |count| GraphProto { node: vec![node("", "Abs", vec![]); count], ..GraphProto::default() };
    accepted(many(50));
    let too_many = |error: BoundsError| {
        assert!(matches!(error, BoundsError::TooMany { what: "nodes", limit: 50, .. }), "{error}");
        assert!(error.to_string().contains("raise models.max_nodes"), "{error}");
    };
    too_many(refused(many(51)));
    too_many(refused(nested(many(50))));
}

#[test]
fn versions_of_operators_that_nobody_has_published_are_refused() {
    let model = |domain: &str, version| ModelProto {
        graph: Some(GraphProto::default()),
        opset_import: vec![OperatorSetIdProto { domain: Some(domain.to_owned()), version: Some(version) }],
        ..ModelProto::default()
    };
    for (domain, version) in [("", 21), ("ai.onnx.ml", 5), ("com.microsoft", i64::MAX)] {
        decode_model_within(&model(domain, version).encode_to_vec(), &BOUNDS).unwrap();
    }
    for (domain, version) in [("", 0), ("", -1), ("ai.onnx", i64::MAX), ("ai.onnx.ml", 11)] {
        let error = refused_bytes(&model(domain, version).encode_to_vec());
        assert!(matches!(error, BoundsError::Opset { .. }), "{error}");
    }
}

#[test]
fn inputs_that_claim_billions_of_columns_are_refused_before_a_field_is_made_of_each() {
    let input = |columns| {
        let dim = |value| Dimension { value, ..Dimension::default() };
        let shape = TensorShapeProto { dim: vec![dim(None), dim(Some(dimension::Value::DimValue(columns)))] };
        let tensor = type_proto::Tensor { elem_type: Some(DataType::Float as i32), shape: Some(shape) };
        let value = Some(type_proto::Value::TensorType(tensor));
        ValueInfoProto {
            name: Some("x".to_owned()),
            r#type: Some(TypeProto { value, ..TypeProto::default() }),
            ..ValueInfoProto::default()
        }
    };
    let graph = |input: Vec<ValueInfoProto>| GraphProto { input, ..GraphProto::default() };
    accepted(graph(vec![input(15), input(15)]));
    for columns in [31, 4_000_000_000, i64::MAX] {
        let bytes = encoded(graph(vec![input(columns)]));
        let error = ExternalModel::decode_within("x", &bytes, None, &BOUNDS).unwrap_err();
        assert!(
            matches!(error, ExternalError::Onnx(ArtifactError::Bounds(BoundsError::TooMany { .. }))),
            "{error}"
        );
        assert!(error.to_string().contains("raise models.max_features"), "{error}");
    }
    refused(graph(vec![input(16), input(i64::MAX), input(i64::MAX)]));
}

/// Encodes a field of protobuf that holds bytes.
fn field(number: u32, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::bytes::encode(number, &content.to_vec(), &mut bytes);
    bytes
}

#[test]
fn a_small_file_that_would_take_much_memory_is_refused_before_it_is_decoded() {
    // Two bytes each: attributes of a node, tensors and values of a graph, texts, entries, opsets.
    let empty = |number: u64| [(number << 3 | 2) as u8, 0].repeat(3_900_000);
    let in_graph = |content: Vec<u8>| field(7, &content);
    let files = [
        in_graph(field(1, &empty(5))),
        in_graph(empty(5)),
        in_graph(empty(11)),
        in_graph(field(1, &empty(1))),
        [14 << 3 | 2, 0].repeat(3_900_000),
        [8 << 3 | 2, 0].repeat(3_900_000),
    ];
    for bytes in files {
        assert!(bytes.len() as u64 <= BOUNDS.max_bytes);
        let error = refused_bytes(&bytes);
        assert!(matches!(error, BoundsError::Inflated { .. }), "{error}");
    }
}

/// Encodes nested messages. The field numbers repeat, and the last one is innermost.
fn deep(numbers: &[u64], times: usize) -> Vec<u8> {
    let numbers: Vec<u64> = numbers.iter().copied().cycle().take(numbers.len() * times).collect();
    let mut lengths = Vec::with_capacity(numbers.len());
    let mut length = 0_usize;
    for number in numbers.iter().rev() {
        lengths.push(length);
        length += prost::encoding::encoded_len_varint(number << 3)
            + prost::encoding::encoded_len_varint(length as u64);
    }
    let mut bytes = Vec::with_capacity(length);
    for (number, length) in numbers.iter().zip(lengths.iter().rev()) {
        prost::encoding::encode_varint(number << 3 | 2, &mut bytes);
        prost::encoding::encode_varint(*length as u64, &mut bytes);
    }
    bytes
}

#[test]
fn a_hundred_thousand_graphs_or_types_in_each_other_end_nothing_but_the_reading() {
    let graphs = field(7, &deep(&[1, 5, 6], 100_000));
    let types = field(7, &field(11, &field(2, &deep(&[4, 1], 100_000))));
    for bytes in [graphs, types, field(7, &deep(&[1, 5, 6], 6))] {
        assert!(bytes.len() as u64 <= BOUNDS.max_bytes);
        let error = refused_bytes(&bytes);
        assert!(matches!(error, BoundsError::Nested { .. }), "{error}");
    }
    accepted(nested(nested(nested(nested(GraphProto::default())))));
    refused(nested(nested(nested(nested(nested(GraphProto::default()))))));
}

#[test]
fn what_is_no_protobuf_is_not_onnx() {
    let whole = encoded(of_tensor(floats(&[3], &[1.0; 3])));
    let groups = [7 << 3 | 3, 7 << 3 | 4];
    let beyond = [7 << 3 | 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
    let cut = (1..whole.len()).map(|length| &whole[..length]);
    for bytes in cut.chain([groups.as_slice(), &beyond, &[0xff; 20]]) {
        let error = decode_model_within(bytes, &BOUNDS).unwrap_err();
        assert!(matches!(error, ArtifactError::NotOnnx), "{error}");
    }
    assert!(matches!(decode_model_within(&[], &BOUNDS), Err(ArtifactError::Empty)));
}

#[test]
fn a_file_that_is_too_large_is_not_looked_through() {
    let error = refused_bytes(&vec![0xff; 8_000_001]);
    assert_eq!(
        error.to_string(),
        "the file has 8000001 bytes, more than the 8000000 that are accepted: make the model smaller, or \
         raise models.max_bytes in the engine's configuration"
    );
}

#[test]
fn the_configured_number_of_features_is_the_one_that_counts() {
    let features = (0..5000).map(|feature| Feature {
        name: format!("f{feature}"),
        description: String::new(),
        required: true,
        nullable: false,
        kind: FeatureKind::Numeric { min: None, max: None, integer: false },
    });
    let label = Label::binary("y", "1", "0");
    let schema = Schema::of_inputs("wide", label, features.collect()).unwrap();
    for (max_features, is_accepted) in [(4096, false), (4999, false), (5000, true), (1_000_000, true)] {
        let bounds = ModelBounds { max_features, ..ModelBounds::default() };
        let checked = bounds.check_schema(&schema);
        assert_eq!(checked.is_ok(), is_accepted, "{max_features}");
        if let Err(error) = checked {
            assert!(error.to_string().contains("raise models.max_features"), "{error}");
        }
    }
    assert!(ModelBounds::default().check_schema(&schema).is_ok(), "10,000 by default");
}
