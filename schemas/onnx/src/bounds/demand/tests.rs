use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::proto::TypeProto;
use crate::proto::tensor_shape_proto::Dimension;
use crate::proto::{TensorShapeProto, type_proto::Tensor};

fn input(name: &str, columns: i64, kind: DataType) -> ValueInfoProto {
    let sizes = [dimension::Value::DimParam("rows".to_owned()), dimension::Value::DimValue(columns)];
    let dim = sizes.map(|size| Dimension { value: Some(size), ..Dimension::default() }).to_vec();
    let tensor = Tensor { elem_type: Some(kind as i32), shape: Some(TensorShapeProto { dim }) };
    let value = Some(type_proto::Value::TensorType(tensor));
    let described = TypeProto { value, ..TypeProto::default() };
    ValueInfoProto { name: Some(name.to_owned()), r#type: Some(described), ..ValueInfoProto::default() }
}

fn node(operator: &str, inputs: &[&str], output: &str, integers: &[(&str, i64)]) -> NodeProto {
    let attribute = |(name, value): &(&str, i64)| AttributeProto {
        name: Some((*name).to_owned()),
        i: Some(*value),
        ..AttributeProto::default()
    };
    NodeProto {
        op_type: Some(operator.to_owned()),
        input: inputs.iter().map(|name| (*name).to_owned()).collect(),
        output: vec![output.to_owned()],
        attribute: integers.iter().map(attribute).collect(),
        ..NodeProto::default()
    }
}

fn constant(name: &str, dims: &[i64]) -> TensorProto {
    let elements = dims.iter().product::<i64>() as usize;
    TensorProto {
        name: Some(name.to_owned()),
        dims: dims.to_vec(),
        data_type: Some(DataType::Float as i32),
        float_data: vec![0.0; elements],
        ..TensorProto::default()
    }
}

fn whole_numbers(name: &str, numbers: &[i64]) -> TensorProto {
    TensorProto {
        name: Some(name.to_owned()),
        dims: vec![numbers.len() as i64],
        data_type: Some(DataType::Int64 as i32),
        int64_data: numbers.to_vec(),
        ..TensorProto::default()
    }
}

fn graph(initializer: Vec<TensorProto>, node: Vec<NodeProto>) -> GraphProto {
    GraphProto { initializer, node, input: vec![input("x", 4, DataType::Float)], ..GraphProto::default() }
}

fn depends(graph: &GraphProto) -> bool {
    matches!(MemoryDemand::of(graph), MemoryDemand::DependsOnValues { .. })
}

#[test]
fn a_network_is_bounded_by_its_file() {
    let layers = vec![
        node("Gemm", &["x", "w", "b"], "h", &[]),
        node("Relu", &["h"], "r", &[]),
        node("MatMul", &["r", "v"], "y", &[]),
        node("Sigmoid", &["y"], "p", &[]),
    ];
    let weights = vec![constant("w", &[4, 100]), constant("b", &[100]), constant("v", &[100, 1])];
    assert_eq!(MemoryDemand::of(&graph(weights, layers)), MemoryDemand::Bounded);
}

/// Doubles a value `times` over.
fn doubled(first: &str, times: usize) -> Vec<NodeProto> {
    let name = |at: usize| if at == 0 { first.to_owned() } else { format!("c{at}") };
    (0..times).map(|at| node("Concat", &[&name(at), &name(at)], &name(at + 1), &[("axis", 1)])).collect()
}

#[test]
fn a_value_that_grows_node_by_node_is_not() {
    assert_eq!(MemoryDemand::of(&graph(vec![], doubled("x", 3))), MemoryDemand::Bounded);
    for (initializer, first) in [(vec![], "x"), (vec![constant("k", &[1, 4])], "k")] {
        for times in [24, 40, 60, 200] {
            let grown = graph(initializer.clone(), doubled(first, times));
            assert_eq!(MemoryDemand::of(&grown), MemoryDemand::Measurable, "{first} {times}");
        }
    }
    // A row times a column is a square.
    let outer = vec![
        node("Reshape", &["k", "column"], "c", &[]),
        node("Reshape", &["k", "row"], "r", &[]),
        node("Add", &["c", "r"], "square", &[]),
    ];
    let sizes = [whole_numbers("column", &[-1, 1]), whole_numbers("row", &[1, -1])];
    let with = |length: i64| graph([&sizes[..], &[constant("k", &[length])]].concat(), outer.clone());
    assert_eq!(MemoryDemand::of(&with(64)), MemoryDemand::Bounded);
    assert_eq!(MemoryDemand::of(&with(10_000)), MemoryDemand::Measurable);
}

#[test]
fn an_operator_without_a_rule_must_be_measured() {
    let found = MemoryDemand::of(&graph(vec![], vec![node("Einsum", &["x", "x"], "y", &[])]));
    assert_eq!(found, MemoryDemand::Measurable);
}

#[test]
fn a_size_from_a_value_is_found_however_far_it_has_come() {
    for operator in BY_OTHER_INPUTS {
        let direct = graph(vec![], vec![node(operator, &["x", "x"], "y", &[])]);
        assert!(depends(&direct), "{operator}");
        let by_rows = vec![node("Shape", &["x"], "n", &[]), node(operator, &["x", "n"], "y", &[])];
        assert!(!depends(&graph(vec![], by_rows)), "{operator}: the number of rows is no value");
        let by_file = vec![node(operator, &["x", "n"], "y", &[])];
        assert!(!depends(&graph(vec![whole_numbers("n", &[2])], by_file)), "{operator}");
    }
    for steps in 0..30 {
        let name = |at: usize| if at == 0 { "x".to_owned() } else { format!("n{at}") };
        let mut nodes: Vec<_> = (0..steps).map(|at| node("Abs", &[&name(at)], &name(at + 1), &[])).collect();
        nodes.push(node("ConstantOfShape", &[&name(steps)], "y", &[]));
        assert!(depends(&graph(vec![], nodes)), "{steps}");
    }
}

#[test]
fn a_graph_inside_reads_the_values_around_it() {
    let body = GraphProto { node: vec![node("ConstantOfShape", &["s"], "t", &[])], ..GraphProto::default() };
    let holding = |operator: &str, read: &str| {
        let body = AttributeProto { g: Some(body.clone()), ..AttributeProto::default() };
        NodeProto { attribute: vec![body], ..node(operator, &[read], "z", &[]) }
    };
    let outer = |first: &str| vec![node("Abs", &[first], "s", &[]), holding("Scan", "k")];
    assert!(depends(&graph(vec![constant("k", &[3])], outer("x"))));
    assert!(!depends(&graph(vec![constant("k", &[3])], outer("k"))));
    // Which branch is taken depends on the row.
    assert!(depends(&graph(vec![], vec![holding("If", "x")])));
}

#[test]
fn a_string_of_a_row_is_not_copied_without_a_bound() {
    let of_texts = |nodes: Vec<NodeProto>, initializer: Vec<TensorProto>| GraphProto {
        input: vec![input("s", 1, DataType::String)],
        node: nodes,
        initializer,
        ..GraphProto::default()
    };
    assert!(!depends(&of_texts(doubled("s", 3), vec![])));
    assert!(depends(&of_texts(doubled("s", 10), vec![])));
    let select = |count: usize| {
        let gather = node("Gather", &["s", "at"], "y", &[("axis", 1)]);
        of_texts(vec![gather], vec![whole_numbers("at", &vec![0; count])])
    };
    assert!(!depends(&select(5)));
    assert!(depends(&select(1000)));
    assert!(depends(&of_texts(vec![node("StringConcat", &["s", "s"], "y", &[])], vec![])));
    // A number that is found by a string is no string.
    let mut nodes = vec![node("LabelEncoder", &["s"], "code", &[])];
    nodes.extend(doubled("code", 8));
    nodes.push(node("Expand", &["code", "n"], "y", &[]));
    assert!(!depends(&of_texts(nodes, vec![whole_numbers("n", &[1, 100])])));
}

#[test]
fn only_numbers_with_fractions_are_divided_here() {
    let to = |kind: DataType| [("to", kind as i64)];
    let whole = |name: &str| vec![whole_numbers(name, &[7])];
    let both = || vec![node("Div", &["a", "b"], "y", &[])];
    let made = |mut nodes: Vec<NodeProto>| {
        nodes.extend(both());
        nodes
    };
    let cast = |kind| made(vec![node("Cast", &["x"], "a", &to(kind)), node("Cast", &["x"], "b", &to(kind))]);
    for kind in [DataType::Float, DataType::Double, DataType::Float16] {
        assert!(!depends(&graph(vec![], cast(kind))), "{kind:?}");
    }
    for kind in [DataType::Int64, DataType::Uint8, DataType::Int8] {
        assert!(depends(&graph(vec![], cast(kind))), "{kind:?}");
    }
    // Each makes whole numbers of numbers with fractions or of texts.
    for operator in
        ["ArgMax", "LabelEncoder", "CategoryMapper", "NonZero", "Shape", "Hash", "LinearClassifier"]
    {
        let nodes = made(vec![node(operator, &["x"], "a", &[]), node("Sub", &["a", "one"], "b", &[])]);
        assert!(depends(&graph(whole("one"), nodes)), "{operator}");
    }
    let like = made(vec![node("CastLike", &["x", "one"], "a", &[]), node("Abs", &["a"], "b", &[])]);
    assert!(depends(&graph(whole("one"), like)));
    let mut top = made(vec![node("TopK", &["x", "one"], "values", &[])]);
    top[0].output.push("a".to_owned());
    assert!(depends(&graph(whole("one"), top)));

    // What it is divided by decides, where it is known.
    let divided = |by: &[i64]| {
        let nodes = vec![node("ArgMax", &["x"], "a", &[]), node("Mod", &["a", "by"], "y", &[])];
        depends(&graph(vec![whole_numbers("by", by)], nodes))
    };
    assert!(!divided(&[7, -2]) && divided(&[7, -1]) && divided(&[0]));

    // A branch divides what is around it.
    let inside = |kind| {
        let body = GraphProto { node: both(), ..GraphProto::default() };
        let body = AttributeProto { g: Some(body), ..AttributeProto::default() };
        let mut nodes = cast(kind);
        nodes.pop();
        nodes.push(NodeProto { attribute: vec![body], ..node("Scan", &["one"], "z", &[]) });
        depends(&graph(vec![constant("one", &[1])], nodes))
    };
    assert!(inside(DataType::Int32) && !inside(DataType::Float));
}

#[test]
fn a_long_text_of_the_file_counts_in_every_row() {
    let encoder = |length: usize| {
        let text = AttributeProto {
            name: Some("default_string".to_owned()),
            s: Some(vec![b'a'; length].into()),
            ..AttributeProto::default()
        };
        NodeProto { attribute: vec![text], ..node("LabelEncoder", &["x"], "y", &[]) }
    };
    assert_eq!(MemoryDemand::of(&graph(vec![], vec![encoder(10)])), MemoryDemand::Bounded);
    assert_eq!(MemoryDemand::of(&graph(vec![], vec![encoder(1 << 20)])), MemoryDemand::Measurable);
}

/// Shapes are upper bounds: whatever is bounded also is by adding up what a runtime would make of it.
#[test]
fn no_generated_graph_that_is_bounded_makes_more_than_its_bound() {
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let mut bounded = 0;
    for _ in 0..3000 {
        let mut names = vec![("x".to_owned(), [ROWS, 4]), ("k".to_owned(), [1, 4])];
        let (mut nodes, mut bytes) = (Vec::new(), 0_u128);
        for at in 0..random.random_range(1..400) {
            let pick = |random: &mut ChaCha8Rng| random.random_range(0..names.len());
            let ((one, a), (other, b)) = (names[pick(&mut random)].clone(), names[pick(&mut random)].clone());
            let output = format!("v{at}");
            let (made, shape) = match random.random_range(0..4) {
                0 if a[0] == b[0] => {
                    let axis = [("axis", 1)];
                    (node("Concat", &[&one, &other], &output, &axis), [a[0], a[1].saturating_add(b[1])])
                }
                1 if a[1] == b[1] || a[1] == 1 || b[1] == 1 => {
                    (node("Add", &[&one, &other], &output, &[]), [a[0].max(b[0]), a[1].max(b[1])])
                }
                2 => (node("Transpose", &[&one], &output, &[]), [a[1], a[0]]),
                _ if a[1] == b[0] => (node("MatMul", &[&one, &other], &output, &[]), [a[0], b[1]]),
                _ => (node("Relu", &[&one], &output, &[]), a),
            };
            bytes += u128::from(shape[0]) * u128::from(shape[1]) * u128::from(ELEMENT_BYTES);
            nodes.push(made);
            names.push((output, shape));
        }
        let demand = MemoryDemand::of(&graph(vec![constant("k", &[1, 4])], nodes));
        assert_eq!(demand == MemoryDemand::Bounded, bytes <= u128::from(MAX_BYTES), "{bytes}");
        bounded += usize::from(demand == MemoryDemand::Bounded);
    }
    assert!((300..2900).contains(&bounded), "{bounded} of 3000 are bounded");
}
