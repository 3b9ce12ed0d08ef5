//! One trainer in a process of its own, measured from outside by what Linux counts of it.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use onnward_harness::HarnessError;
use onnward_harness::process::{Usage, reset_peak};
use serde::{Deserialize, Serialize};

/// A program that reads a table and fits a model, and reports each step.
#[derive(Debug)]
pub(super) struct Trainer {
    /// The name in the report.
    pub name: String,
    /// Whether the trainer is not Onnward's.
    pub is_peer: bool,
    /// The program; the running one if absent.
    pub program: Option<PathBuf>,
    pub arguments: Vec<String>,
}

/// The resources that a step of a trainer used.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Step {
    /// Wall-clock time, in seconds.
    pub wall_s: f64,
    /// Processor time of all threads in user and kernel mode, in seconds.
    pub cpu_s: f64,
    /// The peak of resident memory during the step, in MiB.
    pub peak_mib: f64,
}

/// The report of a trainer at its end.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Said {
    /// The library's name and version.
    pub library: String,
    /// The area under the ROC curve on the held-out rows.
    pub roc_auc: f64,
}

/// One run of a trainer.
#[derive(Debug)]
pub(super) struct Measurement {
    pub said: Said,
    /// From the start of the process to the table in memory.
    pub read: Step,
    /// From there to the fitted pipeline.
    pub fit: Step,
}

/// Runs a trainer and measures its steps.
///
/// # Errors
/// [`HarnessError`] if the trainer does not start, fails, or breaks the protocol.
pub(super) fn measure(trainer: &Trainer) -> Result<Measurement, HarnessError> {
    let program = match &trainer.program {
        Some(program) => program.clone(),
        None => std::env::current_exe().map_err(HarnessError::system("find this program"))?,
    };
    let mut command = Command::new(&program);
    command.args(&trainer.arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let started = Instant::now();
    let mut child = command.spawn().map_err(|source| HarnessError::Start { program, source })?;
    let result = follow(&mut child, &trainer.name, started);
    if result.is_err() {
        // What has ended by itself needs no killing.
        let _ = child.kill();
    }
    let _ = child.wait();
    result
}

fn follow(child: &mut Child, name: &str, started: Instant) -> Result<Measurement, HarnessError> {
    let id = child.id();
    let mut talk = Talk::with(child, name)?;
    talk.expect("read")?;
    let read_s = started.elapsed().as_secs_f64();
    let read = Usage::of(id)?;
    reset_peak(id)?;

    let started = Instant::now();
    talk.go_on()?;
    talk.expect("fitted")?;
    let fit_s = started.elapsed().as_secs_f64();
    let fitted = Usage::of(id)?;
    talk.go_on()?;
    Ok(Measurement {
        said: serde_json::from_str(&talk.line()?)?,
        read: step(read_s, read.cpu, read.peak_bytes),
        fit: step(fit_s, fitted.cpu.saturating_sub(read.cpu), fitted.peak_bytes),
    })
}

fn step(wall_s: f64, cpu: Duration, peak_bytes: u64) -> Step {
    Step { wall_s, cpu_s: cpu.as_secs_f64(), peak_mib: peak_bytes as f64 / f64::from(1 << 20) }
}

/// The pipes from and to a trainer.
struct Talk<'a> {
    name: &'a str,
    said: Lines<BufReader<ChildStdout>>,
    stdin: ChildStdin,
}

impl<'a> Talk<'a> {
    fn with(child: &mut Child, name: &'a str) -> Result<Self, HarnessError> {
        match (child.stdout.take(), child.stdin.take()) {
            (Some(stdout), Some(stdin)) => Ok(Self { name, said: BufReader::new(stdout).lines(), stdin }),
            _ => Err(HarnessError::Settings(format!("{name} was started without pipes"))),
        }
    }

    fn line(&mut self) -> Result<String, HarnessError> {
        let failed = || format!("listen to {}", self.name);
        match self.said.next() {
            Some(line) => line.map_err(HarnessError::system(failed())),
            None => {
                let log = "its errors are above".to_owned();
                Err(HarnessError::Ended { program: self.name.to_owned(), log })
            }
        }
    }

    fn expect(&mut self, expected: &str) -> Result<(), HarnessError> {
        let line = self.line()?;
        if line == expected {
            return Ok(());
        }
        Err(HarnessError::Settings(format!("{} says {line:?} where {expected:?} was expected", self.name)))
    }

    fn go_on(&mut self) -> Result<(), HarnessError> {
        let failed = HarnessError::system(format!("talk to {}", self.name));
        self.stdin.write_all(b"\n").and_then(|()| self.stdin.flush()).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trainer_is_measured_step_by_step_and_one_that_fails_is_named() {
        let shell = |script: &str| Trainer {
            name: "shell".to_owned(),
            is_peer: true,
            program: Some("/bin/sh".into()),
            arguments: vec!["-c".to_owned(), script.to_owned()],
        };
        let said = r#"echo read; read x; echo fitted; read x; echo '{"library":"sh 1","roc_auc":0.5}'"#;
        let measured = measure(&shell(said)).unwrap();
        assert_eq!((measured.said.library.as_str(), measured.said.roc_auc), ("sh 1", 0.5));
        assert!(measured.read.peak_mib > 0.0 && measured.fit.wall_s >= 0.0);
        assert!(measure(&shell("exit 3")).unwrap_err().to_string().contains("shell exited unexpectedly"));
        assert!(measure(&shell("echo done")).unwrap_err().to_string().contains("says \"done\""));
    }
}
