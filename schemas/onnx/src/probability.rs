use crate::artifact::PROBABILITIES;

/// The way to read the probability of the positive label from a graph's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbabilityOutput {
    /// The output's name. It holds float or double numbers of shape `[rows]` or `[rows, columns]`.
    pub name: String,
    /// The column of the positive label; by default, the only column or the second of two.
    pub column: Option<usize>,
    /// The function that turns the numbers into probabilities.
    pub activation: Activation,
}

/// The function that turns an output into probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Activation {
    /// The output holds probabilities.
    #[default]
    None,
    /// 1 / (1 + exp(−x)), of each number by itself.
    Sigmoid,
    /// exp(x) over the sum of exp(x) of all columns of the row.
    Softmax,
}

impl ProbabilityOutput {
    /// Returns the output of Onnward's own artifacts: the second column of [`PROBABILITIES`].
    pub fn of_artifact() -> Self {
        Self { name: PROBABILITIES.to_owned(), column: Some(1), activation: Activation::None }
    }

    /// Returns the probability of the positive label for each row. `numbers` are the output's, row by row.
    /// Returns `None` if their shape does not fit.
    pub fn read(&self, rows: usize, shape: &[usize], numbers: &[f32]) -> Option<Vec<f32>> {
        let columns = match shape {
            [count] if *count == rows => 1,
            [count, columns] if *count == rows => *columns,
            _ => return None,
        };
        let column = self.column_of(columns)?;
        if numbers.len() != rows * columns {
            return None;
        }
        let chosen = numbers.iter().skip(column).step_by(columns);
        Some(match self.activation {
            Activation::None => chosen.copied().collect(),
            Activation::Sigmoid => chosen.map(|logit| 1.0 / (1.0 + (-logit).exp())).collect(),
            Activation::Softmax => {
                numbers.chunks_exact(columns).zip(chosen).map(|(row, logit)| softmax(row, *logit)).collect()
            }
        })
    }

    fn column_of(&self, columns: usize) -> Option<usize> {
        let softmax_of_one = self.activation == Activation::Softmax && columns < 2;
        let column = match (self.column, columns) {
            (Some(column), _) => Some(column),
            (None, 1) => Some(0),
            (None, 2) => Some(1),
            (None, _) => None,
        };
        column.filter(|column| *column < columns && !softmax_of_one)
    }
}

/// Returns the softmax of one logit of a row. The largest logit is subtracted, so that nothing overflows.
fn softmax(row: &[f32], logit: f32) -> f32 {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = row.iter().map(|other| (other - largest).exp()).sum();
    (logit - largest).exp() / sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(
        column: Option<usize>,
        activation: Activation,
        shape: &[usize],
        numbers: &[f32],
    ) -> Option<Vec<f32>> {
        ProbabilityOutput { name: "y".into(), column, activation }.read(shape[0], shape, numbers)
    }

    #[test]
    fn the_positive_column_is_the_only_one_or_the_second_of_two_or_the_one_that_is_named() {
        let none = Activation::None;
        assert_eq!(read(None, none, &[2], &[0.1, 0.2]), Some(vec![0.1, 0.2]));
        assert_eq!(read(None, none, &[2, 1], &[0.1, 0.2]), Some(vec![0.1, 0.2]));
        assert_eq!(read(None, none, &[2, 2], &[0.9, 0.1, 0.8, 0.2]), Some(vec![0.1, 0.2]));
        assert_eq!(read(Some(0), none, &[2, 2], &[0.9, 0.1, 0.8, 0.2]), Some(vec![0.9, 0.8]));
        assert_eq!(read(Some(2), none, &[1, 3], &[0.1, 0.2, 0.7]), Some(vec![0.7]));
        assert_eq!(read(None, none, &[1, 3], &[0.1, 0.2, 0.7]), None);
        assert_eq!(read(Some(1), none, &[2], &[0.1, 0.2]), None);
        assert_eq!(ProbabilityOutput::of_artifact().read(2, &[1, 2], &[0.9, 0.1]), None);
    }

    #[test]
    fn logits_become_probabilities_without_overflow() {
        assert_eq!(
            read(None, Activation::Sigmoid, &[3, 1], &[0.0, 200.0, -200.0]),
            Some(vec![0.5, 1.0, 0.0])
        );
        assert_eq!(read(None, Activation::Softmax, &[2, 2], &[3.0, 3.0, 0.0, 500.0]), Some(vec![0.5, 1.0]));
        assert_eq!(read(None, Activation::Softmax, &[1, 1], &[3.0]), None);
    }
}
