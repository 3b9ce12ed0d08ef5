//! The programs as a user runs them, from a table to what a client, a collector or a log reader sees.

mod capture;
mod demo;
mod drift;
mod external;
mod journey;
mod logs;
mod metrics;
mod outcomes;
mod tasks;
mod traces;
