//! Who is let in, and for how much: connections, rates, and bodies under their limits.

pub mod body;
pub mod connections;
pub mod drain;
pub mod large_bodies;
pub mod rate;
