//! Writes a proposal as the text of a schema file.

use super::column::ColumnStats;
use super::propose::{Proposal, Proposed, ProposedTask, Purpose};

/// The maximum number of values of a feature by which results are broken down.
const MOST_SEGMENT_VALUES: usize = 10;
const MOST_SEGMENTS: usize = 3;

/// Returns the text of a schema file, with comments on what to review.
pub(super) fn write(name: &str, file: &str, columns: &[ColumnStats], proposal: &Proposal) -> String {
    let label = &columns[proposal.label];
    let mut lines = vec![
        format!("# Proposed from {file:?}, {} rows. Review it before training:", label.rows),
        "# is the label right, are the features known at prediction time, may other values occur?".to_owned(),
        "# A `description` for each feature is shown in the engine's documentation.".to_owned(),
        String::new(),
        format!("name = {}", quote(name)),
        "version = 1".to_owned(),
    ];
    if let Some(identifier) = proposal.identifier {
        lines.push(format!("identifier = {}", quote(&columns[identifier].name)));
    }
    write_ignored(columns, proposal, &mut lines);
    if let ProposedTask::Binary { .. } = proposal.task {
        lines.push("# The probability from which a customer is predicted positive.".to_owned());
        lines.push("threshold = 0.5".to_owned());
    }
    lines.push("# The features by which results are broken down.".to_owned());
    lines.push(format!("segments = [{}]", segments(columns, proposal).join(", ")));
    lines.push(String::new());
    comment(&proposal.label_notes, &mut lines);
    write_label(label, &proposal.task, &mut lines);
    for proposed in &proposal.columns {
        write_feature(&columns[proposed.column], proposed, &mut lines);
    }
    lines.push(String::new());
    lines.join("\n")
}

fn write_label(label: &ColumnStats, task: &ProposedTask, lines: &mut Vec<String>) {
    let header = ["[label]".to_owned(), format!("column = {}", quote(&label.name))];
    match task {
        ProposedTask::Binary { positive, negative } => {
            let positives = label.count(positive);
            lines.push(format!("# {positive:?} in {positives} of {} rows.", label.rows));
            lines.extend(header);
            lines.push(format!("positive = {}", quote(positive)));
            lines.push(format!("negative = {}", quote(negative)));
        }
        ProposedTask::Classes { values } => {
            let counted: Vec<String> =
                values.iter().map(|value| format!("{value:?} in {}", label.count(value))).collect();
            lines.push(format!("# {} of {} rows.", counted.join(", "), label.rows));
            lines.extend(header);
            let values: Vec<String> = values.iter().map(|value| quote(value)).collect();
            lines.push("type = \"classes\"".to_owned());
            lines.push(format!("values = [{}]", values.join(", ")));
        }
        ProposedTask::Number => {
            lines.extend(header);
            lines.push("type = \"number\"".to_owned());
        }
    }
}

fn write_ignored(columns: &[ColumnStats], proposal: &Proposal, lines: &mut Vec<String>) {
    let mut ignored =
        proposal.columns.iter().filter(|proposed| matches!(proposed.purpose, Purpose::Ignored)).peekable();
    if ignored.peek().is_none() {
        return;
    }
    lines.push("# Columns that are not used, and why.".to_owned());
    lines.push("ignored = [".to_owned());
    for proposed in ignored {
        let name = quote(&columns[proposed.column].name);
        lines.push(format!("    {name}, # {}", proposed.notes.join("; ")));
    }
    lines.push("]".to_owned());
}

/// Chooses the categorical features with the most values, up to [`MOST_SEGMENT_VALUES`].
fn segments(columns: &[ColumnStats], proposal: &Proposal) -> Vec<String> {
    let mut candidates: Vec<(usize, &str)> = Vec::new();
    for proposed in &proposal.columns {
        if let Purpose::Categorical { values } = &proposed.purpose
            && values.len() <= MOST_SEGMENT_VALUES
        {
            candidates.push((values.len(), &columns[proposed.column].name));
        }
    }
    // A stable sort: features with equally many values keep the order of the table.
    candidates.sort_by_key(|(values, _)| std::cmp::Reverse(*values));
    candidates.into_iter().take(MOST_SEGMENTS).map(|(_, name)| quote(name)).collect()
}

fn write_feature(column: &ColumnStats, proposed: &Proposed, lines: &mut Vec<String>) {
    let kind = match &proposed.purpose {
        Purpose::Ignored => return,
        Purpose::Numeric { min, integer } => {
            let mut kind = vec!["type = \"numeric\"".to_owned()];
            kind.extend(min.map(|min| format!("min = {min}")));
            kind.extend(integer.then(|| "integer = true".to_owned()));
            kind
        }
        Purpose::Categorical { values } => {
            let values: Vec<String> = values.iter().map(|value| quote(value)).collect();
            vec!["type = \"categorical\"".to_owned(), format!("values = [{}]", values.join(", "))]
        }
    };
    lines.push(String::new());
    comment(&proposed.notes, lines);
    lines.push("[[features]]".to_owned());
    lines.push(format!("name = {}", quote(&column.name)));
    lines.extend(kind);
    if column.missing > 0 {
        lines.push("required = false".to_owned());
    }
}

fn comment(notes: &[String], lines: &mut Vec<String>) {
    lines.extend(notes.iter().map(|note| format!("# {note}")));
}

/// Writes a TOML basic string. JSON escapes the same characters in the same way, except for DEL, which TOML
/// escapes too.
fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007F")
}
