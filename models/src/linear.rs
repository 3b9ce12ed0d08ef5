//! What the linear models share: the splines, the design matrix, and the solution of their equations.

pub(crate) mod design;
pub(crate) mod solve;
pub(crate) mod spline;
