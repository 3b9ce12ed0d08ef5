//! The part of the report that only models of a binary label have.

use onnward_models::{BinaryCurves, CalibrationBin, Candidate, Comparison, Curves};
use onnward_schemas::{BinaryFigures, Confusion};

use super::charts::{self, Captions, ChartError, Curve, Form, Ink, Scores};
use super::models::{Better, Figure, FigureRow, Model, figure_rows, three};
use super::numbers::{NONE, count, exact_percent, fixed, percent, share};
use super::summary::KeyFigure;

/// Mean scores closer together than this differ only by rounding.
const SAME_SCORE: f64 = 1e-9;

/// What the page shows of binary models.
pub(super) struct BinaryView {
    pub(super) threshold: f64,
    pub(super) hundred: Hundred,
    pub(super) key_figures: Vec<KeyFigure>,
    pub(super) figures: Vec<FigureRow>,
    /// One for each model.
    pub(super) matrices: Vec<[[MatrixCell; 2]; 2]>,
    /// What the legends of the curves say, one for each model.
    pub(super) legends: Vec<Legend>,
    pub(super) charts: Charts,
    /// Lines with one cell for each model.
    pub(super) calibration: Vec<Vec<Option<CalibrationRow>>>,
    /// The precision of a coin toss: the share of positives among the held-out rows.
    pub(super) coin_toss: String,
}

/// The figures in the legends of a model's curves.
pub(super) struct Legend {
    pub(super) roc_auc: String,
    pub(super) average_precision: String,
    pub(super) brier: String,
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

/// The held-out customers, scaled to a hundred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hundred {
    pub(super) caught: u64,
    pub(super) overlooked: u64,
    pub(super) false_alarms: u64,
    pub(super) left_alone: u64,
}

impl Hundred {
    pub(super) fn left(&self) -> u64 {
        self.caught + self.overlooked
    }

    pub(super) fn flagged(&self) -> u64 {
        self.caught + self.false_alarms
    }

    /// Returns the CSS classes of a hundred dots, the positive ones first.
    pub(super) fn dots(&self) -> Vec<&'static str> {
        let kinds = [
            ("left flagged", self.caught),
            ("left", self.overlooked),
            ("stayed flagged", self.false_alarms),
            ("stayed", self.left_alone),
        ];
        kinds.into_iter().flat_map(|(kind, dots)| (0..dots).map(move |_| kind)).collect()
    }
}

/// Makes the view. `None` if the models are not binary.
pub(super) fn view(
    comparison: &Comparison,
    models: &[Model<'_>],
    winner: &Model<'_>,
) -> Option<Result<BinaryView, ChartError>> {
    let (test, curves) = (winner.candidate.test.binary()?, binary_curves(winner.candidate)?);
    let coin_toss = coin_toss(&test.confusion);
    let charts = match Charts::draw(comparison, models, coin_toss) {
        Ok(charts) => charts,
        Err(error) => return Some(Err(error)),
    };
    let figures = || models.iter().filter_map(|model| model.candidate.test.binary());
    let legend = |test: &BinaryFigures| Legend {
        roc_auc: fixed(test.roc_auc, 3),
        average_precision: fixed(test.average_precision, 3),
        brier: fixed(test.brier, 3),
    };
    Some(Ok(BinaryView {
        threshold: comparison.threshold.unwrap_or_default(),
        hundred: hundred(&test.confusion),
        key_figures: key_figures(comparison, test, curves),
        figures: figure_rows(&FIGURES, models),
        matrices: figures().map(|test| matrix(&test.confusion)).collect(),
        legends: figures().map(legend).collect(),
        charts,
        calibration: calibration_rows(models),
        coin_toss: exact_percent(coin_toss),
    }))
}

fn binary_curves(candidate: &Candidate) -> Option<&BinaryCurves> {
    match &candidate.curves {
        Curves::Binary(curves) => Some(curves),
        Curves::Classes(_) | Curves::Number(_) => None,
    }
}

fn coin_toss(confusion: &Confusion) -> f64 {
    let left = confusion.true_positives + confusion.false_negatives;
    share(left, left + confusion.true_negatives + confusion.false_positives)
}

/// Returns the confusion matrix: positive customers, then negative ones; in each row, the flagged ones
/// first.
fn matrix(confusion: &Confusion) -> [[MatrixCell; 2]; 2] {
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

/// Makes the lines of the calibration table. A model with fewer bins has empty cells.
fn calibration_rows(models: &[Model<'_>]) -> Vec<Vec<Option<CalibrationRow>>> {
    let bins = |model: &Model<'_>, index: usize| {
        let bins = &binary_curves(model.candidate)?.calibration;
        bins.get(index).map(|bin| CalibrationRow {
            predicted: exact_percent(bin.predicted),
            observed: exact_percent(bin.observed),
            rows: count(bin.rows),
        })
    };
    let lines = models
        .iter()
        .filter_map(|model| Some(binary_curves(model.candidate)?.calibration.len()))
        .max()
        .unwrap_or(0);
    (0..lines).map(|index| models.iter().map(|model| bins(model, index)).collect()).collect()
}

fn key_figures(comparison: &Comparison, test: &BinaryFigures, curves: &BinaryCurves) -> Vec<KeyFigure> {
    let threshold = comparison.threshold.unwrap_or_default();
    let flagged = test.confusion.true_positives + test.confusion.false_positives;
    let mut figures = vec![
        KeyFigure {
            value: fixed(test.roc_auc, 3),
            name: "ROC AUC",
            meaning: "0.5 is random, 1 is perfect".to_owned(),
        },
        KeyFigure {
            value: if flagged > 0 { percent(test.precision) } else { NONE.to_owned() },
            name: "Precision",
            meaning: match flagged {
                0 => format!("no customer is flagged at {threshold}"),
                _ => format!("of those flagged at {threshold} are positive"),
            },
        },
        KeyFigure {
            value: percent(test.recall),
            name: "Recall",
            meaning: "of the positive customers were flagged".to_owned(),
        },
    ];
    figures.extend(lift(&curves.calibration, &test.confusion));
    figures
}

/// Computes how much more often customers of the highest bin are positive than the average one. Bins of the
/// same score count as one, since the order of their customers is random.
fn lift(calibration: &[CalibrationBin], confusion: &Confusion) -> Option<KeyFigure> {
    let highest = calibration.iter().map(|bin| bin.predicted).reduce(f64::max)?;
    let is_top = |bin: &&CalibrationBin| highest - bin.predicted < SAME_SCORE;
    let top: u64 = calibration.iter().filter(is_top).map(|bin| bin.rows).sum();
    let top_left: f64 = calibration.iter().filter(is_top).map(|bin| bin.observed * bin.rows as f64).sum();
    let rows: u64 = calibration.iter().map(|bin| bin.rows).sum();
    let left = confusion.true_positives + confusion.false_negatives;
    let average = share(left, left + confusion.true_negatives + confusion.false_positives);
    if average == 0.0 || top == 0 {
        return None;
    }
    let (value, meaning) = if top == rows {
        (NONE.to_owned(), "every customer has the same score".to_owned())
    } else {
        let times = fixed(top_left / top as f64 / average, 1);
        let riskiest = percent(share(top, rows));
        let meaning = format!(
            "the {riskiest} with the highest scores are positive {times} times as often as the average customer"
        );
        (format!("{times}×"), meaning)
    };
    Some(KeyFigure { value, name: "Lift at the top", meaning })
}

/// Scales the counts to a hundred. The remainder of rounding down goes to the largest fractions.
fn hundred(confusion: &Confusion) -> Hundred {
    let counts = [
        confusion.true_positives,
        confusion.false_negatives,
        confusion.false_positives,
        confusion.true_negatives,
    ];
    let total: u64 = counts.iter().sum();
    if total == 0 {
        return Hundred { caught: 0, overlooked: 0, false_alarms: 0, left_alone: 0 };
    }
    let mut parts = counts.map(|rows| rows * 100 / total);
    let mut by_remainder = [0, 1, 2, 3];
    by_remainder.sort_by_key(|&part: &usize| std::cmp::Reverse(counts[part] * 100 % total));
    let left_over = 100 - parts.iter().sum::<u64>();
    for part in by_remainder.into_iter().take(usize::try_from(left_over).unwrap_or(0)) {
        parts[part] += 1;
    }
    let [caught, overlooked, false_alarms, left_alone] = parts;
    Hundred { caught, overlooked, false_alarms, left_alone }
}

/// The drawings, as SVG.
pub(super) struct Charts {
    pub(super) roc: String,
    pub(super) precision_recall: String,
    pub(super) calibration: String,
    /// One for each model.
    pub(super) scores: Vec<String>,
}

impl Charts {
    fn draw(comparison: &Comparison, models: &[Model<'_>], coin_toss: f64) -> Result<Self, ChartError> {
        let curves = models
            .iter()
            .filter_map(|model| Some((Ink::Model(model.color), binary_curves(model.candidate)?)));
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
            .filter_map(|model| binary_curves(model.candidate))
            .map(|curves| Scores { left: &curves.positive_scores, stayed: &curves.negative_scores })
            .collect();
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

/// The figures on the held-out rows.
const FIGURES: [Figure; 8] = [
    Figure {
        name: "ROC AUC",
        explanation: "The probability that a positive customer is scored above a negative one. 0.5 is \
                      random, 1 is perfect.",
        value: |candidate| Some(candidate.test.binary()?.roc_auc),
        show: three,
        better: Better::Higher,
    },
    Figure {
        name: "Average precision",
        explanation: "Precision averaged over every recall. A random score reaches the share of the \
                      positives.",
        value: |candidate| Some(candidate.test.binary()?.average_precision),
        show: three,
        better: Better::Higher,
    },
    Figure {
        name: "Accuracy",
        explanation: "The share of all customers classified correctly.",
        value: |candidate| Some(candidate.test.binary()?.accuracy),
        show: three,
        better: Better::Higher,
    },
    Figure {
        name: "Precision",
        explanation: "Of those flagged, the share that is positive.",
        value: |candidate| Some(candidate.test.binary()?.precision),
        show: three,
        better: Better::Higher,
    },
    Figure {
        name: "Recall",
        explanation: "Of the positives, the share that was flagged.",
        value: |candidate| Some(candidate.test.binary()?.recall),
        show: three,
        better: Better::Higher,
    },
    Figure {
        name: "F1",
        explanation: "The harmonic mean of precision and recall.",
        value: |candidate| Some(candidate.test.binary()?.f1),
        show: three,
        better: Better::Higher,
    },
    Figure {
        name: "Log loss",
        explanation: "The mean negative log-likelihood of the true labels, in nats. Lower is better.",
        value: |candidate| Some(candidate.test.binary()?.log_loss),
        show: three,
        better: Better::Lower,
    },
    Figure {
        name: "Brier score",
        explanation: "The mean squared error of the probability. Lower is better.",
        value: |candidate| Some(candidate.test.binary()?.brier),
        show: three,
        better: Better::Lower,
    },
];
