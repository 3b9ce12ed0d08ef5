use onnward_schemas::{Feature, FeatureKind, Kept, Label, Rows, Schema, SchemaFile, UnknownPolicy, Value};

use crate::{ParsedRows, RowParser, RowsLimits};

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
    values = ["basic", "full", "full and far more than thirty-two bytes", "ganz für ältere"]
    [[features]]
    name = "score"
    type = "numeric"
    required = false
    [[features]]
    name = "channel"
    type = "categorical"
    values = ["web", "webs", "app"]
    unknown = "ignore"
    required = false
    [[features]]
    name = "new"
    type = "categorical"
    values = ["true", "false"]
    required = false
"#;

const LIMITS: RowsLimits = RowsLimits::of_rows(3);
const ROW: &str = r#"{"orders":3,"plan":"full","score":-0.5,"channel":"webs","new":"true"}"#;

fn shop() -> RowParser {
    RowParser::new(SchemaFile::parse(SHOP).unwrap().schema)
}

fn bits(rows: &Rows) -> Vec<u32> {
    rows.values.iter().map(|value| value.to_bits()).collect()
}

/// Reads a text on the fast path; whatever that accepts, the general reader must accept with the same bits.
#[track_caller]
fn fast(parser: &RowParser, text: &str) -> Option<ParsedRows> {
    let [without, with] = [false, true].map(|keeps_keys| {
        let fast = parser.parse_fast(text, LIMITS, keeps_keys)?;
        let general = parser.parse_general(text, LIMITS, keeps_keys);
        let Ok(general) = general else { panic!("only the fast path accepts {text:?}: {general:?}") };
        assert_eq!(bits(&fast.rows), bits(&general.rows), "{text:?}");
        let rest = |read: ParsedRows| (read.rows.kept, read.keys, read.rows.len, read.shape);
        assert_eq!(rest(fast.clone()), rest(general), "{text:?}");
        Some(fast)
    });
    with.or(without)
}

#[test]
fn what_clients_write_takes_the_fast_path() {
    let parser = shop();
    let row = |from: &str, to: &str| ROW.replace(from, to);
    let spaced = ROW.replace(',', ", ").replace(':', ": ");
    for text in [
        ROW.to_owned(),
        format!("\n {spaced} \r\n"),
        spaced.clone(),
        format!("[{ROW}]"),
        format!("[ {ROW} , {spaced},{ROW} ]"),
        format!(r#"{{"instances": [{ROW}, {ROW}]}}"#),
        row("{", r#"{"id":"x-1","#),
        row("{", r#"{"id":17,"#),
        r#"{"channel":"app","plan":"basic","orders":0}"#.to_owned(),
        row("full", "full and far more than thirty-two bytes"),
        row("full", "ganz für ältere"),
        row("webs", "a channel that is unknown"),
        row("\"webs\"", "null"),
        row("\"true\"", "true"),
        row("3", "3.0"),
    ] {
        assert!(fast(&parser, &text).is_some(), "{text}");
    }
}

#[test]
fn whatever_else_is_written_is_left_to_the_general_reader() {
    let parser = shop();
    let row = |from: &str, to: &str| ROW.replace(from, to);
    for text in [
        String::new(),
        "[]".to_owned(),
        "{}".to_owned(),
        "7".to_owned(),
        format!("{ROW}{ROW}"),
        format!("[{ROW},]"),
        format!("[{ROW}"),
        format!("[{ROW},{ROW},{ROW},{ROW}]"),
        format!(r#"{{"instances": [{ROW}], "id": 1}}"#),
        row(",", ",\n"),
        row("full", r"\u0066ull"),
        row("full", "fuller"),
        row("full", "none"),
        row("3", "-3"),
        row("3", "03"),
        row("3", "3."),
        row("3", ".3"),
        row("3", "+3"),
        row("3", "3e0"),
        row("3", "1000000000000000"),
        row("3", "\"3\""),
        row("3", "[3]"),
        row("\"orders\":3,", ""),
        row("orders", "Orders"),
        row("score", "orders"),
        row("{", r#"{"id":1,"id":2,"#),
        row("{", r#"{"Left":"1","#),
        row("true\"", "true"),
    ] {
        assert!(fast(&parser, &text).is_none(), "{text}");
    }
}

/// Returns every ASCII character, and two that are longer.
fn characters() -> impl Iterator<Item = char> {
    ('\0'..='\x7f').chain(['ä', '\u{2028}'])
}

/// Returns the bodies that are damaged: each shape, with and without spaces, every kind of value.
fn bodies() -> Vec<String> {
    let row = r#"{"id": "x", "plan": "ganz für ältere", "orders": 10.0, "new": null}"#;
    vec![
        ROW.to_owned(),
        format!(" {row} "),
        format!("[{ROW}, {row}]"),
        format!("[ {row} ,{ROW} ]"),
        format!(r#"{{"instances":[{ROW}]}}"#),
        format!(r#"{{ "instances" : [ {row} ] }}"#),
    ]
}

#[test]
fn both_readers_accept_the_same_language_wherever_a_character_is_put() {
    let parser = shop();
    for text in bodies() {
        assert!(fast(&parser, &text).is_some(), "{text}");
        let places = text.char_indices().map(|(at, here)| (at, here.len_utf8())).chain([(text.len(), 0)]);
        for (at, here) in places {
            let (start, rest, behind) = (&text[..at], &text[at..], &text[at + here..]);
            fast(&parser, start);
            fast(&parser, behind);
            fast(&parser, &format!("{start}{behind}"));
            for other in characters() {
                fast(&parser, &format!("{start}{other}{rest}"));
                fast(&parser, &format!("{start}{other}{behind}"));
            }
        }
    }
}

#[test]
fn only_the_white_space_of_json_may_surround_a_body() {
    let parser = shop();
    for (one, other) in characters().flat_map(|one| characters().map(move |other| (one, other))) {
        let is_space = |character: char| [' ', '\t', '\n', '\r'].contains(&character);
        for text in [format!("{one}{other}{ROW}"), format!("{ROW}{one}{other}"), format!("{one}{ROW}{other}")]
        {
            let read = fast(&parser, &text).is_some();
            let is_list = text == format!("[{ROW}]");
            assert_eq!(read, is_list || (is_space(one) && is_space(other)), "{text:?}");
        }
    }
}

#[test]
fn numbers_are_the_nearest_that_there_are() {
    let parser = shop();
    let (mut seed, mut read) = (0x9e37_79b9_7f4a_7c15_u64, 0);
    for length in (1..=17).cycle().take(20_000) {
        // Marsaglia's xorshift.
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let digits = format!("{seed:020}");
        let digits = &digits[20 - length..];
        let point = seed as usize % (length + 1);
        let sign = if seed & 1 == 0 { "-" } else { "" };
        let number = if point == length {
            digits.to_owned()
        } else {
            format!("{}.{}", &digits[..point], &digits[point..])
        };
        let row = ROW.replace("-0.5", &format!("{sign}{number}"));
        read += usize::from(fast(&parser, &row).is_some());
    }
    assert!(read > 10_000, "only {read} of 20000 numbers take the fast path");
}

#[test]
fn many_categories_have_the_codes_of_the_schema() {
    for unknown in [UnknownPolicy::Reject, UnknownPolicy::Ignore] {
        let numbers = (0..40).map(|value| value.to_string());
        let words = (0..1000).map(|value| format!("value {value}"));
        let values = numbers.chain(words).chain(["true".to_owned(), "value 7".to_owned()]).collect();
        let feature = Feature {
            name: "one".into(),
            description: String::new(),
            required: false,
            nullable: false,
            kind: FeatureKind::Categorical { values, unknown },
        };
        let label = Label::binary("y", "1", "0");
        let parser = RowParser::new(Schema::of_inputs("many", label, vec![feature.clone()]).unwrap());
        for (json, value) in [
            ("\"value 0\"", Value::Text("value 0")),
            ("\"value 7\"", Value::Text("value 7")),
            ("\"value 999\"", Value::Text("value 999")),
            ("\"value 1000\"", Value::Text("value 1000")),
            ("\" \"", Value::Text(" ")),
            ("\"\"", Value::Text("")),
            ("39", Value::Number(39.0)),
            ("40", Value::Number(40.0)),
            ("true", Value::Boolean(true)),
            ("false", Value::Boolean(false)),
            ("null", Value::Missing),
            ("[]", Value::Array),
            ("{}", Value::Object),
        ] {
            let body = format!("{{\"one\":{json}}}");
            let expected = feature.encode(value).ok().map(f32::to_bits);
            fast(&parser, &body);
            let general = parser.parse_general(&body, LIMITS, false).ok();
            let read = parser.parse(body.as_bytes(), LIMITS, false).ok();
            for read in [general, read] {
                assert_eq!(read.map(|read| read.rows.values[0].to_bits()), expected, "{json}");
            }
        }
    }
}

#[test]
fn strings_that_are_kept_are_read_too() {
    let kind = |unknown| FeatureKind::Categorical { values: vec!["a".into(), "b".into()], unknown };
    let feature = |name: &str, unknown| Feature {
        name: name.into(),
        description: String::new(),
        required: true,
        nullable: false,
        kind: kind(unknown),
    };
    let features = vec![
        feature("listed", UnknownPolicy::Reject),
        feature("kept", UnknownPolicy::Keep),
        feature("too", UnknownPolicy::Keep),
    ];
    let label = Label::binary("left", "1", "0");
    let parser = RowParser::new(Schema::of_inputs("external", label, features).unwrap());
    let rows = fast(&parser, r#"[{"too":"a","kept":"z","listed":"b"},{"listed":"a","kept":"","too":"ö"}]"#);
    assert_eq!(rows.unwrap().rows.kept, ["z", "a", "", "ö"].map(|text| Kept::Text(text.to_owned())));
    assert!(fast(&parser, r#"{"listed":"a","kept":1,"too":"a"}"#).is_none());
}
