//! Short runs of the proofs in `tests/proofs`. Latencies and memory depend on the machine and are not
//! checked.

use std::time::Duration;

use onnward_harness::requirement::{Requirement, are_met};
use onnward_models::Family;
use onnward_proofs::chaos::{self, ChaosReport, ChaosSettings, Scenario, ScenarioReport};
use onnward_proofs::kills::{self, KillSettings};
use onnward_proofs::soak::{self, SoakSettings};
use onnward_proofs::swaps::{self, SwapMode, SwapSettings};

use crate::support::programs::program;
use crate::support::root;
use crate::support::seaweedfs;

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
    assert!(report.kills >= 12 && are_met(&report.requirements), "{report}");
}

#[test]
fn nothing_fails_and_no_file_stays_open_while_swaps_outcomes_and_scrapes_go_on() {
    let settings = SoakSettings {
        engine: program("onnward-engine"),
        schema: root().join("schemas/telco.toml"),
        family: Family::Logistic,
        intervals: 4,
        interval: Duration::from_secs(3),
        share: 0.7,
        rate: Some(200.0),
        swap_every: Duration::from_secs(2),
        scrape_every: Duration::from_secs(1),
        outcome_share: 0.1,
    };
    let report = soak::run(&settings, |_| ()).unwrap();
    assert!(report.intervals.iter().all(|interval| interval.statuses.ok > 400), "{report}");
    // The engine may take longer to follow a promotion than it is until the next one: its interval is five
    // seconds.
    let failures = report.background.failures.keys().filter(|reason| !reason.contains("is promoted")).count();
    assert_eq!(failures, 0, "{report}");
    let background = &report.background;
    assert!(background.swaps >= 4 && background.scrapes >= 8 && background.joined > 50, "{report}");
    let growing = report.intervals.last().unwrap().file_handles - report.intervals[0].file_handles;
    assert!(growing <= 4.0, "{report}");
}

#[test]
fn what_an_engine_has_taken_it_answers_before_it_ends() {
    let report = short(&[Scenario::Termination]);
    assert!(are_met(&report.requirements), "{report}");
    all_met(&report, &[]);
}

#[test]
fn what_was_answered_outlives_kills_and_a_store_that_is_away() {
    if seaweedfs::start().is_none() {
        return;
    }
    for scenario in [Scenario::Kills, Scenario::StoreOutage] {
        all_met(&short(&[scenario]), &[]);
    }
}

#[test]
fn others_are_served_while_clients_hold_on() {
    all_met(&short(&[Scenario::SlowClients, Scenario::IdleConnections]), &[]);
}

#[test]
fn what_a_full_disk_and_a_jumping_clock_do_is_known_where_they_can_be_had() {
    let scenarios = [Scenario::FullDisk, Scenario::Clock];
    all_met(&short(&scenarios), &scenarios.map(Scenario::name));
}

/// Checks that every scenario has run, unless it may be left out here, and has met its requirements, but for
/// latencies and memory, which depend on the machine.
fn all_met(report: &ChaosReport, may_be_left_out: &[&str]) {
    assert_eq!(unmet(report, may_be_left_out), Vec::<String>::new(), "{report}");
}

fn unmet(report: &ChaosReport, may_be_left_out: &[&str]) -> Vec<String> {
    let of_machine = |required: &str| required.starts_with("p99") || required.starts_with("memory");
    let mut unmet = Vec::new();
    for ScenarioReport { scenario, left_out, requirements, .. } in &report.scenarios {
        let checked: Vec<&Requirement> =
            requirements.iter().filter(|requirement| !of_machine(&requirement.required)).collect();
        if left_out.is_some() && may_be_left_out.contains(scenario) {
            continue;
        }
        if checked.is_empty() {
            unmet.push(format!("{scenario} has checked nothing"));
        }
        unmet.extend(checked.iter().filter(|requirement| !requirement.met).map(ToString::to_string));
    }
    unmet
}

#[test]
fn a_scenario_that_checks_nothing_is_not_taken_for_one_that_passed() {
    let of_machine = Requirement::at_most("p99 meanwhile", 1.0, 100.0, " ms");
    let scenario = |left_out: Option<&str>, requirements: Vec<Requirement>| ChaosReport {
        seed: 1,
        scenarios: vec![ScenarioReport {
            scenario: "clock",
            left_out: left_out.map(str::to_owned),
            requirements,
            ..ScenarioReport::default()
        }],
        requirements: Vec::new(),
    };
    let passed = Requirement::none_of("prediction that fails", 0);
    assert!(unmet(&scenario(None, vec![passed, of_machine.clone()]), &[]).is_empty());
    assert!(!unmet(&scenario(None, vec![of_machine]), &[]).is_empty());
    assert!(!unmet(&scenario(Some("libfaketime is missing"), Vec::new()), &[]).is_empty());
    assert!(unmet(&scenario(Some("libfaketime is missing"), Vec::new()), &["clock"]).is_empty());
    assert!(
        !unmet(&scenario(None, vec![Requirement::none_of("prediction that fails", 1)]), &["clock"])
            .is_empty()
    );
}

fn short(scenarios: &[Scenario]) -> ChaosReport {
    let settings = ChaosSettings {
        engine: program("onnward-engine"),
        exporter: program("onnward-exporter"),
        seaweedfs: root().join("target/seaweedfs/bin/weed"),
        faketime: "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1".into(),
        schema: root().join("schemas/bank.toml"),
        scenarios: scenarios.to_vec(),
        repetitions: 3,
        seed: 1,
        fault: Duration::from_secs(3),
        rate: 50.0,
        slow_clients: 60,
        idle_connections: 300,
    };
    chaos::run(&settings, |_| ()).unwrap()
}
