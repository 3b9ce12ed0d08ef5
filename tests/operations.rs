//! Operation: models that are added and removed, promotions, signatures, faults, alerts, and proofs under
//! load.

mod comparison;
mod lifecycle;
pub mod monitoring;
mod operator;
mod promotion;
mod proofs;
mod signing;
mod untrusted;
