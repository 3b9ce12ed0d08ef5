use serde::Serialize;

/// What a feature takes and what it was given instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// What the feature takes, in words.
    pub expected: String,
    /// What came, in words.
    pub got: String,
}

/// One thing that is wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Where it is: a JSON pointer (RFC 6901) into the request's body.
    pub pointer: String,
    /// The row's index, counted from 0; absent where it concerns the body as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row: Option<usize>,
    /// What was expected, in words.
    pub expected: String,
    /// What came, in words.
    pub got: String,
}

/// The violations of one request, of which only the first [`Violations::LISTED`] are kept: a request of many bad rows
/// must not make an answer without bound.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Violations {
    listed: Vec<Violation>,
    total: usize,
}

impl Violations {
    /// How many violations are listed at most; the rest are only counted.
    pub const LISTED: usize = 100;

    /// Adds a violation; past the limit it is counted and `make` is not called.
    pub fn push(&mut self, make: impl FnOnce() -> Violation) {
        self.total += 1;
        if self.listed.len() < Self::LISTED {
            self.listed.push(make());
        }
    }

    /// The first violations, in the order in which they stand in the body.
    pub fn listed(&self) -> &[Violation] {
        &self.listed
    }

    /// How many violations there are, listed or not.
    pub fn total(&self) -> usize {
        self.total
    }

    /// Whether the request is in order.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }
}

/// Appends one reference token to a JSON pointer, escaped as RFC 6901 says.
pub fn pointer_to(parent: &str, token: &str) -> String {
    format!("{parent}/{}", token.replace('~', "~0").replace('/', "~1"))
}
