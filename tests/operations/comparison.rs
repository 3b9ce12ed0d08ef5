//! A short run of the comparison in `benches`, without peers. Its figures depend on the machine and are not
//! checked.

use std::process::{Command, Stdio};
use std::time::Duration;

use onnward_benches::comparison::report::LeftOut;
use onnward_benches::comparison::scenario::Scenario;
use onnward_benches::comparison::subject::{Files, Subject};
use onnward_benches::comparison::{ComparisonSettings, chart, run};
use onnward_harness::process::{ProcessTree, Signal, Usage, send_signal};
use onnward_models::Family;
use tempfile::TempDir;

use crate::support::programs::program;
use crate::support::root;
use crate::support::wait::eventually;

#[test]
fn a_comparison_measures_who_is_there_and_names_who_is_not() {
    let folder = TempDir::new().unwrap();
    let files = Files {
        engine: program("onnward-engine"),
        bench: program("onnward-bench"),
        peers: root().join("benches/peers"),
        work: folder.path().to_owned(),
        engine_environment: Vec::new(),
    };
    let settings = ComparisonSettings {
        files,
        schema: root().join("schemas/telco.toml"),
        table: None,
        environments: folder.path().join("environments"),
        python: "no-such-python".to_owned(),
        subjects: vec![Subject::Bare, Subject::OnnwardTract, Subject::FastapiSklearn],
        families: vec![Family::Logistic],
        scenarios: vec![Scenario::SingleAt1, Scenario::SingleAt64, Scenario::Batch32, Scenario::Poisson],
        rounds: 1,
        window: Duration::from_millis(60),
        warm_up: Duration::from_millis(20),
        overload: false,
    };
    let report = run(&settings, &|_| ()).unwrap();

    for subject in [Subject::Bare, Subject::OnnwardTract] {
        for &scenario in &settings.scenarios {
            let summary = report.summary(subject, Family::Logistic, scenario).unwrap();
            let statuses = summary.statuses;
            assert!(statuses.ok > 0 && statuses.other + statuses.failed == 0, "{summary:?}");
            assert_eq!(summary.rows_per_second, summary.requests_per_second * scenario.rows() as f64);
        }
        let start = report.starts.iter().find(|start| start.subject == subject).unwrap();
        assert!(start.seconds > 0.0, "{start:?}");
        assert!(cfg!(not(target_os = "linux")) || start.from_disk_seconds > 0.0, "{start:?}");
    }
    let [LeftOut { subject: Subject::FastapiSklearn, reason }] = report.left_out.as_slice() else {
        panic!("{:?}", report.left_out);
    };
    assert!(reason.contains("no-such-python does not start"), "{reason}");
    let judged = report.targets.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert!(judged.iter().any(|target| target.contains("to bare axum handler")), "{judged:?}");
    assert!(judged.iter().any(|target| target.contains("not measured") && target.contains("FastAPI")));

    let results = folder.path().join("results");
    chart::write(&report, &results).unwrap();
    let read = |name: &str| std::fs::read_to_string(results.join(name)).unwrap();
    let json: serde_json::Value = serde_json::from_str(&read("results.json")).unwrap();
    assert_eq!(json["runs"].as_array().unwrap().len(), 8);
    assert!(read("comparison.svg").contains("bare axum handler"));
    assert!(read("comparison.html").contains("no-such-python"));
}

#[test]
fn a_comparison_that_is_told_to_end_leaves_no_server_behind() {
    let folder = TempDir::new().unwrap();
    let mut bench = Command::new(program("onnward-bench"))
        .args(["compare", "--quick", "--only", "onnward-tract", "--families", "logistic", "--work"])
        .arg(folder.path())
        .current_dir(root())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let servers = eventually("a server is started", || match ProcessTree::of(bench.id()).descendants() {
        [] => Err("there are no descendants".to_owned()),
        servers => Ok(servers.to_vec()),
    });
    send_signal(bench.id(), Signal::Term).unwrap();
    assert_eq!(bench.wait().unwrap().code(), Some(128 + 15));
    // A process that has ended and is not waited for yet holds no memory.
    let is_there = |id: &u32| Usage::of(*id).is_ok_and(|used| used.resident_bytes > 0);
    eventually("the servers are gone", || match servers.iter().find(|id| is_there(id)) {
        None => Ok(()),
        Some(id) => Err(format!("{id} is still there")),
    });
}
