//! `performance`: the measured and estimated performance of several engines, added.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use onnward_quality::drift::CombineError;
use onnward_quality::estimate::{TaskEstimate, TaskSums};
use onnward_quality::performance::{MeasuredCounts, TaskPerformance, ratio};
use onnward_schemas::{Binary, Classes, Task, TaskKind};
use serde::{Deserialize, Serialize};

use super::CommandError;
use super::calls::{get_from_engines, named};
use super::repository::block_on;
use super::stdout::print;
use crate::cli::engines::PerformanceArguments;

/// The most predictions whose figures are computed, of all engines together: 16 bytes each.
const MAX_PREDICTIONS: u64 = 50_000_000;

/// The part of an engine's `GET /models/{name}/performance?counts=true` that is read.
#[derive(Deserialize)]
struct EngineReport {
    versions: Vec<EngineVersion>,
}

#[derive(Deserialize)]
struct EngineVersion {
    version: u64,
    /// The task of a model of classes or a number; absent for any other.
    task: Option<TaskKind>,
    /// The classes of a model of classes.
    #[serde(default)]
    classes: Vec<String>,
    /// The decision threshold of a binary model; null for any other.
    threshold: Option<f64>,
    kept: Option<Stored>,
    measured: Option<Period>,
    /// The reason why there is no estimate.
    not_estimated: Option<String>,
    counts: Option<FigureCounts>,
}

/// The numbers of stored predictions.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Stored {
    predictions: u64,
    with_outcome: u64,
    /// The share of the predictions with an outcome.
    coverage: Option<f64>,
}

/// The times of the first and the last outcome.
#[derive(Debug, Clone, Deserialize)]
struct Period {
    from: String,
    to: String,
}

#[derive(Deserialize)]
struct FigureCounts {
    measured: MeasuredCounts,
    estimated: Option<TaskSums>,
}

/// The result of `performance`.
#[derive(Serialize)]
struct PerformanceResult<'a> {
    model: &'a str,
    engines: Vec<String>,
    /// The versions, the highest first.
    versions: Vec<VersionResult>,
}

/// The figures of one version over all engines.
#[derive(Serialize)]
struct VersionResult {
    version: u64,
    /// The task, of a model of classes or a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<TaskKind>,
    /// The classes in the order of the confusion matrices, of a model of classes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    classes: Vec<String>,
    /// The decision threshold; null for a model of classes or a number.
    threshold: Option<f64>,
    /// The number of engines that know the version.
    engines: usize,
    /// The stored predictions; null if no engine stores them.
    kept: Option<Stored>,
    /// Null if there are no outcomes.
    measured: Option<Measured>,
    /// Null before the first prediction since each engine's start.
    estimated: Option<TaskEstimate>,
    /// The reason why there is no estimate, of a model of a number whose file has no errors.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_estimated: Option<String>,
}

#[derive(Serialize)]
struct Measured {
    outcomes: u64,
    /// The number of positive outcomes, of a binary model.
    #[serde(skip_serializing_if = "Option::is_none")]
    positives: Option<u64>,
    from: String,
    to: String,
    #[serde(flatten)]
    performance: TaskPerformance,
}

/// What engines report of one version.
struct Sums {
    task: Task,
    engines: usize,
    kept: Option<Stored>,
    period: Option<Period>,
    measured: MeasuredCounts,
    estimated: Option<TaskSums>,
    not_estimated: Option<String>,
}

pub fn performance(arguments: &PerformanceArguments) -> Result<(), CommandError> {
    let PerformanceArguments { model, engines: asked } = arguments;
    let engines = asked.distinct();
    let version = asked.version.map(|version| format!("&version={version}")).unwrap_or_default();
    let path = format!("/models/{model}/performance?counts=true{version}");
    let answers: Vec<Result<EngineReport, String>> =
        block_on(get_from_engines(&engines, asked.engine_key_file.as_deref(), &path))?;
    let missing: Vec<String> = answers.iter().filter_map(|answer| answer.as_ref().err().cloned()).collect();
    if !missing.is_empty() {
        return Err(CommandError::EngineReports(missing));
    }
    let mut sums: BTreeMap<Reverse<u64>, Sums> = BTreeMap::new();
    for report in answers.into_iter().flatten().flat_map(|report| report.versions) {
        let version = report.version;
        let Some(task) = report.label_task() else {
            eprintln!("note: version {version} of {model} has no label: there are no figures of it");
            continue;
        };
        let of_version = sums.entry(Reverse(version)).or_insert_with(|| Sums::new(task.clone()));
        of_version.add(version, &task, report)?;
    }
    let versions = sums.into_iter().map(|(Reverse(version), sums)| sums.figures(version));
    let versions = versions.collect::<Result<Vec<_>, CombineError>>()?;
    let engine_names = engines.iter().map(named).collect();
    print(asked.output, &PerformanceResult { model, engines: engine_names, versions })
}

impl EngineVersion {
    /// Returns the task, as far as figures depend on it. `None` for the outputs of an external graph.
    fn label_task(&self) -> Option<Task> {
        match (self.task, self.threshold) {
            (Some(TaskKind::Classes), _) => Some(Task::Classes(Classes { values: self.classes.clone() })),
            (Some(TaskKind::Number), _) => Some(Task::Number),
            // The values of the label are no part of the figures.
            (Some(TaskKind::Binary) | None, Some(threshold)) => {
                Some(Task::Binary(Binary { positive: String::new(), negative: String::new(), threshold }))
            }
            (Some(TaskKind::Binary | TaskKind::Raw) | None, _) => None,
        }
    }
}

impl Sums {
    fn new(task: Task) -> Self {
        let measured = MeasuredCounts::default();
        Self { task, engines: 0, kept: None, period: None, measured, estimated: None, not_estimated: None }
    }

    fn add(&mut self, version: u64, task: &Task, report: EngineVersion) -> Result<(), CombineError> {
        let counts = report.counts.ok_or(CombineError::Counts { version })?;
        // A threshold and classes are part of a version, so others are another file.
        if *task != self.task {
            return Err(CombineError::Profiles { version });
        }
        self.engines += 1;
        self.not_estimated = self.not_estimated.take().or(report.not_estimated);
        if let Some(Stored { predictions, with_outcome, .. }) = report.kept {
            let kept = self.kept.get_or_insert_default();
            kept.predictions += predictions;
            kept.with_outcome += with_outcome;
        }
        if let Some(period) = report.measured {
            // Times of one form sort as they follow each other.
            self.period = Some(match self.period.take() {
                Some(known) => Period { from: known.from.min(period.from), to: known.to.max(period.to) },
                None => period,
            });
        }
        if !self.measured.join(counts.measured) {
            return Err(CombineError::Profiles { version });
        }
        if let Some(more) = counts.estimated {
            let is_same_task = match &mut self.estimated {
                Some(sums) => sums.join(&more),
                None => {
                    self.estimated = Some(more);
                    true
                }
            };
            if !is_same_task {
                return Err(CombineError::Profiles { version });
            }
        }
        Ok(())
    }

    fn figures(self, version: u64) -> Result<VersionResult, CombineError> {
        let Self { task, engines, kept, period, measured, estimated, not_estimated } = self;
        let counts = || CombineError::Counts { version };
        let mut predictions = measured.predictions(task.kind(), MAX_PREDICTIONS).ok_or_else(counts)?;
        let measure = |Period { from, to }: Period| -> Result<Measured, CombineError> {
            // It sorts them.
            let performance = predictions.performance(&task).ok_or_else(counts)?;
            let (outcomes, positives) = (predictions.len() as u64, predictions.positives());
            Ok(Measured { outcomes, positives, from, to, performance })
        };
        let measured = period.map(measure).transpose()?;
        let coverage = |kept: Stored| Stored {
            coverage: ratio(kept.with_outcome as f64, kept.predictions as f64),
            ..kept
        };
        let (kept, estimated) = (kept.map(coverage), estimated.map(|sums| sums.estimate()));
        let result = VersionResult {
            version,
            task: None,
            classes: Vec::new(),
            threshold: None,
            engines,
            kept,
            measured,
            estimated,
            not_estimated,
        };
        Ok(match task {
            Task::Binary(binary) => VersionResult { threshold: Some(binary.threshold), ..result },
            Task::Classes(classes) => {
                VersionResult { task: Some(TaskKind::Classes), classes: classes.values, ..result }
            }
            Task::Number => VersionResult { task: Some(TaskKind::Number), ..result },
            Task::Raw(_) => result,
        })
    }
}

impl Display for PerformanceResult<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { model, engines, versions } = self;
        writeln!(f, "{model} on {} engines: {}", engines.len(), engines.join(", "))?;
        for VersionResult { version, kept, measured, estimated, not_estimated, .. } in versions {
            writeln!(f, "\nversion {version}")?;
            if let Some(Stored { predictions, with_outcome, .. }) = kept {
                writeln!(f, "  {predictions} predictions are stored, {with_outcome} with an outcome")?;
            }
            if let Some(measured) = measured {
                let figures = measured.performance.figures();
                write_figures(f, &format!("measured on {} outcomes", measured.outcomes), &figures)?;
            }
            if let Some(estimate) = estimated {
                let what = format!("estimated from {} predictions", estimate.rows());
                write_figures(f, &what, &estimate.figures())?;
            }
            if let Some(reason) = not_estimated {
                writeln!(f, "  {reason}")?;
            }
        }
        Ok(())
    }
}

fn write_figures(f: &mut Formatter<'_>, what: &str, figures: &[(&str, Option<f64>)]) -> fmt::Result {
    writeln!(f, "  {what}")?;
    for (name, value) in figures {
        let value = value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"));
        writeln!(f, "    {:<18} {value}", name.replace('_', " "))?;
    }
    Ok(())
}
