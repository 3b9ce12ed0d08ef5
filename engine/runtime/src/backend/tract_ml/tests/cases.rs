use onnward_onnx::proto::AttributeProto;

use super::draw::Draw;
use super::graph::{Graph, Value, Values, float, floats, int, ints, tensor, text, texts};
use super::trees;

/// Draws a graph of one operator.
pub type Family = fn(&mut Draw) -> Graph;

pub const TRANSFORMS: [&str; 5] = ["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"];

pub fn families() -> Vec<(&'static str, Family)> {
    vec![
        ("Imputer", imputer),
        ("Scaler", scaler),
        ("Binarizer", binarizer),
        ("Normalizer", normalizer),
        ("OneHotEncoder", one_hot_encoder),
        ("LabelEncoder 1", label_encoder_1),
        ("LabelEncoder 2", label_encoder_2),
        ("LabelEncoder 4", label_encoder_4),
        ("CategoryMapper", category_mapper),
        ("ArrayFeatureExtractor", array_feature_extractor),
        ("FeatureVectorizer", feature_vectorizer),
        ("LinearClassifier", linear_classifier),
        ("LinearRegressor", linear_regressor),
        ("SVMClassifier", svm_classifier),
        ("SVMRegressor", svm_regressor),
        ("TreeEnsembleClassifier", trees::classifier),
        ("TreeEnsembleRegressor", trees::regressor),
        ("TreeEnsemble", trees::ensemble),
    ]
}

/// Returns rows of numbers, of a type that is drawn from the first `datums`.
fn rows_of(draw: &mut Draw, columns: usize, datums: usize) -> Value {
    let rows = draw.rows();
    let (numbers, datum) = (draw.numbers(rows * columns), draw.below(datums));
    Value::new(&[rows, columns], Values::of_numbers(numbers, datum))
}

/// Returns rows of numbers whose sums keep their precision.
fn moderate_rows(draw: &mut Draw, columns: usize, datums: usize) -> Value {
    let rows = draw.rows();
    let moderate = |number: f32| if number.is_finite() && number.abs() > 100.0 { 100.0 } else { number };
    let numbers = draw.numbers(rows * columns).into_iter().map(moderate).collect();
    Value::new(&[rows, columns], Values::of_numbers(numbers, draw.below(datums)))
}

fn imputer(draw: &mut Draw) -> Graph {
    let columns = 1 + draw.below(4);
    let count = draw.one_of(&[1, columns]);
    if draw.chance() {
        let replaced = draw.one_of(&[f32::NAN, 0.0, -1.0, f32::INFINITY]);
        let attributes =
            vec![floats("imputed_value_floats", draw.plains(count)), float("replaced_value_float", replaced)];
        let input = rows_of(draw, columns, 1);
        return Graph::new("Imputer", 1, attributes, vec![input]);
    }
    let attributes = vec![
        ints("imputed_value_int64s", draw.integers(count)),
        int("replaced_value_int64", draw.integers(1)[0]),
    ];
    let rows = draw.rows();
    let input = Value::new(&[rows, columns], Values::Int64s(draw.integers(rows * columns)));
    Graph::new("Imputer", 1, attributes, vec![input])
}

fn scaler(draw: &mut Draw) -> Graph {
    let columns = 1 + draw.below(4);
    let count = draw.one_of(&[1, columns]);
    let attributes = vec![floats("offset", draw.plains(count)), floats("scale", draw.plains(count))];
    let input = rows_of(draw, columns, 4);
    Graph::new("Scaler", 1, attributes, vec![input])
}

fn binarizer(draw: &mut Draw) -> Graph {
    let attributes = vec![float("threshold", draw.tie())];
    let input = rows_of(draw, 3, 1);
    Graph::new("Binarizer", 1, attributes, vec![input])
}

fn normalizer(draw: &mut Draw) -> Graph {
    let attributes = vec![text("norm", draw.one_of(&["MAX", "L1", "L2"]))];
    let columns = 1 + draw.below(4);
    let mut input = rows_of(draw, columns, 4);
    if draw.below(4) == 0 {
        input.shape = vec![input.shape.iter().product()];
        return Graph::new("Normalizer", 1, attributes, vec![input]).with_fixed_rows();
    }
    Graph::new("Normalizer", 1, attributes, vec![input])
}

fn one_hot_encoder(draw: &mut Draw) -> Graph {
    let categories = 1 + draw.below(6);
    let zeros = draw.below(4);
    let (rows, columns) = (draw.rows(), 1 + draw.below(3));
    let (attribute, values) = if draw.chance() {
        (texts("cats_strings", &draw.words(categories)), Values::Strings(draw.words(rows * columns)))
    } else {
        let (numbers, datum) = (draw.numbers(rows * columns), draw.below(3));
        (ints("cats_int64s", draw.integers(categories)), Values::of_numbers(numbers, datum))
    };
    let shape = draw.one_of(&[vec![rows, columns], vec![rows * columns]]);
    let mut attributes = vec![attribute];
    if zeros != 1 {
        attributes.push(int("zeros", i64::from(zeros != 0)));
    }
    Graph::new("OneHotEncoder", 1, attributes, vec![Value::new(&shape, values)])
}

fn label_encoder_1(draw: &mut Draw) -> Graph {
    two_ways(draw, "LabelEncoder", |draw, count| vec![texts("classes_strings", &draw.words(count))])
}

fn category_mapper(draw: &mut Draw) -> Graph {
    two_ways(draw, "CategoryMapper", |draw, count| {
        vec![texts("cats_strings", &draw.words(count)), ints("cats_int64s", draw.integers(count))]
    })
}

fn two_ways(draw: &mut Draw, op_type: &str, pairs: fn(&mut Draw, usize) -> Vec<AttributeProto>) -> Graph {
    let count = 1 + draw.below(6);
    let mut attributes = pairs(draw, count);
    if draw.chance() {
        attributes.extend([text("default_string", "other"), int("default_int64", 77)]);
    }
    let rows = draw.rows();
    let values =
        if draw.chance() { Values::Strings(draw.words(rows)) } else { Values::Int64s(draw.integers(rows)) };
    Graph::new(op_type, 1, attributes, vec![Value::new(&[rows, 1], values)])
}

/// Draws values of one of the types of LabelEncoder: 0 for strings, 1 for whole numbers, 2 for floats.
fn labels(draw: &mut Draw, count: usize, datum: usize) -> Values {
    match datum {
        0 => Values::Strings(draw.words(count)),
        1 => Values::Int64s(draw.integers(count)),
        2 => Values::Floats(draw.numbers(count)),
        _ => Values::of_numbers(draw.numbers(count), 1),
    }
}

fn listed(kind: &str, values: Values) -> AttributeProto {
    match values {
        Values::Strings(values) => texts(&format!("{kind}_strings"), &values),
        Values::Int64s(values) => ints(&format!("{kind}_int64s"), values),
        Values::Floats(values) => floats(&format!("{kind}_floats"), values),
        values => tensor(&format!("{kind}_tensor"), &values),
    }
}

fn label_encoder_2(draw: &mut Draw) -> Graph {
    let (keys, values) =
        draw.one_of(&[(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1), (0, 0), (1, 1), (2, 2)]);
    let count = 1 + draw.below(6);
    let mut attributes =
        vec![listed("keys", labels(draw, count, keys)), listed("values", labels(draw, count, values))];
    if draw.chance() {
        attributes.push(
            [text("default_string", ""), int("default_int64", 9), float("default_float", 0.25)][values]
                .clone(),
        );
    }
    let rows = draw.rows();
    let input = Value::new(&[rows, 1], labels(draw, rows, keys));
    let version = draw.one_of(&[2, 3]);
    Graph::new("LabelEncoder", version, attributes, vec![input])
}

fn label_encoder_4(draw: &mut Draw) -> Graph {
    let (keys, values) = draw.one_of(&[
        (0, 0),
        (0, 1),
        (0, 2),
        (0, 3),
        (1, 0),
        (1, 1),
        (1, 2),
        (2, 0),
        (2, 1),
        (2, 2),
        (3, 0),
        (3, 3),
    ]);
    let count = 1 + draw.below(6);
    let written = |kind: &str, values: Values, as_tensor: bool| match as_tensor {
        true => tensor(&format!("{kind}_tensor"), &values),
        false => listed(kind, values),
    };
    let mut attributes = vec![
        written("keys", labels(draw, count, keys), draw.chance()),
        written("values", labels(draw, count, values), draw.chance()),
    ];
    if draw.chance() {
        attributes.push(tensor("default_tensor", &labels(draw, 1, values)));
    }
    let rows = draw.rows();
    let input = Value::new(&[rows, 1], labels(draw, rows, keys));
    Graph::new("LabelEncoder", 4, attributes, vec![input])
}

fn array_feature_extractor(draw: &mut Draw) -> Graph {
    let (rows, columns) = (draw.rows(), 1 + draw.below(4));
    let datum = draw.below(5);
    let values = match datum {
        4 => Values::Strings(draw.words(rows * columns)),
        datum => Values::of_numbers(draw.numbers(rows * columns), datum),
    };
    let shape = draw.one_of(&[vec![rows, columns], vec![rows, 1, columns], vec![rows * columns]]);
    let count = 1 + draw.below(3);
    let last = shape[shape.len() - 1];
    let chosen = (0..count).map(|_| draw.below(last) as i64).collect();
    let indices = Value::new(&draw.one_of(&[vec![count], vec![1, count]]), Values::Int64s(chosen));
    Graph::new("ArrayFeatureExtractor", 1, vec![], vec![Value::new(&shape, values), indices])
        .with_fixed_rows()
}

fn feature_vectorizer(draw: &mut Draw) -> Graph {
    let (rows, count, datum) = (draw.rows(), 1 + draw.below(3), draw.below(4));
    let widths: Vec<usize> = (0..count).map(|_| 1 + draw.below(3)).collect();
    let inputs = widths
        .iter()
        .map(|width| Value::new(&[rows, *width], Values::of_numbers(draw.numbers(rows * width), datum)));
    let inputs = inputs.collect();
    let attributes = vec![ints("inputdimensions", widths.iter().map(|width| *width as i64).collect())];
    Graph::new("FeatureVectorizer", 1, attributes, inputs)
}

/// Returns labels for classes, as whole numbers or strings.
pub fn class_labels(draw: &mut Draw, integers: &str, count: usize) -> AttributeProto {
    let strings = ["no", "yes", "", "later", "ü"].map(str::to_owned);
    match draw.below(3) {
        0 => texts("classlabels_strings", &strings[..count]),
        1 => ints(integers, vec![-1, 1, 5, 9, 2][..count].to_vec()),
        _ => ints(integers, (0..count as i64).collect()),
    }
}

fn linear_classifier(draw: &mut Draw) -> Graph {
    let columns = 1 + draw.below(5);
    // One row of coefficients for two labels, or a row for each label.
    let (targets, classes) = draw.one_of(&[(1, 2), (2, 2), (3, 3), (5, 5)]);
    let transforms = if targets == 1 { &TRANSFORMS[..4] } else { &TRANSFORMS[..] };
    let attributes = vec![
        floats("coefficients", draw.plains(targets * columns)),
        floats("intercepts", draw.plains(targets)),
        int("multi_class", i64::from(draw.chance())),
        text("post_transform", draw.one_of(transforms)),
        class_labels(draw, "classlabels_ints", classes),
    ];
    let input = moderate_rows(draw, columns, 4);
    Graph::new("LinearClassifier", 1, attributes, vec![input]).with_outputs(&["label", "scores"]).rounded()
}

fn linear_regressor(draw: &mut Draw) -> Graph {
    let (columns, targets) = (1 + draw.below(5), 1 + draw.below(3));
    let mut attributes = vec![
        floats("coefficients", draw.plains(targets * columns)),
        int("targets", targets as i64),
        text("post_transform", draw.one_of(&TRANSFORMS)),
    ];
    if draw.chance() {
        attributes.push(floats("intercepts", draw.plains(targets)));
    }
    let input = moderate_rows(draw, columns, 1);
    Graph::new("LinearRegressor", 1, attributes, vec![input]).rounded()
}

const KERNELS: [&str; 4] = ["LINEAR", "POLY", "RBF", "SIGMOID"];

fn kernel(draw: &mut Draw) -> Vec<AttributeProto> {
    let degree = draw.one_of(&[1.0, 2.0, 3.0, 4.0]);
    let parameters = vec![draw.one_of(&[0.25, 0.5]), draw.one_of(&[0.0, 0.5]), degree];
    vec![text("kernel_type", draw.one_of(&KERNELS)), floats("kernel_params", parameters)]
}

/// Returns rows of numbers of which sums and powers keep their precision.
fn plain_rows(draw: &mut Draw, columns: usize, datums: usize) -> Value {
    let rows = draw.rows();
    let (numbers, datum) = (draw.plains(rows * columns), draw.below(datums));
    Value::new(&[rows, columns], Values::of_numbers(numbers, datum))
}

fn svm_classifier(draw: &mut Draw) -> Graph {
    let columns = 1 + draw.below(3);
    let classes = 2 + draw.below(3);
    let mut attributes = kernel(draw);
    attributes.push(class_labels(draw, "classlabels_ints", classes));
    let pairs = classes * (classes - 1) / 2;
    let has_probabilities = draw.chance();
    let is_linear = draw.below(3) == 0;
    let one_score = classes == 2 && !has_probabilities && !is_linear;
    attributes.push(text(
        "post_transform",
        draw.one_of(if one_score { &TRANSFORMS[..4] } else { &TRANSFORMS[..] }),
    ));
    let positive = draw.below(4) == 0;
    let coefficients = |draw: &mut Draw, count: usize| {
        let drawn = draw.plains(count);
        if positive { drawn.into_iter().map(f32::abs).collect() } else { drawn }
    };
    if is_linear {
        attributes.push(floats("coefficients", coefficients(draw, classes * columns)));
    } else {
        let counts: Vec<i64> = (0..classes).map(|_| 1 + draw.below(3) as i64).collect();
        let supports: i64 = counts.iter().sum();
        attributes.push(floats("coefficients", coefficients(draw, (classes - 1) * supports as usize)));
        attributes.push(floats("support_vectors", draw.plains(supports as usize * columns)));
        attributes.push(ints("vectors_per_class", counts));
    }
    if has_probabilities {
        attributes.extend([floats("prob_a", draw.plains(pairs)), floats("prob_b", draw.plains(pairs))]);
    }
    attributes.push(floats("rho", draw.plains(pairs)));
    let input = plain_rows(draw, columns, 4);
    Graph::new("SVMClassifier", 1, attributes, vec![input]).with_outputs(&["label", "scores"]).rounded()
}

fn svm_regressor(draw: &mut Draw) -> Graph {
    let columns = 1 + draw.below(3);
    let mut attributes = kernel(draw);
    let supports = draw.below(4);
    let coefficients = if supports == 0 { columns } else { supports };
    attributes.extend([
        floats("coefficients", draw.plains(coefficients)),
        floats("rho", draw.plains(1)),
        int("n_supports", supports as i64),
        int("one_class", i64::from(draw.below(3) == 0)),
    ]);
    if supports > 0 {
        attributes.push(floats("support_vectors", draw.plains(supports * columns)));
    }
    let input = plain_rows(draw, columns, 1);
    Graph::new("SVMRegressor", 1, attributes, vec![input]).rounded()
}
