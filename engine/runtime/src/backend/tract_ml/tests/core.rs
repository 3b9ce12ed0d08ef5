use super::cases::Family;
use super::draw::Draw;
use super::graph::{Graph, Value, Values, float, int, ints};

pub fn families() -> Vec<(&'static str, Family)> {
    vec![
        ("Sigmoid", sigmoid),
        ("IsNaN", is_nan),
        ("IsInf", is_inf),
        ("Gemm", gemm),
        ("MatMul", matmul),
        ("Cast", cast),
        ("ArgMax", arg_max),
        ("TopK", top_k),
        ("Where", choose),
        ("Equal", equal),
        ("Concat", concat),
        ("Gather", gather),
        ("Reductions", reduce),
        ("Unary", unary),
        ("Binary", binary),
        ("Clip", clip),
    ]
}

/// Returns rows of numbers of single or of double precision.
fn rows_of(draw: &mut Draw) -> Value {
    let (rows, datum) = (draw.rows(), draw.below(2));
    Value::new(&[rows, 3], Values::of_numbers(draw.numbers(rows * 3), datum))
}

fn sigmoid(draw: &mut Draw) -> Graph {
    let (rows, datum) = (draw.rows(), draw.below(2));
    let input = Value::new(&[rows, 3], any_numbers(draw, rows * 3, datum));
    Graph::core("Sigmoid", vec![], vec![input])
}

fn is_nan(draw: &mut Draw) -> Graph {
    Graph::core("IsNaN", vec![], vec![rows_of(draw)])
}

fn is_inf(draw: &mut Draw) -> Graph {
    let attributes =
        vec![int("detect_positive", draw.below(2) as i64), int("detect_negative", draw.below(2) as i64)];
    Graph::core("IsInf", attributes, vec![rows_of(draw)])
}

fn gemm(draw: &mut Draw) -> Graph {
    let (rows, inner, columns, datum) = (draw.rows(), 1 + draw.below(4), 1 + draw.below(4), draw.below(2));
    let transposes = [draw.chance(), draw.chance()];
    let matrix = |draw: &mut Draw, mut shape: [usize; 2], transposes: bool| {
        if transposes {
            shape.reverse();
        }
        Value::new(&shape, Values::of_numbers(draw.plains(shape[0] * shape[1]), datum))
    };
    let mut inputs =
        vec![matrix(draw, [rows, inner], transposes[0]), matrix(draw, [inner, columns], transposes[1])];
    if draw.chance() {
        let shape = draw.one_of(&[vec![columns], vec![1, columns], vec![rows, 1], vec![], vec![1]]);
        let count = shape.iter().product();
        inputs.push(Value::new(&shape, Values::of_numbers(draw.plains(count), datum)));
    }
    let mut attributes =
        vec![int("transA", i64::from(transposes[0])), int("transB", i64::from(transposes[1]))];
    if draw.chance() {
        attributes.extend([float("alpha", draw.plain()), float("beta", draw.plain())]);
    }
    Graph::core("Gemm", attributes, inputs).with_fixed_rows()
}

fn matmul(draw: &mut Draw) -> Graph {
    let (rows, inner, columns, datum) = (draw.rows(), 1 + draw.below(4), 1 + draw.below(4), draw.below(2));
    let first = draw.one_of(&[vec![rows, inner], vec![2, rows, inner]]);
    let second = draw.one_of(&[vec![inner], vec![inner, columns]]);
    let inputs = [first, second].map(|shape| {
        let count = shape.iter().product();
        Value::new(&shape, Values::of_numbers(draw.plains(count), datum))
    });
    Graph::core("MatMul", vec![], inputs.to_vec()).with_fixed_rows()
}

/// Returns plain values of a type: strings for 4.
fn values(draw: &mut Draw, count: usize, datum: usize) -> Values {
    match datum {
        4 => Values::Strings(draw.words(count)),
        datum => Values::of_numbers(draw.plains(count), datum),
    }
}

fn cast(draw: &mut Draw) -> Graph {
    let (rows, from) = (draw.rows(), draw.below(5));
    let [float, double, int64, int32, string, boolean] = [1, 11, 7, 6, 8, 9];
    let (input, to) = match from {
        // tract reads strings as floats alone.
        4 => {
            let texts = (0..rows).map(|_| draw.one_of(&["1", "-2", "0.5", "1e3", "17"]).to_owned());
            (Values::Strings(texts.collect()), float)
        }
        from => {
            let to = draw.one_of(&[float, double, int64, int32, string, boolean]);
            if from < 2 && [int64, int32].contains(&to) {
                let wide = |draw: &mut Draw| {
                    draw.one_of(&[3e9, -3e9, 1.7e12, -2.5, 255.9, 2147483648.0, 1e30, f32::NAN])
                };
                (Values::of_numbers((0..rows).map(|_| wide(draw)).collect(), from), to)
            } else {
                (Values::of_numbers(draw.plains(rows), from), to)
            }
        }
    };
    Graph::core("Cast", vec![int("to", to)], vec![Value::new(&[rows, 1], input)])
}

fn arg_max(draw: &mut Draw) -> Graph {
    let (rows, datum) = (draw.rows(), draw.below(4));
    let input =
        Value::new(&[rows, 4], Values::of_numbers((0..rows * 4).map(|_| draw.tie()).collect(), datum));
    let attributes = vec![
        int("axis", draw.one_of(&[1, -1])),
        int("keepdims", draw.below(2) as i64),
        int("select_last_index", draw.below(2) as i64),
    ];
    Graph::core(draw.one_of(&["ArgMax", "ArgMin"]), attributes, vec![input])
}

fn top_k(draw: &mut Draw) -> Graph {
    let (rows, datum) = (draw.rows(), draw.below(4));
    let input =
        Value::new(&[rows, 4], Values::of_numbers((0..rows * 4).map(|_| draw.tie()).collect(), datum));
    let k = Value::new(&[1], Values::Int64s(vec![1 + draw.below(4) as i64]));
    let attributes = vec![int("axis", -1), int("largest", draw.below(2) as i64), int("sorted", 1)];
    Graph::core("TopK", attributes, vec![input, k]).with_constant(1).with_outputs(&["values", "indices"])
}

fn choose(draw: &mut Draw) -> Graph {
    let (rows, datum) = (draw.rows(), draw.below(5));
    let condition = Value::new(&[rows, 1], Values::Booleans((0..rows).map(|_| draw.chance()).collect()));
    let first = Value::new(&[rows, 3], values(draw, rows * 3, datum));
    let second = Value::new(&[1, 3], values(draw, 3, datum));
    Graph::core("Where", vec![], vec![condition, first, second]).with_fixed_rows()
}

fn equal(draw: &mut Draw) -> Graph {
    let (rows, datum) = (draw.rows(), draw.below(4));
    let op = draw.one_of(&["Equal", "Less", "Greater"]);
    let first = Value::new(&[rows, 3], any_numbers(draw, rows * 3, datum));
    let second = Value::new(&[1, 3], values(draw, 3, datum));
    Graph::core(op, vec![], vec![first, second]).with_fixed_rows()
}

fn concat(draw: &mut Draw) -> Graph {
    let (rows, datum) = (draw.rows(), draw.below(5));
    let inputs = (0..3).map(|_| Value::new(&[rows, 2], values(draw, rows * 2, datum))).collect();
    Graph::core("Concat", vec![int("axis", 1)], inputs)
}

fn gather(draw: &mut Draw) -> Graph {
    let (rows, datum) = (draw.rows(), draw.below(5));
    let input = Value::new(&[rows, 3], values(draw, rows * 3, datum));
    let indices = Value::new(&[2], Values::Int64s(vec![draw.below(3) as i64, -1]));
    Graph::core("Gather", vec![int("axis", 1)], vec![input, indices]).with_constant(1)
}

fn reduce(draw: &mut Draw) -> Graph {
    // tract squares and takes exponentials of floats alone.
    let (op, datums) = draw.one_of(&[
        ("ReduceMax", 4),
        ("ReduceMin", 4),
        ("ReduceMean", 4),
        ("ReduceProd", 4),
        ("ReduceL1", 4),
        ("ReduceL2", 2),
        ("ReduceSumSquare", 2),
        ("ReduceLogSumExp", 2),
    ]);
    let (rows, datum) = (draw.rows(), draw.below(datums));
    let input = Value::new(&[rows, 3], values(draw, rows * 3, datum));
    let attributes = vec![ints("axes", vec![1]), int("keepdims", draw.below(2) as i64)];
    Graph::core(op, attributes, vec![input])
}

fn unary(draw: &mut Draw) -> Graph {
    const OPERATORS: [&str; 14] = [
        "Exp",
        "Abs",
        "Neg",
        "Sqrt",
        "Log",
        "Tanh",
        "Floor",
        "Ceil",
        "Sign",
        "Relu",
        "Reciprocal",
        "Softmax",
        "LogSoftmax",
        "Identity",
    ];
    let (rows, datum) = (draw.rows(), draw.below(2));
    let operator = draw.one_of(&OPERATORS);
    let input = match operator {
        // ONNX Runtime gives numbers of its own beside NaN.
        "LogSoftmax" => Values::of_numbers(
            (0..rows * 3).map(|_| draw.plain() * draw.one_of(&[1.0, 1e9])).collect(),
            datum,
        ),
        _ => any_numbers(draw, rows * 3, datum),
    };
    Graph::core(operator, vec![], vec![Value::new(&[rows, 3], input)])
}

fn binary(draw: &mut Draw) -> Graph {
    let (rows, datum) = (draw.rows(), draw.below(4));
    let op = draw.one_of(&["Add", "Sub", "Mul", "Div", "Pow", "Max", "Min"]);
    let input = Value::new(&[rows, 3], any_numbers(draw, rows * 3, datum));
    let second = Value::new(&[1, 3], Values::of_numbers(vec![2.0, 1.0, 3.0], datum));
    Graph::core(op, vec![], vec![input, second]).with_constant(1)
}

fn clip(draw: &mut Draw) -> Graph {
    let (rows, datum) = (draw.rows(), draw.below(4));
    let input = Value::new(&[rows, 3], any_numbers(draw, rows * 3, datum));
    let bounds = [-1.0, 2.0].map(|bound| Value::new(&[], Values::of_numbers(vec![bound], datum)));
    let [low, high] = bounds;
    Graph::core("Clip", vec![], vec![input, low, high]).with_constant(1).with_constant(2)
}

/// Returns numbers of a type, special ones among those with fractions.
fn any_numbers(draw: &mut Draw, count: usize, datum: usize) -> Values {
    let numbers = if datum < 2 { draw.numbers(count) } else { draw.plains(count) };
    Values::of_numbers(numbers, datum)
}
