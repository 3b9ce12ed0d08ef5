//! Drift and performance of models: formulas and reports, without input or output.
//!
//! [`drift`] compares the rows of the last windows with the training profile. [`estimate`] estimates the
//! performance of predictions before their labels are known. [`performance`] measures it once they are.

pub mod drift;
pub mod estimate;
pub mod performance;
pub mod time;
