//! The JSON tokens of a feature's name and its categories. They are found in a text without searching for
//! their ends.

use std::collections::HashMap;

use onnward_schemas::{Feature, Value};

/// The maximum size of a token: two halves that are compared at once.
const MAX_BYTES: usize = 2 * HALF;
const HALF: usize = size_of::<u128>();
/// A feature with more categories has no tokens for them, since each needs a bit of a word, and a hash map
/// instead.
const MAX_CATEGORIES: usize = u32::BITS as usize;

/// The bytes that come next in a text.
type Window = [u128; 2];

/// A string that is found in a text by comparing all of its bytes at once.
#[derive(Debug, Clone, PartialEq)]
struct Token {
    bytes: Window,
    /// The mask of the bytes up to its length, which are compared.
    mask: Window,
    len: usize,
}

impl Token {
    /// Returns `None` for a text that is too long, or that JSON writes with escapes.
    fn new(text: &str, quoted: &str) -> Option<Self> {
        let needs_no_escape = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
        let (mut bytes, mut mask) = ([0; MAX_BYTES], [0; MAX_BYTES]);
        bytes.get_mut(..quoted.len())?.copy_from_slice(quoted.as_bytes());
        mask[..quoted.len()].fill(u8::MAX);
        let [bytes, mask] = [window(&bytes)?, window(&mask)?];
        text.bytes().all(needs_no_escape).then_some(Self { bytes, mask, len: quoted.len() })
    }

    fn is_at(&self, [low, high]: Window) -> bool {
        let differs = [(low ^ self.bytes[0]) & self.mask[0], (high ^ self.bytes[1]) & self.mask[1]];
        differs[0] | differs[1] == 0
    }
}

/// Returns the next bytes of a text; `None` where fewer are left.
fn window(text: &[u8]) -> Option<Window> {
    let (low, rest) = text.split_first_chunk::<HALF>()?;
    Some([u128::from_le_bytes(*low), u128::from_le_bytes(*rest.first_chunk()?)])
}

/// Returns the codes of categories. One that is listed twice has the code of the first.
fn codes(values: &[String]) -> HashMap<String, usize> {
    values.iter().enumerate().rev().map(|(code, value)| (value.clone(), code)).collect()
}

fn accept_by(codes: &HashMap<String, usize>, feature: &Feature, value: Value<'_>) -> Option<f32> {
    let code = match value {
        Value::Text(text) => codes.get(text),
        Value::Number(number) => codes.get(&number.to_string()),
        Value::Boolean(boolean) => codes.get(if boolean { "true" } else { "false" }),
        Value::Missing | Value::Array | Value::Object => return feature.accept(value),
    };
    match code {
        Some(code) => Some(*code as f32),
        None => feature.accept_unlisted(value),
    }
}

/// The tokens of one feature.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonTokens {
    /// `"name":`.
    name: Option<Token>,
    /// `"category"`, in the order of their codes: all of them or none.
    categories: Vec<Token>,
    /// The codes of the categories, where there are too many to search from the front for each value.
    codes: Option<HashMap<String, usize>>,
}

impl JsonTokens {
    /// Writes down the tokens of a feature.
    pub fn of(feature: &Feature) -> Self {
        let name = &feature.name;
        let category = |value: &String| Token::new(value, &format!("\"{value}\""));
        let values =
            feature.categories().filter(|values| !feature.is_kept() && values.len() <= MAX_CATEGORIES);
        let categories = values.and_then(|values| values.iter().map(category).collect());
        let many = feature.categories().filter(|values| !feature.is_kept() && values.len() > MAX_CATEGORIES);
        Self {
            name: Token::new(name, &format!("\"{name}\":")),
            categories: categories.unwrap_or_default(),
            codes: many.map(codes),
        }
    }

    /// Encodes a value as [`Feature::accept`] does. The work does not depend on how many categories there
    /// are.
    #[inline]
    pub fn accept(&self, feature: &Feature, value: Value<'_>) -> Option<f32> {
        match &self.codes {
            None => feature.accept(value),
            Some(codes) => accept_by(codes, feature, value),
        }
    }

    /// Returns how many bytes the feature's name has, if the text begins with it.
    #[inline]
    pub fn name_at(&self, text: &[u8]) -> Option<usize> {
        let name = self.name.as_ref()?;
        name.is_at(window(text)?).then_some(name.len)
    }

    /// Returns the code of the category that the text begins with, and how many bytes it has.
    #[inline]
    pub fn category_at(&self, text: &[u8]) -> Option<(usize, usize)> {
        let window = window(text)?;
        // A branch for each would be mispredicted, since any category may come: all are compared, without
        // one.
        let found = |(code, token): (usize, &Token)| u32::from(token.is_at(window)) << code;
        let found = self.categories.iter().enumerate().map(found).fold(0, |all, one| all | one);
        let code = found.trailing_zeros() as usize;
        self.categories.get(code).map(|token| (code, token.len))
    }
}
