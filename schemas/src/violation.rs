use serde::Serialize;

/// A value that a feature does not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// A description of the values that the feature accepts.
    pub expected: String,
    /// A description of the value that was received.
    pub got: String,
}

impl Mismatch {
    /// Says that an object has a field twice.
    pub fn repeated_field() -> Self {
        Self { expected: "each field once".to_owned(), got: "the field a second time".to_owned() }
    }
}

/// One mistake in a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Its position: a JSON pointer (RFC 6901) into the request's body.
    pub pointer: String,
    /// The row's index, counted from 0; absent where it concerns the body as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row: Option<usize>,
    /// A description of the expected value.
    pub expected: String,
    /// A description of the value that was received.
    pub got: String,
}

/// The violations of one request. Only the first are listed: at most [`Violations::LISTED`], of at most
/// [`Violations::LISTED_BYTES`] together. A request of many mistakes must not make an answer without bound.
///
/// ```
/// use onnward_schemas::{Violation, Violations};
///
/// let mut violations = Violations::default();
/// for row in 0..1_000 {
///     violations.push(|| Violation {
///         pointer: format!("/{row}"),
///         row: Some(row),
///         expected: "an object of fields".to_owned(),
///         got: "null".to_owned(),
///     });
/// }
/// assert_eq!((violations.listed().len(), violations.total()), (100, 1_000));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Violations {
    listed: Vec<Violation>,
    listed_bytes: usize,
    total: usize,
}

impl Violations {
    /// The maximum number of listed violations; the rest are only counted.
    pub const LISTED: usize = 100;

    /// The maximum size of the listed violations. A schema may have long names and categories.
    pub const LISTED_BYTES: usize = 256 * 1024;

    /// Adds a violation. Once the list is full it is only counted, and `make` is not called.
    pub fn push(&mut self, make: impl FnOnce() -> Violation) {
        self.total += 1;
        if !self.has_room() {
            return;
        }
        let violation = make();
        let Violation { pointer, row: _, expected, got } = &violation;
        self.listed_bytes += pointer.len() + expected.len() + got.len();
        if self.listed_bytes <= Self::LISTED_BYTES {
            self.listed.push(violation);
        }
    }

    /// Returns whether the next violation is listed with its message, and not only counted.
    pub fn has_room(&self) -> bool {
        self.listed.len() < Self::LISTED && self.listed_bytes <= Self::LISTED_BYTES
    }

    /// Counts violations that are not listed.
    pub fn add_unlisted(&mut self, count: usize) {
        self.total += count;
    }

    /// Returns the first violations, in the order in which they stand in the body.
    pub fn listed(&self) -> &[Violation] {
        &self.listed
    }

    /// Returns how many violations there are, listed or not.
    pub fn total(&self) -> usize {
        self.total
    }

    /// Returns whether the request is in order.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }
}

/// Appends one reference token to a JSON pointer, escaped as RFC 6901 defines.
///
/// ```
/// assert_eq!(onnward_schemas::pointer_to("/3", "km/h"), "/3/km~1h");
/// ```
pub fn pointer_to(parent: &str, token: &str) -> String {
    format!("{parent}/{}", token.replace('~', "~0").replace('/', "~1"))
}
