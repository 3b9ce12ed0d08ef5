//! The parts of a plain text of JSON, read one after the other: one line, without escapes.

use memchr::memchr;

use crate::encode::Value;

/// A number of so many digits is a whole number that a double holds, divided by a power of ten that a double holds too, so
/// that the quotient is the nearest double (Clinger, "How to read floating point numbers accurately", 1990).
const MAX_DIGITS: usize = 15;
const POWERS_OF_TEN: [f64; MAX_DIGITS] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14];

/// What is left of a text. Everything that is read gives `None` where something else stands there.
#[derive(Clone, Copy)]
pub struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// `None` for a text with lines or escapes, which is not plain.
    pub fn new(text: &'a str) -> Option<Self> {
        let rest = text.trim_ascii().as_bytes();
        let has_controls = rest.iter().fold(false, |found, byte| found | byte.is_ascii_control());
        (!has_controls && memchr(b'\\', rest).is_none()).then_some(Self { rest })
    }

    /// What is left.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Goes on behind so many bytes.
    pub fn skip(&mut self, bytes: usize) -> Option<()> {
        self.rest = self.rest.get(bytes..)?;
        Some(())
    }

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

    pub fn expect(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    /// Whether the end comes, and not a comma and more.
    pub fn ends(&mut self, end: u8) -> Option<bool> {
        let byte = self.next()?;
        (byte == end || byte == b',').then_some(byte == end)
    }

    /// A string, a number, a truth value or nothing.
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

    pub fn string(&mut self) -> Option<&'a str> {
        self.expect(b'"')?;
        let (text, rest) = self.rest.split_at_checked(memchr(b'"', self.rest)?)?;
        self.rest = rest.get(1..)?;
        std::str::from_utf8(text).ok()
    }

    // An exponent is what follows a number: neither a comma nor an end.
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

/// Appends the digits that come first to a number; how many there are, and what follows.
fn digits<'a>(mut text: &'a [u8], number: &mut u64) -> (usize, &'a [u8]) {
    let mut count = 0;
    while let [digit @ b'0'..=b'9', rest @ ..] = text {
        *number = number.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
        (count, text) = (count + 1, rest);
    }
    (count, text)
}
