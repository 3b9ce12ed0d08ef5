use std::fmt;

use onnward_harness::figures::median;
use onnward_harness::requirement::Requirement;
use serde::Serialize;

use super::trainer::{Said, Step};
use super::{Task, TrainingSettings};
use crate::machine::processor;

/// The largest difference in ROC AUC that counts as equal: two forests with other seeds differ as much.
const SAME_AREA: f64 = 0.001;

/// The results of one process.
#[derive(Debug)]
pub(super) struct Run {
    pub task: Task,
    pub trainer: String,
    pub is_peer: bool,
    pub said: Said,
    pub read: Step,
    pub fit: Step,
}

/// The comparison of Onnward's training with scikit-learn's.
#[derive(Debug, Clone, Serialize)]
pub struct TrainingReport {
    /// The rows of the training table.
    pub rows: u64,
    /// The rows of the test table.
    pub test_rows: u64,
    /// The number of runs of each trainer.
    pub rounds: u64,
    /// The number of cores.
    pub cores: usize,
    /// The processor's name.
    pub processor: String,
    /// The medians of each trainer.
    pub measured: Vec<Measured>,
    /// The requirements.
    pub requirements: Vec<Requirement>,
}

/// A trainer's results for a task, as medians over the rounds.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// The task.
    pub task: &'static str,
    /// The trainer.
    pub trainer: String,
    /// Its library and version.
    pub library: String,
    /// Whether the trainer is not Onnward's.
    pub is_peer: bool,
    /// From the start of the process to the table in memory.
    pub read: Step,
    /// From the table in memory to the fitted pipeline.
    pub fit: Step,
    /// Both: from the start of the process to the fitted pipeline.
    pub whole: Step,
    /// The area under the ROC curve on the held-out rows.
    pub roc_auc: f64,
}

impl TrainingReport {
    pub(super) fn new(settings: &TrainingSettings, runs: &[Run]) -> Self {
        let mut measured: Vec<Measured> = Vec::new();
        for run in runs {
            let known = |it: &Measured| it.task == run.task.name() && it.trainer == run.trainer;
            if !measured.iter().any(known) {
                let same: Vec<&Run> = runs
                    .iter()
                    .filter(|other| other.task == run.task && other.trainer == run.trainer)
                    .collect();
                measured.push(Measured::of(run, &same));
            }
        }
        measured.sort_by_key(|it| Task::ALL.iter().position(|task| task.name() == it.task));
        let requirements = settings.tasks.iter().flat_map(|task| requirements(*task, &measured)).collect();
        Self {
            rows: settings.rows,
            test_rows: settings.test_rows,
            rounds: settings.rounds,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            processor: processor(),
            measured,
            requirements,
        }
    }
}

impl Measured {
    fn of(run: &Run, same: &[&Run]) -> Self {
        let (read, fit) = (median_step(same, |run| run.read), median_step(same, |run| run.fit));
        let whole = median_step(same, |run| Step {
            wall_s: run.read.wall_s + run.fit.wall_s,
            cpu_s: run.read.cpu_s + run.fit.cpu_s,
            peak_mib: run.read.peak_mib.max(run.fit.peak_mib),
        });
        Self {
            task: run.task.name(),
            trainer: run.trainer.clone(),
            library: run.said.library.clone(),
            is_peer: run.is_peer,
            read,
            fit,
            whole,
            roc_auc: median(same.iter().map(|run| run.said.roc_auc).collect()),
        }
    }
}

fn median_step(runs: &[&Run], step: impl Fn(&Run) -> Step) -> Step {
    let of = |figure: fn(&Step) -> f64| median(runs.iter().map(|run| figure(&step(run))).collect());
    Step { wall_s: of(|step| step.wall_s), cpu_s: of(|step| step.cpu_s), peak_mib: of(|step| step.peak_mib) }
}

/// Compares Onnward's first trainer with scikit-learn's best result for each figure.
fn requirements(task: Task, measured: &[Measured]) -> Vec<Requirement> {
    let at_task = || measured.iter().filter(|it| it.task == task.name());
    let peers = || at_task().filter(|it| it.is_peer);
    let Some(own) = at_task().find(|it| !it.is_peer) else { return Vec::new() };
    let ratio = |what: &str, figure: fn(&Measured) -> f64| {
        let ratio = figure(own) / peers().map(figure).fold(f64::INFINITY, f64::min);
        Requirement {
            required: format!("{}: {what} at most scikit-learn's", task.name()),
            found: format!("{ratio:.2} times it"),
            // What cannot be computed is not enough.
            met: ratio <= 1.0,
        }
    };
    let best_area = peers().map(|it| it.roc_auc).fold(f64::NEG_INFINITY, f64::max);
    vec![
        ratio("time of the fit alone", |it| it.fit.wall_s),
        ratio("CPU time of the fit alone", |it| it.fit.cpu_s),
        ratio("memory of the fit alone", |it| it.fit.peak_mib),
        ratio("time with start and reading", |it| it.whole.wall_s),
        ratio("memory with start and reading", |it| it.whole.peak_mib),
        Requirement {
            required: format!("{}: ROC AUC no more than {SAME_AREA} below scikit-learn's", task.name()),
            found: format!("{:+.4}", own.roc_auc - best_area),
            met: best_area - own.roc_auc <= SAME_AREA,
        },
    ]
}

impl fmt::Display for TrainingReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, test_rows, rounds, cores, processor, .. } = self;
        writeln!(
            f,
            "{rows} rows fitted, judged by {test_rows} others; medians of {rounds} rounds on {cores} cores of {processor}\n"
        )?;
        writeln!(
            f,
            "{:<17} {:<24} {:<22} {:>23} {:>31} {:>9}",
            "", "", "", "the fit alone", "with start and reading", ""
        )?;
        writeln!(
            f,
            "{:<17} {:<24} {:<22} {:>7} {:>7} {:>7} {:>15} {:>7} {:>7} {:>9}",
            "task", "trainer", "library", "s", "CPU s", "MiB", "s", "CPU s", "MiB", "ROC AUC"
        )?;
        for it in &self.measured {
            writeln!(
                f,
                "{:<17} {:<24} {:<22} {:>7.2} {:>7.2} {:>7.0} {:>15.2} {:>7.2} {:>7.0} {:>9.4}",
                it.task,
                it.trainer,
                it.library,
                it.fit.wall_s,
                it.fit.cpu_s,
                it.fit.peak_mib,
                it.whole.wall_s,
                it.whole.cpu_s,
                it.whole.peak_mib,
                it.roc_auc
            )?;
        }
        writeln!(f, "\nrequired:")?;
        self.requirements.iter().try_for_each(|requirement| writeln!(f, "{requirement}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(trainer: &str, is_peer: bool, wall_s: f64, peak_mib: f64, roc_auc: f64) -> Run {
        let step = Step { wall_s, cpu_s: wall_s, peak_mib };
        let said = Said { library: "library 1".to_owned(), roc_auc };
        Run { task: Task::Forest, trainer: trainer.to_owned(), is_peer, said, read: step, fit: step }
    }

    #[test]
    fn ours_is_held_against_the_best_of_the_peers_by_medians() {
        let settings = TrainingSettings {
            schema: "schema.toml".into(),
            rows: 10,
            test_rows: 5,
            rounds: 3,
            python: "python".into(),
            script: "train.py".into(),
            tasks: vec![Task::Forest],
            libraries: false,
        };
        let runs = [
            run("onnward forest", false, 9.0, 90.0, 0.8),
            run("dense", true, 2.0, 200.0, 0.8),
            run("sparse", true, 4.0, 100.0, 0.802),
            run("onnward forest", false, 1.0, 110.0, 0.8),
            run("onnward forest", false, 3.0, 100.0, 0.8),
        ];
        let report = TrainingReport::new(&settings, &runs);
        assert_eq!(report.measured.len(), 3);
        let found: Vec<(&str, bool)> =
            report.requirements.iter().map(|it| (it.found.as_str(), it.met)).collect();
        let (time, memory) = (("1.50 times it", false), ("1.00 times it", true));
        assert_eq!(found, [time, time, memory, time, memory, ("-0.0020", false)]);
        let said = "MISSED  forest: time of the fit alone at most scikit-learn's: 1.50 times it";
        assert!(report.to_string().contains(said), "{report}");
    }
}
