//! What a model predicts of a row.

use serde::{Deserialize, Serialize};

/// What a model predicts of a row, and what its label can be.
///
/// Code that differs by task matches on this enum, so that the compiler names every place that a new task needs.
#[derive(Debug, Clone, PartialEq)]
pub enum Task {
    /// Whether a row is positive.
    Binary(Binary),
    /// The class of a row.
    Classes(Classes),
    /// A number.
    Number,
    /// The outputs of an external graph as they are. No table has such a label.
    Raw(Outputs),
}

/// A label of two values, one of which is the positive one.
#[derive(Debug, Clone, PartialEq)]
pub struct Binary {
    /// The value of a positive row.
    pub positive: String,
    /// The value of a negative row.
    pub negative: String,
    /// The probability from which a row is predicted positive.
    pub threshold: f64,
}

/// A label of several classes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classes {
    /// The values of the label, in the order of the model's probabilities: at least two.
    pub values: Vec<String>,
}

/// The outputs of an external graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outputs {
    /// The outputs, in the graph's order.
    pub fields: Vec<OutputField>,
}

/// An output of an external graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputField {
    /// Its name.
    pub name: String,
    /// The type of its values.
    pub element: OutputElement,
    /// The number of dimensions of one row's values, where the file declares it.
    pub rank: Option<usize>,
    /// The keys of its values, where the graph makes a map of them.
    pub keys: Vec<String>,
}

/// The type of an output's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputElement {
    /// Numbers.
    Number,
    /// Whole numbers.
    Integer,
    /// Booleans.
    Boolean,
    /// Strings.
    Text,
}

/// The name of a [`Task`], as `type` under `[label]` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskKind {
    /// [`Task::Binary`].
    #[default]
    Binary,
    /// [`Task::Classes`].
    Classes,
    /// [`Task::Number`].
    Number,
    /// [`Task::Raw`].
    Raw,
}

impl Task {
    /// Returns the name of the task.
    pub fn kind(&self) -> TaskKind {
        match self {
            Self::Binary(_) => TaskKind::Binary,
            Self::Classes(_) => TaskKind::Classes,
            Self::Number => TaskKind::Number,
            Self::Raw(_) => TaskKind::Raw,
        }
    }

    /// Returns the values of a label of several classes; none for any other task.
    pub fn classes(&self) -> &[String] {
        match self {
            Self::Classes(classes) => &classes.values,
            Self::Binary(_) | Self::Number | Self::Raw(_) => &[],
        }
    }
}

impl TaskKind {
    /// Returns the name in a schema's file, in answers and in metric labels.
    pub fn name(self) -> &'static str {
        match self {
            Self::Binary => "binary",
            Self::Classes => "classes",
            Self::Number => "number",
            Self::Raw => "raw",
        }
    }

    /// Returns whether this is the task of a schema that does not state one.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Binary {
    /// The threshold of a label that does not state one.
    pub const THRESHOLD: f64 = 0.5;

    /// Returns the decision for a probability: whether the row is predicted positive.
    ///
    /// The comparison is in single precision, as a probability is printed: an answer of 0.7 is positive at a
    /// threshold of 0.7.
    ///
    /// ```
    /// use onnward_schemas::Binary;
    ///
    /// let left = Binary { positive: "yes".to_owned(), negative: "no".to_owned(), threshold: 0.7 };
    /// assert!(left.is_positive(0.7) && !left.is_positive(0.699));
    /// assert!(f64::from(0.7_f32) < left.threshold, "in double precision it would be below");
    /// ```
    #[inline]
    pub fn is_positive(&self, probability: f32) -> bool {
        probability >= self.threshold as f32
    }

    /// Returns whether a value of the label is the positive one. `None` for a value that the label does not have.
    pub fn truth_of(&self, value: &str) -> Option<bool> {
        match value {
            value if value == self.positive => Some(true),
            value if value == self.negative => Some(false),
            _ => None,
        }
    }
}

impl Classes {
    /// The largest number of classes.
    pub const MAX: usize = 1000;

    /// Returns the index of a class. `None` for a value that the label does not have.
    pub fn index_of(&self, value: &str) -> Option<usize> {
        self.values.iter().position(|class| class == value)
    }
}
