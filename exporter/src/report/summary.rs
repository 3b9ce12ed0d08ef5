//! The summary of the findings, for people who read nothing else.

use onnward_models::{CalibrationBin, Comparison};
use onnward_schemas::Confusion;

use super::models::Model;
use super::numbers::{NONE, count, fixed, percent, share};

/// Mean scores closer together than this differ only by rounding.
const SAME_SCORE: f64 = 1e-9;

/// The top of the page.
pub(super) struct Summary {
    pub(super) headline: String,
    pub(super) lead: String,
    pub(super) choice: String,
    pub(super) hundred: Hundred,
    pub(super) key_figures: Vec<KeyFigure>,
}

/// A figure with its own tile.
pub(super) struct KeyFigure {
    pub(super) value: String,
    pub(super) name: &'static str,
    pub(super) meaning: String,
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

/// Makes the top of the page.
pub(super) fn summary(comparison: &Comparison, models: &[Model<'_>], winner: &Model<'_>) -> Summary {
    let mean = |model: &Model<'_>| model.candidate.cross_validation.roc_auc_mean;
    let others = models.iter().filter(|model| !model.selected);
    let second = others.max_by(|a, b| mean(a).total_cmp(&mean(b)));
    let finding = finding(models, winner, second);
    Summary {
        headline: headline(winner, &finding),
        lead: lead(comparison, models, winner, &finding),
        choice: choice(winner, second, &finding),
        hundred: hundred(&winner.candidate.test.confusion),
        key_figures: key_figures(comparison, winner),
    }
}

/// The finding of the cross-validation.
enum Finding<'a> {
    /// The mean of every candidate is within one standard deviation of a coin toss.
    CoinToss,
    /// There is one candidate.
    Alone,
    /// The two best have the same first four digits.
    Level(&'a Model<'a>),
    /// Their difference is within the standard deviation of one of them over the folds.
    Narrow(&'a Model<'a>),
    /// Their difference is larger than that.
    Clear(&'a Model<'a>),
}

fn finding<'a>(models: &[Model<'_>], winner: &Model<'_>, second: Option<&'a Model<'a>>) -> Finding<'a> {
    let is_coin_toss = |model: &Model<'_>| {
        let validation = &model.candidate.cross_validation;
        validation.roc_auc_mean - validation.roc_auc_std <= 0.5
    };
    if models.iter().all(is_coin_toss) {
        return Finding::CoinToss;
    }
    let Some(second) = second else { return Finding::Alone };
    let (first, other) = (&winner.candidate.cross_validation, &second.candidate.cross_validation);
    if fixed(first.roc_auc_mean, 4) == fixed(other.roc_auc_mean, 4) {
        Finding::Level(second)
    } else if first.roc_auc_mean - other.roc_auc_mean <= first.roc_auc_std.max(other.roc_auc_std) {
        Finding::Narrow(second)
    } else {
        Finding::Clear(second)
    }
}

fn headline(winner: &Model<'_>, finding: &Finding<'_>) -> String {
    let title = &winner.title;
    match finding {
        Finding::CoinToss => "No better than a coin toss".to_owned(),
        Finding::Alone => format!("{title}, put to the test"),
        Finding::Level(second) => format!("{title}, level with {}", second.title.to_lowercase()),
        Finding::Narrow(second) => format!("{title}, narrowly ahead of {}", second.title.to_lowercase()),
        Finding::Clear(second) => format!("{title}, clearly ahead of {}", second.title.to_lowercase()),
    }
}

fn lead(comparison: &Comparison, models: &[Model<'_>], winner: &Model<'_>, finding: &Finding<'_>) -> String {
    let times = fixed(winner.candidate.test.roc_auc * 100.0, 0);
    let rows = count(comparison.test_rows as u64);
    if matches!(finding, Finding::CoinToss) {
        let who = if models.len() == 1 { "The model does not" } else { "None of the models can" };
        return format!(
            "{who} separate positive from negative customers: no signal was found in this table, and the scores should \
             not be acted on. Given one customer of each kind out of {rows} held-out ones, the {} scores the positive \
             one higher {times} times out of 100; guessing reaches 50.",
            winner.title.to_lowercase(),
        );
    }
    format!(
        "Given one positive and one negative customer, it scores the positive one higher {times} times out of 100. \
         This was measured on {rows} held-out customers.",
    )
}

/// Describes how the winner was chosen, and whether the choice was close.
fn choice(winner: &Model<'_>, second: Option<&Model<'_>>, finding: &Finding<'_>) -> String {
    let figure = |model: &Model<'_>| {
        let validation = &model.candidate.cross_validation;
        format!("{} ± {}", fixed(validation.roc_auc_mean, 3), fixed(validation.roc_auc_std, 3))
    };
    let folds = winner.candidate.cross_validation.fold_roc_auc.len();
    let Some(second) = second else {
        return format!("Its cross-validated ROC AUC is {} over {folds} folds.", figure(winner));
    };
    let verdict = match finding {
        Finding::CoinToss => "Each lies within its spread of 0.5, which guessing reaches.",
        Finding::Level(_) => "There is no gap: speed, size or ease of explanation may decide.",
        Finding::Alone | Finding::Narrow(_) => {
            "The gap is smaller than the spread between folds: in practice the two are level, and speed, size or ease \
             of explanation may decide."
        }
        Finding::Clear(_) => "The gap is larger than the spread between folds.",
    };
    format!(
        "The choice was made by cross-validated ROC AUC: {} over {folds} folds, against {} for the {}. \
         {verdict}",
        figure(winner),
        figure(second),
        second.title.to_lowercase(),
    )
}

fn key_figures(comparison: &Comparison, winner: &Model<'_>) -> Vec<KeyFigure> {
    let test = &winner.candidate.test;
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
                0 => format!("no customer is flagged at {}", comparison.threshold),
                _ => format!("of those flagged at {} are positive", comparison.threshold),
            },
        },
        KeyFigure {
            value: percent(test.recall),
            name: "Recall",
            meaning: "of the positive customers were flagged".to_owned(),
        },
    ];
    figures.extend(lift(&winner.candidate.curves.calibration, &test.confusion));
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
