//! The part of the report that only models of a number have.

use onnward_models::{Candidate, Comparison, Curves, NumberCurves};
use onnward_schemas::NumberFigures;

use super::charts::{self, Agreement, Captions, ChartError, Ink};
use super::models::{Better, Figure, FigureRow, Model, figure_rows, three};
use super::numbers::{NONE, percent, quantity};
use super::summary::KeyFigure;

/// What the page shows of models of a number.
pub(super) struct NumberView {
    pub(super) key_figures: Vec<KeyFigure>,
    pub(super) figures: Vec<FigureRow>,
    /// The predictions against the labels, one chart for each model.
    pub(super) points: Vec<String>,
    /// The errors, one chart for each model.
    pub(super) errors: Vec<String>,
    pub(super) calibration: String,
    /// The heads of the quantiles' columns.
    pub(super) probabilities: Vec<String>,
    /// The quantiles of the errors, one line for each model.
    pub(super) quantiles: Vec<Vec<String>>,
}

/// Makes the view. `None` if the models are of another task.
pub(super) fn view(
    comparison: &Comparison,
    models: &[Model<'_>],
    winner: &Model<'_>,
) -> Option<Result<NumberView, ChartError>> {
    let test = winner.candidate.test.number()?;
    Some(draw(comparison, models, test))
}

fn draw(
    comparison: &Comparison,
    models: &[Model<'_>],
    test: &NumberFigures,
) -> Result<NumberView, ChartError> {
    let curves: Vec<(Ink, &NumberCurves)> = models
        .iter()
        .filter_map(|model| Some((Ink::Model(model.color), number_curves(model.candidate)?)))
        .collect();
    let range = range(curves.iter().flat_map(|(_, curves)| curves.points.iter().flatten().copied()));
    let points = |(ink, curves): &(Ink, &NumberCurves)| {
        let series = Agreement { ink: *ink, points: &curves.points, joined: false };
        charts::agreement(&POINTS, range, &[series])
    };
    let bins: Vec<(Ink, Vec<[f64; 2]>)> = curves
        .iter()
        .map(|(ink, curves)| {
            (*ink, curves.calibration.iter().map(|bin| [bin.predicted, bin.observed]).collect())
        })
        .collect();
    let calibration: Vec<Agreement<'_>> =
        bins.iter().map(|(ink, points)| Agreement { ink: *ink, points, joined: true }).collect();
    let of_bins = self::range(bins.iter().flat_map(|(_, points)| points.iter().flatten().copied()));
    let errors = |(ink, curves): &(Ink, &NumberCurves)| {
        charts::histogram(&ERRORS, *ink, &curves.errors.edges, &curves.errors.counts)
    };
    let probabilities = curves.first().map(|(_, curves)| curves.errors.quantiles.iter());
    Ok(NumberView {
        key_figures: key_figures(comparison, test),
        figures: figure_rows(&FIGURES, models),
        points: curves.iter().map(points).collect::<Result<_, _>>()?,
        errors: curves.iter().map(errors).collect::<Result<_, _>>()?,
        calibration: charts::agreement(&CALIBRATION, of_bins, &calibration)?,
        probabilities: probabilities
            .map(|all| all.map(|[probability, _]| percent(*probability)).collect())
            .unwrap_or_default(),
        quantiles: curves
            .iter()
            .map(|(_, curves)| curves.errors.quantiles.iter().map(|[_, error]| quantity(*error)).collect())
            .collect(),
    })
}

fn number_curves(candidate: &Candidate) -> Option<&NumberCurves> {
    match &candidate.curves {
        Curves::Number(curves) => Some(curves),
        Curves::Binary(_) | Curves::Classes(_) => None,
    }
}

/// Returns a range with some room around the numbers, also around a single one.
fn range(numbers: impl Iterator<Item = f64>) -> [f64; 2] {
    let (low, high) = numbers
        .filter(|number| number.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), number| (low.min(number), high.max(number)));
    if low > high {
        return [0.0, 1.0];
    }
    let room = ((high - low) * 0.03).max(high.abs().max(1.0) * 1e-6);
    [low - room, high + room]
}

fn key_figures(comparison: &Comparison, test: &NumberFigures) -> Vec<KeyFigure> {
    let guessing = comparison.baseline.test.number().map_or(f64::NAN, |figures| figures.rmse);
    vec![
        KeyFigure {
            value: quantity(test.rmse),
            name: "RMSE",
            meaning: format!("the root of the mean squared error; the mean reaches {}", quantity(guessing)),
        },
        KeyFigure {
            value: quantity(test.mae),
            name: "Mean absolute error",
            meaning: "how far a prediction is off on average".to_owned(),
        },
        KeyFigure {
            value: quantity(test.median_absolute_error),
            name: "Median absolute error",
            meaning: "half of the predictions are nearer than this".to_owned(),
        },
        KeyFigure {
            value: three(test.r2),
            name: "R²",
            meaning: "the share of the variance that is explained; 1 is perfect".to_owned(),
        },
    ]
}

/// Formats a share that is not defined everywhere.
fn shown_percent(share: f64) -> String {
    if share.is_finite() { percent(share) } else { NONE.to_owned() }
}

const POINTS: Captions =
    Captions { about: "Predictions against labels of held-out rows", x: "Label", y: "Prediction" };
const CALIBRATION: Captions = Captions {
    about: "Mean label against mean prediction, for every model",
    x: "Mean prediction",
    y: "Mean label",
};
const ERRORS: Captions = Captions {
    about: "Histogram of the errors, prediction minus label",
    x: "Prediction minus label",
    y: "Share of rows",
};

/// The figures on the held-out rows.
const FIGURES: [Figure; 9] = [
    Figure {
        name: "RMSE",
        explanation: "The root of the mean squared error, in the units of the label. Lower is better.",
        value: |candidate| Some(candidate.test.number()?.rmse),
        show: quantity,
        better: Better::Lower,
    },
    Figure {
        name: "Mean absolute error",
        explanation: "How far a prediction is off on average. Lower is better.",
        value: |candidate| Some(candidate.test.number()?.mae),
        show: quantity,
        better: Better::Lower,
    },
    Figure {
        name: "Median absolute error",
        explanation: "Half of the predictions are nearer than this. Lower is better.",
        value: |candidate| Some(candidate.test.number()?.median_absolute_error),
        show: quantity,
        better: Better::Lower,
    },
    Figure {
        name: "R²",
        explanation: "The share of the variance that is explained. The mean reaches 0, and 1 is perfect.",
        value: |candidate| Some(candidate.test.number()?.r2),
        show: three,
        better: Better::Higher,
    },
    Figure {
        name: "MAPE",
        explanation: "The mean absolute error relative to the label; not defined where a label is 0. Lower is better.",
        value: |candidate| candidate.test.number()?.mape,
        show: shown_percent,
        better: Better::Lower,
    },
    Figure {
        name: "Bias",
        explanation: "The mean of prediction minus label. Nearer to 0 is better.",
        value: |candidate| Some(candidate.test.number()?.bias),
        show: quantity,
        better: Better::NearerTo0,
    },
    Figure {
        name: "Pinball loss, 10 %",
        explanation: "Of the predictions as a lower bound that one in ten falls below. Lower is better.",
        value: |candidate| Some(candidate.test.number()?.pinball_10),
        show: quantity,
        better: Better::Lower,
    },
    Figure {
        name: "Pinball loss, 50 %",
        explanation: "Of the predictions as a median. Lower is better.",
        value: |candidate| Some(candidate.test.number()?.pinball_50),
        show: quantity,
        better: Better::Lower,
    },
    Figure {
        name: "Pinball loss, 90 %",
        explanation: "Of the predictions as an upper bound that nine in ten fall below. Lower is better.",
        value: |candidate| Some(candidate.test.number()?.pinball_90),
        show: quantity,
        better: Better::Lower,
    },
];
