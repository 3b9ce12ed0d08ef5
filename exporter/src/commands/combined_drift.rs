//! `drift`: the drift of several engines, added.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;

use chrono::{DateTime, SecondsFormat, Utc};
use onnward_quality::drift::{
    CombinedDrift, DriftCounts, DriftReport, PageContext, VariableReport, WindowKind,
};
use reqwest::Url;
use serde::{Deserialize, Serialize};

use super::CommandError;
use super::calls::{get_from_engines, named};
use super::repository::block_on;
use super::stdout::print;
use crate::cli::engines::{DriftArguments, Window};

/// The result of `drift`.
#[derive(Serialize)]
struct DriftResult<'a> {
    model: &'a str,
    version: u64,
    /// What each engine adds.
    engines: Vec<EngineCounts>,
    /// The page that was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    html: Option<String>,
    #[serde(flatten)]
    report: DriftReport<'a>,
    #[serde(skip)]
    window: WindowKind,
}

/// What one engine adds.
#[derive(Debug, Clone, Serialize)]
struct EngineCounts {
    engine: String,
    /// The number of sampled rows in its window that ends now, or ended when it was last asked.
    rows: u64,
    /// The number of rows of that window which it had counted before it restarted.
    rows_before_restarts: u64,
    /// The time at which it reported.
    as_of: String,
    /// The reason why it does not report now.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// What each engine has counted, one count after each of its starts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct State {
    /// The form of this file.
    format: u32,
    model: String,
    engines: BTreeMap<String, Vec<DriftCounts>>,
}

const FORMAT: u32 = 1;

pub fn drift(arguments: &DriftArguments) -> Result<(), CommandError> {
    let DriftArguments { model, engines: asked, window, state, html } = arguments;
    let engines = asked.distinct();
    let query = asked.version.map(|version| format!("?version={version}")).unwrap_or_default();
    let path = format!("/models/{model}/drift{query}");
    let answers: Vec<Result<DriftCounts, String>> =
        block_on(get_from_engines(&engines, asked.engine_key_file.as_deref(), &path))?;
    let mut known = State::read(state.as_deref(), model)?;
    known.update(&engines, &answers, Utc::now());
    let counts = known.to_add(&engines);
    refuse_missing(&engines, &answers, &known)?;
    let combined = CombinedDrift::of(&counts)?;
    // What cannot be added is not remembered.
    known.write(state.as_deref())?;

    let report = combined.report();
    let version = counts.first().map_or(0, |counts| counts.version);
    let window = match window {
        Window::Sliding => WindowKind::Sliding,
        Window::Tumbling => WindowKind::Tumbling,
    };
    if let Some(path) = html {
        let context = PageContext { model, version, by_number: true, window, is_file: true };
        fs::write(path, report.page(&context)?).map_err(|source| CommandError::writing(path, source))?;
    }
    let html = html.as_ref().map(|path| path.display().to_string());
    let added = known.added(&engines, &answers);
    print(asked.output, &DriftResult { model, version, engines: added, html, report, window })
}

/// Refuses to add what is there if an engine has never reported: the figures would be of a part alone.
fn refuse_missing(
    engines: &[Url],
    answers: &[Result<DriftCounts, String>],
    known: &State,
) -> Result<(), CommandError> {
    let missing = engines.iter().zip(answers).filter(|(engine, _)| known.counts(engine).is_empty());
    let missing: Vec<String> = missing.filter_map(|(_, answer)| answer.as_ref().err().cloned()).collect();
    if missing.is_empty() { Ok(()) } else { Err(CommandError::EngineReports(missing)) }
}

impl State {
    /// Reads a file, if there is one yet.
    fn read(path: Option<&Path>, model: &str) -> Result<Self, CommandError> {
        let new = Self { format: FORMAT, model: model.to_owned(), engines: BTreeMap::new() };
        let Some(path) = path else { return Ok(new) };
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(new),
            text => text.map_err(|source| CommandError::reading(path, source))?,
        };
        let wrong = |problem: String| CommandError::State { path: path.to_owned(), problem };
        let state: Self = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        match state {
            Self { format: FORMAT, model: of, .. } if of != model => Err(wrong(format!("it is of {of}"))),
            Self { format: FORMAT, .. } => Ok(state),
            Self { format, .. } => Err(wrong(format!("its format is {format}"))),
        }
    }

    /// Writes the file as a whole, so that a command that is killed leaves the one before.
    fn write(&self, path: Option<&Path>) -> Result<(), CommandError> {
        let Some(path) = path else { return Ok(()) };
        let failed = |source| CommandError::writing(path, source);
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new("."))).map_err(failed)?;
        file.write_all(&serde_json::to_vec(self)?).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist(path).map_err(|error| failed(error.error))?;
        Ok(())
    }

    /// Adds what engines report now. A count that goes on replaces its beginning; what is no longer recent, or of
    /// another version than is asked for now, goes.
    fn update(&mut self, engines: &[Url], answers: &[Result<DriftCounts, String>], now: DateTime<Utc>) {
        let asked: Vec<&DriftCounts> = answers.iter().filter_map(|answer| answer.as_ref().ok()).collect();
        for (engine, answer) in engines.iter().zip(answers) {
            let counts = self.engines.entry(engine.to_string()).or_default();
            if let Ok(new) = answer {
                counts.retain(|known| !new.continues(known));
                counts.push(new.clone());
            }
            let is_asked = |known: &DriftCounts| match answer {
                Ok(new) => known.version == new.version,
                Err(_) => asked.is_empty() || asked.iter().any(|other| other.version == known.version),
            };
            counts.retain(|known| known.is_recent(now) && is_asked(known));
        }
    }

    fn counts(&self, engine: &Url) -> &[DriftCounts] {
        self.engines.get(engine.as_str()).map_or(&[], Vec::as_slice)
    }

    /// Returns the counts to add. Of each engine, the last one alone has a last whole window that counts.
    fn to_add(&self, engines: &[Url]) -> Vec<DriftCounts> {
        let of_engine = |engine: &Url| {
            let mut counts = self.counts(engine).to_vec();
            let last = counts.pop();
            counts.into_iter().map(DriftCounts::without_tumbling).chain(last).collect::<Vec<_>>()
        };
        engines.iter().flat_map(of_engine).collect()
    }

    /// Says what each engine adds.
    fn added(&self, engines: &[Url], answers: &[Result<DriftCounts, String>]) -> Vec<EngineCounts> {
        let of_engine = |(engine, answer): (&Url, &Result<DriftCounts, String>)| {
            let (last, before) = self.counts(engine).split_last()?;
            let as_of = last.sliding.to.unwrap_or(last.since);
            Some(EngineCounts {
                engine: named(engine),
                rows: last.sliding.rows,
                rows_before_restarts: before.iter().map(|counts| counts.sliding.rows).sum(),
                as_of: as_of.to_rfc3339_opts(SecondsFormat::Secs, true),
                reason: answer.as_ref().err().cloned(),
            })
        };
        engines.iter().zip(answers).filter_map(of_engine).collect()
    }
}

impl Display for DriftResult<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { model, version, engines, html, report, window } = self;
        let shown = report.window(*window);
        let of_engines =
            if engines.len() == 1 { "1 engine".to_owned() } else { format!("{} engines", engines.len()) };
        writeln!(
            f,
            "{model} version {version}, {} rows of {of_engines}, {} window",
            shown.rows,
            window.name()
        )?;
        for EngineCounts { engine, rows, rows_before_restarts, as_of, reason } in engines {
            write!(f, "  {engine}: {rows} rows")?;
            if *rows_before_restarts > 0 {
                write!(f, ", and {rows_before_restarts} before it restarted")?;
            }
            match reason {
                Some(reason) => writeln!(f, ", as of {as_of}; now: {reason}")?,
                None => writeln!(f)?,
            }
        }
        match &shown.reason {
            Some(reason) => writeln!(f, "\n{reason}")?,
            None => write_table(f, shown.variables())?,
        }
        match html {
            Some(path) => writeln!(f, "\npage  {path}"),
            None => Ok(()),
        }
    }
}

fn write_table<'a>(
    f: &mut Formatter<'_>,
    variables: impl Iterator<Item = &'a VariableReport<'a>>,
) -> fmt::Result {
    let mut variables: Vec<&VariableReport<'_>> = variables.collect();
    let psi = |variable: &VariableReport<'_>| variable.statistics.psi.unwrap_or_default();
    variables.sort_by(|a, b| {
        (b.detected, psi(b)).partial_cmp(&(a.detected, psi(a))).unwrap_or(std::cmp::Ordering::Equal)
    });
    let widest = variables.iter().map(|variable| variable.name.chars().count()).max().unwrap_or(0).max(8);
    let figure = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"));
    writeln!(f, "\n{:<widest$}  {:>8}  {:>8}  {:>8}", "variable", "PSI", "JS", "p")?;
    for variable in variables {
        let statistics = variable.statistics;
        let (psi, js, p) =
            (figure(statistics.psi), figure(statistics.js_distance), figure(statistics.p_value));
        let drifted = if variable.detected { "  drifted" } else { "" };
        writeln!(f, "{:<widest$}  {psi:>8}  {js:>8}  {p:>8}{drifted}", variable.name)?;
    }
    Ok(())
}
