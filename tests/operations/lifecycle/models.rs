//! Models that match their manifests and still must not be served.

use super::fixture::{Fixture, refuses, serves};
use super::{artifacts, run_all};
use crate::support::backends;
use crate::support::programs::Engine;

#[test]
fn what_a_runtime_does_not_compute_is_not_served() {
    run_all(
        "lifecycle/models",
        &[],
        &[
            ("untrue", |fixture, engine| {
                refused(fixture, engine, "untrue", artifacts::untrue(), ["golden", "golden row 3 "]);
            }),
            ("not-warm", |fixture, engine| {
                // ONNX Runtime finds it out with the first batch, tract when it opens the model.
                let has_both = backends().len() == 2;
                let error = if has_both { ["warm_up", "1-row batch"] } else { ["open", "Reshape"] };
                refused(fixture, engine, "not-warm", artifacts::of_one_batch_size(), error);
            }),
            ("unknown-operator", |fixture, engine| {
                let error = ["open", "Clairvoyance"];
                refused(fixture, engine, "unknown-operator", artifacts::of_an_unknown_operator(), error);
            }),
            ("divided-opinions", |fixture, engine| {
                let [onnxruntime, _] = &backends()[..] else { return };
                let bytes = artifacts::of_divided_opinions(onnxruntime.as_ref());
                refused(fixture, engine, "divided-opinions", bytes, ["differential", " on onnxruntime and "]);
            }),
            ("garbage", |fixture, engine| {
                refused(
                    fixture,
                    engine,
                    "garbage",
                    b"no model at all".to_vec(),
                    ["artifact", "not an ONNX file"],
                );
            }),
        ],
    );
}

/// Publishes a wrong version between two correct versions.
pub fn refused(fixture: &Fixture, engine: &Engine, model: &str, bytes: Vec<u8>, error: [&str; 2]) {
    fixture.publish(model);
    serves(engine, model, 1);
    fixture.publish_bytes(model, bytes);
    refuses(engine, model, 2, error, 1);
    fixture.promote(model, 1).unwrap();
    serves(engine, model, 1);
    fixture.promote(model, 2).unwrap();
    refuses(engine, model, 2, error, 1);
    fixture.publish(model);
    fixture.promote(model, 3).unwrap();
    serves(engine, model, 3);
}
