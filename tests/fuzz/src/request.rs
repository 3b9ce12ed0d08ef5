//! Bodies of requests: of a prediction and of outcomes.

use std::sync::OnceLock;

use onnward_http::parse_outcomes;
use onnward_onnx::ExternalModel;
use onnward_rows::{BodyShape, ParsedRows, RowParser, RowsLimits};
use onnward_schemas::{
    Feature, FeatureKind, Kept, KeptElement, KeptType, Label, Schema, SchemaFile, UnknownPolicy,
};
use serde_json::Value;

const LIMITS: RowsLimits = RowsLimits::of_rows(40);

/// A time in milliseconds since 1970.
const NOW: u64 = 1_790_000_000_000;

/// Runs the target. The first byte selects the parser, and the others are the body.
pub fn run(data: &[u8]) {
    let Some((who, body)) = data.split_first() else { return };
    match who {
        b'o' => outcomes(body, Some("churn")),
        b'O' => outcomes(body, None),
        who => rows(&parsers()[usize::from(*who) % parsers().len()], body),
    }
}

/// Returns the parsers of four schemas: Telco's, one with difficult names and values, that of an external file, which
/// keeps strings, and one of fields of every type.
fn parsers() -> &'static [RowParser] {
    static PARSERS: OnceLock<Vec<RowParser>> = OnceLock::new();
    PARSERS.get_or_init(|| {
        let telco = SchemaFile::parse(include_str!("../../../schemas/telco.toml")).unwrap().schema;
        let hard = SchemaFile::parse(HARD).unwrap().schema;
        let external = include_bytes!("../../data/external/sklearn-pipeline.onnx");
        let external = ExternalModel::decode("external", external, None).unwrap().schema;
        [telco, hard, external, typed()].map(RowParser::new).into()
    })
}

/// Returns the schema of an external model with fields of every type.
fn typed() -> Schema {
    let whole = |min, max| KeptElement::Integer { min, max };
    let single = |name: &str, element| (name.to_owned(), KeptType::single(element));
    let array = |name: &str, element, shape: &[Option<usize>]| {
        (name.to_owned(), KeptType { element, shape: shape.into() })
    };
    let types = [
        single("i64", whole(i64::MIN, i64::MAX)),
        single("i8", whole(-128, 127)),
        single("u64", KeptElement::Unsigned),
        single("f64", KeptElement::Double),
        single("bool", KeptElement::Boolean),
        array("history", KeptElement::Single, &[None, Some(2)]),
        array("words", KeptElement::Text, &[Some(2)]),
    ];
    let feature = |(name, kept): (String, KeptType)| Feature {
        name,
        description: String::new(),
        required: false,
        nullable: kept.element.has_missing(),
        kind: FeatureKind::Kept(kept),
    };
    let label = Label::binary("y", "1", "0");
    Schema::of_inputs("typed", label, types.into_iter().map(feature).collect()).unwrap()
}

const HARD: &str = r#"
name = "hard"
version = 1
identifier = "id/~1"
ignored = ["~", "ignored"]
segments = ["a/b"]
[label]
column = "gone"
positive = "\"yes\""
negative = "no\\"
[[features]]
name = "a/b"
type = "categorical"
values = ["0", "1", "1e3", "true", "null", "ä", "\"", "\\u0000"]
[[features]]
name = "~0~1"
type = "categorical"
values = ["true", "false"]
unknown = "ignore"
required = false
[[features]]
name = "größe \"x\""
type = "numeric"
min = -3.4e38
max = 3.4e38
required = false
[[features]]
name = "count"
type = "numeric"
min = 0
max = 9007199254740993
integer = true
[[features]]
name = "n"
type = "numeric"
"#;

fn rows(parser: &RowParser, body: &[u8]) {
    let read = parser.parse(body, LIMITS, false);
    let again = parser.parse(body, LIMITS, false);
    assert_eq!(format!("{read:?}"), format!("{again:?}"), "the same body is read differently");
    let with_keys = parser.parse(body, LIMITS, true);
    for keeps_keys in [false, true] {
        check_fast_path(parser, body, keeps_keys);
    }
    match read {
        Ok(read) => {
            match with_keys {
                Ok(with_keys) => assert!(same_values(&read, &with_keys), "keys change what is read"),
                // A key of 1e400 is read only where keys are kept, and there is no such number.
                Err(error) => assert!(error.to_string().contains("number out of range"), "{error}"),
            }
            assert!((0..read.rows.len + 1).all(|row| read.keys.get(row).is_none()));
            check_rows(parser.schema(), &read);
            check_each_alone(parser, body, &read);
        }
        Err(error) => {
            assert!(with_keys.is_err(), "keys make a body right");
            let said = error.to_string();
            assert!(said.len() < 400, "{said}");
            let shown = format!("{error:?}");
            assert!(shown.len() < 200_000, "an answer of {} bytes to a body of {}", shown.len(), body.len());
        }
    }
}

/// Checks that the general parser agrees with the fast path.
fn check_fast_path(parser: &RowParser, body: &[u8], keeps_keys: bool) {
    let Ok(text) = str::from_utf8(body) else { return };
    let Some(fast) = parser.parse_fast(text, LIMITS, keeps_keys) else { return };
    let general = parser.parse_general(text, LIMITS, keeps_keys).unwrap();
    assert!(same_values(&fast, &general) && fast.rows.len == general.rows.len && fast.keys == general.keys);
}

/// Checks that accepted rows fit the schema.
fn check_rows(schema: &Schema, ParsedRows { rows, .. }: &ParsedRows) {
    assert!((1..=LIMITS.max_rows).contains(&rows.len), "{} rows", rows.len);
    assert_eq!(rows.values.len(), rows.len * schema.features.len());
    assert_eq!(rows.kept.len(), rows.len * schema.kept_features().len());
    for row in rows.values.chunks(schema.features.len()) {
        for (feature, value) in schema.features.iter().zip(row) {
            assert!(fits(feature, *value), "{value} for {feature:?}");
        }
    }
}

fn fits(feature: &Feature, value: f32) -> bool {
    match &feature.kind {
        FeatureKind::Categorical { unknown: UnknownPolicy::Keep, .. } | FeatureKind::Kept(_) => {
            value.is_nan()
        }
        _ if value.is_nan() => feature.may_be_missing(),
        FeatureKind::Numeric { min, max, integer } => {
            // What was rounded to single precision may lie at the bound's own rounding.
            let above = min.is_none_or(|min| value >= min as f32);
            let below = max.is_none_or(|max| value <= max as f32);
            value.is_finite() && above && below && (!integer || value.fract() == 0.0)
        }
        FeatureKind::Categorical { values, unknown } => {
            let known = value >= 0.0 && value.fract() == 0.0 && (value as usize) < values.len();
            known || (value == -1.0 && *unknown == UnknownPolicy::Ignore)
        }
    }
}

/// Checks that each row reads the same alone as among others.
fn check_each_alone(parser: &RowParser, body: &[u8], read: &ParsedRows) {
    let (schema, rows) = (parser.schema(), &read.rows);
    // What the row reader skips, a tree of values may refuse: a number of 400 digits in the identifier.
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return };
    let items = match (&body, read.shape) {
        (Value::Array(items), _) => items.as_slice(),
        (Value::Object(fields), BodyShape::Instances) => fields["instances"].as_array().unwrap().as_slice(),
        (one, _) => std::slice::from_ref(one),
    };
    assert_eq!(items.len(), rows.len);
    let (width, kept) = (schema.features.len(), schema.kept_features().len());
    for (index, item) in items.iter().enumerate() {
        let alone = parser.parse(item.to_string().as_bytes(), LIMITS, false).unwrap();
        assert_eq!((alone.shape, alone.rows.len), (BodyShape::Single, 1));
        let alone = alone.rows;
        assert_eq!(bits(&alone.values), bits(&rows.values[index * width..][..width]), "row {index}");
        assert_eq!(shown(&alone.kept), shown(&rows.kept[index * kept..][..kept]), "row {index}");
    }
}

fn same_values(one: &ParsedRows, other: &ParsedRows) -> bool {
    let same_bits = bits(&one.rows.values) == bits(&other.rows.values);
    same_bits && shown(&one.rows.kept) == shown(&other.rows.kept) && one.shape == other.shape
}

/// Writes kept values, so that NaN is equal to itself.
fn shown(kept: &[Kept]) -> String {
    format!("{kept:?}")
}

/// Converts values to bits, so that NaN is equal to itself.
fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn outcomes(body: &[u8], default_model: Option<&str>) {
    let read = parse_outcomes(body, default_model, LIMITS.max_rows, NOW);
    let again = parse_outcomes(body, default_model, LIMITS.max_rows, NOW);
    assert_eq!(format!("{read:?}"), format!("{again:?}"), "the same body is read differently");
    match read {
        Ok(received) => {
            assert!((1..=LIMITS.max_rows).contains(&received.outcomes.len()));
            assert!(received.form == BodyShape::Many || received.outcomes.len() == 1);
        }
        Err(error) => {
            let shown = format!("{error:?}");
            assert!(shown.len() < 200_000, "an answer of {} bytes to a body of {}", shown.len(), body.len());
        }
    }
}
