//! The runbook's commands.

use std::path::Path;
use std::process::Command;

use crate::support::programs::program;
use crate::support::root;

/// Runs each command for an engine or its repository. All must succeed. Before each rollback, `promote_again`
/// makes the promotion that is rolled back.
pub fn try_commands(engine: &str, admin: &str, repository: &Path, promote_again: impl Fn()) {
    let runbook = std::fs::read_to_string(root().join("monitoring/RUNBOOK.md")).unwrap();
    let programs = program("onnward-engine").parent().unwrap().display().to_string();
    let mut tried = 0;
    for line in runbook.lines().map(str::trim) {
        let asks = line.starts_with("curl -s $ENGINE") || line.starts_with("curl -s -X POST $ADMIN");
        let changes = line.starts_with("target/release/")
            && ![" serve ", " train "].iter().any(|word| line.contains(word));
        if !asks && !changes {
            continue;
        }
        if line.contains(" rollback ") {
            promote_again();
        }
        // Without what only shortens the answer: jq need not be there.
        let command = line.split(" | ").next().unwrap();
        let command = command.replace("curl -s ", "curl -sS --fail ").replace("target/release", &programs);
        let mut shell = Command::new("sh");
        shell.args(["-c", &command]).current_dir(root());
        shell.envs([("ENGINE", engine), ("ADMIN", admin)]).env("REPOSITORY", repository);
        let output = shell.output().unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        tried += 1;
    }
    assert!(tried > 10, "the runbook's commands were not found");
}
