//! Changes to ONNX files that leave them ONNX files. Bytes changed at random nearly always break the encoding, and never
//! get past it.

use bytes::Bytes;
use libfuzzer_sys::fuzzer_mutate;
use onnward_onnx::proto::attribute_proto::AttributeType;
use onnward_onnx::proto::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, type_proto};
use prost::Message;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Operators that one of the runtimes has, and some that may do harm.
const OPERATORS: [(&str, &str); 44] = [
    ("", "Abs"),
    ("", "Add"),
    ("", "ArgMax"),
    ("", "Cast"),
    ("", "Clip"),
    ("", "Concat"),
    ("", "Constant"),
    ("", "ConstantOfShape"),
    ("", "Div"),
    ("", "Equal"),
    ("", "Expand"),
    ("", "Flatten"),
    ("", "Gather"),
    ("", "Gemm"),
    ("", "Identity"),
    ("", "If"),
    ("", "IsNaN"),
    ("", "Loop"),
    ("", "MatMul"),
    ("", "Mul"),
    ("", "OneHot"),
    ("", "Pad"),
    ("", "Pow"),
    ("", "Range"),
    ("", "ReduceSum"),
    ("", "Reshape"),
    ("", "Scan"),
    ("", "Shape"),
    ("", "Sigmoid"),
    ("", "Slice"),
    ("", "Softmax"),
    ("", "Split"),
    ("", "Squeeze"),
    ("", "Sub"),
    ("", "Tile"),
    ("", "Transpose"),
    ("", "Unsqueeze"),
    ("", "Where"),
    ("ai.onnx.ml", "CategoryMapper"),
    ("ai.onnx.ml", "LinearClassifier"),
    ("ai.onnx.ml", "Normalizer"),
    ("ai.onnx.ml", "TreeEnsemble"),
    ("ai.onnx.ml", "TreeEnsembleClassifier"),
    ("com.example", "Custom"),
];

/// Numbers at which sizes, indices and counts go wrong.
const NUMBERS: [i64; 16] =
    [0, 1, 2, 3, 4, 7, 8, 16, 255, 65_536, -1, -2, 1 << 31, 1 << 40, i64::MAX, i64::MIN];

/// Changes `data`, of which the first `size` bytes are a file, within `max_size` bytes; the new size.
pub fn mutate(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let mut random = ChaCha8Rng::seed_from_u64(u64::from(seed));
    if random.random_ratio(1, 5) {
        return fuzzer_mutate(data, size, max_size);
    }
    let Ok(mut model) = ModelProto::decode(&data[..size]) else {
        return fuzzer_mutate(data, size, max_size);
    };
    for _ in 0..random.random_range(1..4) {
        change_model(&mut model, &mut random);
    }
    let bytes = model.encode_to_vec();
    if bytes.len() > max_size {
        return fuzzer_mutate(data, size, max_size);
    }
    data[..bytes.len()].copy_from_slice(&bytes);
    bytes.len()
}

fn change_model(model: &mut ModelProto, random: &mut ChaCha8Rng) {
    match random.random_range(0..20) {
        0 => change_text_of(&mut model.metadata_props, random),
        1 => model.metadata_props.clear(),
        2 => {
            if let Some(opset) = one_of(&mut model.opset_import, random) {
                opset.version = Some(number(random));
            }
        }
        _ => {
            if let Some(graph) = &mut model.graph {
                change_graph(graph, random, 0);
            }
        }
    }
}

fn change_text_of(properties: &mut [onnward_onnx::proto::StringStringEntryProto], random: &mut ChaCha8Rng) {
    let Some(property) = one_of(properties, random) else { return };
    let bytes = mutated(property.value().as_bytes(), 64);
    property.value = Some(String::from_utf8_lossy(&bytes).into_owned());
}

fn change_graph(graph: &mut GraphProto, random: &mut ChaCha8Rng, depth: usize) {
    match random.random_range(0..12) {
        0 => {
            let at = random.random_range(0..=graph.node.len());
            if let Some(node) = graph.node.choose(random).cloned() {
                graph.node.insert(at, node);
            }
        }
        1 if !graph.node.is_empty() => {
            graph.node.remove(random.random_range(0..graph.node.len()));
        }
        2 if graph.node.len() > 1 => {
            let (one, other) =
                (random.random_range(0..graph.node.len()), random.random_range(0..graph.node.len()));
            graph.node.swap(one, other);
        }
        3 => {
            let names = names(graph);
            if let (Some(node), Some(name)) = (one_of(&mut graph.node, random), names.choose(random)) {
                rewire(node, name, random);
            }
        }
        4 | 5 => {
            if let Some(tensor) = one_of(&mut graph.initializer, random) {
                change_tensor(tensor, random);
            }
        }
        6 => change_declared(graph, random),
        7 if depth < 3 => nest(graph, random),
        _ => {
            if let Some(node) = one_of(&mut graph.node, random) {
                change_node(node, random, depth);
            }
        }
    }
}

/// Returns the values that a node may read.
fn names(graph: &GraphProto) -> Vec<String> {
    let outputs = graph.node.iter().flat_map(|node| &node.output).cloned();
    let inputs = graph.input.iter().map(|input| input.name().to_owned());
    outputs.chain(inputs).chain(graph.initializer.iter().map(|tensor| tensor.name().to_owned())).collect()
}

fn rewire(node: &mut NodeProto, name: &str, random: &mut ChaCha8Rng) {
    let list = if random.random_ratio(1, 4) { &mut node.output } else { &mut node.input };
    match one_of(list, random) {
        Some(place) if random.random_ratio(3, 4) => name.clone_into(place),
        _ => list.push(name.to_owned()),
    }
}

/// Puts a copy of the graph, or of its first nodes, into an attribute of one of its nodes.
fn nest(graph: &mut GraphProto, random: &mut ChaCha8Rng) {
    let inner = GraphProto { node: graph.node.iter().take(3).cloned().collect(), ..graph.clone() };
    if let Some(node) = one_of(&mut graph.node, random) {
        let name = ["then_branch", "else_branch", "body"].choose(random).copied().unwrap_or_default();
        node.attribute.push(AttributeProto {
            name: Some(name.to_owned()),
            r#type: Some(AttributeType::Graph as i32),
            g: Some(inner),
            ..AttributeProto::default()
        });
    }
}

fn change_node(node: &mut NodeProto, random: &mut ChaCha8Rng, depth: usize) {
    match random.random_range(0..8) {
        0 => {
            let (domain, operator) = OPERATORS.choose(random).copied().unwrap_or_default();
            node.op_type = Some(operator.to_owned());
            node.domain = Some(domain.to_owned());
        }
        1 if !node.attribute.is_empty() => {
            node.attribute.remove(random.random_range(0..node.attribute.len()));
        }
        2 if !node.input.is_empty() => {
            node.input.remove(random.random_range(0..node.input.len()));
        }
        3 => node.output.push("features".to_owned()),
        _ => {
            if let Some(attribute) = one_of(&mut node.attribute, random) {
                change_attribute(attribute, random, depth);
            }
        }
    }
}

fn change_attribute(attribute: &mut AttributeProto, random: &mut ChaCha8Rng, depth: usize) {
    if let Some(i) = &mut attribute.i {
        *i = number(random);
    }
    if let Some(f) = &mut attribute.f {
        *f = f32::from_bits(random.random());
    }
    change_list(&mut attribute.ints, random, number);
    change_list(&mut attribute.floats, random, |random| f32::from_bits(random.random()));
    change_list(&mut attribute.strings, random, |random| {
        Bytes::from_static(
            [b"BRANCH_LEQ".as_slice(), b"LEAF", b"BRANCH_GTE", b"", b"x"]
                .choose(random)
                .unwrap_or(&b"".as_slice()),
        )
    });
    if let Some(s) = &attribute.s {
        attribute.s = Some(mutated(s, 16).into());
    }
    if let Some(tensor) = &mut attribute.t {
        change_tensor(tensor, random);
    }
    if let Some(graph) = &mut attribute.g {
        change_graph(graph, random, depth + 1);
    }
    if random.random_ratio(1, 20) {
        attribute.r#type = Some(random.random_range(0..15));
    }
}

fn change_list<T: Clone>(list: &mut Vec<T>, random: &mut ChaCha8Rng, new: impl Fn(&mut ChaCha8Rng) -> T) {
    if list.is_empty() {
        return;
    }
    let at = random.random_range(0..list.len());
    match random.random_range(0..6) {
        0 => drop(list.remove(at)),
        1 => list.insert(at, new(random)),
        2 => list.truncate(at),
        3 => list.swap(at, 0),
        _ => list[at] = new(random),
    }
}

fn change_tensor(tensor: &mut TensorProto, random: &mut ChaCha8Rng) {
    match random.random_range(0..7) {
        0 => change_list(&mut tensor.dims, random, number),
        1 => tensor.dims.push(number(random)),
        2 => tensor.data_type = Some(random.random_range(0..26)),
        3 => {
            tensor.data_location = Some(1);
            tensor.external_data.push(onnward_onnx::proto::StringStringEntryProto {
                key: Some("location".to_owned()),
                value: Some("/etc/passwd".to_owned()),
            });
        }
        4 if tensor.raw_data.is_none() => tensor.int64_data.push(number(random)),
        _ => {
            if let Some(raw) = &tensor.raw_data {
                tensor.raw_data = Some(mutated(raw, 16).into());
            }
        }
    }
}

/// Changes what an input or an output is declared to be.
fn change_declared(graph: &mut GraphProto, random: &mut ChaCha8Rng) {
    let values = if random.random_ratio(2, 3) { &mut graph.input } else { &mut graph.output };
    let Some(value) = one_of(values, random) else { return };
    let Some(type_proto::Value::TensorType(tensor)) =
        value.r#type.as_mut().and_then(|kind| kind.value.as_mut())
    else {
        return;
    };
    if random.random_ratio(1, 3) {
        tensor.elem_type = Some(random.random_range(0..26));
        return;
    }
    use onnward_onnx::proto::tensor_shape_proto::{Dimension, dimension::Value};
    let Some(shape) = &mut tensor.shape else { return };
    let size = |random: &mut ChaCha8Rng| Dimension {
        value: Some(Value::DimValue(number(random))),
        ..Dimension::default()
    };
    change_list(&mut shape.dim, random, size);
}

fn number(random: &mut ChaCha8Rng) -> i64 {
    match random.random_range(0..4) {
        0 => random.random_range(-3..40),
        1 => random.random::<i64>() >> random.random_range(0..60),
        _ => NUMBERS.choose(random).copied().unwrap_or_default(),
    }
}

fn one_of<'a, T>(list: &'a mut [T], random: &mut ChaCha8Rng) -> Option<&'a mut T> {
    if list.is_empty() {
        return None;
    }
    let at = random.random_range(0..list.len());
    list.get_mut(at)
}

/// Returns the bytes after a mutation by the fuzzer, with room for `more`.
fn mutated(bytes: &[u8], more: usize) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    changed.resize(bytes.len() + more, 0);
    let size = fuzzer_mutate(&mut changed, bytes.len(), bytes.len() + more);
    changed.truncate(size);
    changed
}
