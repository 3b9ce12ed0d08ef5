//! Logistic regression of a binary label, fitted by either of two solvers, and of several classes.
//!
//! [`newton`] is Onnward's own. [`linfa`] is slower, and shares nothing with it but the loss and the
//! [`spline`](crate::linear::spline)'s knots. [`multinomial`] is for several classes.

pub(crate) mod linfa;
pub(crate) mod multinomial;
pub(crate) mod newton;

use thiserror::Error;

/// The reason why no logistic regression could be fitted.
#[derive(Debug, Error)]
pub enum LogisticError {
    /// linfa's solver failed.
    #[error("linfa's solver failed: {0}")]
    Solver(#[from] linfa_logistic::error::Error),
    /// The solver stopped before the loss was at its minimum.
    #[error(
        "the solver did not converge: after {iterations} iterations the slope of the mean loss is still \
         {slope:.1e}; {} (now {c})",
        if *c < 1.0 { "a C nearer to 1 weakens the penalty" }
        else { "a smaller C makes it converge faster" }
    )]
    NotConverged {
        /// The number of iterations.
        iterations: u64,
        /// The largest absolute component of the gradient, divided by the number of rows.
        slope: f64,
        /// The inverse strength of the penalty.
        c: f64,
    },
}

/// The slope of the mean loss at which a solver stops; scikit-learn's `tol` is 1e-4.
const SLOPE_SOUGHT: f64 = 1e-6;
/// The slope that is accepted where rounding keeps a solver from [`SLOPE_SOUGHT`].
const SLOPE_ACCEPTED: f64 = 1e-5;
