//! What operators clean up with: `gc` by number and age, `repair`, and both on a full disk.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::operator::{Workplace, of_other_rows, parsed, run_hint};
use crate::support::artifacts;

const DAY: Duration = Duration::from_secs(86_400);

/// Lets every file below a folder look as if it had been written this long ago.
fn age(folder: &Path, days: u32) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            age(&path, days);
        } else {
            File::options()
                .append(true)
                .open(&path)
                .unwrap()
                .set_modified(SystemTime::now() - DAY * days)
                .unwrap();
        }
    }
}

fn entry(number: u64) -> String {
    format!("{number:020}.json")
}

/// Returns the number of what went of a kind.
fn total(collected: &Value, kind: &str) -> u64 {
    let totals = collected["totals"].as_array().unwrap();
    totals.iter().find(|total| total["kind"] == kind).map_or(0, |total| total["count"].as_u64().unwrap())
}

/// Makes a repository in which much was done long ago: 24 promotions, 14 deletions and two interrupted uploads.
fn aged() -> Workplace {
    let here = Workplace::new();
    let bytes = artifacts::version("bank", 1);
    here.publish(1);
    here.publish(2);
    for number in 0..24_u64 {
        here.succeed(&["promote", "bank", &(1 + number % 2).to_string()]);
    }
    let model = here.path("repository/bank");
    for version in 3..17 {
        fs::create_dir(model.join(version.to_string())).unwrap();
        fs::write(model.join(version.to_string()).join("deleted.json"), "{}").unwrap();
    }
    fs::create_dir(model.join("17")).unwrap();
    fs::write(model.join("17/model.onnx"), &bytes).unwrap();
    fs::write(model.join("2/model.onnx-x7#1"), &bytes).unwrap();
    age(&here.path("repository"), 100);
    here
}

#[test]
fn old_records_go_by_age_and_what_is_needed_stays() {
    let here = aged();
    here.succeed(&["promote", "bank", "1"]);
    let before = here.succeed(&["versions", "bank"]);
    let gc = ["gc", "--older-than", "90d"];
    let planned = here.succeed(&[&gc[..], &["--dry-run"]].concat());
    let counts = ["audit", "half-upload", "pointer-entry", "tombstone"].map(|kind| total(&planned, kind));
    // Two files for each of 26 commands; 25 moves but for the newest eleven; 14 marks but for
    // those of the ten highest numbers.
    assert_eq!(counts, [52, 2, 14, 5], "{planned}");
    assert!(
        planned["removed"].as_array().unwrap().iter().all(|record| record["size_bytes"].as_u64() > Some(0))
    );
    assert_eq!(here.succeed(&["audit"])["entries"].as_array().unwrap().len(), 27, "a plan removes nothing");

    let collected = here.succeed(&gc);
    assert_eq!(collected["totals"], planned["totals"]);
    let left = here.succeed(&["audit"]);
    let commands = left["entries"].as_array().unwrap().iter().map(|entry| &entry["command"]);
    assert_eq!(commands.collect::<Vec<_>>(), ["promote", "gc"]);
    for gone in ["bank/17/model.onnx", "bank/2/model.onnx-x7#1", "bank/3"] {
        assert!(!here.path("repository").join(gone).exists(), "{gone}");
    }
    assert_eq!(here.succeed(&["versions", "bank"])["versions"], before["versions"]);
    assert_eq!(here.succeed(&[&gc[..], &["--dry-run"]].concat())["totals"], json!([]));
    for expected in [2, 1, 2] {
        assert_eq!(here.succeed(&["rollback", "bank"])["to"], expected);
    }
    assert_eq!(here.publish(3)["version"], 18, "no number is given again");

    for (wrong, expected) in [("90", "90d or 12h"), ("5m", "1h at least"), ("soon", "90d or 12h")] {
        let output = here.run(&["gc", "--older-than", wrong]);
        assert_eq!(output.status.code(), Some(2), "{wrong}");
        assert!(String::from_utf8(output.stderr).unwrap().contains(expected), "{wrong}");
    }
}

#[test]
fn the_history_that_was_pruned_ends_a_rollback_with_a_sentence() {
    let here = aged();
    here.succeed(&["gc", "--older-than", "90d"]);
    let rollbacks = (0..20).take_while(|_| here.run(&["rollback", "bank"]).status.success()).count();
    assert!((10..20).contains(&rollbacks), "{rollbacks} rollbacks");
    assert!(here.fail(&["rollback", "bank"]).contains("no previous version"));
    assert_eq!(here.succeed(&["alias", "list", "bank"])["aliases"][0]["previous"], Value::Null);
    here.succeed(&["versions", "bank"]);
    here.succeed(&["promote", "bank", "2"]);
}

#[test]
fn a_model_whose_pointers_cannot_be_read_keeps_no_other_from_being_cleaned_up() {
    let here = Workplace::new();
    for version in 1..=3 {
        here.publish(version);
        let file = here.text("next.onnx");
        here.succeed(&["publish", &file, "--model", "shop", "--no-check"]);
    }
    let alias = here.path("repository/bank/aliases/broken");
    fs::create_dir_all(&alias).unwrap();
    fs::write(alias.join(entry(1)), "no JSON").unwrap();
    let output = here.run(&["gc", "--keep", "1"]);
    assert_eq!(output.status.code(), Some(1), "a job that runs every night is to notice");
    let collected: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(collected["passed_over"][0]["model"], "bank");
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("bank/aliases/broken") && message.contains("the rest is done"), "{message}");
    assert_eq!(here.succeed(&["versions", "shop"])["versions"].as_array().unwrap().len(), 1);
    let kept = fs::read_dir(here.path("repository/bank")).unwrap().count();
    assert_eq!(kept, 4, "three versions and the aliases");
}

#[test]
fn an_entry_that_a_killed_command_left_empty_blocks_no_alias() {
    let here = Workplace::new();
    here.publish(1);
    here.publish(2);
    here.succeed(&["promote", "bank", "1"]);
    let aliases = here.path("repository/bank/aliases/champion");
    fs::write(aliases.join(entry(2)), "").unwrap();
    // Its writer may be at work.
    let message = here.fail(&["promote", "bank", "2"]);
    assert!(message.contains("is empty") && message.contains("repair bank --fix"), "{message}");
    let found = here.succeed(&["repair", "bank"]);
    assert_eq!(
        (&found["found"][0]["kind"], &found["found"][0]["recent"]),
        (&json!("empty-entry"), &json!(true))
    );
    let repaired = run_hint(&message);
    assert!(repaired.status.success(), "{}", String::from_utf8_lossy(&repaired.stderr));
    assert!(!aliases.join(entry(2)).exists());
    here.succeed(&["promote", "bank", "2"]);

    // Nobody writes it any more.
    fs::write(aliases.join(entry(3)), "").unwrap();
    age(&aliases, 1);
    assert_eq!(here.succeed(&["rollback", "bank"])["to"], 1);
    assert!(aliases.join(entry(4)).exists());
    assert_eq!(here.succeed(&["history", "bank"])["entries"].as_array().unwrap().len(), 3);
    assert_eq!(here.succeed(&["repair", "--fix"])["found"][0]["kind"], "empty-entry");
    assert_eq!(here.succeed(&["repair"])["found"], json!([]));
}

#[test]
fn a_folder_with_the_largest_number_stops_no_publication() {
    let here = Workplace::new();
    here.publish(1);
    let largest = u64::MAX;
    let stray = here.path(&format!("repository/bank/{largest}"));
    fs::create_dir(&stray).unwrap();
    fs::write(stray.join("model.onnx"), "x").unwrap();
    let published = here.publish(2);
    assert_eq!((&published["version"], &published["passed_over"]), (&json!(2), &json!(largest)));
    let shown = Command::new(crate::support::programs::program("onnward-exporter"))
        .args([
            "publish",
            &here.file("third.onnx", artifacts::version("bank", 3)),
            "--model",
            "bank",
            "--no-check",
        ])
        .args(["--repository", &here.text("repository")])
        .output()
        .unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("passed over: remove it") && shown.contains("bank version 3"), "{shown}");
    fs::remove_dir_all(stray).unwrap();
    assert_eq!(here.publish(4).get("passed_over"), None);
}

#[test]
fn a_deletion_that_lets_a_version_of_other_rows_be_served_is_refused() {
    let here = Workplace::new();
    let other = here.file("other.onnx", of_other_rows());
    here.succeed(&["publish", &other, "--model", "bank", "--no-check"]);
    let file = here.file("model.onnx", artifacts::version("bank", 1));
    here.succeed(&["publish", &file, "--model", "bank", "--no-check", "--other-schema"]);
    let delete = ["delete-version", "bank", "2"];
    let message = here.fail(&delete);
    assert!(message.contains("version 2 of bank") && message.contains("--other-schema"), "{message}");
    let planned = here.succeed(&[&delete[..], &["--dry-run", "--other-schema"]].concat());
    assert!(planned["compatibility"]["differences"].as_array().unwrap().len() > 5, "{planned}");
    assert_eq!(
        here.succeed(&["gc", "--keep", "1", "--dry-run"])["deleted"][0]["version"],
        1,
        "the highest stays"
    );
    let deleted = run_hint(&message);
    assert!(deleted.status.success(), "{}", String::from_utf8_lossy(&deleted.stderr));
    assert_eq!(here.succeed(&["models"])["models"][0]["served"], 1);
}

/// A file system of one megabyte, as far as this user may mount one.
struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(folder.path()).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self { folder })
    }

    /// Writes until nothing fits any more.
    fn fill(&self) {
        for number in 0.. {
            let path = self.folder.path().join(format!("filler-{number}"));
            if path.exists() {
                continue;
            }
            if fs::write(&path, [1; 4096]).is_err() {
                let _ = fs::remove_file(path);
                return;
            }
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.folder.path()).status();
    }
}

#[test]
fn on_a_full_disk_a_rollback_and_what_frees_space_work() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("skipped: this user may not mount a file system");
        return;
    };
    let here = Workplace::new();
    let repository = disk.path("repository").display().to_string();
    let run = |arguments: &[&str]| {
        Command::new(crate::support::programs::program("onnward-exporter"))
            .args(arguments)
            .args(["--output", "json", "--repository", &repository])
            .output()
            .unwrap()
    };
    let succeed = |arguments: &[&str]| parsed(&run(arguments), arguments);
    let files = [1, 2, 3, 4]
        .map(|version| here.file(&format!("{version}.onnx"), artifacts::version("bank", version)));
    for file in &files {
        succeed(&["publish", file, "--model", "bank", "--no-check"]);
    }
    succeed(&["promote", "bank", "1"]);
    succeed(&["promote", "bank", "2"]);
    disk.fill();
    let fifth = here.file("5.onnx", artifacts::version("bank", 5));
    let refused = run(&["publish", &fifth, "--model", "bank", "--no-check"]);
    let message = String::from_utf8(refused.stderr).unwrap();
    assert!(message.contains("the disk is full"), "{message}");
    for arguments in [&["rollback", "bank"][..], &["delete-version", "bank", "3"], &["gc", "--keep", "1"]] {
        disk.fill();
        succeed(arguments);
    }
    let versions = succeed(&["versions", "bank"]);
    let left: Vec<&Value> =
        versions["versions"].as_array().unwrap().iter().map(|found| &found["version"]).collect();
    assert_eq!(left, [4, 1], "version 1 by its alias, and version 4 as the highest");
}
