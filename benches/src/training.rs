//! Training side by side: Onnward's families and scikit-learn's pipelines fit the same table with the same
//! settings on the same cores, each in a process of its own that is measured from outside.

pub(crate) mod cli;
mod fit;
mod report;
mod trainer;

use std::fs::File;
use std::path::{Path, PathBuf};

use onnward_harness::HarnessError;
use onnward_models::{
    CandidateParams, Estimator, Family, ForestParams, LogisticParams, SampleFormat, Settings, write_sample,
};
use onnward_schemas::SchemaFile;
use tempfile::TempDir;

pub use self::fit::{FitSettings, fit};
use self::report::Run;
pub use self::report::{Measured, TrainingReport};
use self::trainer::{Measurement, Trainer, measure};

/// The seeds of the training and the test table.
const TRAIN_SEED: u64 = 42;
const TEST_SEED: u64 = 43;

/// The settings of the comparison.
#[derive(Debug, Clone)]
pub struct TrainingSettings {
    /// The schema from which rows are sampled.
    pub schema: PathBuf,
    /// The rows of the training table.
    pub rows: u64,
    /// The rows of the test table.
    pub test_rows: u64,
    /// The number of rounds, in which trainers take turns.
    pub rounds: u64,
    /// The Python interpreter, with the packages of `benches/peers/training/requirements.txt`.
    pub python: PathBuf,
    /// The program that runs scikit-learn, `benches/peers/training/train.py`.
    pub script: PathBuf,
    /// The tasks.
    pub tasks: Vec<Task>,
    /// Whether the families of linfa and smartcore also run.
    pub libraries: bool,
}

/// A task for all trainers, with the same settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Logistic regression, C = 1, without splines.
    Linear,
    /// Logistic regression, C = 1, linear splines with the default number of knots.
    Spline,
    /// A random forest with the default settings.
    Forest,
}

impl Task {
    /// All tasks.
    pub const ALL: [Self; 3] = [Self::Linear, Self::Spline, Self::Forest];

    /// Returns the name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Linear => "logistic",
            Self::Spline => "logistic-splines",
            Self::Forest => "forest",
        }
    }

    /// Returns the estimators for the task. The first one is compared with scikit-learn.
    fn estimators(self) -> Vec<Estimator> {
        let family = match self {
            Self::Linear | Self::Spline => Family::Logistic,
            Self::Forest => Family::Forest,
        };
        Estimator::ALL.into_iter().filter(|estimator| estimator.family == family).collect()
    }

    /// Returns the settings of all trainers.
    fn params(self, estimator: Estimator) -> CandidateParams {
        let mut params = CandidateParams::default_of(estimator);
        if let (Self::Linear, Settings::Logistic(settings)) = (self, &mut params.settings) {
            settings.knots = 0;
        }
        params
    }

    /// Returns scikit-learn's arguments. For logistic regression dense and sparse matrices run, and the
    /// faster one counts.
    fn peers(self) -> Vec<Vec<String>> {
        let logistic = |knots: usize| {
            let of =
                |matrix: &str| words(&format!("logistic --knots {knots} --solver lbfgs --matrix {matrix}"));
            vec![of("dense"), of("sparse")]
        };
        match self {
            Self::Linear => logistic(0),
            Self::Spline => logistic(LogisticParams::default().knots),
            Self::Forest => {
                let ForestParams { trees, min_samples_leaf, min_samples_split, .. } = ForestParams::default();
                vec![words(&format!(
                    "forest --trees {trees} --min-samples-leaf {min_samples_leaf} --min-samples-split {min_samples_split}"
                ))]
            }
        }
    }
}

impl TrainingSettings {
    /// Returns the number of measured processes.
    pub fn runs(&self) -> u64 {
        let trainers: usize = self.tasks.iter().map(|task| self.trainers(*task, Path::new("")).len()).sum();
        self.rounds * trainers as u64
    }

    fn trainers(&self, task: Task, folder: &Path) -> Vec<Trainer> {
        let files = |mut words: Vec<String>| {
            let paths = [
                ("--schema", self.schema.clone()),
                ("--train", folder.join("train.csv")),
                ("--test", folder.join("test.csv")),
            ];
            for (option, path) in paths {
                words.extend([option.to_owned(), path.display().to_string()]);
            }
            words
        };
        let estimators = task.estimators();
        let own =
            estimators.iter().take(if self.libraries { estimators.len() } else { 1 }).map(|estimator| {
                Trainer {
                    name: format!("onnward {estimator}"),
                    is_peer: false,
                    program: None,
                    arguments: files(own_words(task, *estimator)),
                }
            });
        let peers = task.peers().into_iter().map(|words| Trainer {
            name: match words.iter().position(|word| word == "--matrix") {
                Some(at) => format!("scikit-learn {}", words.get(at + 1).cloned().unwrap_or_default()),
                None => "scikit-learn".to_owned(),
            },
            is_peer: true,
            program: Some(self.python.clone()),
            arguments: files([vec![self.script.display().to_string()], words].concat()),
        });
        own.chain(peers).collect()
    }
}

/// Samples the tables and measures all trainers in turns. Calls `on_run` with a description before each run,
/// and with `None` after it.
///
/// # Errors
/// [`HarnessError`] if a table cannot be sampled, or a trainer fails.
pub fn run(
    settings: &TrainingSettings,
    mut on_run: impl FnMut(Option<String>),
) -> Result<TrainingReport, HarnessError> {
    let folder = TempDir::new().map_err(HarnessError::system("make a temporary folder"))?;
    sample(settings, &folder.path().join("train.csv"), settings.rows, TRAIN_SEED)?;
    sample(settings, &folder.path().join("test.csv"), settings.test_rows, TEST_SEED)?;
    let mut runs = Vec::new();
    for round in 1..=settings.rounds {
        for task in &settings.tasks {
            for trainer in settings.trainers(*task, folder.path()) {
                on_run(Some(format!("round {round}: {}, {}", task.name(), trainer.name)));
                let Measurement { said, read, fit } = measure(&trainer)?;
                let Trainer { name, is_peer, .. } = trainer;
                runs.push(Run { task: *task, trainer: name, is_peer, said, read, fit });
                on_run(None);
            }
        }
    }
    Ok(TrainingReport::new(settings, &runs))
}

fn sample(settings: &TrainingSettings, path: &Path, rows: u64, seed: u64) -> Result<(), HarnessError> {
    let text = std::fs::read_to_string(&settings.schema).map_err(HarnessError::reading(&settings.schema))?;
    let file = SchemaFile::parse(&text)
        .map_err(|source| HarnessError::Schema { path: settings.schema.clone(), source })?;
    let table = File::create(path).map_err(HarnessError::system(format!("write {}", path.display())))?;
    Ok(write_sample(&file, rows, seed, SampleFormat::Csv, table, |_| ())?)
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Returns the hidden command of this program that fits one estimator.
fn own_words(task: Task, estimator: Estimator) -> Vec<String> {
    words(&format!("fit-once {} {estimator}", task.name()))
}
