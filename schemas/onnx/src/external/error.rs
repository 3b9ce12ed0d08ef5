use onnward_schemas::{SchemaError, Violations};
use thiserror::Error;

use crate::artifact::ArtifactError;
use crate::expected_rows::ExpectedRowsError;

/// The reason why an external ONNX file cannot be served, with the lines to add to `config.toml` or a way to
/// export the file again.
#[derive(Debug, Error)]
pub enum ExternalError {
    /// The bytes are not an ONNX model.
    #[error(transparent)]
    Onnx(#[from] ArtifactError),
    /// The rows with expected outputs that it carries cannot be used.
    #[error(transparent)]
    ExpectedRows(#[from] ExpectedRowsError),
    /// `config.toml` cannot be parsed.
    #[error("config.toml cannot be parsed{place}: {problem}")]
    Config {
        /// The line, as words.
        place: String,
        /// The problem.
        problem: String,
    },
    /// The graph is as it was trained, and not as it is used.
    #[error(
        "its operator {operator} is in training mode, so answers depend on chance or on other rows: export the model for \
         inference (in PyTorch: `model.eval()` first)"
    )]
    TrainingMode {
        /// The operator.
        operator: String,
    },
    /// An input has a type that a field of a request cannot have.
    #[error(
        "its input {input:?} contains {found}, and a field of a request can be a number, bool or string: export it again \
         with one of these"
    )]
    InputType {
        /// The input.
        input: String,
        /// The type that it has.
        found: String,
    },
    /// An input has a shape that rows do not have.
    #[error(
        "its input {input:?} has the shape {shape}, and an input has rows and at most three further dimensions: export it \
         again with fewer"
    )]
    InputShape {
        /// The input.
        input: String,
        /// Its shape.
        shape: String,
    },
    /// The graph scores a fixed number of rows, which is not one.
    #[error(
        "its input {input:?} takes exactly {rows} rows: export it again with any number of them (in PyTorch: \
         `dynamic_axes={{{input:?}: {{0: \"rows\"}}}}`)"
    )]
    FixedRows {
        /// The input.
        input: String,
        /// The number of rows.
        rows: usize,
    },
    /// The file does not say how many columns an input has.
    #[error(
        "it does not specify the number of columns of its input {input:?}: write their names as \
         `features = [\"…\", …]` under [inputs] in config.toml"
    )]
    UnknownColumns {
        /// The input.
        input: String,
    },
    /// The number of names is not the number of columns.
    #[error(
        "its input {input:?} has {columns} columns, and `features` under [inputs] in config.toml names \
         {names}: name each of them once"
    )]
    FeatureCount {
        /// The input.
        input: String,
        /// The number of columns.
        columns: usize,
        /// The number of names.
        names: usize,
    },
    /// `features` is set, but there is not exactly one input to name.
    #[error(
        "`features` under [inputs] in config.toml names the columns of one input of shape [rows, columns], \
         and this file has {found}: write `rename = {{ … }}` under [inputs] instead"
    )]
    NotOneMatrix {
        /// The number of such inputs, in words.
        found: &'static str,
    },
    /// A key names an unknown field.
    #[error(
        "`{key}` under [inputs] in config.toml names {name:?}, which is not a field; the fields are {}",
        .fields.join(", ")
    )]
    UnknownField {
        /// The key.
        key: &'static str,
        /// The name.
        name: String,
        /// The fields.
        fields: Vec<String>,
    },
    /// A field is to be optional whose type has no missing value.
    #[error(
        "`optional` under [inputs] in config.toml names {name:?}, which takes {takes} and has no missing value: remove it"
    )]
    NoMissing {
        /// The field.
        name: String,
        /// What it takes, in words.
        takes: String,
    },
    /// No output holds what is to be answered.
    #[error(
        "it has no output of numbers for each row; its outputs are {}: write `kind = \"raw\"` under [output] in \
         config.toml to answer them as they are",
        .outputs.join(", ")
    )]
    NoOutput {
        /// The outputs.
        outputs: Vec<String>,
    },
    /// Several outputs could be the one that is answered.
    #[error(
        "it does not specify which of its outputs is answered, {}: write `name = \"…\"` under [output] in \
         config.toml, or `kind = \"raw\"` to answer all",
        .outputs.join(" or ")
    )]
    AmbiguousOutput {
        /// The outputs.
        outputs: Vec<String>,
    },
    /// The output that `config.toml` names does not exist or does not hold what is answered.
    #[error(
        "`name` under [output] in config.toml is {name:?}, and the outputs that it can name are {}",
        .outputs.join(", ")
    )]
    UnknownOutput {
        /// The name.
        name: String,
        /// The outputs that it could be.
        outputs: Vec<String>,
    },
    /// The output seems to hold logits, and no activation is set.
    #[error(
        "its output {output:?} seems to contain logits: write `activation = \"sigmoid\"` or `activation = \
         \"softmax\"` under [output] in config.toml, or `\"none\"` if they are probabilities"
    )]
    Logits {
        /// The output.
        output: String,
    },
    /// The output has more than two labels, and none is set as positive.
    #[error(
        "its output {output:?} has {columns} columns{}: write the positive one as `{}` under [output] in \
         config.toml, or `kind = \"classes\"` to answer all",
        listed(.labels), if .labels.is_empty() { "column = …" } else { "label = \"…\"" }
    )]
    AmbiguousColumn {
        /// The output.
        output: String,
        /// The number of columns.
        columns: usize,
        /// Their labels, where the file lists them.
        labels: Vec<String>,
    },
    /// The output has no such column.
    #[error(
        "`column` under [output] in config.toml is {column}, and {output:?} has the columns 0 to {}",
        .columns - 1
    )]
    ColumnBeyond {
        /// The output.
        output: String,
        /// The column.
        column: usize,
        /// The number of columns.
        columns: usize,
    },
    /// The file does not list such a label.
    #[error(
        "`label` under [output] in config.toml is {label:?}, and the labels of {output:?} are {}",
        .labels.join(", ")
    )]
    UnknownLabel {
        /// The output.
        output: String,
        /// The label.
        label: String,
        /// The file's labels.
        labels: Vec<String>,
    },
    /// A label is set, but the file lists none.
    #[error(
        "`label` under [output] in config.toml cannot be found, because the file does not list the labels of \
         {output:?}: write `column = …` instead"
    )]
    NoLabels {
        /// The output.
        output: String,
    },
    /// A key is set that means nothing for what is answered.
    #[error(
        "`{key}` under [output] in config.toml means nothing for kind = \"{kind}\": remove it, or write another \
         `kind`"
    )]
    KeyOfOtherKind {
        /// The key.
        key: &'static str,
        /// What is answered.
        kind: &'static str,
    },
    /// The file does not list the classes.
    #[error(
        "it does not list its classes: write them as `labels = [\"…\", …]` under [output] in config.toml, or \
         `kind = \"raw\"`"
    )]
    UnknownClasses,
    /// The number of labels is not the number of columns.
    #[error(
        "its output {output:?} has {columns} columns for {labels} classes: write as many `labels` under [output] in \
         config.toml, or `kind = \"raw\"`"
    )]
    LabelCount {
        /// The output.
        output: String,
        /// The number of columns.
        columns: usize,
        /// The number of labels.
        labels: usize,
    },
    /// The output has several numbers a row.
    #[error(
        "its output {output:?} has {columns} numbers a row: write `column = …` under [output] in config.toml, or \
         `kind = \"raw\"` to answer all"
    )]
    SeveralNumbers {
        /// The output.
        output: String,
        /// The number of columns.
        columns: usize,
    },
    /// Another number of rows a run than 1 is set.
    #[error("`rows_per_run` under [model] in config.toml is {0}, and it can only be 1: remove it otherwise")]
    RowsPerRun(usize),
    /// A name occurs twice, and an answer could hold one of them only.
    #[error("it has the {what} {name:?} twice: export it again with names that differ")]
    Twice {
        /// What has the name.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// Both a column and a label are set.
    #[error("[output] in config.toml has both `column` and `label`: write one of the two")]
    ColumnAndLabel,
    /// A softmax is set for a single number.
    #[error(
        "`activation` under [output] in config.toml is \"softmax\", and {output:?} has one number a row: \
         write `activation = \"sigmoid\"`"
    )]
    SoftmaxOfOne {
        /// The output.
        output: String,
    },
    /// The example does not fit the inputs.
    #[error("[example] in config.toml does not fit the inputs: {}", in_words(.0))]
    Example(Violations),
    /// The schema is invalid: its names, its label or its threshold.
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
