//! The candidates, as the report shows them.

use onnward_models::{Candidate, Comparison, Estimator, Family, Importance, Solver};

use super::charts::PALETTE;
use super::numbers::{count, duration, exact_percent, fixed, percent, quantity, room_for, share};

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

/// A cell of a confusion matrix.
pub(super) struct MatrixCell {
    pub(super) meaning: &'static str,
    pub(super) rows: String,
    pub(super) percent: String,
    /// The share of its matrix row, from 0 to 1, which decides the shade.
    pub(super) share: f64,
}

/// The part of one model in a line of the calibration table.
pub(super) struct CalibrationRow {
    pub(super) predicted: String,
    pub(super) observed: String,
    pub(super) rows: String,
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
        "trees" => ("Trees", "the probability is their mean"),
        "min_samples_leaf" => ("Fewest rows in a leaf", "the more, the smoother the probabilities"),
        "min_samples_split" => ("Fewest rows in a node that is split", ""),
        "max_depth" => ("Greatest depth of a tree", ""),
        "max_features" => ("Columns tried at a split", ""),
        other => (other, ""),
    };
    Setting { name: name.replace('_', " "), explanation, value: quantity(value) }
}

impl Model<'_> {
    /// Returns the confusion matrix: positive customers, then negative ones; in each row, the flagged ones
    /// first.
    pub(super) fn matrix(&self) -> [[MatrixCell; 2]; 2] {
        let confusion = self.candidate.test.confusion;
        let cell = |meaning, rows: u64, of: u64| MatrixCell {
            meaning,
            rows: count(rows),
            percent: percent(share(rows, of)),
            share: share(rows, of),
        };
        let left = confusion.true_positives + confusion.false_negatives;
        let stayed = confusion.true_negatives + confusion.false_positives;
        [
            [
                cell("correctly flagged", confusion.true_positives, left),
                cell("missed", confusion.false_negatives, left),
            ],
            [
                cell("false alarm", confusion.false_positives, stayed),
                cell("correctly not flagged", confusion.true_negatives, stayed),
            ],
        ]
    }

    pub(super) fn roc_auc(&self) -> String {
        fixed(self.candidate.test.roc_auc, 3)
    }

    pub(super) fn average_precision(&self) -> String {
        fixed(self.candidate.test.average_precision, 3)
    }

    pub(super) fn brier(&self) -> String {
        fixed(self.candidate.test.brier, 3)
    }

    /// Returns the settings with which it was fitted.
    pub(super) fn settings(&self) -> Vec<Setting> {
        self.candidate.parameters.iter().map(|(name, value)| setting(name, *value)).collect()
    }

    pub(super) fn folds(&self) -> String {
        let folds = self.candidate.cross_validation.fold_roc_auc.iter();
        folds.map(|auc| fixed(*auc, 3)).collect::<Vec<_>>().join(", ")
    }

    /// Draws its bars on a scale from `low` to `high`, which all panels share.
    pub(super) fn importance(&self, (low, high): (f64, f64)) -> ImportancePanel {
        let mut shown: Vec<ImportanceBar> =
            self.candidate.importance.iter().map(|one| importance_bar(one, low, high)).collect();
        let folded = shown.split_off(room_for(shown.len(), SHOWN_IMPORTANCES));
        ImportancePanel { shown, folded }
    }
}

/// Makes the lines of the calibration table. A model with fewer bins has empty cells.
pub(super) fn calibration_rows(models: &[Model<'_>]) -> Vec<Vec<Option<CalibrationRow>>> {
    let bins = |model: &Model<'_>, index: usize| {
        model.candidate.curves.calibration.get(index).map(|bin| CalibrationRow {
            predicted: exact_percent(bin.predicted),
            observed: exact_percent(bin.observed),
            rows: count(bin.rows),
        })
    };
    let lines = models.iter().map(|model| model.candidate.curves.calibration.len()).max().unwrap_or(0);
    (0..lines).map(|index| models.iter().map(|model| bins(model, index)).collect()).collect()
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
    (one.roc_auc_drop - one.roc_auc_drop_std, one.roc_auc_drop + one.roc_auc_drop_std)
}

fn importance_bar(one: &Importance, low: f64, high: f64) -> ImportanceBar {
    let place = |value: f64| (value - low) / (high - low) * 100.0;
    let (zero, end) = (place(0.0), place(one.roc_auc_drop));
    let (whisker_from, whisker_to) = whisker(one);
    ImportanceBar {
        feature: one.feature.clone(),
        text: fixed(one.roc_auc_drop, 3),
        from: zero.min(end),
        width: (end - zero).abs(),
        whisker_from: place(whisker_from),
        whisker_width: place(whisker_to) - place(whisker_from),
    }
}

/// A metric: how it is read from a candidate, and how it is shown.
struct Figure {
    name: &'static str,
    explanation: &'static str,
    value: fn(&Candidate) -> f64,
    show: fn(f64) -> String,
    better: Better,
}

/// The better one of two values.
#[derive(Debug, Clone, Copy)]
enum Better {
    Higher,
    Lower,
    /// Neither: the value differs from run to run.
    Neither,
}

/// Makes the comparison table: one row for each metric, one cell for each model.
pub(super) fn figure_rows(models: &[Model<'_>]) -> Vec<FigureRow> {
    let mut rows: Vec<FigureRow> = FIGURES.iter().map(|figure| figure_row(figure, models)).collect();
    if let Some(cross_validated) = rows.first_mut() {
        for (cell, model) in cross_validated.cells.iter_mut().zip(models) {
            cell.spread = format!("± {}", fixed(model.candidate.cross_validation.roc_auc_std, 3));
        }
    }
    rows
}

fn figure_row(figure: &Figure, models: &[Model<'_>]) -> FigureRow {
    let values: Vec<f64> = models.iter().map(|model| (figure.value)(model.candidate)).collect();
    let each = values.iter().copied();
    let best = match figure.better {
        Better::Higher => each.reduce(f64::max),
        Better::Lower => each.reduce(f64::min),
        Better::Neither => None,
    };
    // Values that are shown with the same digits are equally good.
    let best = best.filter(|_| models.len() > 1).map(figure.show);
    let cell = |value: f64| {
        let text = (figure.show)(value);
        FigureCell { best: best.as_ref() == Some(&text), text, spread: String::new() }
    };
    FigureRow {
        name: figure.name,
        explanation: figure.explanation,
        cells: values.into_iter().map(cell).collect(),
    }
}

fn three(value: f64) -> String {
    fixed(value, 3)
}

const FIGURES: [Figure; 10] = [
    Figure {
        name: "ROC AUC, cross-validated",
        explanation: "Mean and spread over the folds of the training rows. Models are chosen by it.",
        value: |candidate| candidate.cross_validation.roc_auc_mean,
        show: three,
        better: Better::Higher,
    },
    Figure {
        name: "ROC AUC",
        explanation: "The probability that a positive customer is scored above a negative one. 0.5 is \
                      random, 1 is perfect.",
        value: |candidate| candidate.test.roc_auc,
        show: three,
        better: Better::Higher,
    },
    Figure {
        name: "Average precision",
        explanation: "Precision averaged over every recall. A random score reaches the share of the \
                      positives.",
        value: |candidate| candidate.test.average_precision,
        show: three,
        better: Better::Higher,
    },
    Figure {
        name: "Accuracy",
        explanation: "The share of all customers classified correctly.",
        value: |candidate| candidate.test.accuracy,
        show: three,
        better: Better::Higher,
    },
    Figure {
        name: "Precision",
        explanation: "Of those flagged, the share that is positive.",
        value: |candidate| candidate.test.precision,
        show: three,
        better: Better::Higher,
    },
    Figure {
        name: "Recall",
        explanation: "Of the positives, the share that was flagged.",
        value: |candidate| candidate.test.recall,
        show: three,
        better: Better::Higher,
    },
    Figure {
        name: "F1",
        explanation: "The harmonic mean of precision and recall.",
        value: |candidate| candidate.test.f1,
        show: three,
        better: Better::Higher,
    },
    Figure {
        name: "Log loss",
        explanation: "The mean negative log-likelihood of the true labels, in nats. Lower is better.",
        value: |candidate| candidate.test.log_loss,
        show: three,
        better: Better::Lower,
    },
    Figure {
        name: "Brier score",
        explanation: "The mean squared error of the probability. Lower is better.",
        value: |candidate| candidate.test.brier,
        show: three,
        better: Better::Lower,
    },
    Figure {
        name: "Fit time",
        explanation: "For the final fit on all training rows, on the machine that trained it. It differs \
                      from run to run.",
        value: |candidate| candidate.fit_seconds,
        show: duration,
        better: Better::Neither,
    },
];
