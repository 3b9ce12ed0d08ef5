use super::*;

fn made(operator: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        input: inputs.iter().map(|name| (*name).to_owned()).collect(),
        output: vec![output.to_owned()],
        ..node("", operator, vec![])
    }
}

fn integers(name: &str, numbers: &[i64]) -> TensorProto {
    TensorProto {
        name: Some(name.to_owned()),
        data_type: Some(DataType::Int64 as i32),
        int64_data: numbers.to_vec(),
        ..floats(&[numbers.len() as i64], &[])
    }
}

fn graph(initializer: Vec<TensorProto>, node: Vec<NodeProto>) -> GraphProto {
    let input = vec![ValueInfoProto { name: Some("x".to_owned()), ..ValueInfoProto::default() }];
    GraphProto { initializer, node, input, ..GraphProto::default() }
}

#[track_caller]
fn is_too_much(graph: GraphProto) {
    for graph in [graph.clone(), nested(graph)] {
        let error = refused(graph);
        assert!(matches!(error, BoundsError::Made { .. }), "{error}");
    }
}

#[test]
fn a_few_bytes_cannot_ask_for_a_tensor_of_any_size() {
    let huge = [1 << 20, 1 << 20];
    for (operator, inputs) in [
        ("ConstantOfShape", vec!["n"]),
        ("Expand", vec!["x", "n"]),
        ("Tile", vec!["x", "n"]),
        ("Pad", vec!["x", "n"]),
        ("Range", vec!["x", "n", "x"]),
        ("OneHot", vec!["x", "n", "x"]),
        ("Resize", vec!["x", "", "", "n"]),
    ] {
        is_too_much(graph(vec![integers("n", &huge)], vec![made(operator, &inputs, "y")]));
        is_too_much(graph(vec![integers("n", &[i64::MIN])], vec![made(operator, &inputs, "y")]));
        accepted(graph(vec![integers("n", &[-1, 1, 1000])], vec![made(operator, &inputs, "y")]));
    }
    // In another type, as raw data, and as a node's value.
    let raw = TensorProto {
        int64_data: vec![],
        raw_data: Some(i64::MAX.to_le_bytes().to_vec().into()),
        ..integers("n", &[1])
    };
    let double = TensorProto {
        data_type: Some(DataType::Double as i32),
        int64_data: vec![],
        double_data: vec![1e18],
        ..integers("n", &[1])
    };
    for tensor in [raw, double] {
        is_too_much(graph(vec![tensor.clone()], vec![made("ConstantOfShape", &["n"], "y")]));
        let constant = NodeProto {
            attribute: vec![AttributeProto { t: Some(tensor), ..attribute("value") }],
            ..made("Constant", &[], "n")
        };
        is_too_much(graph(vec![], vec![constant, made("Cast", &["n"], "m"), made("Tile", &["x", "m"], "y")]));
    }
    let shaped = AttributeProto { ints: huge.to_vec(), ..attribute("shape") };
    is_too_much(of_node(node("", "RandomNormal", vec![shaped])));
}

#[test]
fn a_size_that_is_computed_from_small_numbers_is_estimated() {
    let squared = |times: usize| {
        let names: Vec<String> = (0..=times).map(|index| format!("n{index}")).collect();
        let squares = names.windows(2).map(|pair| made("Mul", &[&pair[0], &pair[0]], &pair[1]));
        let last = made("ConstantOfShape", &[&names[times]], "y");
        graph(vec![integers("n0", &[2])], squares.chain([last]).collect())
    };
    accepted(squared(4));
    is_too_much(squared(5));
    is_too_much(squared(40));
    // Sums, powers, parts of a long list.
    let long = integers("n", &[1 << 40; 65]);
    let of_long = vec![made("Gather", &["n", "x"], "m"), made("ConstantOfShape", &["m"], "y")];
    is_too_much(graph(vec![long], of_long));
    let power = vec![made("Pow", &["n", "n"], "m"), made("ConstantOfShape", &["m"], "y")];
    is_too_much(graph(vec![integers("n", &[9])], power));
    let sum = vec![made("Add", &["n", "n"], "m"), made("ConstantOfShape", &["m"], "y")];
    is_too_much(graph(vec![integers("n", &[1 << 26])], sum));
}

#[test]
fn sizes_that_follow_from_the_rows_are_as_exporters_write_them() {
    let nodes = vec![
        made("Shape", &["x"], "shape"),
        made("Slice", &["shape", "zero", "end"], "rows"),
        made("Concat", &["rows", "width"], "wanted"),
        made("Expand", &["x", "wanted"], "y"),
    ];
    let constants = vec![integers("zero", &[0]), integers("end", &[i64::MAX]), integers("width", &[64])];
    accepted(graph(constants, nodes));
}

#[test]
fn nodes_come_after_what_they_read() {
    let nodes = vec![made("Abs", &["x"], "a"), made("Neg", &["a"], "b")];
    accepted(graph(vec![], nodes.clone()));
    for wrong in [
        nodes.iter().rev().cloned().collect(),
        vec![made("Abs", &["a"], "a")],
        vec![made("Abs", &["nowhere"], "a")],
    ] {
        let error = refused(nested(graph(vec![], wrong)));
        assert!(matches!(error, BoundsError::Unsorted { .. }), "{error}");
    }
    // A branch reads what is around it.
    let inner = graph(vec![], vec![made("Abs", &["outer"], "a")]);
    let branch = AttributeProto { g: Some(inner), ..attribute("then_branch") };
    accepted(graph(vec![], vec![made("Neg", &["x"], "outer"), node("", "If", vec![branch])]));
}
