//! The report of a training run: `comparison.json` for programs, and the self-contained page `report.html`
//! for people.
//!
//! The page loads nothing and has no script. It is well-formed XML as well as HTML. The same comparison
//! produces the same bytes: the page names neither the time nor the machine. The fit times are part of a
//! comparison, and differ from run to run.

mod charts;
mod data;
#[cfg(test)]
mod fixture;
mod models;
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

use charts::{Captions, ChartError, Curve, Form, Ink, Scores};
use data::{Breakdowns, ColumnContent, ColumnRow};
use models::{CalibrationRow, FigureRow, ImportancePanel, Model};
use numbers::{count, exact_percent, share};
use summary::Summary;

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
    let data = &comparison.data;
    let scale = models::importance_scale(&models);
    let page = Page {
        comparison,
        summary: summary::summary(comparison, &models, winner),
        figures: models::figure_rows(&models),
        charts: Charts::draw(comparison, &models, winner).map_err(ReportError::Chart)?,
        calibration: models::calibration_rows(&models),
        importance: models.iter().map(|model| model.importance(scale)).collect(),
        breakdowns: data::breakdowns(comparison, winner),
        columns: data::columns(comparison),
        left: exact_percent(share(data.positives as u64, data.rows as u64)),
        coin_toss: exact_percent(coin_toss(winner)),
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
    figures: Vec<FigureRow>,
    charts: Charts,
    /// Lines with one cell for each model.
    calibration: Vec<Vec<Option<CalibrationRow>>>,
    importance: Vec<ImportancePanel>,
    breakdowns: Breakdowns,
    columns: Vec<ColumnRow>,
    /// The share of positives over all rows.
    left: String,
    /// The precision of a coin toss: the share of positives among the held-out rows.
    coin_toss: String,
}

impl Page<'_> {
    fn count(value: &usize) -> String {
        count(*value as u64)
    }
}

/// The drawings, as SVG.
struct Charts {
    roc: String,
    precision_recall: String,
    calibration: String,
    /// One for each model.
    scores: Vec<String>,
}

impl Charts {
    fn draw(comparison: &Comparison, models: &[Model<'_>], winner: &Model<'_>) -> Result<Self, ChartError> {
        let curves = models.iter().map(|model| (Ink::Model(model.color), &model.candidate.curves));
        let roc: Vec<_> = curves
            .clone()
            .map(|(ink, curves)| Curve { ink, points: &curves.roc, form: Form::Line })
            .collect();
        let precision_recall: Vec<_> = curves
            .clone()
            .map(|(ink, curves)| Curve { ink, points: &curves.precision_recall, form: Form::Steps })
            .collect();
        let bins: Vec<(Ink, Vec<[f64; 2]>)> = curves
            .map(|(ink, curves)| {
                (ink, curves.calibration.iter().map(|bin| [bin.predicted, bin.observed]).collect())
            })
            .collect();
        let calibration: Vec<_> =
            bins.iter().map(|(ink, points)| Curve { ink: *ink, points, form: Form::Dots }).collect();
        let scores: Vec<_> = models
            .iter()
            .map(|model| &model.candidate.curves)
            .map(|curves| Scores { left: &curves.positive_scores, stayed: &curves.negative_scores })
            .collect();
        let coin_toss = coin_toss(winner);
        let diagonal = [(0.0, 0.0), (1.0, 1.0)];
        Ok(Self {
            roc: charts::unit_square(&ROC, diagonal, &roc)?,
            precision_recall: charts::unit_square(
                &PRECISION_RECALL,
                [(0.0, coin_toss), (1.0, coin_toss)],
                &precision_recall,
            )?,
            calibration: charts::unit_square(&CALIBRATION, diagonal, &calibration)?,
            scores: charts::scores(&SCORES, &scores, comparison.threshold)?,
        })
    }
}

fn coin_toss(winner: &Model<'_>) -> f64 {
    let confusion = winner.candidate.test.confusion;
    let left = confusion.true_positives + confusion.false_negatives;
    share(left, left + confusion.true_negatives + confusion.false_positives)
}

const ROC: Captions = Captions {
    about: "Receiver operating characteristic of every model",
    x: "False positive rate",
    y: "True positive rate",
};
const PRECISION_RECALL: Captions =
    Captions { about: "Precision against recall of every model", x: "Recall", y: "Precision" };
const CALIBRATION: Captions = Captions {
    about: "Share of positives against the predicted probability, for every model",
    x: "Predicted probability",
    y: "Share of positives",
};
const SCORES: Captions = Captions {
    about: "Histogram of the predicted probability of the positives and of the negatives",
    x: "Predicted probability",
    y: "Share of the group",
};
