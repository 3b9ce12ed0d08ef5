//! Short runs of the proofs in `benches`, without what depends on the machine: their times and its memory.

use std::time::Duration;

use onnward_benches::kills::{self, KillSettings};
use onnward_benches::swaps::{self, SwapMode, SwapSettings};
use onnward_models::Family;

use crate::programs::program;
use crate::seaweedfs;
use crate::support::root;

#[test]
fn no_request_fails_while_every_swap_loads_a_version() {
    no_request_fails(SwapMode::Reload, Family::Logistic);
}

#[test]
fn no_request_fails_while_loaded_versions_are_swapped() {
    no_request_fails(SwapMode::Pointer, Family::Forest);
}

fn no_request_fails(mode: SwapMode, family: Family) {
    let settings = SwapSettings {
        engine: program("onnward-engine"),
        schema: root().join("schemas/bank.toml"),
        family,
        repository: None,
        mode,
        swaps: 60,
        rate: 200.0,
        pause: Duration::ZERO,
    };
    let report = swaps::run(&settings, || ()).unwrap();
    assert_eq!((report.failed, report.wrong), (0, 0), "{report}");
    assert_eq!(report.swaps.count, 60);
    assert!(report.answered_by.iter().all(|answers| *answers > 0), "{report}");
    assert_eq!(report.answered_by.iter().sum::<u64>(), report.sent);
}

#[test]
fn a_killed_engine_comes_up_again_and_serves_the_right_file() {
    let Some(store) = seaweedfs::start() else { return };
    let settings = KillSettings {
        engine: program("onnward-engine"),
        schema: root().join("schemas/bank.toml"),
        kills: 12,
        seed: 1,
    };
    let report = kills::run(&settings, &store, |_| ()).unwrap();
    assert!(report.kills >= 12 && report.requirements.iter().all(|required| required.met), "{report}");
}
