//! Names from which generators of clients make identifiers.
//!
//! A generator drops what cannot be an identifier: `a-b`, `a.b` and `a b` may become the same class, field or
//! constant. Then it leaves one of them out, or stops.

use std::collections::{HashMap, HashSet};

/// Returns what is left of a name where generators keep the fewest differences.
fn fold(name: &str) -> String {
    let kept = name.chars().filter(|c| c.is_alphabetic() || c.is_ascii_digit());
    kept.flat_map(char::to_lowercase).collect()
}

/// Names that generators can tell apart.
#[derive(Default)]
struct DistinctNames {
    taken: HashSet<String>,
    /// The last number that a name was given.
    numbers: HashMap<String, usize>,
}

impl DistinctNames {
    /// Takes the name, or else the name with the lowest number. With each of the suffixes, it differs from all
    /// that were taken before.
    fn take(&mut self, name: &str, suffixes: &[&str]) -> String {
        let mut candidate = name.to_owned();
        loop {
            let all: Vec<String> =
                suffixes.iter().map(|suffix| fold(&format!("{candidate}{suffix}"))).collect();
            if !all.iter().any(|folded| self.taken.contains(folded)) {
                self.taken.extend(all);
                return candidate;
            }
            let number = self.numbers.entry(name.to_owned()).or_insert(1);
            *number += 1;
            candidate = format!("{name}_{number}");
        }
    }
}

/// Joins the words of a name, such as `a_b` of `a-b`. A name that does not begin with a letter gets `prefix`.
fn words(name: &str, prefix: &str) -> String {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let joined = words.collect::<Vec<_>>().join("_");
    if joined.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return joined;
    }
    format!("{prefix}_{joined}").trim_end_matches('_').to_owned()
}

/// The suffixes of a model's identifier in the ids of operations.
const SUFFIXES: [&str; 3] = ["", "_version", "_alias"];

/// Returns the identifier of each model, such as `my_model` of `my.model`. The ids of operations that are made
/// from them differ too.
pub fn of_models<'a>(names: impl IntoIterator<Item = &'a str>) -> HashMap<&'a str, String> {
    let mut distinct = DistinctNames::default();
    names.into_iter().map(|name| (name, distinct.take(&words(name, "model"), &SUFFIXES))).collect()
}

/// Returns the type name of an identifier, such as `MyModel` of `my_model`.
pub fn type_name(identifier: &str) -> String {
    let capitalized = identifier.split('_').map(|word| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_ascii_uppercase() + rest
    });
    capitalized.collect()
}

/// Returns the name of each of these values, such as `MONTH_TO_MONTH` of `Month-to-month`.
pub fn of_values<'a>(values: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut distinct = DistinctNames::default();
    let name = |value| distinct.take(&words(value, "value").to_ascii_uppercase(), &[""]);
    values.into_iter().map(name).collect()
}

/// Returns the names of fields that cannot be told apart as identifiers, or are none at all.
pub fn indistinct<'a>(fields: impl IntoIterator<Item = &'a str> + Clone) -> HashSet<&'a str> {
    let mut counts = HashMap::<String, usize>::new();
    for field in fields.clone() {
        *counts.entry(fold(field)).or_default() += 1;
    }
    let is_distinct = |field: &&str| {
        let folded = fold(field);
        !folded.is_empty() && counts.get(&folded) == Some(&1)
    };
    fields.into_iter().filter(|field| !is_distinct(field)).collect()
}

/// Returns the regular expression (ECMA-262) that matches exactly this text.
pub fn exact_pattern(text: &str) -> String {
    let mut pattern = String::from("^");
    for c in text.chars() {
        if r"^$\.*+?()[]{}|/".contains(c) {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('$');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns all texts of up to three of these characters.
    fn texts() -> Vec<String> {
        let characters = ["a", "A", "b", "1", "_", "-", ".", " ", "/", "é", "2"];
        let mut texts = vec![String::new()];
        for length in 0..3 {
            let longer: Vec<String> = texts
                .iter()
                .filter(|text| text.chars().count() == length)
                .flat_map(|text| characters.map(|c| format!("{text}{c}")))
                .collect();
            texts.extend(longer);
        }
        texts
    }

    fn is_identifier(name: &str) -> bool {
        name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    }

    #[test]
    fn every_model_has_an_identifier_of_its_own() {
        let mut names: Vec<String> = texts().into_iter().filter(|name| name.is_ascii()).collect();
        names.extend(["a_version", "a.alias", "a-version-2", "a", "model"].map(str::to_owned));
        names.sort();
        names.dedup();
        let identifiers = of_models(names.iter().map(String::as_str));
        assert_eq!(identifiers.len(), names.len());
        let mut ids = HashSet::new();
        for identifier in identifiers.values() {
            assert!(is_identifier(identifier), "{identifier}");
            for suffix in SUFFIXES {
                assert!(ids.insert(fold(&format!("{identifier}{suffix}"))), "{identifier}{suffix}");
            }
        }
        assert_eq!(of_models(["my.model", "churn"])["my.model"], "my_model");
        assert_eq!(of_models(["2x"])["2x"], "model_2x");
        assert_eq!(type_name("my_model_2x"), "MyModel2x");
    }

    #[test]
    fn every_value_has_a_name_of_its_own() {
        let texts = texts();
        let names = of_values(texts.iter().map(String::as_str));
        assert_eq!(names.len(), texts.len());
        assert!(names.iter().all(|name| is_identifier(name) && *name == name.to_ascii_uppercase()));
        let folded: HashSet<String> = names.iter().map(|name| fold(name)).collect();
        assert_eq!(folded.len(), names.len());
        let contracts = ["Month-to-month", "Two year", "two-year", "", "日本", "1"];
        let named = ["MONTH_TO_MONTH", "TWO_YEAR", "TWO_YEAR_2", "VALUE", "VALUE_2", "VALUE_1"];
        assert_eq!(of_values(contracts), named);
    }

    #[test]
    fn fields_that_differ_only_in_case_or_signs_are_indistinct() {
        let fields =
            ["a/b", "a b", "name", "Name", "größe", "日本", "🙂", "-", "__proto__", "\"><img src=x>"];
        assert_eq!(indistinct(fields), ["a/b", "a b", "name", "Name", "🙂", "-"].into());
        assert_eq!(indistinct(["a", "b"]), HashSet::new());
    }

    #[test]
    fn a_pattern_matches_one_text() {
        assert_eq!(exact_pattern("a-b"), "^a-b$");
        assert_eq!(exact_pattern(r"a.b\(c)"), r"^a\.b\\\(c\)$");
    }
}
