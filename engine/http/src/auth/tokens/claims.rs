//! The caller of a verified token: its name and scopes.

use serde_json::{Map, Value};
use thiserror::Error;

use crate::auth::rules::TokenRules;
use crate::auth::{Caller, Scope};

/// The maximum length of a name. A longer one is rejected.
const MAX_NAME_CHARS: usize = 128;

/// The reason why a token's claims name no caller.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadClaim {
    /// There is no name.
    #[error("the token has no string claim `{claim}`, which auth.jwt.name_claim requires")]
    NoName {
        /// The claim.
        claim: String,
    },
    /// The name could forge a log line, or is too long.
    #[error(
        "the token's claim `{claim}` must have 1 to {MAX_NAME_CHARS} letters, digits, ASCII signs and spaces"
    )]
    BadName {
        /// The claim.
        claim: String,
    },
}

/// Builds the caller from the claims, with its known scopes.
pub fn caller(claims: &Map<String, Value>, rules: &TokenRules) -> Result<Caller, BadClaim> {
    let claim = || rules.name_claim.clone();
    let name = find(claims, &rules.name_claim).and_then(Value::as_str);
    let name = name.ok_or_else(|| BadClaim::NoName { claim: claim() })?;
    if !is_printable_name(name) {
        return Err(BadClaim::BadName { claim: claim() });
    }
    let listed = find(claims, &rules.scope_claim).map(string_list).unwrap_or_default();
    let names: Vec<&str> =
        listed.into_iter().filter_map(|text| text.strip_prefix(rules.scope_prefix.as_str())).collect();
    let scopes = Scope::ALL.into_iter().filter(|scope| names.contains(&scope.name())).collect();
    Ok(Caller { name: name.to_owned(), scopes })
}

/// Finds a claim by name, or by a dotted path. Names with dots are common, because some issuers use URLs.
fn find<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    claims.get(name).or_else(|| {
        let (outer, rest) = name.split_once('.')?;
        find(claims.get(outer)?.as_object()?, rest)
    })
}

/// Returns the items of a space-separated string (RFC 8693 scopes) or of a list of strings (roles of most
/// issuers).
fn string_list(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => text.split(' ').collect(),
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// Returns whether a text is printable on one line: no line breaks, direction marks or invisible characters.
fn is_printable_name(text: &str) -> bool {
    (1..=MAX_NAME_CHARS).contains(&text.chars().count())
        && text.chars().all(|char| char.is_alphanumeric() || char.is_ascii_graphic() || char == ' ')
}
