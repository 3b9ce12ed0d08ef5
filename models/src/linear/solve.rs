//! Solves linear equations.

use linfa_linalg::cholesky::SolveCInplace;
use ndarray016::Array2;

/// The values added to the diagonal, relative to its largest entry, in turn until the matrix can be factored.
const RIDGES: [f64; 5] = [1e-12, 1e-9, 1e-6, 1e-3, 1.0];

/// Solves `matrix · solutions = right` for a symmetric matrix `[size, size]` without negative eigenvalues, and one or
/// more right sides `[size, count]`, all row after row. `None` if there is no finite solution.
///
/// The one-hot columns of a feature add up to the intercept's column, so the matrix is all but singular where the
/// penalty is small. A ridge that is tiny beside its entries is added, and a larger one until there is a solution.
pub(crate) fn solve(matrix: &[f64], right: &[f64], size: usize) -> Option<Vec<f64>> {
    let largest = (0..size).map(|at| matrix[at * size + at]).fold(0.0, f64::max);
    RIDGES.into_iter().find_map(|ridge| {
        let mut matrix = Array2::from_shape_vec((size, size), matrix.to_vec()).ok()?;
        matrix.diag_mut().mapv_inplace(|entry| entry + ridge * largest);
        let right = Array2::from_shape_vec((size, right.len() / size.max(1)), right.to_vec()).ok()?;
        let solutions = matrix.solvec_into(right).ok()?;
        solutions.iter().all(|part| part.is_finite()).then(|| solutions.iter().copied().collect())
    })
}

/// Returns the inverse of such a matrix.
pub(crate) fn inverse(matrix: &[f64], size: usize) -> Option<Vec<f64>> {
    let mut unit = vec![0.0; size * size];
    (0..size).for_each(|at| unit[at * size + at] = 1.0);
    solve(matrix, &unit, size)
}
