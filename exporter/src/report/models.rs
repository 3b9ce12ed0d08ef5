//! The candidates as the page shows them.

use onnward_models::{Candidate, Comparison, Family, Importance};

use super::charts::PALETTE;
use super::numbers::{count, duration, exact_percent, fixed, percent, quantity, room_for, share};

/// How many features a panel of importances shows before it folds the rest away.
const SHOWN_IMPORTANCES: usize = 15;

/// One candidate with the name and the colour that it has all over the page.
pub(super) struct Model<'a> {
    pub(super) candidate: &'a Candidate,
    pub(super) title: String,
    pub(super) color: u8,
    pub(super) selected: bool,
}

/// One figure of every model.
pub(super) struct FigureRow {
    pub(super) name: &'static str,
    pub(super) explanation: &'static str,
    pub(super) cells: Vec<FigureCell>,
}

/// One model's figure.
pub(super) struct FigureCell {
    pub(super) text: String,
    pub(super) spread: String,
    pub(super) best: bool,
}

/// A setting that a model was fitted with.
pub(super) struct Setting {
    pub(super) name: String,
    /// What it does; empty for one that the page does not know.
    pub(super) explanation: &'static str,
    pub(super) value: String,
}

/// A cell of a confusion matrix.
pub(super) struct MatrixCell {
    pub(super) meaning: &'static str,
    pub(super) rows: String,
    pub(super) percent: String,
    /// The share of its matrix row, from 0 to 1: how strongly it is shaded.
    pub(super) share: f64,
}

/// One model's part of a line of the calibration table.
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

/// What each feature is worth to one model.
pub(super) struct ImportancePanel {
    pub(super) shown: Vec<ImportanceBar>,
    pub(super) folded: Vec<ImportanceBar>,
}

/// The candidates, best first, each with its own title and colour.
pub(super) fn models(comparison: &Comparison) -> Vec<Model<'_>> {
    let selected = comparison.candidates.iter().position(|c| c.family == comparison.selected);
    let mut models: Vec<Model<'_>> = Vec::new();
    for (index, candidate) in comparison.candidates.iter().enumerate() {
        let same = models.iter().filter(|model| model.candidate.family == candidate.family).count();
        let title = match same {
            0 => title(candidate.family).to_owned(),
            _ => format!("{} {}", title(candidate.family), same + 1),
        };
        let color = color(candidate.family, &models);
        let selected = index == selected.unwrap_or(0);
        models.push(Model { candidate, title, color, selected });
    }
    models
}

/// A family's own colour; a further model of the same family gets the first that no family owns and no model has.
fn color(family: Family, models: &[Model<'_>]) -> u8 {
    let own = Family::ALL.iter().zip(0..PALETTE).find(|(one, _)| **one == family).map(|(_, color)| color);
    let further = (0..PALETTE).skip(Family::ALL.len());
    own.into_iter().chain(further).find(|color| models.iter().all(|model| model.color != *color)).unwrap_or(0)
}

fn title(family: Family) -> &'static str {
    match family {
        Family::Logistic => "Logistic regression",
        Family::Forest => "Random forest",
        Family::LinfaLogistic => "Logistic regression (linfa)",
        Family::SmartcoreForest => "Random forest (smartcore)",
    }
}

fn setting(parameter: &str, value: f64) -> Setting {
    let (name, explanation) = match parameter {
        "c" => ("Inverse penalty (C)", "the smaller, the closer the weights are held to 0"),
        "knots" => ("Bends per numeric column", "where the effect of a number may change its slope"),
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
    /// The confusion matrix: first those who left, then those who stayed; in each, first those flagged.
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
                cell("caught", confusion.true_positives, left),
                cell("overlooked", confusion.false_negatives, left),
            ],
            [
                cell("false alarm", confusion.false_positives, stayed),
                cell("rightly left alone", confusion.true_negatives, stayed),
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

    /// The settings it was fitted with.
    pub(super) fn settings(&self) -> Vec<Setting> {
        self.candidate.parameters.iter().map(|(name, value)| setting(name, *value)).collect()
    }

    pub(super) fn folds(&self) -> String {
        let folds = self.candidate.cross_validation.fold_roc_auc.iter();
        folds.map(|auc| fixed(*auc, 3)).collect::<Vec<_>>().join(", ")
    }

    /// Its bars on a scale from `low` to `high`, which all panels of the page share.
    pub(super) fn importance(&self, (low, high): (f64, f64)) -> ImportancePanel {
        let mut shown: Vec<ImportanceBar> =
            self.candidate.importance.iter().map(|one| importance_bar(one, low, high)).collect();
        let folded = shown.split_off(room_for(shown.len(), SHOWN_IMPORTANCES));
        ImportancePanel { shown, folded }
    }
}

/// The calibration table: line by line, each model's bin if it has that many.
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

/// The scale that holds every whisker of every model, and 0.
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

/// How a figure is read from a candidate and shown.
struct Figure {
    name: &'static str,
    explanation: &'static str,
    value: fn(&Candidate) -> f64,
    show: fn(f64) -> String,
    better: Better,
}

/// Which of two models' figures is the better one.
#[derive(Debug, Clone, Copy)]
enum Better {
    Higher,
    Lower,
    /// The figure says nothing of the model that another run would confirm.
    Neither,
}

/// The comparison table: one row for each figure, one cell for each model.
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
    // What reads the same is equally good.
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
        explanation: "How often a customer who left is scored above one who stayed. 0.5 is a coin toss, 1 is perfect.",
        value: |candidate| candidate.test.roc_auc,
        show: three,
        better: Better::Higher,
    },
    Figure {
        name: "Average precision",
        explanation: "Precision averaged over every recall. A coin toss reaches the share of those who left.",
        value: |candidate| candidate.test.average_precision,
        show: three,
        better: Better::Higher,
    },
    Figure {
        name: "Accuracy",
        explanation: "The share of all customers judged rightly.",
        value: |candidate| candidate.test.accuracy,
        show: three,
        better: Better::Higher,
    },
    Figure {
        name: "Precision",
        explanation: "Of those flagged, the share who left.",
        value: |candidate| candidate.test.precision,
        show: three,
        better: Better::Higher,
    },
    Figure {
        name: "Recall",
        explanation: "Of those who left, the share who were flagged.",
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
        explanation: "How surprised the probabilities were by the truth, in nats. Lower is better.",
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
        explanation: "For the final fit on all training rows, on the machine that trained it. It differs from run to run.",
        value: |candidate| candidate.fit_seconds,
        show: duration,
        better: Better::Neither,
    },
];
