//! The tokens of JSON on one line and without escapes, read one after the other.

use memchr::memchr;
use onnward_schemas::Value;

/// The maximum number of digits in a number here. It is then an integer that a double can represent, divided
/// by a power of ten that a double can represent too, so the quotient is the nearest double (Clinger, "How to
/// read floating point numbers accurately", 1990).
const MAX_DIGITS: usize = 15;
const POWERS_OF_TEN: [f64; MAX_DIGITS] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14];

/// JSON's white space (RFC 8259, section 2). A form feed, which Rust counts as white space too, is not in it.
const WHITE_SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

/// The rest of a text. Every method that reads returns `None` if the text continues with something else.
#[derive(Clone, Copy)]
pub struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// Returns `None` for a text with line breaks or escapes, which only the general reader reads.
    pub fn new(text: &'a str) -> Option<Self> {
        let rest = text.trim_matches(WHITE_SPACE).as_bytes();
        let has_controls = rest.iter().fold(false, |found, byte| found | byte.is_ascii_control());
        (!has_controls && memchr(b'\\', rest).is_none()).then_some(Self { rest })
    }

    /// Returns what is left.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Skips this many bytes.
    #[inline]
    pub fn skip(&mut self, bytes: usize) -> Option<()> {
        self.rest = self.rest.get(bytes..)?;
        Some(())
    }

    /// Skips spaces.
    #[inline]
    pub fn skip_spaces(&mut self) {
        while let [b' ', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    fn next(&mut self) -> Option<u8> {
        self.skip_spaces();
        let (byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*byte)
    }

    /// Reads this byte.
    #[inline]
    pub fn expect(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    /// Reads the end or a comma; whether it was the end.
    #[inline]
    pub fn ends(&mut self, end: u8) -> Option<bool> {
        let byte = self.next()?;
        (byte == end || byte == b',').then_some(byte == end)
    }

    /// Reads a string, a number, a Boolean or null.
    pub fn value(&mut self) -> Option<Value<'a>> {
        self.skip_spaces();
        match self.rest.first()? {
            b'"' => self.string().map(Value::Text),
            b't' => self.word(b"true", Value::Boolean(true)),
            b'f' => self.word(b"false", Value::Boolean(false)),
            b'n' => self.word(b"null", Value::Missing),
            _ => self.number().map(Value::Number),
        }
    }

    fn word(&mut self, word: &[u8], value: Value<'a>) -> Option<Value<'a>> {
        self.rest = self.rest.strip_prefix(word)?;
        Some(value)
    }

    /// Reads a string and its quotes.
    #[inline]
    pub fn string(&mut self) -> Option<&'a str> {
        self.expect(b'"')?;
        let (text, rest) = self.rest.split_at_checked(memchr(b'"', self.rest)?)?;
        self.rest = rest.get(1..)?;
        std::str::from_utf8(text).ok()
    }

    // An exponent is left unread, and then neither a comma nor an end follows.
    fn number(&mut self) -> Option<f64> {
        let is_negative = self.rest.starts_with(b"-");
        let unsigned = self.rest.get(usize::from(is_negative)..)?;
        let mut mantissa = 0;
        let (whole, rest) = digits(unsigned, &mut mantissa);
        let (decimals, rest) = match rest {
            [b'.', rest @ ..] => digits(rest, &mut mantissa),
            rest => (0, rest),
        };
        let ends_in_point = decimals == 0 && unsigned.get(whole) == Some(&b'.');
        let has_needless_zero = whole > 1 && unsigned.starts_with(b"0");
        if whole == 0 || ends_in_point || has_needless_zero || whole + decimals > MAX_DIGITS {
            return None;
        }
        self.rest = rest;
        let number = mantissa as f64 / POWERS_OF_TEN[decimals];
        Some(if is_negative { -number } else { number })
    }
}

/// Appends the leading digits of a text to a number, and returns how many there are and what follows.
fn digits<'a>(mut text: &'a [u8], number: &mut u64) -> (usize, &'a [u8]) {
    let mut count = 0;
    while let [digit @ b'0'..=b'9', rest @ ..] = text {
        *number = number.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
        (count, text) = (count + 1, rest);
    }
    (count, text)
}
