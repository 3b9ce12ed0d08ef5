//! The report of a training run: `comparison.json` for programs, and the self-contained page `report.html`
//! for people.
//!
//! The page loads nothing and has no script. It is well-formed XML as well as HTML. The same comparison
//! produces the same bytes: the page names neither the time nor the machine. The fit times are part of a
//! comparison, and differ from run to run.

mod binary;
mod charts;
mod classes;
mod data;
#[cfg(test)]
mod fixture;
mod models;
mod number;
mod numbers;
mod summary;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use askama::Template;
use onnward_models::Comparison;
use thiserror::Error;

use binary::BinaryView;
use charts::ChartError;
use classes::ClassesView;
use data::{Breakdowns, ColumnContent, ColumnRow, LabelFact};
use models::{FigureRow, ImportancePanel, Model};
use number::NumberView;
use numbers::count;
use summary::{KeyFigure, Summary};

/// The reason why a report cannot be written.
#[derive(Debug, Error)]
pub enum ReportError {
    /// The comparison is empty.
    #[error("the comparison has no candidate: train at least one model family")]
    NoCandidate,
    /// A chart cannot be drawn.
    #[error("cannot draw the charts of the report: {0}")]
    Chart(#[source] ChartError),
    /// The page cannot be rendered.
    #[error("cannot render the page of the report: {0}")]
    Page(#[source] askama::Error),
    /// The comparison cannot be converted to JSON.
    #[error("cannot write the comparison as JSON: {0}")]
    Json(#[source] serde_json::Error),
    /// A file or the folder cannot be written.
    #[error("cannot write {path}: {source}; check that the folder is writable and the disk not full")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
}

/// Writes `comparison.json` and `report.html` into `folder`, and returns the path of the page.
///
/// The folder is created if it does not exist. Each file appears complete or not at all.
///
/// # Errors
/// [`ReportError`] if the comparison has no candidate, or a file cannot be written.
pub fn write(comparison: &Comparison, folder: &Path) -> Result<PathBuf, ReportError> {
    let page = render(comparison)?;
    let mut json = serde_json::to_string_pretty(comparison).map_err(ReportError::Json)?;
    json.push('\n');
    fs::create_dir_all(folder).map_err(|source| ReportError::Write { path: folder.to_owned(), source })?;
    replace(&folder.join("comparison.json"), &json)?;
    let path = folder.join("report.html");
    replace(&path, &page)?;
    Ok(path)
}

fn replace(path: &Path, content: &str) -> Result<(), ReportError> {
    let unfinished = path.with_extension("tmp");
    fs::write(&unfinished, content)
        .and_then(|()| fs::rename(&unfinished, path))
        .map_err(|source| ReportError::Write { path: path.to_owned(), source })
}

/// Renders the report as one HTML page.
///
/// # Errors
/// [`ReportError`] if the comparison has no candidate.
///
/// # Examples
/// ```
/// use onnward_exporter::report::render;
///
/// # use std::path::Path;
/// # use onnward_models::{CandidateParams, Dataset, Family, OnInvalid, SampleFormat, TrainingPlan};
/// # use onnward_models::{train, write_sample};
/// # use onnward_schemas::SchemaFile;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let file = SchemaFile::parse(
/// #     r#"
/// #     name = "shop"
/// #     version = 1
/// #     label = { column = "left", positive = "yes", negative = "no" }
/// #     [[features]]
/// #     name = "age"
/// #     type = "numeric"
/// #     min = 18
/// #     max = 90
/// #     "#,
/// # )?;
/// # let mut table = Vec::new();
/// # write_sample(&file, 300, 42, SampleFormat::Csv, &mut table, |_| ())?;
/// # let data = Dataset::parse(&table, Path::new("sample.csv"), &file.schema, OnInvalid::Fail)?;
/// # let candidates = vec![CandidateParams::default_of(Family::Logistic)];
/// # let plan = TrainingPlan { candidates, folds: 2, ..TrainingPlan::default() };
/// let run = train(&data, &plan, &|_| ())?;
/// let page = render(&run.comparison)?;
/// assert!(page.contains("Logistic regression, put to the test"));
/// # Ok(())
/// # }
/// ```
pub fn render(comparison: &Comparison) -> Result<String, ReportError> {
    let models = models::models(comparison);
    let winner = models.iter().find(|model| model.selected).ok_or(ReportError::NoCandidate)?;
    let scale = models::importance_scale(&models);
    let view = View::of(comparison, &models, winner)?;
    let page = Page {
        comparison,
        summary: summary::summary(comparison, &models, winner),
        view,
        importance: models.iter().map(|model| model.importance(scale)).collect(),
        breakdowns: data::breakdowns(comparison, winner),
        columns: data::columns(comparison),
        labels: data::label_facts(comparison),
        winner,
        models: &models,
    };
    page.render().map_err(ReportError::Page)
}

/// The values of the template.
#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    comparison: &'a Comparison,
    models: &'a [Model<'a>],
    winner: &'a Model<'a>,
    summary: Summary,
    view: View,
    importance: Vec<ImportancePanel>,
    breakdowns: Breakdowns,
    columns: Vec<ColumnRow>,
    labels: Vec<LabelFact>,
}

/// The part of the page that differs by the task.
enum View {
    Binary(BinaryView),
    Classes(ClassesView),
    Number(NumberView),
}

impl View {
    fn of(comparison: &Comparison, models: &[Model<'_>], winner: &Model<'_>) -> Result<Self, ReportError> {
        let binary = binary::view(comparison, models, winner).map(|view| view.map(Self::Binary));
        let classes = || classes::view(comparison, models, winner).map(|view| view.map(Self::Classes));
        let number = || number::view(comparison, models, winner).map(|view| view.map(Self::Number));
        let view = binary.or_else(classes).or_else(number).ok_or(ReportError::NoCandidate)?;
        view.map_err(ReportError::Chart)
    }

    fn figures(&self) -> &[FigureRow] {
        match self {
            Self::Binary(view) => &view.figures,
            Self::Classes(view) => &view.figures,
            Self::Number(view) => &view.figures,
        }
    }

    fn key_figures(&self) -> &[KeyFigure] {
        match self {
            Self::Binary(view) => &view.key_figures,
            Self::Classes(view) => &view.key_figures,
            Self::Number(view) => &view.key_figures,
        }
    }
}

impl Page<'_> {
    /// Returns the name of the figure by which the models are chosen.
    fn criterion(&self) -> &'static str {
        self.winner.candidate.cross_validation.criterion.title()
    }

    fn count(value: &usize) -> String {
        count(*value as u64)
    }
}
