//! Probabilities of the classes of support vector machines.

use super::super::post_transform::logistic;

/// The most rounds of the iteration below.
const ROUNDS: usize = 100;
/// The error at which the iteration ends, before it is divided by the number of classes.
const TOLERANCE: f32 = 0.005;
/// The least probability of either class of a pair.
const LEAST: f32 = 1e-7;

/// Returns the probability of the first class of a pair, by Platt's sigmoid.
pub fn of_pair(score: f32, a: f32, b: f32) -> f32 {
    let probability = 1.0 - logistic(score * a + b);
    // Unlike `clamp`, these let NaN pass as ONNX Runtime's do.
    let probability = if probability < LEAST { LEAST } else { probability };
    if 1.0 - LEAST < probability { 1.0 - LEAST } else { probability }
}

/// Returns the probability of each class from those of pairs, `[classes, classes]`.
///
/// This is the second method of Wu, Lin and Weng, "Probability Estimates for Multi-class Classification by
/// Pairwise Coupling" (2004), as libsvm computes it. Each step is rounded as there, since the iteration ends
/// far from its limit.
pub fn of_classes(pairs: &[f32], classes: usize) -> Vec<f32> {
    let pair = |row: usize, column: usize| pairs[row * classes + column];
    let mut matrix = vec![0f32; classes * classes];
    for row in 0..classes {
        for column in (0..classes).filter(|column| *column != row) {
            matrix[row * classes + row] += pair(column, row) * pair(column, row);
            matrix[row * classes + column] = -pair(column, row) * pair(row, column);
        }
    }
    let row_of = |row: usize| &matrix[row * classes..][..classes];
    let mut probabilities = vec![1.0 / classes as f32; classes];
    for _ in 0..ROUNDS {
        let mut products: Vec<f32> = (0..classes).map(|row| sum_of(row_of(row), &probabilities)).collect();
        let mut total = sum_of(&probabilities, &products);
        let error = products.iter().map(|product| (product - total).abs());
        // A NaN is no error, so that it ends the iteration.
        let error = error.fold(0.0, |most, error| if error > most { error } else { most });
        if error < TOLERANCE / classes as f32 {
            break;
        }
        for row in 0..classes {
            let diagonal = row_of(row)[row];
            let step = (-products[row] + total) / diagonal;
            probabilities[row] += step;
            let grown = 1.0 + step;
            total = (total + step * (step * diagonal + 2.0 * products[row])) / grown / grown;
            for (column, product) in products.iter_mut().enumerate() {
                *product = (*product + step * row_of(row)[column]) / grown;
                probabilities[column] /= grown;
            }
        }
    }
    probabilities
}

fn sum_of(left: &[f32], right: &[f32]) -> f32 {
    left.iter().zip(right).fold(0.0, |sum, (left, right)| sum + left * right)
}
