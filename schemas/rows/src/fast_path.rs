//! Reads rows as nearly every client writes them: on one line, without escapes, nothing nested, nothing
//! wrong. It takes half the time of the general reader.
//!
//! Deliberately absent: any message. Every other text, whatever it holds, is left to the general reader,
//! which reads the same rows and says what it does not accept.

use onnward_schemas::{FeatureKind, INSTANCES, Kept, Rows, Schema, Value};

use crate::cursor::Cursor;
use crate::json_tokens::JsonTokens;
use crate::keys::RowKeys;
use crate::limits::RowsLimits;
use crate::parser::{BodyShape, ParsedRows, RowParser};

impl RowParser {
    /// Reads the rows of a text as the general reader does; `None` for a text that only that one can judge.
    /// Public for fuzzers, which compare both readers.
    #[doc(hidden)]
    pub fn parse_fast(&self, text: &str, limits: RowsLimits, keeps_keys: bool) -> Option<ParsedRows> {
        let mut text = Cursor::new(text)?;
        let schema = &*self.schema;
        let mut parser = FastRowParser {
            schema,
            tokens: &self.tokens,
            max_rows: limits.max_rows_of(schema.features.len()),
            keeps_keys: keeps_keys && schema.identifier.is_some(),
            values: Vec::new(),
            kept: Vec::new(),
            keys: RowKeys::default(),
            seen: vec![false; schema.features.len()],
            len: 0,
        };
        let shape = parser.body(&mut text)?;
        let FastRowParser { values, kept, keys, len, .. } = parser;
        let rows = Rows { values, kept, len };
        text.rest().is_empty().then_some(ParsedRows { rows, keys, shape })
    }
}

struct FastRowParser<'a> {
    schema: &'a Schema,
    tokens: &'a [JsonTokens],
    max_rows: usize,
    keeps_keys: bool,
    values: Vec<f32>,
    kept: Vec<Kept>,
    keys: RowKeys,
    /// Whether each feature has been seen in the current row.
    seen: Vec<bool>,
    len: usize,
}

/// The meaning of a field's name.
enum Name {
    Feature(usize),
    Identifier,
}

impl FastRowParser<'_> {
    fn body(&mut self, text: &mut Cursor<'_>) -> Option<BodyShape> {
        if text.rest().starts_with(b"[") {
            self.list(text)?;
            return Some(BodyShape::Many);
        }
        let mut instances = *text;
        if instances.expect(b'{').and_then(|()| instances.string()) == Some(INSTANCES) {
            instances.expect(b':')?;
            self.list(&mut instances)?;
            instances.expect(b'}')?;
            *text = instances;
            return Some(BodyShape::Instances);
        }
        self.row(text)?;
        Some(BodyShape::Single)
    }

    fn list(&mut self, text: &mut Cursor<'_>) -> Option<()> {
        text.expect(b'[')?;
        while self.len < self.max_rows {
            self.row(text)?;
            if text.ends(b']')? {
                return Some(());
            }
        }
        None
    }

    fn row(&mut self, whole: &mut Cursor<'_>) -> Option<()> {
        // A local copy stays in registers.
        let mut text = *whole;
        let start = self.values.len();
        self.values.resize(start + self.seen.len(), f32::NAN);
        let kept_start = self.kept.len();
        self.kept.resize(kept_start + self.schema.kept_features().len(), Kept::Missing);
        self.seen.fill(false);
        let mut key = None;
        let mut next = 0;
        text.expect(b'{')?;
        loop {
            match self.name(&mut text, next)? {
                Name::Feature(index) => {
                    if std::mem::replace(&mut self.seen[index], true) {
                        return None;
                    }
                    self.values[start + index] = self.code(&mut text, index, kept_start)?;
                    next = index + 1;
                }
                Name::Identifier if key.is_none() => key = Some(self.key(&mut text)?),
                Name::Identifier => return None,
            }
            if text.ends(b'}')? {
                break;
            }
        }
        let mut features = self.schema.features.iter().zip(&self.seen);
        if features.any(|(feature, seen)| feature.required && !seen) {
            return None;
        }
        if self.keeps_keys {
            self.keys.push(key);
        }
        self.len += 1;
        *whole = text;
        Some(())
    }

    /// Reads a field's name and its colon. Mostly it is the next feature's.
    fn name(&self, text: &mut Cursor<'_>, next: usize) -> Option<Name> {
        text.skip_spaces();
        let tokens = self.tokens.get(next);
        if let Some(len) = tokens.and_then(|tokens| tokens.name_at(text.rest())) {
            text.skip(len)?;
            return Some(Name::Feature(next));
        }
        let name = text.string()?;
        text.expect(b':')?;
        match self.schema.index_of(name) {
            Some(index) => Some(Name::Feature(index)),
            None => (self.schema.identifier.as_deref() == Some(name)).then_some(Name::Identifier),
        }
    }

    /// Reads the identifier's value. Where keys are kept, a number is left to the general reader.
    fn key<'t>(&self, text: &mut Cursor<'t>) -> Option<&'t str> {
        match text.value()? {
            Value::Text(key) => Some(key),
            _ => (!self.keeps_keys).then_some(""),
        }
    }

    /// Reads a feature's value and encodes it.
    fn code(&mut self, text: &mut Cursor<'_>, index: usize, kept_start: usize) -> Option<f32> {
        text.skip_spaces();
        if let Some((code, len)) = self.tokens[index].category_at(text.rest()) {
            text.skip(len)?;
            return Some(code as f32);
        }
        if matches!(self.schema.features[index].kind, FeatureKind::Kept(_)) {
            return None;
        }
        let value = text.value()?;
        if let (Value::Text(text), Some(at)) = (value, self.schema.kept_index(index)) {
            self.kept[kept_start + at] = Kept::Text(text.to_owned());
        }
        self.tokens[index].accept(&self.schema.features[index], value)
    }
}

#[cfg(test)]
mod tests;
