//! Escapes text of any origin, so that it stays within its field.

use std::fmt::{self, Write};

/// A writer that escapes what JSON must escape (RFC 8259, section 7). It also escapes characters that a
/// terminal could obey or a program could take for a line end: control characters, line separators, and marks
/// that change the direction of text.
pub struct Escaped<'a, W>(pub &'a mut W);

impl<W: Write> Write for Escaped<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.bytes().all(needs_no_escape) {
            return self.0.write_str(text);
        }
        let mut rest = text;
        while let Some(at) = rest.find(must_escape) {
            let (plain, special) = rest.split_at(at);
            self.0.write_str(plain)?;
            let mut chars = special.chars();
            match chars.next() {
                Some('\n') => self.0.write_str("\\n")?,
                Some(quoted @ ('"' | '\\')) => write!(self.0, "\\{quoted}")?,
                // All of them are in the basic plane: four digits hold them.
                Some(other) => write!(self.0, "\\u{:04x}", u32::from(other))?,
                None => {}
            }
            rest = chars.as_str();
        }
        self.0.write_str(rest)
    }
}

/// Returns whether a byte needs no escape. Almost all text consists of such bytes.
fn needs_no_escape(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

fn must_escape(char: char) -> bool {
    let turns_text =
        matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    matches!(char, '"' | '\\' | '\u{2028}' | '\u{2029}') || char.is_control() || turns_text
}
