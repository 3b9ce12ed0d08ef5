//! Admission: limits of connections, request rates and request bodies.

pub mod body;
pub mod connections;
pub mod head;
pub mod large_bodies;
pub mod rate;
