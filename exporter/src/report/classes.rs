//! The part of the report that only models of several classes have.

use std::cmp::Reverse;

use onnward_models::{Candidate, ClassCurves, ClassResult, Comparison, Curves};
use onnward_schemas::ClassFigures;

use super::charts::{self, Captions, ChartError, Curve, Form, Ink, PALETTE, Scores};
use super::models::{Better, Figure, FigureRow, Model, figure_rows, three};
use super::numbers::{count, exact_percent, fixed, percent, share};
use super::summary::KeyFigure;

/// The number of classes whose confusion is shown.
const MOST_CONFUSED: usize = 12;

/// What the page shows of models of several classes.
pub(super) struct ClassesView {
    /// How many of a hundred rows are predicted right.
    pub(super) right: u64,
    pub(super) key_figures: Vec<KeyFigure>,
    pub(super) figures: Vec<FigureRow>,
    /// The names of the classes, where they are few enough for a confusion matrix.
    pub(super) confused: Vec<String>,
    /// A confusion matrix for each model: by class, and in it by the predicted one.
    pub(super) matrices: Vec<Vec<Vec<ConfusionCell>>>,
    /// The result of the winner for each class.
    pub(super) classes: Vec<ClassRow>,
    /// The classes with a curve, and their colours.
    pub(super) curves: Vec<ClassCurve>,
    pub(super) roc: String,
    pub(super) calibration: String,
    /// One for each model.
    pub(super) confidences: Vec<String>,
}

/// A cell of a confusion matrix.
pub(super) struct ConfusionCell {
    pub(super) rows: String,
    pub(super) percent: String,
    /// The share of the class, from 0 to 1, which decides the shade.
    pub(super) share: f64,
}

/// The result for one class.
pub(super) struct ClassRow {
    pub(super) name: String,
    pub(super) rows: String,
    pub(super) predicted: String,
    pub(super) figures: [String; 4],
}

/// A class with a ROC curve.
pub(super) struct ClassCurve {
    pub(super) name: String,
    pub(super) color: u8,
    pub(super) roc_auc: String,
}

impl ClassesView {
    /// Returns the CSS classes of a hundred dots, those of right predictions first.
    pub(super) fn dots(&self) -> Vec<&'static str> {
        (0..100).map(|dot| if dot < self.right { "stayed flagged" } else { "left" }).collect()
    }
}

/// Makes the view. `None` if the models are of another task.
pub(super) fn view(
    comparison: &Comparison,
    models: &[Model<'_>],
    winner: &Model<'_>,
) -> Option<Result<ClassesView, ChartError>> {
    let (test, curves) = (winner.candidate.test.classes()?, class_curves(winner.candidate)?);
    Some(draw(comparison, models, test, curves))
}

fn draw(
    comparison: &Comparison,
    models: &[Model<'_>],
    test: &ClassFigures,
    winner: &ClassCurves,
) -> Result<ClassesView, ChartError> {
    let mut with_curve: Vec<_> = winner.classes.iter().filter(|class| !class.roc.is_empty()).collect();
    with_curve.sort_by_key(|class| Reverse(class.rows));
    let with_curve: Vec<_> = with_curve.into_iter().zip(0..PALETTE).collect();
    let roc: Vec<Curve<'_>> = with_curve
        .iter()
        .map(|(class, color)| Curve { ink: Ink::Model(*color), points: &class.roc, form: Form::Line })
        .collect();
    let bins: Vec<(Ink, Vec<[f64; 2]>)> = models
        .iter()
        .filter_map(|model| {
            let bins = &class_curves(model.candidate)?.calibration;
            let points = bins.iter().map(|bin| [bin.predicted, bin.observed]).collect();
            Some((Ink::Model(model.color), points))
        })
        .collect();
    let calibration: Vec<_> =
        bins.iter().map(|(ink, points)| Curve { ink: *ink, points, form: Form::Dots }).collect();
    let confidences: Vec<_> = models
        .iter()
        .filter_map(|model| class_curves(model.candidate))
        .map(|curves| Scores { left: &curves.wrong_confidences, stayed: &curves.right_confidences })
        .collect();
    let diagonal = [(0.0, 0.0), (1.0, 1.0)];
    let few = comparison.classes.len() <= MOST_CONFUSED;
    let figures = models.iter().filter_map(|model| model.candidate.test.classes()).filter(|_| few);
    Ok(ClassesView {
        right: (test.accuracy * 100.0).round() as u64,
        key_figures: key_figures(comparison, test),
        figures: figure_rows(&FIGURES, models),
        confused: if few { comparison.classes.clone() } else { Vec::new() },
        matrices: figures.map(|figures| matrix(&figures.confusion)).collect(),
        classes: class_rows(winner),
        curves: with_curve
            .iter()
            .map(|(class, color)| ClassCurve {
                name: class.class.clone(),
                color: *color,
                roc_auc: fixed(class.roc_auc, 3),
            })
            .collect(),
        roc: charts::unit_square(&ROC, diagonal, &roc)?,
        calibration: charts::unit_square(&CALIBRATION, diagonal, &calibration)?,
        confidences: charts::scores(&CONFIDENCES, &confidences, None)?,
    })
}

fn class_curves(candidate: &Candidate) -> Option<&ClassCurves> {
    match &candidate.curves {
        Curves::Classes(curves) => Some(curves),
        Curves::Binary(_) | Curves::Number(_) => None,
    }
}

fn matrix(confusion: &[Vec<u64>]) -> Vec<Vec<ConfusionCell>> {
    let row = |rows: &Vec<u64>| {
        let of = rows.iter().sum();
        let cell = |rows: &u64| ConfusionCell {
            rows: count(*rows),
            percent: percent(share(*rows, of)),
            share: share(*rows, of),
        };
        rows.iter().map(cell).collect()
    };
    confusion.iter().map(row).collect()
}

fn class_rows(winner: &ClassCurves) -> Vec<ClassRow> {
    let row = |class: &ClassResult| ClassRow {
        name: class.class.clone(),
        rows: count(class.rows),
        predicted: count(class.predicted),
        figures: [class.precision, class.recall, class.f1, class.roc_auc].map(|figure| fixed(figure, 3)),
    };
    winner.classes.iter().map(row).collect()
}

fn key_figures(comparison: &Comparison, test: &ClassFigures) -> Vec<KeyFigure> {
    let guessing = comparison.baseline.test.classes().map_or(0.0, |figures| figures.accuracy);
    vec![
        KeyFigure {
            value: percent(test.accuracy),
            name: "Accuracy",
            meaning: format!(
                "of the predictions are right; the most frequent class reaches {}",
                percent(guessing)
            ),
        },
        KeyFigure {
            value: fixed(test.macro_f1, 3),
            name: "Macro F1",
            meaning: "every class counts as much as any other; 1 is perfect".to_owned(),
        },
        KeyFigure {
            value: fixed(test.roc_auc_ovr, 3),
            name: "ROC AUC, one against the rest",
            meaning: "0.5 is random, 1 is perfect".to_owned(),
        },
        KeyFigure {
            value: exact_percent(test.top_2_accuracy),
            name: "Among the top two",
            meaning: "of the rows have one of their two most probable classes".to_owned(),
        },
    ]
}

const ROC: Captions = Captions {
    about: "Receiver operating characteristic of the classes, each against all others",
    x: "False positive rate",
    y: "True positive rate",
};
const CALIBRATION: Captions = Captions {
    about: "Share of right predictions against the probability of the predicted class, for every model",
    x: "Probability of the predicted class",
    y: "Share of right predictions",
};
const CONFIDENCES: Captions = Captions {
    about: "Histogram of the probability of the predicted class, of right and of wrong predictions",
    x: "Probability of the predicted class",
    y: "Share of the group",
};

/// The figures on the held-out rows.
const FIGURES: [Figure; 7] = [
    Figure {
        name: "Log loss",
        explanation: "The mean negative log-likelihood of the true classes, in nats. Lower is better.",
        value: |candidate| Some(candidate.test.classes()?.log_loss),
        show: three,
        better: Better::Lower,
    },
    Figure {
        name: "Accuracy",
        explanation: "The share of all rows whose class was predicted.",
        value: |candidate| Some(candidate.test.classes()?.accuracy),
        show: three,
        better: Better::Higher,
    },
    Figure {
        name: "Macro F1",
        explanation: "The mean of the F1 of all classes: each counts the same.",
        value: |candidate| Some(candidate.test.classes()?.macro_f1),
        show: three,
        better: Better::Higher,
    },
    Figure {
        name: "Weighted F1",
        explanation: "The mean of the F1 of all classes, weighted by their rows.",
        value: |candidate| Some(candidate.test.classes()?.weighted_f1),
        show: three,
        better: Better::Higher,
    },
    Figure {
        name: "ROC AUC, one against the rest",
        explanation: "The mean over the classes of the probability that a row of it is scored above one of \
                      another. 0.5 is random, 1 is perfect.",
        value: |candidate| Some(candidate.test.classes()?.roc_auc_ovr),
        show: three,
        better: Better::Higher,
    },
    Figure {
        name: "Top-2 accuracy",
        explanation: "The share of rows with one of their two most probable classes.",
        value: |candidate| Some(candidate.test.classes()?.top_2_accuracy),
        show: three,
        better: Better::Higher,
    },
    Figure {
        name: "Top-3 accuracy",
        explanation: "The same of the three most probable.",
        value: |candidate| Some(candidate.test.classes()?.top_3_accuracy),
        show: three,
        better: Better::Higher,
    },
];
