//! Operation: models that are added and removed, promotions, signatures, faults, alerts, and proofs under
//! load.

mod cleanup;
mod comparison;
mod fleet;
mod lifecycle;
pub mod monitoring;
mod operator;
mod promotion;
mod proofs;
mod signing;
mod untrusted;
