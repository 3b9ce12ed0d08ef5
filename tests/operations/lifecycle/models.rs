//! Models that are what their manifests say, and yet must not serve.

use super::place::{Place, refuses, serves};
use super::{artifacts, run_all};
use crate::support::programs::Engine;
use crate::support::backends;

#[test]
fn what_a_runtime_does_not_compute_is_not_served() {
    run_all(
        "lifecycle/models",
        &[],
        &[
            ("untrue", |place, engine| {
                refused(place, engine, "untrue", artifacts::untrue(), ["golden", "golden row 3 "]);
            }),
            ("not-warm", |place, engine| {
                // ONNX Runtime finds it out with the first batch, tract when it opens the model.
                let has_both = backends().len() == 2;
                let error = if has_both { ["warm_up", "1-row batch"] } else { ["open", "Reshape"] };
                refused(place, engine, "not-warm", artifacts::of_one_batch_size(), error);
            }),
            ("unknown-operator", |place, engine| {
                let error = ["open", "Clairvoyance"];
                refused(place, engine, "unknown-operator", artifacts::of_an_unknown_operator(), error);
            }),
            ("divided-opinions", |place, engine| {
                let [onnxruntime, _] = &backends()[..] else { return };
                let bytes = artifacts::of_divided_opinions(onnxruntime.as_ref());
                refused(place, engine, "divided-opinions", bytes, ["differential", " on onnxruntime and "]);
            }),
            ("garbage", |place, engine| {
                refused(
                    place,
                    engine,
                    "garbage",
                    b"no model at all".to_vec(),
                    ["artifact", "not an ONNX file"],
                );
            }),
        ],
    );
}

/// Between two versions that are right there is one that is not.
pub fn refused(place: &Place, engine: &Engine, model: &str, bytes: Vec<u8>, error: [&str; 2]) {
    place.publish(model);
    serves(engine, model, 1);
    place.publish_bytes(model, bytes);
    refuses(engine, model, 2, error, 1);
    place.promote(model, 1).unwrap();
    serves(engine, model, 1);
    place.promote(model, 2).unwrap();
    refuses(engine, model, 2, error, 1);
    place.publish(model);
    place.promote(model, 3).unwrap();
    serves(engine, model, 3);
}
