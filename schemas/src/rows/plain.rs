//! Rows as nearly every client writes them, read in half the time that a general reader of JSON takes: on one line, without
//! escapes, nothing nested, nothing wrong.
//!
//! What is deliberately absent: any message. A text that is not plain, whatever is the matter with it, is left to the
//! general reader, which gives the same rows and says what it does not accept.

use super::body::INSTANCES;
use super::cursor::Cursor;
use super::{RowKeys, Rows, RowsForm, RowsLimits};
use crate::encode::Value;
use crate::schema::Schema;

impl Schema {
    /// The rows of a plain text of JSON: what [`Schema::read_rows`], or with `keeps_keys`
    /// [`Schema::read_rows_with_keys`], gives for it. `None` where only these can tell.
    pub fn read_plain_rows(&self, text: &str, limits: RowsLimits, keeps_keys: bool) -> Option<Rows> {
        let mut text = Cursor::new(text)?;
        let mut reader = PlainReader {
            schema: self,
            limits,
            keeps_keys: keeps_keys && self.identifier.is_some(),
            values: Vec::new(),
            texts: Vec::new(),
            keys: RowKeys::default(),
            given: vec![false; self.features.len()],
            len: 0,
        };
        let form = reader.body(&mut text)?;
        let PlainReader { values, texts, keys, len, .. } = reader;
        text.rest().is_empty().then_some(Rows { values, texts, keys, len, form })
    }
}

struct PlainReader<'a> {
    schema: &'a Schema,
    limits: RowsLimits,
    keeps_keys: bool,
    values: Vec<f32>,
    texts: Vec<String>,
    keys: RowKeys,
    /// Which features the row that is being read has given.
    given: Vec<bool>,
    len: usize,
}

/// What a field's name stands for.
enum Name {
    Feature(usize),
    Identifier,
}

impl PlainReader<'_> {
    fn body(&mut self, text: &mut Cursor<'_>) -> Option<RowsForm> {
        if text.rest().starts_with(b"[") {
            self.list(text)?;
            return Some(RowsForm::Many);
        }
        let mut instances = *text;
        if instances.expect(b'{').and_then(|()| instances.string()) == Some(INSTANCES) {
            instances.expect(b':')?;
            self.list(&mut instances)?;
            instances.expect(b'}')?;
            *text = instances;
            return Some(RowsForm::Many);
        }
        self.row(text)?;
        Some(RowsForm::Single)
    }

    fn list(&mut self, text: &mut Cursor<'_>) -> Option<()> {
        text.expect(b'[')?;
        while self.len < self.limits.max_rows {
            self.row(text)?;
            if text.ends(b']')? {
                return Some(());
            }
        }
        None
    }

    fn row(&mut self, whole: &mut Cursor<'_>) -> Option<()> {
        // A copy of its own stays in registers.
        let mut text = *whole;
        let start = self.values.len();
        self.values.resize(start + self.given.len(), f32::NAN);
        let texts_start = self.texts.len();
        self.texts.resize(texts_start + self.schema.texts.len(), String::new());
        self.given.fill(false);
        let mut key = None;
        let mut next = 0;
        text.expect(b'{')?;
        loop {
            match self.name(&mut text, next)? {
                Name::Feature(index) => {
                    if std::mem::replace(&mut self.given[index], true) {
                        return None;
                    }
                    self.values[start + index] = self.code(&mut text, index, texts_start)?;
                    next = index + 1;
                }
                Name::Identifier if key.is_none() => key = Some(self.key(&mut text)?),
                Name::Identifier => return None,
            }
            if text.ends(b'}')? {
                break;
            }
        }
        let mut given = self.schema.features.iter().zip(&self.given);
        if given.any(|(feature, given)| feature.required && !given) {
            return None;
        }
        if self.keeps_keys {
            self.keys.push(key);
        }
        self.len += 1;
        *whole = text;
        Some(())
    }

    /// Reads a field's name and its colon. It is mostly that of the next feature.
    fn name(&self, text: &mut Cursor<'_>, next: usize) -> Option<Name> {
        text.skip_spaces();
        let literals = self.schema.literals.get(next);
        if let Some(len) = literals.and_then(|literals| literals.name_at(text.rest())) {
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

    /// Reads the identifier's value. A number is no text yet.
    fn key<'t>(&self, text: &mut Cursor<'t>) -> Option<&'t str> {
        match text.value()? {
            Value::Text(key) => Some(key),
            _ => (!self.keeps_keys).then_some(""),
        }
    }

    /// Reads a feature's value and encodes it.
    fn code(&mut self, text: &mut Cursor<'_>, index: usize, texts_start: usize) -> Option<f32> {
        text.skip_spaces();
        if let Some((code, len)) = self.schema.literals[index].category_at(text.rest()) {
            text.skip(len)?;
            return Some(code as f32);
        }
        let value = text.value()?;
        if let (Value::Text(text), Some(at)) = (value, self.schema.text_index(index)) {
            text.clone_into(&mut self.texts[texts_start + at]);
        }
        self.schema.features[index].accept(value)
    }
}

#[cfg(test)]
mod tests;
