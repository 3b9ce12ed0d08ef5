//! Explains why a text is not JSON, where the reason is a common habit of other formats and languages.

use onnward_schemas::shorten;
use serde_json::Error;

/// Describes a syntax error of [`serde_json`] in `text`: the field that it is in and the remedy, where both
/// are clear, and else the parser's message.
pub fn explain_json_error(text: &str, error: &Error) -> String {
    if text.starts_with('\u{feff}') {
        return "it begins with a byte order mark: send UTF-8 without one".to_owned();
    }
    let message = error.to_string();
    let at = offset(text, error);
    if message.starts_with("trailing characters") && is_another_document(text, at) {
        return "it has several JSON documents, as NDJSON does: send an array of objects, [{…}, {…}]"
            .to_owned();
    }
    let token = token_at(text, at);
    let field =
        field_before(text, token.start).map_or_else(|| "a value".to_owned(), |name| format!("`{name}`"));
    let word = &text[token];
    let unsigned = word.trim_start_matches(['-', '+']);
    let remedy = match unsigned {
        "NaN" | "nan" | "NAN" | "Infinity" | "inf" | "Inf" | "INF" | "NA" => {
            format!("{field} is {word}, which JSON does not have: send null for a missing value")
        }
        "True" | "TRUE" => format!("{field} is {word}: write true"),
        "False" | "FALSE" => format!("{field} is {word}: write false"),
        "None" | "NULL" | "Null" | "nil" | "undefined" => format!("{field} is {word}: write null"),
        _ if message.starts_with("number out of range") => {
            format!("{field} is a number beyond 1.8e308: send a smaller number, or null")
        }
        _ if is_bad_number(word) => {
            format!(
                "{field} is {}: numbers have a digit first and last, a minus at most, and no leading zeros",
                shorten(word)
            )
        }
        _ if text[at..].starts_with('\'') => "strings have double quotes in JSON, not single ones".to_owned(),
        _ => return message,
    };
    format!("{remedy} (line {}, column {})", error.line(), error.column())
}

/// Returns the offset of an error: the start of a character at or before the reported column.
fn offset(text: &str, error: &Error) -> usize {
    let line_start = match error.line() {
        0 | 1 => 0,
        line => text.match_indices('\n').nth(line - 2).map_or(text.len(), |(at, _)| at + 1),
    };
    let at = (line_start + error.column().saturating_sub(1)).min(text.len());
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default()
}

fn is_another_document(text: &str, at: usize) -> bool {
    text[at..].starts_with('{') && text[..at].trim_end().ends_with('}')
}

/// Returns the word around an offset: what is neither white space nor punctuation of JSON.
fn token_at(text: &str, at: usize) -> std::ops::Range<usize> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-._".contains(byte);
    let bytes = text.as_bytes();
    let start = at - bytes[..at].iter().rev().take_while(|byte| is_part(byte)).count();
    let end = at + bytes[at..].iter().take_while(|byte| is_part(byte)).count();
    start..end
}

/// Returns the name of the field whose value begins at an offset.
fn field_before(text: &str, at: usize) -> Option<String> {
    let name = text[..at].trim_end().strip_suffix(':')?.trim_end().strip_suffix('"')?;
    let start = name.rfind('"')? + 1;
    Some(shorten(&name[start..]).escape_debug().to_string())
}

fn is_bad_number(word: &str) -> bool {
    let digits = word.trim_start_matches(['-', '+']);
    let is_number =
        digits.parse::<f64>().is_ok() && digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let has_leading_zero =
        digits.len() > 1 && digits.starts_with('0') && digits.as_bytes()[1].is_ascii_digit();
    is_number
        && (word.starts_with('+') || digits.starts_with('.') || digits.ends_with('.') || has_leading_zero)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn explained(text: &str) -> String {
        explain_json_error(text, &serde_json::from_str::<Value>(text).unwrap_err())
    }

    #[test]
    fn a_value_of_another_language_is_named_with_its_field_and_the_remedy() {
        for (value, remedy) in [
            ("NaN", "send null"),
            ("-Infinity", "send null"),
            ("Infinity", "send null"),
            ("nan", "send null"),
            ("True", "write true"),
            ("False", "write false"),
            ("None", "write null"),
            ("undefined", "write null"),
            ("1e400", "smaller number"),
            ("-1e999", "smaller number"),
            ("+7", "+7"),
            (".5", ".5"),
            ("007", "007"),
            ("5.", "5."),
        ] {
            for text in [
                format!("{{\"plan\": \"a\", \"charges\":{value}}}"),
                format!("[\n{{\"charges\" :\n {value} , \"x\": 1}}]"),
                format!("{{\"é\": 1, \"charges\": {value}"),
            ] {
                let said = explained(&text);
                assert!(said.contains(remedy) && said.contains("`charges`"), "{text}: {said}");
            }
        }
        let long = format!("{{\"charges\": {}}}", "9".repeat(400));
        assert!(explained(&long).contains("`charges` is a number beyond"), "{}", explained(&long));
    }

    #[test]
    fn other_formats_are_recognized() {
        assert!(explained("\u{feff}{\"a\": 1}").contains("byte order mark"));
        assert!(explained("{\"a\": 1}\n{\"a\": 2}\n").contains("NDJSON"));
        assert!(explained("{'a': 1}").contains("double quotes"));
    }

    /// Whatever is cut off or replaced, an explanation is one line and no panic.
    #[test]
    fn every_broken_text_is_explained_in_one_line() {
        let whole = "{\"é\": [1, -2.5e3, \"x\\\"y\", null, true], \"b\": {\"c\": \"ü\"}}\n";
        for at in 0..whole.len() {
            if !whole.is_char_boundary(at) {
                continue;
            }
            for inserted in ["", "NaN", "'", "+1", "\u{feff}", "}", "\n", "ß", "\"", ":"] {
                for text in [
                    format!("{}{inserted}", &whole[..at]),
                    format!("{}{inserted}{}", &whole[..at], &whole[at..]),
                ] {
                    if let Err(error) = serde_json::from_str::<Value>(&text) {
                        let said = explain_json_error(&text, &error);
                        assert!(!said.is_empty() && !said.contains('\n'), "{text:?}: {said:?}");
                    }
                }
            }
        }
    }
}
