//! Formats fields for people: `request method=POST route=/predict status=200`.

use std::fmt::{self, Debug, Write};

use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;

use super::escape::Escaped;

/// A format with short names, and quotes only around texts with blanks.
pub struct PrettyFields;

impl<'writer> FormatFields<'writer> for PrettyFields {
    fn format_fields<R: RecordFields>(&self, line: Writer<'writer>, fields: R) -> fmt::Result {
        let mut writing = Fields { line, is_first: true, result: Ok(()) };
        fields.record(&mut writing);
        writing.result
    }
}

struct Fields<'a> {
    line: Writer<'a>,
    is_first: bool,
    result: fmt::Result,
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // Microseconds are fine enough for people.
        self.record_debug(field, &((value * 1000.0).round() / 1000.0));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let line = &mut self.line;
        let mut write = || {
            if !std::mem::take(&mut self.is_first) {
                line.write_char(' ')?;
            }
            if field.name() == "message" {
                return write!(Escaped(line), "{value:?}");
            }
            line.write_str(field.name())?;
            line.write_char('=')?;
            let mut text = String::new();
            write!(Escaped(&mut text), "{value:?}")?;
            let is_word = !text.is_empty() && !text.contains(' ');
            if is_word { line.write_str(&text) } else { write!(line, "\"{text}\"") }
        };
        self.result = self.result.and_then(|()| write());
    }
}
