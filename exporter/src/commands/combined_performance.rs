//! `performance`: the measured and estimated performance of several engines, added.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use onnward_quality::drift::CombineError;
use onnward_quality::estimate::{Estimate, ScoreSums};
use onnward_quality::performance::{Performance, ScoreCount, ratio};
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
    /// Null for a model that decides by none, of which there are no figures.
    threshold: Option<f64>,
    kept: Option<Stored>,
    measured: Option<Period>,
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
    measured: Vec<ScoreCount>,
    estimated: Option<ScoreSums>,
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
    threshold: f64,
    /// The number of engines that know the version.
    engines: usize,
    /// The stored predictions; null if no engine stores them.
    kept: Option<Stored>,
    /// Null if there are no outcomes.
    measured: Option<Measured>,
    /// Null before the first prediction since each engine's start.
    estimated: Option<Estimate>,
}

#[derive(Serialize)]
struct Measured {
    outcomes: u64,
    positives: u64,
    from: String,
    to: String,
    #[serde(flatten)]
    performance: Performance,
}

/// What engines report of one version.
struct Sums {
    threshold: f64,
    engines: usize,
    kept: Option<Stored>,
    period: Option<Period>,
    measured: Vec<ScoreCount>,
    estimated: Option<ScoreSums>,
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
        let Some(threshold) = report.threshold else {
            eprintln!("note: version {version} of {model} is no binary model: there are no figures of it");
            continue;
        };
        let of_version = sums.entry(Reverse(version)).or_insert_with(|| Sums::new(threshold));
        of_version.add(version, report)?;
    }
    let versions = sums.into_iter().map(|(Reverse(version), sums)| sums.figures(version));
    let versions = versions.collect::<Result<Vec<_>, CombineError>>()?;
    let engine_names = engines.iter().map(named).collect();
    print(asked.output, &PerformanceResult { model, engines: engine_names, versions })
}

impl Sums {
    fn new(threshold: f64) -> Self {
        Self { threshold, engines: 0, kept: None, period: None, measured: Vec::new(), estimated: None }
    }

    fn add(&mut self, version: u64, report: EngineVersion) -> Result<(), CombineError> {
        let counts = report.counts.ok_or(CombineError::Counts { version })?;
        // A threshold is part of a version, so another one is another file.
        if report.threshold != Some(self.threshold) {
            return Err(CombineError::Profiles { version });
        }
        self.engines += 1;
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
        self.measured.extend(counts.measured);
        if let Some(more) = counts.estimated {
            match &mut self.estimated {
                Some(sums) => sums.join(&more),
                None => self.estimated = Some(more),
            }
        }
        Ok(())
    }

    fn figures(self, version: u64) -> Result<VersionResult, CombineError> {
        let Self { threshold, engines, kept, period, measured, estimated } = self;
        let counts = CombineError::Counts { version };
        let mut predictions = ScoreCount::predictions(&measured, MAX_PREDICTIONS).ok_or(counts)?;
        let measured = period.map(|Period { from, to }| Measured {
            outcomes: predictions.len() as u64,
            positives: predictions.iter().filter(|one| one.positive).count() as u64,
            from,
            to,
            // In single precision, as decisions are made.
            performance: Performance::of(&mut predictions, threshold as f32),
        });
        let coverage = |kept: Stored| Stored {
            coverage: ratio(kept.with_outcome as f64, kept.predictions as f64),
            ..kept
        };
        let (kept, estimated) = (kept.map(coverage), estimated.map(|sums| sums.estimate()));
        Ok(VersionResult { version, threshold, engines, kept, measured, estimated })
    }
}

impl Display for PerformanceResult<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { model, engines, versions } = self;
        writeln!(f, "{model} on {} engines: {}", engines.len(), engines.join(", "))?;
        for VersionResult { version, kept, measured, estimated, .. } in versions {
            writeln!(f, "\nversion {version}")?;
            if let Some(Stored { predictions, with_outcome, .. }) = kept {
                writeln!(f, "  {predictions} predictions are stored, {with_outcome} with an outcome")?;
            }
            if let Some(measured) = measured {
                let figures = measured.performance.figures();
                write_figures(f, &format!("measured on {} outcomes", measured.outcomes), &figures)?;
            }
            if let Some(estimate) = estimated {
                let what = format!("estimated from {} predictions", estimate.rows);
                write_figures(f, &what, &estimate.figures())?;
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
