//! How good predictions are, and whether a model still sees the rows that it was trained on.
//!
//! [`drift`] compares the rows of the last windows with the training profile, [`estimate`] says how good predictions
//! probably are before their labels come, and [`performance`] how good they were once these have come. Formulas and
//! reports, without input or output.

pub mod drift;
pub mod estimate;
pub mod performance;
pub mod time;
