//! Holds JSON against the schemas of the documents. It knows the few keywords that they use, and fails on any other.
//! The crate `jsonschema` would do it too, with twenty crates that nothing else needs.

use serde_json::Value;

use crate::support::root;

/// Returns the schemas of the exporter's outputs.
pub fn exporter_schemas() -> Value {
    let path = root().join("exporter/outputs.schema.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Checks a value against the schema of this name.
///
/// # Errors
/// The place and the problem.
pub fn check(document: &Value, name: &str, value: &Value) -> Result<(), String> {
    let schema = &document["$defs"][name];
    if schema.is_null() {
        return Err(format!("there is no schema {name:?}"));
    }
    check_against(document, schema, value, name)
}

fn check_against(document: &Value, schema: &Value, value: &Value, place: &str) -> Result<(), String> {
    for (keyword, rule) in schema.as_object().unwrap() {
        match keyword.as_str() {
            "description" => {}
            "$ref" => check(document, rule.as_str().unwrap().trim_start_matches("#/$defs/"), value)
                .map_err(|problem| format!("{place}: {problem}"))?,
            "enum" if !rule.as_array().unwrap().contains(value) => {
                return Err(format!("{place}: {value} is none of {rule}"));
            }
            "enum" => {}
            "type" => check_type(rule, value, place)?,
            "required" => {
                let names = rule.as_array().unwrap().iter().filter_map(Value::as_str);
                if let Some(missing) =
                    names.filter(|_| value.is_object()).find(|name| value.get(name).is_none())
                {
                    return Err(format!("{place}: {missing} is missing"));
                }
            }
            "properties" => {}
            "additionalProperties" => check_properties(document, schema, value, place)?,
            "anyOf" => {
                let mut problems = Vec::new();
                for rule in rule.as_array().unwrap() {
                    problems.extend(check_against(document, rule, value, place).err());
                }
                if problems.len() == rule.as_array().unwrap().len() {
                    return Err(problems.join("; "));
                }
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    check_against(document, rule, item, &format!("{place}[{index}]"))?;
                }
            }
            other => return Err(format!("{place}: the keyword {other} is not known here")),
        }
    }
    Ok(())
}

fn check_type(rule: &Value, value: &Value, place: &str) -> Result<(), String> {
    let is = |name: &Value| match name.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other} is no type"),
    };
    let fits = rule.as_array().map_or_else(|| is(rule), |names| names.iter().any(is));
    if fits { Ok(()) } else { Err(format!("{place}: {value} is no {rule}")) }
}

/// Checks the properties of an object, and those that the schema does not name.
fn check_properties(document: &Value, schema: &Value, value: &Value, place: &str) -> Result<(), String> {
    for (name, property) in value.as_object().into_iter().flatten() {
        let place = format!("{place}.{name}");
        match (schema["properties"].get(name), &schema["additionalProperties"]) {
            (Some(rule), _) => check_against(document, rule, property, &place)?,
            (None, Value::Bool(false)) => return Err(format!("{place} is not in the schema")),
            (None, rule) => check_against(document, rule, property, &place)?,
        }
    }
    Ok(())
}
