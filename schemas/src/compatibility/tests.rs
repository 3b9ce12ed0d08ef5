use super::*;
use crate::encode::Value;
use crate::fixtures::{BANK, PHONE, schema};

/// A source of numbers that look random, the same in each run (Knuth's MMIX).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }

    fn pick<T: Clone>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())].clone()
    }
}

const STRINGS: [&str; 8] = ["a", "b", "c", "0", "1", "1.50", "true", "-2.5"];
const BOUNDS: [Option<f64>; 7] =
    [None, Some(0.0), Some(0.5), Some(1.0), Some(1.2), Some(3.0), Some(f32::MAX as f64)];

fn kind(random: &mut Random) -> FeatureKind {
    if random.one_in(2) {
        loop {
            let (min, max, integer) = (random.pick(&BOUNDS), random.pick(&BOUNDS), random.one_in(2));
            let is_empty =
                min.zip(max).is_some_and(
                    |(min, max): (f64, f64)| {
                        if integer { min.ceil() > max.floor() } else { min > max }
                    },
                );
            if !is_empty {
                return FeatureKind::Numeric { min, max, integer };
            }
        }
    }
    let mut values: Vec<String> =
        STRINGS.iter().filter(|_| random.one_in(3)).map(|text| (*text).to_owned()).collect();
    if values.is_empty() {
        values.push("a".to_owned());
    }
    let unknown = random.pick(&[UnknownPolicy::Reject, UnknownPolicy::Ignore, UnknownPolicy::Keep]);
    FeatureKind::Categorical { values, unknown }
}

fn generated(random: &mut Random) -> Schema {
    let names = ["x", "y", "z", "id"];
    let mut features: Vec<Feature> = Vec::new();
    for name in names {
        if random.one_in(2) {
            continue;
        }
        let (required, kind) = (random.one_in(2), kind(random));
        features.push(Feature {
            name: name.to_owned(),
            description: String::new(),
            required,
            nullable: false,
            kind,
        });
    }
    if features.is_empty() {
        let kind = kind(random);
        features.push(Feature {
            name: "x".to_owned(),
            description: String::new(),
            required: true,
            nullable: false,
            kind,
        });
    }
    let label = Label::binary("l", "1", "0");
    let mut schema = Schema::of_inputs("generated", label, features).unwrap();
    if schema.index_of("id").is_none() && random.one_in(2) {
        schema.identifier = Some("id".to_owned());
    }
    schema
}

/// Changes a schema in a few places, so that it stays similar.
fn changed(random: &mut Random, schema: &Schema) -> Schema {
    let mut features = schema.features.clone();
    for feature in &mut features {
        match random.below(5) {
            0 => feature.kind = kind(random),
            1 => feature.required = !feature.required,
            _ => {}
        }
    }
    if features.len() > 1 && random.one_in(4) {
        let index = random.below(features.len());
        features.remove(index);
    }
    if schema.index_of("new").is_none() && random.one_in(4) {
        let (required, kind) = (random.one_in(2), kind(random));
        features.push(Feature {
            name: "new".to_owned(),
            description: String::new(),
            required,
            nullable: false,
            kind,
        });
    }
    let mut other = Schema::of_inputs("changed", schema.label.clone(), features).unwrap();
    let keeps = schema.identifier.clone().filter(|_| !random.one_in(3));
    other.identifier = keeps.filter(|name| other.index_of(name).is_none());
    other
}

type Row<'a> = Vec<(&'a str, Value<'a>)>;

fn accepts(schema: &Schema, row: &Row<'_>) -> bool {
    let is_known = |name: &str| schema.index_of(name).is_some() || schema.identifier.as_deref() == Some(name);
    let value = |feature: &Feature| {
        row.iter().find(|(name, _)| *name == feature.name).map_or(Value::Missing, |(_, value)| *value)
    };
    row.iter().all(|(name, _)| is_known(name))
        && schema.features.iter().all(|feature| feature.accept(value(feature)).is_some())
}

/// Returns what a field can hold, at and around every bound that the generator draws.
fn values() -> Vec<Value<'static>> {
    let numbers = [0.0, 0.5, 1.0, 1.2, 1.5, 2.0, 2.5, 3.0].into_iter().flat_map(|number| [number, -number]);
    let extremes = [f64::from(f32::MAX), f64::from(f32::MIN), 3.5, 4.0, 1e6, -1e6];
    let mut values: Vec<Value<'static>> = numbers.chain(extremes).map(Value::Number).collect();
    values.extend(STRINGS.iter().chain(&["other", "", " "]).map(|text| Value::Text(text)));
    values.extend([Value::Boolean(true), Value::Boolean(false)]);
    values
}

/// Returns rows that the schema accepts: one for each field and each value that it takes, and one with as
/// little as possible.
fn accepted_rows(schema: &Schema) -> Vec<Row<'_>> {
    let values = values();
    let taken = |feature: &Feature| -> Vec<Value<'static>> {
        values.iter().copied().filter(|value| feature.accept(*value).is_some()).collect()
    };
    let required: Row<'_> = schema
        .features
        .iter()
        .filter(|feature| feature.required)
        .map(|feature| (feature.name.as_str(), *taken(feature).first().unwrap()))
        .collect();
    let mut rows = vec![required.clone()];
    for feature in &schema.features {
        for value in taken(feature) {
            let mut row = required.clone();
            row.retain(|(name, _)| *name != feature.name);
            row.push((&feature.name, value));
            rows.push(row);
        }
    }
    for value in schema.identifier.iter().flat_map(|_| [Value::Number(1.0), Value::Text("c-1"), Value::Array])
    {
        let mut row = required.clone();
        row.push((schema.identifier.as_deref().unwrap(), value));
        rows.push(row);
    }
    assert!(rows.iter().all(|row| accepts(schema, row)));
    rows
}

/// The rule is exact: a difference is found if and only if a valid request becomes invalid.
#[test]
fn a_request_stays_valid_unless_a_difference_is_found() {
    let mut random = Random(12);
    let (mut compatible, mut incompatible) = (0, 0);
    for _ in 0..20_000 {
        let served = generated(&mut random);
        let candidate = changed(&mut random, &served);
        let found = differences(&served, &candidate);
        let broken = accepted_rows(&served).into_iter().find(|row| !accepts(&candidate, row));
        match (&broken, found.is_empty()) {
            (None, true) => compatible += 1,
            (Some(_), false) => incompatible += 1,
            // A field of one number could become a category of that number: nobody needs that to be compatible.
            (None, false) if found.iter().all(|difference| difference.change == Change::Type) => {}
            _ => panic!("{found:?}, {broken:?}\n{served:?}\n{candidate:?}"),
        }
    }
    assert!(compatible > 1000 && incompatible > 1000, "{compatible} and {incompatible}");
}

#[test]
fn a_schema_is_compatible_with_itself_and_with_a_wider_one() {
    let served = schema(PHONE);
    assert_eq!(differences(&served, &served), []);
    for (part, wider) in [
        ("max = 100", "max = 200"),
        ("integer = true", ""),
        (r#"values = ["basic", "full"]"#, r#"values = ["trial", "full", "basic"]"#),
        (
            "unknown = \"ignore\"",
            "unknown = \"ignore\"\nrequired = false\n[[features]]\nname = \"new\"\ntype = \"numeric\"",
        ),
        ("version = 1", "version = 2\nthreshold = 0.3"),
        ("column = \"Churn\"", "column = \"churn\""),
    ] {
        assert!(PHONE.contains(part), "{part}");
        assert_eq!(differences(&served, &schema(&PHONE.replacen(part, wider, 1))), [], "{wider}");
    }
}

#[test]
fn each_difference_names_its_field_and_what_clients_notice() {
    let served = schema(PHONE);
    for (part, narrower, expected) in [
        (
            "max = 100",
            "max = 60",
            "field \"months\" takes a whole number from 0 to 60 instead of a whole number from 0 to 100",
        ),
        ("required = false", "", "field \"charges\" is required and was optional"),
        (r#"["basic", "full"]"#, r#"["full"]"#, "field \"plan\" no longer takes \"basic\""),
        (r#"unknown = "ignore""#, "", "field \"region\" no longer takes strings that it does not list"),
        ("name = \"charges\"", "name = \"fees\"", "field \"charges\" is no longer accepted"),
        (r#"identifier = "id""#, "", "field \"id\" is the identifier of a row, and is no longer accepted"),
        (
            r#"positive = "Yes""#,
            r#"positive = "Left""#,
            "response \"churn\" means \"Left\" instead of \"Yes\" where it is true",
        ),
        ("column = \"Churn\"", "column = \"Left\"", "response \"churn\" has the key \"left\" instead"),
    ] {
        assert!(PHONE.contains(part), "{part}");
        let found = differences(&served, &schema(&PHONE.replacen(part, narrower, 1)));
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found, [expected]);
    }
}

#[test]
fn a_model_of_other_rows_differs_in_every_field() {
    let (phone, bank) = (schema(PHONE), schema(BANK));
    let found = differences(&phone, &bank);
    for field in ["months", "charges", "plan", "senior", "region", "id", "balance", "Country/Region", "churn"]
    {
        assert!(found.iter().any(|difference| difference.field == field), "{field}: {found:?}");
    }
}

#[test]
fn a_response_of_another_task_or_with_new_classes_breaks_clients() {
    let labelled = |label: &str| {
        let before = "positive = \"Yes\"\n    negative = \"No\"";
        assert!(PHONE.contains(before));
        schema(&PHONE.replacen(before, label, 1))
    };
    let found = |served: &Schema, candidate: &Schema| {
        differences(served, candidate).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let (binary, number) = (schema(PHONE), labelled("type = \"number\""));
    let classes = |values: &str| labelled(&format!("type = \"classes\"\nvalues = {values}"));
    let three = classes(r#"["a", "b", "c"]"#);
    assert_eq!(found(&binary, &number), ["response \"churn\" is a number instead of true or false"]);
    assert_eq!(found(&number, &three), ["response \"churn\" is one of several classes instead of a number"]);
    assert_eq!(found(&three, &classes(r#"["c", "a"]"#)), [""; 0], "a class that is gone breaks nobody");
    assert_eq!(found(&three, &classes(r#"["a", "d"]"#)), ["response \"churn\" may be \"d\", which is new"]);
    assert_eq!(found(&number, &number), [""; 0]);
}
