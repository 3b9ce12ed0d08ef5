//! The comparison of two versions of a model: figures, settings, and what clients would notice.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use onnward_repository::Repository;
use onnward_schemas::compatibility::{Difference, differences};
use serde::Serialize;

use super::CommandError;
use super::version_file::{VersionFile, read_version};

/// The comparison of two versions.
#[derive(Serialize)]
pub struct VersionComparison {
    pub model: String,
    /// The two versions, in the order in which they were named.
    pub versions: [u64; 2],
    pub families: [String; 2],
    /// The thresholds of the decisions; null where a version decides by none.
    pub thresholds: [Option<f64>; 2],
    /// The thresholds of the decisions behind the figures: those of the training, if a setting was changed later.
    pub evaluated_at: [Option<f64>; 2],
    /// The figures on held-out rows; those that a version does not have are null.
    pub figures: Vec<FigurePair>,
    /// The settings of the training that differ.
    pub parameters: Vec<FigurePair>,
    /// Whether both were evaluated on the same table. Figures of two tables say little about two models.
    pub same_data: bool,
    /// The differences that would break clients of the first version.
    pub differences: Vec<Difference>,
}

/// A figure of two versions.
#[derive(Serialize)]
pub struct FigurePair {
    pub name: String,
    pub values: [Option<f64>; 2],
    /// The second value minus the first.
    pub difference: Option<f64>,
}

/// Reads two versions and compares them.
///
/// # Errors
/// Those of reading.
pub async fn compare(
    repository: &Repository,
    model: &str,
    one: u64,
    other: u64,
) -> Result<VersionComparison, CommandError> {
    let first = read_version(repository, model, one).await?;
    let second = read_version(repository, model, other).await?;
    let pairs = |values: [BTreeMap<String, f64>; 2]| pairs(&values);
    let figures = pairs([first.figures(), second.figures()]);
    let parameters = pairs([first.parameters(), second.parameters()]);
    let table = |version: &VersionFile| {
        version.metadata.as_ref().map(|metadata| metadata.provenance.data_sha256.clone())
    };
    Ok(VersionComparison {
        model: model.to_owned(),
        versions: [one, other],
        families: [first.family(), second.family()],
        thresholds: [&first, &second].map(|version| Some(version.schema.binary()?.threshold)),
        evaluated_at: [first.evaluated_at(), second.evaluated_at()],
        figures,
        parameters: parameters.into_iter().filter(|pair| pair.values[0] != pair.values[1]).collect(),
        same_data: table(&first).is_some() && table(&first) == table(&second),
        differences: differences(&first.schema, &second.schema),
    })
}

fn pairs([first, second]: &[BTreeMap<String, f64>; 2]) -> Vec<FigurePair> {
    let mut names: Vec<&String> = first.keys().chain(second.keys()).collect();
    names.sort();
    names.dedup();
    let pair = |name: &String| {
        let values = [first, second].map(|values| values.get(name).copied());
        let difference = values[0].zip(values[1]).map(|(one, other)| other - one);
        FigurePair { name: name.clone(), values, difference }
    };
    names.into_iter().map(pair).collect()
}

impl Display for VersionComparison {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let [one, other] = self.versions;
        writeln!(f, "{:<24} {:>12} {:>12} {:>12}", self.model, one, other, "difference")?;
        let [family, other_family] = &self.families;
        writeln!(f, "{:<24} {family:>12} {other_family:>12}", "family")?;
        if self.thresholds.iter().any(Option::is_some) {
            let [threshold, other] =
                self.thresholds.map(|value| value.map_or("-".to_owned(), |value| value.to_string()));
            writeln!(f, "{:<24} {threshold:>12} {other:>12}", "threshold")?;
        }
        if self.evaluated_at != self.thresholds && self.evaluated_at.iter().all(Option::is_some) {
            let [evaluated, other_evaluated] = self.evaluated_at.map(Option::unwrap_or_default);
            writeln!(f, "{:<24} {evaluated:>12} {other_evaluated:>12}", "figures at threshold")?;
        }
        for FigurePair { name, values, difference } in &self.figures {
            let [value, other] =
                values.map(|value| value.map_or("-".to_owned(), |value| format!("{value:.4}")));
            let difference = difference.map(|difference| format!("{difference:+.4}")).unwrap_or_default();
            writeln!(f, "{}", format!("{name:<24} {value:>12} {other:>12} {difference:>12}").trim_end())?;
        }
        for FigurePair { name, values, .. } in &self.parameters {
            let [value, other] = values.map(|value| value.map_or("-".to_owned(), |value| value.to_string()));
            writeln!(f, "{name:<24} {value:>12} {other:>12}")?;
        }
        if !self.same_data {
            writeln!(f, "\nthe two were evaluated on different tables, so their figures cannot be compared")?;
        }
        if self.differences.is_empty() {
            return writeln!(f, "\nclients of version {one} can call version {other} as they are");
        }
        writeln!(f, "\nversion {other} breaks clients of version {one}:")?;
        self.differences.iter().try_for_each(|difference| writeln!(f, "  {difference}"))
    }
}
