//! Records of predictions: [`ground_truth`] joins labels that arrive later, [`capture`] writes requests for
//! retraining, and [`traces`] sends spans to a collector.

pub mod capture;
pub mod ground_truth;
pub mod prediction_id;
pub mod traces;
