//! The summary of the findings, for people who read nothing else.

use onnward_models::Comparison;
use onnward_schemas::{Criterion, CrossValidation, Figures};

use super::models::{Model, shown};
use super::numbers::{count, fixed, percent, quantity};

/// The top of the page.
pub(super) struct Summary {
    pub(super) headline: String,
    pub(super) lead: String,
    pub(super) choice: String,
}

/// A figure with its own tile.
pub(super) struct KeyFigure {
    pub(super) value: String,
    pub(super) name: &'static str,
    pub(super) meaning: String,
}

/// Makes the top of the page.
pub(super) fn summary(comparison: &Comparison, models: &[Model<'_>], winner: &Model<'_>) -> Summary {
    let gain = |model: &Model<'_>| {
        let CrossValidation { criterion, mean, .. } = model.candidate.cross_validation;
        criterion.gain(mean, 0.0)
    };
    let others = models.iter().filter(|model| !model.selected);
    let second = others.max_by(|a, b| gain(a).total_cmp(&gain(b)));
    let finding = finding(comparison, winner, second);
    Summary {
        headline: headline(winner, &finding),
        lead: lead(comparison, models, winner, &finding),
        choice: choice(winner, second, &finding),
    }
}

/// The finding of the cross-validation.
enum Finding<'a> {
    /// The mean of every candidate is within one standard deviation of what is reached without a look at the features.
    NoSignal,
    /// There is one candidate.
    Alone,
    /// The two best have the same first four digits.
    Level(&'a Model<'a>),
    /// Their difference is within the standard deviation of one of them over the folds.
    Narrow(&'a Model<'a>),
    /// Their difference is larger than that.
    Clear(&'a Model<'a>),
}

fn finding<'a>(comparison: &Comparison, winner: &Model<'_>, second: Option<&'a Model<'a>>) -> Finding<'a> {
    if !comparison.has_signal() {
        return Finding::NoSignal;
    }
    let Some(second) = second else { return Finding::Alone };
    let (first, other) = (&winner.candidate.cross_validation, &second.candidate.cross_validation);
    if digits(first) == digits(other) {
        Finding::Level(second)
    } else if first.criterion.gain(first.mean, other.mean) <= first.std.max(other.std) {
        Finding::Narrow(second)
    } else {
        Finding::Clear(second)
    }
}

/// Formats the mean with as many digits as count for a comparison.
fn digits(validation: &CrossValidation) -> String {
    match validation.criterion {
        Criterion::RocAuc | Criterion::LogLoss => fixed(validation.mean, 4),
        Criterion::Rmse => quantity(validation.mean),
    }
}

fn headline(winner: &Model<'_>, finding: &Finding<'_>) -> String {
    let title = &winner.title;
    match finding {
        Finding::NoSignal => match winner.candidate.cross_validation.criterion {
            Criterion::RocAuc => "No better than a coin toss".to_owned(),
            Criterion::LogLoss => "No better than the most frequent class".to_owned(),
            Criterion::Rmse => "No better than the mean".to_owned(),
        },
        Finding::Alone => format!("{title}, put to the test"),
        Finding::Level(second) => format!("{title}, level with {}", second.title.to_lowercase()),
        Finding::Narrow(second) => format!("{title}, narrowly ahead of {}", second.title.to_lowercase()),
        Finding::Clear(second) => format!("{title}, clearly ahead of {}", second.title.to_lowercase()),
    }
}

fn lead(comparison: &Comparison, models: &[Model<'_>], winner: &Model<'_>, finding: &Finding<'_>) -> String {
    let rows = count(comparison.test_rows as u64);
    let no_signal = matches!(finding, Finding::NoSignal);
    let nothing = "no signal was found in this table, and the predictions should not be acted on.";
    let figures = match &winner.candidate.test {
        Figures::Binary(figures) => figures,
        Figures::Classes(figures) => {
            let found = format!(
                "It predicts the right class for {} of {rows} held-out rows; the most frequent class is right for \
                 {}.",
                percent(figures.accuracy),
                percent(comparison.baseline.test.classes().map_or(0.0, |figures| figures.accuracy)),
            );
            return if no_signal { format!("By log loss, {nothing} {found}") } else { found };
        }
        Figures::Number(figures) => {
            let found = format!(
                "It explains {} of the variance of the label among {rows} held-out rows, and is {} off on \
                 average.",
                percent(figures.r2.max(0.0)),
                quantity(figures.mae),
            );
            return if no_signal { format!("By RMSE, {nothing} {found}") } else { found };
        }
    };
    let times = fixed(figures.roc_auc * 100.0, 0);
    if no_signal {
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
        let CrossValidation { criterion, mean, std, .. } = model.candidate.cross_validation;
        format!("{} ± {}", shown(criterion, mean), shown(criterion, std))
    };
    let CrossValidation { criterion, folds, .. } = &winner.candidate.cross_validation;
    let (criterion, folds) = (criterion.title(), folds.len());
    let Some(second) = second else {
        return format!("Its cross-validated {criterion} is {} over {folds} folds.", figure(winner));
    };
    let verdict = match finding {
        Finding::NoSignal if criterion == Criterion::RocAuc.title() => {
            "Each lies within its spread of 0.5, which guessing reaches."
        }
        Finding::NoSignal => "Each lies within its spread of what guessing reaches.",
        Finding::Level(_) => "There is no gap: speed, size or ease of explanation may decide.",
        Finding::Alone | Finding::Narrow(_) => {
            "The gap is smaller than the spread between folds: in practice the two are level, and speed, size or ease \
             of explanation may decide."
        }
        Finding::Clear(_) => "The gap is larger than the spread between folds.",
    };
    format!(
        "The choice was made by cross-validated {criterion}: {} over {folds} folds, against {} for the {}. \
         {verdict}",
        figure(winner),
        figure(second),
        second.title.to_lowercase(),
    )
}
