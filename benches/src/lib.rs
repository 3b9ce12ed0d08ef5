//! Measurements: the comparison with other servers, training beside scikit-learn, the cost of observing
//! requests, and load on one server.

pub mod bare;
pub mod cli;
pub mod comparison;
pub mod machine;
pub mod observation;
pub mod training;
