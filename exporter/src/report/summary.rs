//! The findings in words, for people who read nothing else.

use onnward_models::{CalibrationBin, Comparison};
use onnward_schemas::Confusion;

use super::models::Model;
use super::numbers::{count, fixed, percent, share};

/// The top of the page.
pub(super) struct Summary {
    pub(super) headline: String,
    pub(super) lead: String,
    pub(super) choice: String,
    pub(super) hundred: Hundred,
    pub(super) key_figures: Vec<KeyFigure>,
}

/// A figure worth a tile of its own.
pub(super) struct KeyFigure {
    pub(super) value: String,
    pub(super) name: &'static str,
    pub(super) meaning: String,
}

/// The held-out customers as if they were a hundred.
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

    /// A hundred dots as their CSS classes, those who left first.
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

/// What the page says first.
pub(super) fn summary(comparison: &Comparison, models: &[Model<'_>], winner: &Model<'_>) -> Summary {
    let mean = |model: &Model<'_>| model.candidate.cross_validation.roc_auc_mean;
    let others = models.iter().filter(|model| !model.selected);
    let second = others.max_by(|a, b| mean(a).total_cmp(&mean(b)));
    let test = &winner.candidate.test;
    let lead = format!(
        "Shown one customer who left and one who stayed, it gives the higher risk to the one who left {} times out \
         of 100. That was measured on {} customers it had never seen.",
        fixed(test.roc_auc * 100.0, 0),
        count(comparison.test_rows as u64),
    );
    Summary {
        headline: headline(winner, second),
        lead,
        choice: choice(winner, second),
        hundred: hundred(&test.confusion),
        key_figures: key_figures(comparison, winner),
    }
}

/// Whether the models' cross-validated figures lie no further apart than those of one model's folds.
fn is_close(winner: &Model<'_>, second: &Model<'_>) -> bool {
    let (first, second) = (&winner.candidate.cross_validation, &second.candidate.cross_validation);
    first.roc_auc_mean - second.roc_auc_mean <= first.roc_auc_std.max(second.roc_auc_std)
}

fn headline(winner: &Model<'_>, second: Option<&Model<'_>>) -> String {
    match second {
        None => format!("{}, put to the test", winner.title),
        Some(second) if is_close(winner, second) => {
            format!("{}, narrowly ahead of {}", winner.title, second.title.to_lowercase())
        }
        Some(second) => format!("{}, clearly ahead of {}", winner.title, second.title.to_lowercase()),
    }
}

/// How the winner was chosen, and whether the choice was close.
fn choice(winner: &Model<'_>, second: Option<&Model<'_>>) -> String {
    let figure = |model: &Model<'_>| {
        let validation = &model.candidate.cross_validation;
        format!("{} ± {}", fixed(validation.roc_auc_mean, 3), fixed(validation.roc_auc_std, 3))
    };
    let folds = winner.candidate.cross_validation.fold_roc_auc.len();
    let Some(second) = second else {
        return format!("Its cross-validated ROC AUC is {} over {folds} folds.", figure(winner));
    };
    let verdict = if is_close(winner, second) {
        "smaller than the spread between folds: in practice the two are level, and speed, size or ease of \
         explanation may decide."
    } else {
        "larger than the spread between folds."
    };
    format!(
        "The choice was made by cross-validated ROC AUC: {} over {folds} folds, against {} for the {}. The gap is \
         {verdict}",
        figure(winner),
        figure(second),
        second.title.to_lowercase(),
    )
}

fn key_figures(comparison: &Comparison, winner: &Model<'_>) -> Vec<KeyFigure> {
    let test = &winner.candidate.test;
    let mut figures = vec![
        KeyFigure {
            value: fixed(test.roc_auc, 3),
            name: "ROC AUC",
            meaning: "0.5 is a coin toss, 1 is perfect".to_owned(),
        },
        KeyFigure {
            value: percent(test.precision),
            name: "Precision",
            meaning: format!("of those flagged at {} really left", comparison.threshold),
        },
        KeyFigure {
            value: percent(test.recall),
            name: "Recall",
            meaning: "of those who left were flagged".to_owned(),
        },
    ];
    figures.extend(lift(&winner.candidate.curves.calibration, &test.confusion));
    figures
}

/// How much more often the customers of the highest bin left than the average one.
fn lift(calibration: &[CalibrationBin], confusion: &Confusion) -> Option<KeyFigure> {
    let top = calibration.iter().max_by(|a, b| a.predicted.total_cmp(&b.predicted))?;
    let rows: u64 = calibration.iter().map(|bin| bin.rows).sum();
    let left = confusion.true_positives + confusion.false_negatives;
    let average = share(left, left + confusion.true_negatives + confusion.false_positives);
    (calibration.len() > 1 && average > 0.0).then(|| KeyFigure {
        value: format!("{}×", fixed(top.observed / average, 1)),
        name: "Lift at the top",
        meaning: format!("the top {} by score against the average", percent(share(top.rows, rows)),),
    })
}

/// Scales the counts to a hundred; what rounding down leaves over goes to the largest remainders.
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
