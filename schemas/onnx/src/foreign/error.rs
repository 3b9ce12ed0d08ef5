use onnward_schemas::{SchemaError, Violations};
use thiserror::Error;

use crate::artifact::ArtifactError;

/// Why a foreign ONNX file cannot be served, in a sentence that says what to write into `config.toml` or how to export
/// the file again.
#[derive(Debug, Error)]
pub enum ForeignError {
    /// The bytes are not an ONNX model.
    #[error(transparent)]
    Onnx(#[from] ArtifactError),
    /// `config.toml` does not read.
    #[error("config.toml does not read{place}: {problem}")]
    Config {
        /// The line, as words.
        place: String,
        /// What is wrong with it.
        problem: String,
    },
    /// An input is of a type that no field of a request is.
    #[error(
        "its input {input:?} holds {found}, and a field of a request can be float, double, int32, int64, bool or \
         string: export it again with one of these"
    )]
    InputType {
        /// The input.
        input: String,
        /// What it holds.
        found: String,
    },
    /// An input has a shape that rows do not have.
    #[error(
        "its input {input:?} has the shape {shape} instead of [rows], [rows, 1] or [rows, columns]: export it again \
         with one of these"
    )]
    InputShape {
        /// The input.
        input: String,
        /// Its shape.
        shape: String,
    },
    /// A graph that scores so many rows at once and no others.
    #[error(
        "its input {input:?} takes exactly {rows} rows: export it again with any number of them (in PyTorch: \
         `dynamic_axes={{{input:?}: {{0: \"rows\"}}}}`)"
    )]
    FixedRows {
        /// The input.
        input: String,
        /// How many rows it takes.
        rows: i64,
    },
    /// The file does not say how many columns an input has.
    #[error(
        "it does not say how many columns its input {input:?} has: write their names as `features = [\"…\", …]` under \
         [inputs] in config.toml"
    )]
    UnknownColumns {
        /// The input.
        input: String,
    },
    /// The names of the columns are not as many as there are.
    #[error(
        "its input {input:?} has {columns} columns, and `features` under [inputs] in config.toml names {names}: name \
         each of them once"
    )]
    FeatureCount {
        /// The input.
        input: String,
        /// How many columns it has.
        columns: usize,
        /// How many are named.
        names: usize,
    },
    /// `features` has nothing to name.
    #[error(
        "`features` under [inputs] in config.toml names the columns of one input of shape [rows, columns], and this \
         file has {found}: write `rename = {{ … }}` under [inputs] instead"
    )]
    NotOneMatrix {
        /// How many such inputs there are, in words.
        found: &'static str,
    },
    /// `rename` names a field that is not there.
    #[error("`rename` under [inputs] in config.toml names {name:?}, which is no field; the fields are {}", .fields.join(", "))]
    UnknownRename {
        /// The name.
        name: String,
        /// The fields.
        fields: Vec<String>,
    },
    /// No output holds numbers.
    #[error("it has no output of float numbers that could be a probability; its outputs are {}", .outputs.join(", "))]
    NoOutput {
        /// The outputs.
        outputs: Vec<String>,
    },
    /// Several outputs could be the probability.
    #[error(
        "it does not say which of its outputs is the probability, {}: write `name = \"…\"` under [output] in config.toml",
        .outputs.join(" or ")
    )]
    AmbiguousOutput {
        /// The outputs.
        outputs: Vec<String>,
    },
    /// The output that `config.toml` names is not there or holds no numbers.
    #[error(
        "`name` under [output] in config.toml is {name:?}, and the outputs of float numbers are {}", .outputs.join(", ")
    )]
    UnknownOutput {
        /// The name.
        name: String,
        /// The outputs of float numbers.
        outputs: Vec<String>,
    },
    /// The output holds logits, and nothing says which.
    #[error(
        "its output {output:?} seems to hold logits: write `activation = \"sigmoid\"` or `activation = \"softmax\"` \
         under [output] in config.toml, or `\"none\"` if they are probabilities"
    )]
    Logits {
        /// The output.
        output: String,
    },
    /// The output has more labels than two, and nothing says which is positive.
    #[error(
        "its output {output:?} has {columns} columns{}: write the positive one as `{}` under [output] in config.toml",
        listed(.labels), if .labels.is_empty() { "column = …" } else { "label = \"…\"" }
    )]
    AmbiguousColumn {
        /// The output.
        output: String,
        /// How many columns it has.
        columns: usize,
        /// Their labels, where the file lists them.
        labels: Vec<String>,
    },
    /// A column that is not there.
    #[error("`column` under [output] in config.toml is {column}, and {output:?} has the columns 0 to {}", .columns - 1)]
    ColumnBeyond {
        /// The output.
        output: String,
        /// The column.
        column: usize,
        /// How many columns it has.
        columns: usize,
    },
    /// A label that the file does not list.
    #[error("`label` under [output] in config.toml is {label:?}, and the labels of {output:?} are {}", .labels.join(", "))]
    UnknownLabel {
        /// The output.
        output: String,
        /// The label.
        label: String,
        /// The file's labels.
        labels: Vec<String>,
    },
    /// A label where the file lists none.
    #[error(
        "`label` under [output] in config.toml cannot be found, because the file does not list the labels of \
         {output:?}: write `column = …` instead"
    )]
    NoLabels {
        /// The output.
        output: String,
    },
    /// Both ways of naming the positive column.
    #[error("[output] in config.toml has both `column` and `label`: write one of the two")]
    ColumnAndLabel,
    /// A softmax over one number.
    #[error(
        "`activation` under [output] in config.toml is \"softmax\", and {output:?} has one number a row: write \
         `activation = \"sigmoid\"`"
    )]
    SoftmaxOfOne {
        /// The output.
        output: String,
    },
    /// The example does not fit the inputs.
    #[error("[example] in config.toml does not fit the inputs: {}", in_words(.0))]
    Example(Violations),
    /// No request can hold the fields, or no answer the label.
    #[error("{0}: write other names or another threshold in config.toml")]
    Schema(SchemaError),
}

fn listed(labels: &[String]) -> String {
    if labels.is_empty() { String::new() } else { format!(" ({})", labels.join(", ")) }
}

fn in_words(violations: &Violations) -> String {
    let each = violations.listed().iter().map(|violation| {
        format!("{}: expected {}, got {}", violation.pointer, violation.expected, violation.got)
    });
    each.collect::<Vec<_>>().join("; ")
}
