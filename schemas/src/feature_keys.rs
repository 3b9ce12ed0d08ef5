//! Checks the keys of `[[features]]`, with messages that name the feature. serde could not: it reads a
//! feature after its `type`, and has then lost the place.

use toml::{Table, Value};

const COMMON: [&str; 4] = ["name", "type", "description", "required"];
const NUMERIC: [&str; 3] = ["min", "max", "integer"];
const CATEGORICAL: [&str; 2] = ["values", "unknown"];

/// Lists all that is wrong with the features' keys and the types of their values: one sentence each.
pub(crate) fn feature_key_problems(schema: &Table) -> Vec<String> {
    let mut problems = Vec::new();
    let features = schema.get("features").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for (at, feature) in features.iter().enumerate() {
        match feature.as_table() {
            Some(feature) => table_problems(at, feature, &mut problems),
            None => problems.push(format!("feature {} is {} and not a table", at + 1, in_words(feature))),
        }
    }
    problems
}

fn table_problems(at: usize, feature: &Table, problems: &mut Vec<String>) {
    let who = match feature.get("name").and_then(Value::as_str) {
        Some(name) => format!("feature {name:?}"),
        None => format!("feature {}", at + 1),
    };
    let mut say = |problem: String| problems.push(format!("{who}: {problem}"));
    const KINDS: &str = "\"numeric\" or \"categorical\"";
    let (kind, own) = match feature.get("type") {
        Some(Value::String(kind)) if kind == "numeric" => ("numeric", NUMERIC.as_slice()),
        Some(Value::String(kind)) if kind == "categorical" => ("categorical", CATEGORICAL.as_slice()),
        Some(other) => return say(format!("type is {}; it must be {KINDS}", in_words(other))),
        None => return say(format!("type is missing; it must be {KINDS}")),
    };
    for (key, value) in feature {
        if !COMMON.contains(&key.as_str()) && !own.contains(&key.as_str()) {
            let known = [&COMMON, own].concat().join(", ");
            say(format!("unknown key {key:?}; a {kind} feature has {known}"));
        } else if let Some(expected) = expected_instead(key, value) {
            say(format!("{key} is {}; it must be {expected}", in_words(value)));
        }
    }
    let needed = ["name"].into_iter().chain((kind == "categorical").then_some("values"));
    for key in needed.filter(|key| !feature.contains_key(*key)) {
        say(format!("{key} is missing"));
    }
}

/// Returns what a key takes, if its value is something else.
fn expected_instead(key: &str, value: &Value) -> Option<&'static str> {
    let strings = |list: &Vec<Value>| list.iter().all(Value::is_str);
    let (fits, expected) = match key {
        "required" | "integer" => (value.is_bool(), "true or false"),
        "min" | "max" => (value.is_integer() || value.is_float(), "a number"),
        "values" => (value.as_array().is_some_and(strings), "a list of strings, such as [\"0\", \"1\"]"),
        "unknown" => (matches!(value.as_str(), Some("reject" | "ignore")), "\"reject\" or \"ignore\""),
        _ => (value.is_str(), "a string"),
    };
    (!fits).then_some(expected)
}

fn in_words(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text:?}"),
        Value::Integer(number) => format!("the number {number}"),
        Value::Float(number) => format!("the number {number}"),
        Value::Boolean(truth) => truth.to_string(),
        Value::Datetime(_) => "a date".to_owned(),
        Value::Array(list) => match list.iter().find(|value| !value.is_str()) {
            Some(other) => format!("a list with {}", in_words(other)),
            None => "a list of strings".to_owned(),
        },
        Value::Table(_) => "a table".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use crate::SchemaFile;

    const GOOD: &str = r#"
        name = "small"
        version = 1
        label = { column = "left", positive = "1", negative = "0" }
        [[features]]
        name = "age"
        type = "numeric"
        min = 18
        [[features]]
        name = "plan"
        type = "categorical"
        values = ["basic", "full"]
        unknown = "ignore"
    "#;

    #[test]
    fn what_is_wrong_with_a_feature_is_said_in_a_sentence_that_names_it() {
        assert!(SchemaFile::parse(GOOD).is_ok());
        let plan = "feature \"plan\": ";
        let age = "feature \"age\": ";
        let cases = [
            (
                "unknown =",
                "colour =",
                plan,
                "unknown key \"colour\"; a categorical feature has name, type, description, required, values, unknown",
            ),
            ("unknown =", "min = 3\nunknown =", plan, "unknown key \"min\"; a categorical feature has"),
            (
                "min =",
                "values =",
                age,
                "unknown key \"values\"; a numeric feature has name, type, description, required, min, max, integer",
            ),
            ("\"ignore\"", "\"drop\"", plan, "unknown is \"drop\"; it must be \"reject\" or \"ignore\""),
            ("\"full\"]", "1]", plan, "values is a list with the number 1; it must be a list of strings"),
            ("values = [\"basic\", \"full\"]", "", plan, "values is missing"),
            ("min = 18", "min = \"18\"", age, "min is \"18\"; it must be a number"),
            ("min = 18", "integer = 1", age, "integer is the number 1; it must be true or false"),
            ("type = \"numeric\"", "", age, "type is missing; it must be \"numeric\" or \"categorical\""),
            ("\"numeric\"", "\"number\"", age, "type is \"number\"; it must be \"numeric\" or"),
            ("name = \"age\"", "", "feature 1: ", "name is missing"),
            ("name = \"plan\"", "name = true", "feature 2: ", "name is true; it must be a string"),
        ];
        for (good, bad, who, said) in cases {
            let message = SchemaFile::parse(&GOOD.replacen(good, bad, 1)).unwrap_err().to_string();
            assert!(message.contains(&format!("{who}{said}")), "{who}{said} is not in: {message}");
            assert!(!message.contains("line"), "{message}");
        }
    }
}
