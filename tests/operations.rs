//! What an operator does and suffers: models that come and go, promotions, signatures, faults, alerts, and
//! proofs under load.

mod comparison;
mod lifecycle;
pub mod monitoring;
mod promotion;
mod proofs;
mod signing;
