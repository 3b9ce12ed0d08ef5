use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::Scenario;
use crate::swaps::LatencyReport;
use onnward_harness::generator::CheckedFigures;
use onnward_harness::requirement::Requirement;

/// The largest p99 latency during a fault, in milliseconds: the objective of the alerts.
const MAX_P99_MS: f64 = 100.0;

/// The results of all scenarios.
#[derive(Debug, Clone, Serialize)]
pub struct ChaosReport {
    /// The seed of the random choices.
    pub seed: u64,
    /// The scenarios.
    pub scenarios: Vec<ScenarioReport>,
    /// The requirements of all scenarios.
    pub requirements: Vec<Requirement>,
}

/// The results of one scenario.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ScenarioReport {
    /// The scenario's name.
    pub scenario: &'static str,
    /// The duration, in seconds.
    pub seconds: f64,
    /// The reason why the scenario could not be run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_out: Option<String>,
    /// The figures.
    pub figures: Vec<Figure>,
    /// The number of failures by reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub reasons: BTreeMap<String, u64>,
    /// The requirements.
    pub requirements: Vec<Requirement>,
}

/// A figure.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    /// Its description.
    pub what: String,
    /// Its value.
    pub value: f64,
}

impl ScenarioReport {
    /// Returns the report of a scenario that cannot be run here.
    pub(super) fn left_out(why: impl Into<String>) -> Self {
        Self { left_out: Some(why.into()), ..Self::default() }
    }

    pub(super) fn of(self, scenario: Scenario, took: Duration) -> Self {
        Self { scenario: scenario.name(), seconds: took.as_secs_f64(), ..self }
    }

    pub(super) fn figure(&mut self, what: impl Into<String>, value: f64) -> &mut Self {
        self.figures.push(Figure { what: what.into(), value });
        self
    }

    pub(super) fn require(&mut self, requirement: Requirement) -> &mut Self {
        self.requirements.push(requirement);
        self
    }

    /// Requires a condition.
    pub(super) fn require_that(&mut self, what: &str, is_so: bool) -> &mut Self {
        let found = if is_so { "yes" } else { "no" };
        self.require(Requirement { required: what.to_owned(), found: found.to_owned(), met: is_so })
    }

    pub(super) fn failed(&mut self, reason: impl Into<String>) -> &mut Self {
        *self.reasons.entry(reason.into()).or_default() += 1;
        self
    }

    /// Adds the figures of the load during the fault, and requires that no request was affected.
    pub(super) fn served(&mut self, figures: CheckedFigures) -> &mut Self {
        let CheckedFigures { sent, failed, wrong, reasons, quiet, disturbed, .. } = figures;
        for (reason, count) in reasons {
            *self.reasons.entry(reason).or_default() += count;
        }
        let (quiet, disturbed) = (LatencyReport::of(&quiet), LatencyReport::of(&disturbed));
        self.figure("predictions requested", sent as f64)
            .figure("p99 before the fault, ms", quiet.p99_ms)
            .figure("p99 during it, ms", disturbed.p99_ms)
            .require(Requirement::none_of("prediction that fails", failed))
            .require(Requirement::none_of("prediction that is wrong", wrong))
            .require(Requirement::at_most("p99 meanwhile", disturbed.p99_ms, MAX_P99_MS, " ms"))
    }
}

impl ChaosReport {
    pub(super) fn new(seed: u64, scenarios: Vec<ScenarioReport>) -> Self {
        let requirements = scenarios.iter().flat_map(|scenario| scenario.requirements.clone()).collect();
        Self { seed, scenarios, requirements }
    }
}

impl fmt::Display for ChaosReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, scenario) in self.scenarios.iter().enumerate() {
            let blank = if number == 0 { "" } else { "\n" };
            write!(f, "{blank}{scenario}")?;
        }
        Ok(())
    }
}

impl fmt::Display for ScenarioReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scenario, seconds, left_out, figures, reasons, requirements } = self;
        if let Some(why) = left_out {
            return writeln!(f, "{scenario}: LEFT OUT, {why}");
        }
        writeln!(f, "{scenario}, {seconds:.0} s")?;
        for Figure { what, value } in figures {
            let digits = if value.fract() == 0.0 { 0 } else { 1 };
            writeln!(f, "  {what}: {value:.digits$}")?;
        }
        for (reason, count) in reasons {
            writeln!(f, "  {count} × {reason}")?;
        }
        requirements.iter().try_for_each(|requirement| writeln!(f, "{requirement}"))
    }
}
