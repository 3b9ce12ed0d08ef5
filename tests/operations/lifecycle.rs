//! The life of models in an engine that watches a repository on a real S3 server: models are added, removed,
//! changed, wrong or truncated, and the store fails in the ways in which stores fail.
//!
//! After every failure the model that was served before still answers, and the status says what is wrong.
//! Once it is repaired the engine recovers by itself.

mod faults;
mod files;
mod fixture;
mod hostile;
mod models;
mod moves;
mod starts;

use self::fixture::Fixture;
use crate::support::programs::Engine;
use crate::support::{artifacts, seaweedfs};

/// A case and its name, which is also its model's name.
type Case = (&'static str, fn(&Fixture, &Engine));
/// A case that starts its own engines.
type CaseApart = (&'static str, fn(&Fixture));

/// Runs cases at once, each with a model of its own name, on one engine.
fn run_all(prefix: &str, arguments: &[&str], cases: &[Case]) {
    let Some(server) = seaweedfs::start() else { return };
    let fixture = Fixture::new(&server, prefix);
    let engine = fixture.engine(arguments);
    std::thread::scope(|scope| {
        for (name, case) in cases {
            let (fixture, engine) = (&fixture, &engine);
            std::thread::Builder::new()
                .name((*name).to_owned())
                .spawn_scoped(scope, || case(fixture, engine))
                .unwrap();
        }
    });
}

/// Runs cases at once, each with a repository and a cache of its own.
fn run_apart(prefix: &str, cases: &[CaseApart]) {
    let Some(server) = seaweedfs::start() else { return };
    std::thread::scope(|scope| {
        for (name, case) in cases {
            let fixture = Fixture::new(&server, &format!("{prefix}/{name}"));
            std::thread::Builder::new()
                .name((*name).to_owned())
                .spawn_scoped(scope, move || case(&fixture))
                .unwrap();
        }
    });
}
