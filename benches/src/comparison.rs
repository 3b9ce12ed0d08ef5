//! The comparison of servers of tabular models, side by side in one run on one machine, with the same rows.
//!
//! Each subject has the same processors and the generator others. They take turns in rounds, so that what
//! else the machine does hits all alike; the figures are the medians of the rounds.

pub mod chart;
pub mod models;
mod overload;
pub mod peers;
pub mod report;
pub mod scenario;
mod server;
pub mod session;
pub mod subject;
pub mod targets;
pub mod workload;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::Duration;

use onnward_harness::HarnessError;
use onnward_harness::generator::{AGREEING, RunPlan, Schedule, WindowFigures, post, run as put_load};
use onnward_harness::ports::free_ports;
use onnward_harness::process::{evict_from_page_cache, pin, processors};
use onnward_models::Family;
use peers::{Environment, files_in, size_of};
use report::{LeftOut, Report, Run, Settings, Start, SubjectInfo};
use scenario::Scenario;
use server::{Probe, Server};
use subject::{Files, Subject};
use workload::Workload;

use crate::machine::Machine;

/// The most windows of a run that wait for three in a row to agree.
const MAX_WINDOWS: usize = AGREEING + 2;
/// The number of times each body is sent before a measurement, for parts that a subject loads at first use.
const REHEARSALS: usize = 3;
/// The number of further starts that are timed of fast starters.
const STARTS: usize = 4;

/// The settings of the comparison.
#[derive(Debug, Clone)]
pub struct ComparisonSettings {
    /// The programs and folders.
    pub files: Files,
    /// The schema of the table.
    pub schema: PathBuf,
    /// The table; if absent, one is sampled from the schema.
    pub table: Option<PathBuf>,
    /// The folder of the peers' environments.
    pub environments: PathBuf,
    /// The Python interpreter that creates them.
    pub python: String,
    /// A subject of the comparison.
    pub subjects: Vec<Subject>,
    /// The model families.
    pub families: Vec<Family>,
    /// The scenarios.
    pub scenarios: Vec<Scenario>,
    /// The number of rounds.
    pub rounds: usize,
    /// The length of a window.
    pub window: Duration,
    /// The warm-up.
    pub warm_up: Duration,
    /// Whether Onnward is also measured at three times its capacity.
    pub overload: bool,
}

/// The progress, for a display.
#[derive(Debug, Clone)]
pub enum Progress {
    /// A step that is not counted.
    Doing(String),
    /// Measurements begin; this is their number.
    Begins(u64),
    /// One measurement begins.
    Measuring(String),
}

/// The context of all measurements.
pub(crate) struct Bench<'a> {
    settings: &'a ComparisonSettings,
    workload: Workload,
    environments: HashMap<Subject, Environment>,
    server_processors: Vec<usize>,
    tell: &'a dyn Fn(Progress),
}

/// Runs the comparison.
///
/// # Errors [`HarnessError`]. A peer that is not available on this machine is no error: the report says that
/// it was left out, and why.
pub fn run(settings: &ComparisonSettings, tell: &dyn Fn(Progress)) -> Result<Report, HarnessError> {
    let work = &settings.files.work;
    std::fs::create_dir_all(work).map_err(HarnessError::system(format!("make {}", work.display())))?;
    tell(Progress::Doing("training the models".to_owned()));
    let workload = Workload::new(&settings.schema, settings.table.as_deref(), work)?;
    models::train_onnward(&settings.files, &workload, &settings.families)?;
    let mut left_out = Vec::new();
    let environments = environments(settings, &workload, tell, &mut left_out);

    let all = processors();
    let (server_processors, generator_processors) = divided(&all);
    let bench =
        Bench { settings, workload, environments, server_processors: server_processors.clone(), tell };
    pin(&generator_processors);
    let measured = bench.measure(&mut left_out);
    pin(&all);
    let mut report = measured?;
    report.machine = Machine::of_this();
    report.settings =
        Settings::of(settings, &server_processors, &generator_processors, bench.workload.data.rows());
    report.subjects = bench.infos(&left_out)?;
    report.left_out = left_out;
    report.conclude();
    Ok(report)
}

/// Splits the processors between the server and the generator, if there are two.
fn divided(all: &[usize]) -> (Vec<usize>, Vec<usize>) {
    match all {
        [first, .., last] => (vec![*first], vec![*last]),
        _ => (all.to_vec(), all.to_vec()),
    }
}

fn environments(
    settings: &ComparisonSettings,
    workload: &Workload,
    tell: &dyn Fn(Progress),
    left_out: &mut Vec<LeftOut>,
) -> HashMap<Subject, Environment> {
    let peers: Vec<(Subject, &str)> =
        settings.subjects.iter().filter_map(|&subject| Some((subject, subject.peer()?))).collect();
    if peers.is_empty() {
        return HashMap::new();
    }
    tell(Progress::Doing("fitting the peers' models".to_owned()));
    let trained = models::train_peers(&settings.python, &settings.files, workload, &settings.environments);
    let mut environments = HashMap::new();
    for (subject, peer) in peers {
        tell(Progress::Doing(format!("installing {}", subject.title())));
        let requirements = settings.files.peers.join(peer).join("requirements.txt");
        let environment = trained.clone().and_then(|()| {
            Environment::prepare(&settings.python, &requirements, settings.environments.join(peer))
        });
        match environment {
            Ok(environment) => {
                environments.insert(subject, environment);
            }
            Err(reason) => left_out.push(LeftOut { subject, reason }),
        }
    }
    environments
}

impl Bench<'_> {
    fn measure(&self, left_out: &mut Vec<LeftOut>) -> Result<Report, HarnessError> {
        let mut report = Report::default();
        let mut turns = self.turns(left_out);
        let per_turn = self.settings.scenarios.len();
        (self.tell)(Progress::Begins((self.settings.rounds * turns.len() * per_turn) as u64));
        for round in 0..self.settings.rounds {
            let mut failed = Vec::new();
            for &(subject, family) in &turns {
                if let Err(error) = self.turn(subject, family, round, &mut report) {
                    // Onnward and the bare handler must run; a peer may be missing what its machine lacks.
                    if subject.peer().is_none() {
                        return Err(error);
                    }
                    failed.push(subject);
                    left_out.push(LeftOut { subject, reason: error.to_string() });
                }
            }
            turns.retain(|(subject, _)| !failed.contains(subject));
            report.runs.retain(|run| !failed.contains(&run.subject));
            report.all_starts.retain(|start| !failed.contains(&start.subject));
        }
        self.start_again(&turns, &mut report)?;
        report.both_resident_bytes = self.resident_with_both(&turns)?;
        report.sessions = session::measure(self, &turns)?;
        if self.settings.overload {
            report.overload = overload::measure(self, &turns)?;
        }
        Ok(report)
    }

    /// Returns what is measured in a round. The bare handler has no model and runs once.
    fn turns(&self, left_out: &[LeftOut]) -> Vec<(Subject, Family)> {
        let subjects = self.settings.subjects.iter().copied();
        let present = subjects.filter(|subject| left_out.iter().all(|missing| missing.subject != *subject));
        let turns = present.flat_map(|subject| {
            let families = if subject.has_model() { self.settings.families.len() } else { 1 };
            self.settings.families.iter().take(families).map(move |&family| (subject, family))
        });
        turns.collect()
    }

    fn turn(
        &self,
        subject: Subject,
        family: Family,
        round: usize,
        report: &mut Report,
    ) -> Result<(), HarnessError> {
        let title = subject.title();
        (self.tell)(Progress::Doing(format!("round {}: {title}, {family}: starting", round + 1)));
        let (server, start) = self.start(subject, family)?;
        for rows in [1, 32, 1024] {
            for body in self.workload.bodies(subject.protocol(), rows)?.iter().take(REHEARSALS) {
                server.check(&Probe { path: subject.path(rows), body, rows })?;
            }
        }
        let mut capacity = 0.0f64;
        for &scenario in &self.settings.scenarios {
            let what = format!("round {}: {title}, {family}: {}", round + 1, scenario.title());
            (self.tell)(Progress::Measuring(what));
            let schedule = scenario.schedule(capacity);
            let figures = self.load(&server, subject, scenario.rows(), schedule)?;
            if matches!(scenario, Scenario::SingleAt1 | Scenario::SingleAt64) {
                capacity = capacity.max(figures.requests_per_second);
            }
            let rate = if let Schedule::Open { rate, .. } = schedule { Some(rate) } else { None };
            report.runs.push(Run { subject, family, round, scenario, rate, figures });
        }
        let resident_bytes = server.processes().resident();
        report.all_starts.push(Start { resident_bytes, ..start });
        Ok(())
    }

    /// Starts a subject twice, since the time depends on where its files are: from disk, and then from the
    /// page cache.
    fn start(&self, subject: Subject, family: Family) -> Result<(Server, Start), HarnessError> {
        let is_on_disk = self.evict_from_page_cache(subject, family)?;
        let (_, first) = self.start_once(subject, family)?;
        let (server, seconds) = self.start_once(subject, family)?;
        let from_disk_seconds = is_on_disk.then_some(first);
        Ok((server, Start { subject, family, seconds, from_disk_seconds, resident_bytes: None }))
    }

    /// Evicts a subject's files from the page cache, and returns whether that worked.
    fn evict_from_page_cache(&self, subject: Subject, family: Family) -> Result<bool, HarnessError> {
        let library = library();
        let environment = self.environments.get(&subject);
        let installed = self.settings.files.installed(subject, environment, library.as_deref());
        let model = self.settings.files.model(subject, family);
        let mut is_on_disk = true;
        for path in installed.into_iter().chain(model.as_deref()) {
            for file in files_in(path)? {
                is_on_disk &= evict_from_page_cache(&file).is_ok();
            }
        }
        Ok(is_on_disk)
    }

    /// Starts a subject. Returns it and the time until its first answer.
    fn start_once(&self, subject: Subject, family: Family) -> Result<(Server, f64), HarnessError> {
        let ports = free_ports()?;
        let environment = self.environments.get(&subject);
        let command = self.settings.files.command(subject, family, environment, ports)?;
        self.launch(command, ports[0], subject, family.name())
    }

    fn launch(
        &self,
        command: std::process::Command,
        port: u16,
        subject: Subject,
        name: &str,
    ) -> Result<(Server, f64), HarnessError> {
        let log =
            self.settings.files.work.join(format!("{}-{name}.log", subject.title().replace([' ', ','], "")));
        let bodies = self.workload.bodies(subject.protocol(), 1)?;
        let body = bodies.first().map(Vec::as_slice).unwrap_or_default();
        let mut server = Server::start(command, port, &self.server_processors, log)?;
        let took = server.wait_until_ready(&Probe { path: subject.path(1), body, rows: 1 })?;
        Ok((server, took.as_secs_f64()))
    }

    fn load(
        &self,
        server: &Server,
        subject: Subject,
        rows: usize,
        schedule: Schedule,
    ) -> Result<WindowFigures, HarnessError> {
        let bodies = self.workload.bodies(subject.protocol(), rows)?;
        let host = server.address.to_string();
        let plan = RunPlan {
            address: server.address,
            requests: bodies.iter().map(|body| post(&host, subject.path(rows), body)).collect(),
            schedule,
            warm_up: self.settings.warm_up,
            window: self.settings.window,
            max_windows: MAX_WINDOWS,
        };
        let processes = server.processes();
        put_load(&plan, || processes.cpu())
    }

    /// Starts fast subjects again, to time more starts.
    fn start_again(&self, turns: &[(Subject, Family)], report: &mut Report) -> Result<(), HarnessError> {
        for &(subject, family) in turns.iter().filter(|(subject, _)| subject.peer().is_none()) {
            (self.tell)(Progress::Doing(format!("{}, {family}: starting again", subject.title())));
            for _ in 0..STARTS {
                let (_, start) = self.start(subject, family)?;
                report.all_starts.push(start);
            }
        }
        Ok(())
    }

    /// Measures the memory of an Onnward that serves a model of each family, after it has scored with both.
    fn resident_with_both(
        &self,
        turns: &[(Subject, Family)],
    ) -> Result<BTreeMap<Subject, u64>, HarnessError> {
        let mut found = BTreeMap::new();
        for &subject in &self.settings.subjects {
            if subject.backend().is_none() || turns.iter().all(|(present, _)| *present != subject) {
                continue;
            }
            let families: Vec<String> =
                self.settings.families.iter().map(|family| format!("/models/{family}/predict")).collect();
            let [port] = free_ports()?;
            let repository = self.settings.files.both();
            let command = self.settings.files.engine_command(subject, &repository, port);
            let log = self.settings.files.work.join("both.log");
            let mut server = Server::start(command, port, &self.server_processors, log)?;
            for path in &families {
                for rows in [1, 32, 1024] {
                    for body in self.workload.bodies(subject.protocol(), rows)?.iter().take(64) {
                        let probe = Probe { path, body, rows };
                        server.wait_until_ready(&probe)?;
                    }
                }
            }
            found.extend(server.processes().resident().map(|bytes| (subject, bytes)));
        }
        Ok(found)
    }

    fn infos(&self, left_out: &[LeftOut]) -> Result<Vec<SubjectInfo>, HarnessError> {
        let library = library();
        let present = self
            .settings
            .subjects
            .iter()
            .filter(|subject| left_out.iter().all(|missing| missing.subject != **subject));
        let info = |&subject: &Subject| {
            let environment = self.environments.get(&subject);
            let own = vec![format!("onnward {}", env!("CARGO_PKG_VERSION"))];
            let mut installed_bytes = 0;
            for path in self.settings.files.installed(subject, environment, library.as_deref()) {
                installed_bytes += size_of(path)?;
            }
            Ok(SubjectInfo {
                subject,
                title: subject.title(),
                settings: subject.settings(),
                versions: environment.map_or(own, |environment| environment.versions.clone()),
                // The bare handler is a part of this program.
                installed_bytes: (subject != Subject::Bare).then_some(installed_bytes),
            })
        };
        present.map(info).collect()
    }
}

/// Finds ONNX Runtime's library.
fn library() -> Option<PathBuf> {
    onnward_runtime::backend::find_library(None).ok()
}
