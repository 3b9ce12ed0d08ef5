//! The candidates, as the report shows them.

use onnward_models::{Candidate, Comparison, Estimator, Family, Importance, Solver};
use onnward_schemas::{Criterion, CrossValidation};

use super::charts::PALETTE;
use super::numbers::{NONE, duration, fixed, quantity, room_for};

/// The number of features that a panel of importances shows before the rest is folded.
const SHOWN_IMPORTANCES: usize = 15;

/// One candidate, with its name and colour on the whole page.
pub(super) struct Model<'a> {
    pub(super) candidate: &'a Candidate,
    pub(super) title: String,
    pub(super) color: u8,
    pub(super) selected: bool,
}

/// One metric of every model.
pub(super) struct FigureRow {
    pub(super) name: &'static str,
    pub(super) explanation: &'static str,
    pub(super) cells: Vec<FigureCell>,
}

/// One value of a metric.
pub(super) struct FigureCell {
    pub(super) text: String,
    pub(super) spread: String,
    pub(super) best: bool,
}

/// A setting of a model.
pub(super) struct Setting {
    pub(super) name: String,
    /// The explanation; empty for a setting that is unknown here.
    pub(super) explanation: &'static str,
    pub(super) value: String,
}

/// A bar with whiskers; positions are percentages of the panel's width.
pub(super) struct ImportanceBar {
    pub(super) feature: String,
    pub(super) text: String,
    pub(super) from: f64,
    pub(super) width: f64,
    pub(super) whisker_from: f64,
    pub(super) whisker_width: f64,
}

/// The importance of each feature to one model.
pub(super) struct ImportancePanel {
    pub(super) shown: Vec<ImportanceBar>,
    pub(super) folded: Vec<ImportanceBar>,
}

/// Lists the candidates, best first, each with its own title and colour.
pub(super) fn models(comparison: &Comparison) -> Vec<Model<'_>> {
    let selected = comparison.candidates.iter().position(|c| c.estimator == comparison.selected);
    let mut models: Vec<Model<'_>> = Vec::new();
    for (index, candidate) in comparison.candidates.iter().enumerate() {
        let same = models.iter().filter(|model| model.candidate.estimator == candidate.estimator).count();
        let title = match same {
            0 => title(candidate.estimator),
            _ => format!("{} {}", title(candidate.estimator), same + 1),
        };
        let color = color(candidate.estimator, &models);
        let selected = index == selected.unwrap_or(0);
        models.push(Model { candidate, title, color, selected });
    }
    models
}

/// Returns the estimator's own colour. A further model of it gets the first colour that no estimator and no
/// model has.
fn color(estimator: Estimator, models: &[Model<'_>]) -> u8 {
    let own =
        Estimator::ALL.iter().zip(0..PALETTE).find(|(one, _)| **one == estimator).map(|(_, color)| color);
    let further = (0..PALETTE).skip(Estimator::ALL.len());
    own.into_iter().chain(further).find(|color| models.iter().all(|model| model.color != *color)).unwrap_or(0)
}

fn title(estimator: Estimator) -> String {
    let family = match estimator.family {
        Family::Logistic => "Logistic regression",
        Family::Forest => "Random forest",
        Family::Ridge => "Ridge regression",
    };
    match estimator.solver {
        Solver::Own => family.to_owned(),
        solver @ (Solver::Linfa | Solver::Smartcore) => format!("{family} ({solver})"),
    }
}

fn setting(parameter: &str, value: f64) -> Setting {
    let (name, explanation) = match parameter {
        "c" => ("Inverse penalty (C)", "the smaller, the closer the weights are held to 0"),
        "knots" => ("Spline knots per numeric column", "where the effect of a number may change its slope"),
        "alpha" => ("Penalty (alpha)", "the larger, the closer the weights are held to 0"),
        "trees" => ("Trees", "the prediction is their mean"),
        "min_samples_leaf" => ("Fewest rows in a leaf", "the more, the smoother the predictions"),
        "min_samples_split" => ("Fewest rows in a node that is split", ""),
        "max_depth" => ("Greatest depth of a tree", ""),
        "max_features" => ("Columns tried at a split", ""),
        other => (other, ""),
    };
    Setting { name: name.replace('_', " "), explanation, value: quantity(value) }
}

impl Model<'_> {
    /// Returns the settings with which it was fitted.
    pub(super) fn settings(&self) -> Vec<Setting> {
        self.candidate.parameters.iter().map(|(name, value)| setting(name, *value)).collect()
    }

    pub(super) fn folds(&self) -> String {
        let CrossValidation { criterion, folds, .. } = &self.candidate.cross_validation;
        folds.iter().map(|figure| shown(*criterion, *figure)).collect::<Vec<_>>().join(", ")
    }

    /// Draws its bars on a scale from `low` to `high`, which all panels share.
    pub(super) fn importance(&self, (low, high): (f64, f64)) -> ImportancePanel {
        let mut shown: Vec<ImportanceBar> =
            self.candidate.importance.iter().map(|one| importance_bar(one, low, high)).collect();
        let folded = shown.split_off(room_for(shown.len(), SHOWN_IMPORTANCES));
        ImportancePanel { shown, folded }
    }
}

/// Returns the scale that includes every whisker of every model, and 0.
pub(super) fn importance_scale(models: &[Model<'_>]) -> (f64, f64) {
    let all = models.iter().flat_map(|model| &model.candidate.importance);
    all.fold((0.0, f64::MIN_POSITIVE), |(low, high), one| {
        let (from, to) = whisker(one);
        (f64::min(low, from), f64::max(high, to))
    })
}

fn whisker(one: &Importance) -> (f64, f64) {
    (one.loss - one.loss_std, one.loss + one.loss_std)
}

fn importance_bar(one: &Importance, low: f64, high: f64) -> ImportanceBar {
    let place = |value: f64| (value - low) / (high - low) * 100.0;
    let (zero, end) = (place(0.0), place(one.loss));
    let (whisker_from, whisker_to) = whisker(one);
    ImportanceBar {
        feature: one.feature.clone(),
        text: shown(one.criterion, one.loss),
        from: zero.min(end),
        width: (end - zero).abs(),
        whisker_from: place(whisker_from),
        whisker_width: place(whisker_to) - place(whisker_from),
    }
}

/// A metric: how it is read from a candidate, and how it is shown.
pub(super) struct Figure {
    pub(super) name: &'static str,
    pub(super) explanation: &'static str,
    /// `None` where it is not defined.
    pub(super) value: fn(&Candidate) -> Option<f64>,
    pub(super) show: fn(f64) -> String,
    pub(super) better: Better,
}

/// The better one of two values.
#[derive(Debug, Clone, Copy)]
pub(super) enum Better {
    Higher,
    Lower,
    /// A mean error has a sign.
    NearerTo0,
    /// Neither: the value differs from run to run.
    Neither,
}

/// Makes the comparison table: one row for each metric, one cell for each model.
pub(super) fn figure_rows(figures: &[Figure], models: &[Model<'_>]) -> Vec<FigureRow> {
    fn validated<'a>(model: &'a Model<'_>) -> &'a CrossValidation {
        &model.candidate.cross_validation
    }
    let criterion = models.first().map_or(Criterion::RocAuc, |model| validated(model).criterion);
    let first = cross_validated(criterion);
    let mut rows: Vec<FigureRow> =
        std::iter::once(&first).chain(figures).map(|figure| figure_row(figure, models)).collect();
    rows.push(figure_row(&FIT_TIME, models));
    if let Some(cross_validated) = rows.first_mut() {
        for (cell, model) in cross_validated.cells.iter_mut().zip(models) {
            cell.spread = format!("± {}", shown(criterion, validated(model).std));
        }
    }
    rows
}

/// Returns the figure by which the models are chosen.
fn cross_validated(criterion: Criterion) -> Figure {
    let value: fn(&Candidate) -> Option<f64> = |candidate| Some(candidate.cross_validation.mean);
    let explanation = "Mean and spread over the folds of the training rows. Models are chosen by it.";
    let (name, show, better): (_, fn(f64) -> String, _) = match criterion {
        Criterion::RocAuc => ("ROC AUC, cross-validated", three, Better::Higher),
        Criterion::LogLoss => ("Log loss, cross-validated", three, Better::Lower),
        Criterion::Rmse => ("RMSE, cross-validated", quantity, Better::Lower),
    };
    Figure { name, explanation, value, show, better }
}

/// Formats a figure by which models are compared, or a difference of it.
pub(super) fn shown(criterion: Criterion, value: f64) -> String {
    match criterion {
        Criterion::RocAuc | Criterion::LogLoss => fixed(value, 3),
        Criterion::Rmse => quantity(value),
    }
}

fn figure_row(figure: &Figure, models: &[Model<'_>]) -> FigureRow {
    let values: Vec<Option<f64>> = models.iter().map(|model| (figure.value)(model.candidate)).collect();
    let each = values.iter().copied().flatten();
    let best = match figure.better {
        Better::Higher => each.reduce(f64::max),
        Better::Lower => each.reduce(f64::min),
        Better::NearerTo0 => each.reduce(|a, b| if b.abs() < a.abs() { b } else { a }),
        Better::Neither => None,
    };
    // Values that are shown with the same digits are equally good.
    let best = best.filter(|_| models.len() > 1).map(figure.show);
    let cell = |value: Option<f64>| {
        let text = value.map_or_else(|| NONE.to_owned(), figure.show);
        FigureCell { best: best.as_ref() == Some(&text), text, spread: String::new() }
    };
    FigureRow {
        name: figure.name,
        explanation: figure.explanation,
        cells: values.into_iter().map(cell).collect(),
    }
}

pub(super) fn three(value: f64) -> String {
    fixed(value, 3)
}

const FIT_TIME: Figure = Figure {
    name: "Fit time",
    explanation: "For the final fit on all training rows, on the machine that trained it. It differs from run to run.",
    value: |candidate| Some(candidate.fit_seconds),
    show: duration,
    better: Better::Neither,
};
