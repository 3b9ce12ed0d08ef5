use onnward_schemas::{
    Feature, FeatureKind, GoldenValue, Kept, KeptElement, KeptType, Label, Numbers, Rows, Schema, SchemaFile,
    TypedArray, TypedValues, UnknownPolicy, Violation, Violations,
};

use crate::{BodyShape, ParseError, ParsedRows, RowKeys, RowParser, RowsLimits};

const SHOP: &str = r#"
    name = "shop"
    version = 1
    identifier = "id"
    [label]
    column = "Left"
    positive = "1"
    negative = "0"
    [[features]]
    name = "orders"
    type = "numeric"
    min = 0
    integer = true
    [[features]]
    name = "plan"
    type = "categorical"
    values = ["basic", "full"]
    [[features]]
    name = "score"
    type = "numeric"
    required = false
    [[features]]
    name = "channel"
    type = "categorical"
    values = ["web", "app"]
    unknown = "ignore"
    required = false
"#;

/// One feature, whose name needs escaping in a pointer, and no identifier.
const SLASH: &str = r#"
    name = "slash"
    version = 1
    [label]
    column = "y"
    positive = "1"
    negative = "0"
    [[features]]
    name = "a/b~c"
    type = "categorical"
    values = ["0", "1"]
"#;

const LIMITS: RowsLimits = RowsLimits::of_rows(5);

fn parser(toml: &str) -> RowParser {
    RowParser::new(SchemaFile::parse(toml).unwrap().schema)
}

/// Reads with the general reader; what the fast path reads as well must be the same.
fn read_by(
    parser: &RowParser,
    body: &str,
    limits: RowsLimits,
) -> Result<Result<ParsedRows, Violations>, ParseError> {
    let read = match parser.parse_general(body, limits, false) {
        Ok(parsed) => Ok(Ok(parsed)),
        Err(ParseError::Invalid(violations)) => Ok(Err(violations)),
        Err(ParseError::NotUtf8 { offset }) => panic!("{offset}"),
        Err(error) => Err(error),
    };
    if let Some(fast) = parser.parse_fast(body, limits, false) {
        let general = &read.as_ref().unwrap().as_ref().expect(body).rows;
        assert_eq!((values(&fast.rows), &fast.rows.kept), (values(general), &general.kept), "{body}");
    }
    read
}

fn try_read(toml: &str, body: &str) -> Result<Result<ParsedRows, Violations>, ParseError> {
    read_by(&parser(toml), body, LIMITS)
}

#[track_caller]
fn accepted(body: &str) -> ParsedRows {
    try_read(SHOP, body).unwrap().unwrap_or_else(|violations| panic!("{body}: {violations:?}"))
}

#[track_caller]
fn refused(toml: &str, body: &str) -> Violations {
    try_read(toml, body).unwrap().expect_err(body)
}

/// Returns the one violation of a body that has one.
#[track_caller]
fn only(toml: &str, body: &str) -> Violation {
    let violations = refused(toml, body);
    assert_eq!(violations.total(), 1, "{violations:?}");
    violations.listed()[0].clone()
}

/// Returns the matrix with −9 for NaN, so that it can be compared.
fn values(rows: &Rows) -> Vec<f32> {
    rows.values.iter().map(|value| if value.is_nan() { -9.0 } else { *value }).collect()
}

const ROW: &str = r#"{"orders": 3, "plan": "full", "score": 0.5, "channel": "app"}"#;

#[test]
fn a_row_is_encoded_in_the_order_of_the_schema_whatever_the_order_of_its_fields() {
    for body in [
        ROW,
        r#"{"channel": "app", "score": 0.5, "plan": "full", "orders": 3}"#,
        r#"{"plan": "full", "id": "x-1", "orders": 3.0, "channel": "app", "score": 5e-1}"#,
    ] {
        let rows = accepted(body);
        assert_eq!(
            rows,
            ParsedRows {
                rows: Rows { values: vec![3.0, 1.0, 0.5, 1.0], kept: vec![], len: 1 },
                keys: RowKeys::default(),
                shape: BodyShape::Single
            }
        );
    }
}

#[test]
fn keys_are_kept_where_they_are_asked_for_and_whatever_is_no_key_is_accepted_still() {
    let row = |id: &str| ROW.replacen('{', &format!("{{\"id\": {id}, "), 1);
    let ids = [r#""x-1""#, "17", "1.5", r#""""#, "null"].map(row).join(", ");
    let read = |body: &str| parser(SHOP).parse(body.as_bytes(), LIMITS, true).unwrap().keys;
    let keys = read(&format!("[{ids}]"));
    let keys: Vec<_> = (0..6).map(|row| keys.get(row)).collect();
    assert_eq!(keys, [Some("x-1"), Some("17"), Some("1.5"), None, None, None]);
    assert_eq!(read(&row(r#""é""#)).get(0), Some("é"));
    let without = [ROW.to_owned(), row(r#"{"any": ["thing"]}"#), row("[1]"), row("true")].join(", ");
    assert!(read(&format!(r#"{{"instances": [{without}]}}"#)).is_empty());
    assert!(accepted(&row(r#""x-1""#)).keys.is_empty());
}

#[test]
fn missing_null_and_unknown_values_have_their_codes() {
    let absent = accepted(r#"{"orders": 0, "plan": "basic"}"#);
    assert_eq!(values(&absent.rows), [0.0, 0.0, -9.0, -9.0]);
    let null = accepted(r#"{"orders": 0, "plan": "basic", "score": null, "channel": null}"#);
    assert_eq!(values(&null.rows), [0.0, 0.0, -9.0, -9.0]);
    let unknown = accepted(r#"{"orders": 0, "plan": "basic", "channel": "fax"}"#);
    assert_eq!(values(&unknown.rows), [0.0, 0.0, -9.0, -1.0]);
}

#[test]
fn lists_keep_their_order_bare_and_as_instances() {
    let list = r#"[{"orders": 1, "plan": "basic"}, {"orders": 2, "plan": "full"}]"#;
    let expected = [1.0, 0.0, -9.0, -9.0, 2.0, 1.0, -9.0, -9.0];
    let bodies = [
        (list.to_owned(), BodyShape::Many, "/1"),
        (format!(r#"{{"instances": {list}}}"#), BodyShape::Instances, "/instances/1"),
    ];
    for (body, shape, pointer) in bodies {
        let read = accepted(&body);
        assert_eq!((read.rows.len, read.shape), (2, shape));
        assert_eq!(read.shape.pointer_to_row(1), pointer);
        assert_eq!(values(&read.rows), expected);
    }
    assert_eq!(accepted(&format!("[{ROW}]")).shape, BodyShape::Many);
}

#[test]
fn the_identifier_takes_anything_and_is_not_used() {
    for id in ["1", "null", "\"a\"", "[[1]]", "{\"b\": [{}]}"] {
        let rows = accepted(&ROW.replacen('{', &format!(r#"{{"id": {id}, "#), 1)).rows;
        assert_eq!(rows.values, [3.0, 1.0, 0.5, 1.0], "{id}");
    }
}

#[test]
fn keys_and_values_may_be_escaped() {
    assert_eq!(accepted(r#"{"order\u0073": 1, "pl\u0061n": "f\u0075ll"}"#).rows.values[..2], [1.0, 1.0]);
}

#[test]
fn every_wrong_type_is_refused_with_what_came() {
    for (value, got) in [
        ("\"3\"", "\"3\""),
        ("true", "true"),
        ("null", "nothing"),
        ("[1, [2]]", "an array"),
        ("{\"a\": {}}", "an object"),
        ("-1", "-1"),
        ("1.5", "1.5"),
        ("-12345678901", "-12345678901"),
    ] {
        let violation = only(SHOP, &ROW.replacen('3', value, 1));
        assert_eq!(violation.pointer, "/orders");
        assert_eq!(violation.row, Some(0));
        assert_eq!(violation.expected, "a whole number of at least 0");
        assert_eq!(violation.got, got);
    }
}

#[test]
fn unknown_fields_are_refused_with_a_hint() {
    for (field, hint) in [
        ("Orders", "such as \"orders\""),
        ("colour", "only fields of the schema shop"),
        ("Left", "which is what the model predicts"),
        ("instances2", "only fields of the schema shop"),
    ] {
        let violation = only(SHOP, &ROW.replacen('{', &format!(r#"{{"{field}": [1, {{}}], "#), 1));
        assert_eq!(violation.pointer, format!("/{field}"));
        assert!(violation.expected.contains(hint), "{violation:?}");
    }
}

#[test]
fn a_field_that_comes_twice_is_refused_even_when_it_says_the_same() {
    let violation = only(SHOP, &ROW.replacen('{', r#"{"orders": 3, "#, 1));
    assert_eq!((violation.pointer.as_str(), violation.expected.as_str()), ("/orders", "each field once"));
    for second in [r#""b""#, r#""a""#, "1", "null"] {
        let violation = only(SHOP, &ROW.replacen('{', &format!(r#"{{"id": "a", "id": {second}, "#), 1));
        assert_eq!((violation.pointer.as_str(), violation.expected.as_str()), ("/id", "each field once"));
    }
}

#[test]
fn violations_stand_in_the_order_of_the_body_then_what_is_missing() {
    let body = format!(r#"[{ROW}, {{"plan": 7, "x": 1}}, 3, [], null, {ROW}]"#);
    let violations = read_by(&parser(SHOP), &body, RowsLimits::of_rows(9)).unwrap().unwrap_err();
    let places: Vec<(&str, Option<usize>)> =
        violations.listed().iter().map(|violation| (violation.pointer.as_str(), violation.row)).collect();
    let expected = [("/1/plan", 1), ("/1/x", 1), ("/1/orders", 1), ("/2", 2), ("/3", 3), ("/4", 4)];
    assert_eq!(places, expected.map(|(pointer, row)| (pointer, Some(row))));
}

#[test]
fn pointers_escape_names_and_start_at_instances() {
    assert_eq!(only(SLASH, r#"{"a/b~c": "2"}"#).pointer, "/a~1b~0c");
    let body = r#"{"instances": [{"a/b~c": "1"}, {"a/b~c": 2}]}"#;
    assert_eq!(only(SLASH, body).pointer, "/instances/1/a~1b~0c");
    assert_eq!(only(SLASH, "{}").pointer, "/a~1b~0c");
}

#[test]
fn a_schema_without_an_identifier_refuses_one() {
    assert_eq!(only(SLASH, r#"{"id": 1, "a/b~c": 1}"#).pointer, "/id");
}

#[test]
fn bodies_that_are_no_rows_say_what_rows_are() {
    for (body, got) in [
        ("null", "null"),
        ("true", "a Boolean"),
        ("3", "a number"),
        ("-3", "a number"),
        ("0.5", "a number"),
        ("\"x\"", "a string"),
    ] {
        let violation = only(SHOP, body);
        assert_eq!((violation.pointer.as_str(), violation.row, violation.got.as_str()), ("", None, got));
        assert!(violation.expected.starts_with("an object of fields, an array"));
        let violation = only(SHOP, &format!(r#"{{"instances": {body}}}"#));
        assert_eq!((violation.pointer.as_str(), violation.got.as_str()), ("/instances", got));
        assert_eq!(violation.expected, "an array of objects of fields");
    }
    assert_eq!(only(SHOP, &format!(r#"{{"instances": {ROW}}}"#)).got, "an object");
}

/// A form of another system, or of another idea of a table, is one violation that names the right form.
#[test]
fn a_body_of_another_systems_form_is_told_the_right_one_once() {
    for (body, got) in [
        (r#"{"dataframe_split": {"columns": ["orders"], "data": [[1]]}}"#, "MLflow"),
        (&format!(r#"{{"dataframe_records": [{ROW}]}}"#), "MLflow"),
        (
            r#"{"inputs": [{"name": "orders", "shape": [1, 1], "datatype": "FP32", "data": [1]}]}"#,
            "Open Inference",
        ),
        (r#"{"signature": "7", "inputs": {"orders": [1]}}"#, "TensorFlow"),
        (r#"{"data": {"names": ["orders"], "ndarray": [[1]]}}"#, "Seldon"),
        (&format!(r#"{{"rows": [{ROW}]}}"#), "\"rows\""),
        (&format!(r#"{{"model": "shop", "features": {ROW}}}"#), "\"features\""),
        (
            r#"{"orders": [1, 2], "plan": ["full", "full"], "channel": ["app", "app"]}"#,
            "one column after the other",
        ),
    ] {
        let violation = only(SHOP, body);
        assert!(violation.pointer.is_empty() && violation.got.contains(got), "{body}: {violation:?}");
        assert!(violation.expected.starts_with("an object of fields, an array"), "{violation:?}");
    }
    for (body, pointer) in [
        (r#"[3, "full", 0.5, "app"]"#, ""),
        (r#"[[3, "full", 0.5, "app"], [4, "basic", null, null]]"#, ""),
        (r#"{"instances": [[3, "full"], [4, "basic"]]}"#, "/instances"),
    ] {
        let violation = only(SHOP, body);
        assert_eq!(
            (violation.pointer.as_str(), violation.expected.as_str()),
            (pointer, "an array of objects of fields")
        );
    }
    // A row with a mistake in it is still told about each field.
    assert!(refused(SHOP, r#"{"orders": [1], "plan": "x"}"#).total() > 1);
}

#[test]
fn instances_stand_alone() {
    let after = only(SHOP, &format!(r#"{{"instances": [{ROW}], "orders": 1}}"#));
    assert_eq!(
        (after.pointer.as_str(), after.expected.as_str()),
        ("/orders", "\"instances\" as the only field")
    );
    assert_eq!(only(SHOP, &format!(r#"{{"orders": 1, "instances": [{ROW}]}}"#)).pointer, "/instances");
    assert_eq!(only(SHOP, &format!(r#"{{"instances": [{ROW}], "instances": []}}"#)).pointer, "/instances");
}

#[test]
fn a_list_holds_one_row_to_the_limit() {
    for empty in ["[]", r#"{"instances": []}"#] {
        assert_eq!(only(SHOP, empty).expected, "at least one row");
    }
    let list = |rows: usize| format!("[{}]", vec![ROW; rows].join(","));
    assert_eq!(accepted(&list(5)).rows.len, 5);
    let violation = only(SHOP, &list(7));
    assert_eq!((violation.expected.as_str(), violation.got.as_str()), ("at most 5 rows", "7 rows"));
}

#[test]
fn rows_past_the_limit_are_counted_and_not_kept() {
    let list = format!("[{}]", vec!["{}"; 1000].join(","));
    let violations = refused(SHOP, &list);
    // Two missing fields in each of the five rows that are read, and the count.
    assert_eq!(violations.total(), 11);
}

#[test]
fn the_first_hundred_violations_are_listed_and_all_are_counted() {
    let fields: Vec<String> = (0..150).map(|i| format!(r#""f{i}": 1"#)).collect();
    let violations = refused(SHOP, &format!("{{{}}}", fields.join(",")));
    assert_eq!((violations.listed().len(), violations.total()), (100, 152));
    assert_eq!(violations.listed()[99].pointer, "/f99");
}

#[test]
fn what_a_client_makes_up_is_shortened() {
    let long = "é".repeat(10_000);
    let field = only(SHOP, &ROW.replacen('{', &format!(r#"{{"{long}": 1, "#), 1));
    let value = only(SHOP, &ROW.replacen("full", &long, 1));
    let beside = only(SHOP, &format!(r#"{{"instances": [{ROW}], "{long}": 1}}"#));
    for text in [field.pointer, field.got, value.got, beside.pointer, beside.got] {
        assert!(text.chars().count() < 100, "{text}");
    }
}

#[test]
fn broken_syntax_is_the_deserializers_error_wherever_it_stands() {
    for body in
        ["", "{", "[", r#"{"orders""#, r#"{"orders": }"#, r#"{"orders": NaN}"#, r#"{"x": [1,]}"#, "[1 2]"]
    {
        assert!(try_read(SHOP, body).is_err(), "{body}");
    }
    assert!(try_read(SHOP, &ROW.replacen('3', "1e400", 1)).is_err());
    assert!(try_read(SHOP, &"[".repeat(100_000)).is_err());
}

/// Returns a schema of a number between two strings that are kept, as an external model's inputs may be.
fn with_texts() -> Schema {
    let feature = |name: &str, kind| Feature {
        name: name.into(),
        description: String::new(),
        required: true,
        nullable: false,
        kind,
    };
    let text = || FeatureKind::Categorical { values: vec![], unknown: UnknownPolicy::Keep };
    let number = FeatureKind::Numeric { min: None, max: None, integer: false };
    let features = vec![feature("label", text()), feature("features", number), feature("city", text())];
    let label = Label::binary("positive", "1", "0");
    Schema::of_inputs("external", label, features).unwrap()
}

#[test]
fn strings_that_are_kept_are_carried_row_after_row_whatever_the_order_of_the_fields() {
    let body =
        r#"[{"city": "Ulm", "features": 1, "label": "a\"b"}, {"label": "", "city": "Bonn", "features": 2}]"#;
    let read = read_by(&RowParser::new(with_texts()), body, LIMITS).unwrap().unwrap().rows;
    assert_eq!(read.kept, ["a\"b", "Ulm", "", "Bonn"].map(|text| Kept::Text(text.to_owned())));
    assert_eq!(values(&read), [-9.0, 1.0, -9.0, -9.0, 2.0, -9.0]);

    let text = |text: &str| GoldenValue::Text(text.to_owned());
    let rows = [
        vec![text("a\"b"), GoldenValue::Number(1.0), text("Ulm")],
        vec![text(""), GoldenValue::Number(2.0), text("Bonn")],
    ];
    let of = with_texts().encode_rows(&rows);
    assert_eq!((values(&of), of.kept, of.len), (values(&read), read.kept, 2));
}

#[test]
fn a_string_that_is_kept_is_required_and_a_string() {
    let schema = with_texts();
    let instances =
        r#"{"instances": [{"label": 3, "features": 1}, {"label": null, "features": "x", "city": "Ulm"}]}"#;
    let refused = read_by(&RowParser::new(schema.clone()), instances, LIMITS).unwrap().unwrap_err();
    let pointers: Vec<&str> = refused.listed().iter().map(|violation| violation.pointer.as_str()).collect();
    assert_eq!(
        pointers,
        ["/instances/0/label", "/instances/0/city", "/instances/1/label", "/instances/1/features"]
    );
    let kept = schema.to_toml().unwrap();
    let message = SchemaFile::parse(&kept).unwrap_err().to_string();
    assert!(message.contains("it must be \"reject\" or \"ignore\""), "{message}");
}

#[test]
fn nobody_reads_on_when_there_are_far_more_fields_than_the_schema_has_or_values_nest_without_end() {
    let fields = |count: usize| (0..count).map(|n| format!("\"x{n}\": 1")).collect::<Vec<_>>().join(", ");
    let violations = try_read(SHOP, &format!("{{{}}}", fields(100))).unwrap().unwrap_err();
    assert!(violations.total() >= 100, "some more are told of one by one: {}", violations.total());
    for form in ["{FIELDS}", "[{FIELDS}]", "{\"instances\": [{FIELDS}]}"] {
        let error = try_read(SHOP, &form.replace("FIELDS", &fields(1000))).unwrap_err();
        assert!(
            matches!(error, ParseError::TooComplex(_))
                && error.to_string().contains("a row has far more fields"),
            "{error}"
        );
    }
    let nested =
        |depth: usize, open: &str, close: &str| format!("{}1{}", open.repeat(depth), close.repeat(depth));
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        for place in [r#"{"x": V}"#, r#"{"orders": V}"#, r#"[{"plan": V}]"#, r#"{"instances": [], "x": V}"#] {
            assert!(try_read(SHOP, &place.replace('V', &nested(20, open, close))).unwrap().is_err());
            for depth in [40, 100_000] {
                let error = try_read(SHOP, &place.replace('V', &nested(depth, open, close))).unwrap_err();
                assert!(
                    matches!(error, ParseError::TooComplex(_))
                        && error.to_string().contains("values are nested deeper"),
                    "{error}"
                );
            }
        }
    }
}

/// Returns a schema of one field of this type.
fn of_type(kept: KeptType, nullable: bool) -> RowParser {
    let kind = FeatureKind::Kept(kept);
    let feature = Feature { name: "x".into(), description: String::new(), required: true, nullable, kind };
    RowParser::new(Schema::of_inputs("external", Label::binary("y", "1", "0"), vec![feature]).unwrap())
}

/// Returns the values of the field in a body, or the pointer, the expected and the given value of its violation.
fn typed(parser: &RowParser, value: &str) -> Result<TypedArray, (String, String, String)> {
    match read_by(parser, &format!("{{\"x\": {value}}}"), LIMITS).unwrap() {
        Ok(mut read) => match read.rows.kept.remove(0) {
            Kept::Array(array) => Ok(array),
            other => panic!("{other:?}"),
        },
        Err(violations) => {
            let one = &violations.listed()[0];
            Err((one.pointer.clone(), one.expected.clone(), one.got.clone()))
        }
    }
}

#[test]
fn whole_numbers_reach_their_type_unrounded_or_not_at_all() {
    let whole = |min, max| of_type(KeptType::single(KeptElement::Integer { min, max }), false);
    let read = |parser: &RowParser, value: &str| match typed(parser, value) {
        Ok(TypedArray { values: TypedValues::Integers(values), .. }) => Some(values[0]),
        _ => None,
    };
    let all = whole(i64::MIN, i64::MAX);
    let mut random = 1_u64;
    for bits in 0..64 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        for number in [(random >> bits) as i64, 1_i64.wrapping_shl(bits), 1_i64.wrapping_shl(bits) + 1] {
            assert_eq!(read(&all, &number.to_string()), Some(number));
            let byte = whole(-128, 127);
            assert_eq!(read(&byte, &number.to_string()).is_some(), i8::try_from(number).is_ok(), "{number}");
        }
    }
    assert_eq!(read(&all, "3.0"), Some(3));
    for other in [
        "3.5",
        "1e30",
        "9223372036854775808",
        "-9223372036854775809",
        "9007199254740993.0",
        "true",
        "\"3\"",
        "null",
        "[3]",
        "{}",
    ] {
        let (pointer, expected, _) = typed(&all, other).unwrap_err();
        assert_eq!((pointer.as_str(), expected.as_str()), ("/x", "a whole number of 64 bits"), "{other}");
    }
    let unsigned = of_type(KeptType::single(KeptElement::Unsigned), false);
    let largest = TypedArray { shape: vec![], values: TypedValues::Unsigned(vec![u64::MAX]) };
    assert_eq!(typed(&unsigned, "18446744073709551615"), Ok(largest));
    assert!(typed(&unsigned, "-1").is_err());
}

#[test]
fn numbers_of_double_precision_are_not_rounded_to_another() {
    let double = of_type(KeptType::single(KeptElement::Double), true);
    let read = |value: &str| match typed(&double, value) {
        Ok(TypedArray { values: TypedValues::Numbers(Numbers::Double(values)), .. }) => Some(values[0]),
        _ => None,
    };
    assert_eq!(read("1764440059"), Some(1_764_440_059.0));
    assert_eq!(read("16777217"), Some(16_777_217.0));
    assert_eq!(read("0.1"), Some(0.1));
    assert_eq!(read("9007199254740993"), None, "double precision has no such number");
    assert!(read("null").is_some_and(f64::is_nan));
    let required = of_type(KeptType::single(KeptElement::Double), false);
    assert!(typed(&required, "null").is_err());
    let absent = read_by(&double, "{}", LIMITS).unwrap().unwrap_err();
    assert_eq!(absent.listed()[0].pointer, "/x", "a field may be null and must be there");
}

#[test]
fn a_boolean_is_also_1_or_0() {
    let boolean = of_type(KeptType::single(KeptElement::Boolean), false);
    for (json, expected) in [("true", true), ("1", true), ("1.0", true), ("\"true\"", true), ("0", false)] {
        let values = TypedValues::Booleans(vec![expected]);
        assert_eq!(typed(&boolean, json), Ok(TypedArray { shape: vec![], values }), "{json}");
    }
    for json in ["2", "0.5", "\"yes\"", "null", "[]"] {
        assert_eq!(typed(&boolean, json).unwrap_err().1, "true or false, or 1 or 0", "{json}");
    }
}

#[test]
fn lists_have_the_shape_that_the_graph_declares() {
    let single = |shape: &[Option<usize>]| {
        of_type(KeptType { element: KeptElement::Single, shape: shape.to_vec() }, true)
    };
    let history = single(&[None, Some(2)]);
    let array = |shape: &[usize], numbers: &[f32]| TypedArray {
        shape: shape.to_vec(),
        values: TypedValues::Numbers(Numbers::Single(numbers.to_vec())),
    };
    assert_eq!(typed(&history, "[[1, 2.5], [3, 4]]"), Ok(array(&[2, 2], &[1.0, 2.5, 3.0, 4.0])));
    assert_eq!(typed(&history, "[]"), Ok(array(&[0, 2], &[])));
    assert_eq!(typed(&single(&[None, None]), "[[]]"), Ok(array(&[1, 0], &[])));
    for other in [
        "1",
        "[1, 2]",
        "[[1], [2]]",
        "[[1, 2], [3]]",
        "[[1, 2], [3, \"4\"]]",
        "[[[1], [2]]]",
        "[[1, 2], {}]",
        "[[1, 2], 3]",
        "{\"a\": 1}",
        "\"[]\"",
        "[[1, 1e39]]",
        "[[1, 2, [",
        "[[1, 2]",
    ] {
        let body = format!("{{\"x\": {other}}}");
        if serde_json::from_str::<serde_json::Value>(&body).is_err() {
            assert!(history.parse(body.as_bytes(), LIMITS, false).is_err(), "{other}");
            continue;
        }
        let (pointer, expected, _) = typed(&history, other).unwrap_err();
        assert_eq!(pointer, "/x", "{other}");
        assert_eq!(expected, "a list of some, each a list of 2, each a number", "{other}");
    }
    assert!(typed(&single(&[Some(3), Some(1)]), "[[1], [2]]").is_err(), "three are declared");
    let deep = format!("{{\"x\": {}1{}}}", "[".repeat(30), "]".repeat(30));
    assert!(history.parse(deep.as_bytes(), LIMITS, false).is_err());
}
