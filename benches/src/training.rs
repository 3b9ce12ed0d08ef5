//! Training side by side: Onnward's families and scikit-learn's pipelines fit the same table with the same settings on the
//! same cores, each in a process of its own that is measured from outside.

pub(crate) mod cli;
mod fit;
mod report;
mod trainer;

use std::fs::File;
use std::path::{Path, PathBuf};

use onnward_models::{
    CandidateParams, Estimator, Family, ForestParams, LogisticParams, SampleFormat, Settings, write_sample,
};
use onnward_schemas::SchemaFile;
use tempfile::TempDir;

pub use self::fit::{FitSettings, fit};
use self::report::Run;
pub use self::report::{Measured, TrainingReport};
use self::trainer::{Measurement, Trainer, measure};
use crate::error::ProofError;

/// The seeds of the two tables.
const TRAIN_SEED: u64 = 42;
const TEST_SEED: u64 = 43;

/// What is compared.
#[derive(Debug, Clone)]
pub struct TrainingSettings {
    /// The schema whose sample customers are fitted.
    pub schema: PathBuf,
    /// How many rows are fitted.
    pub rows: u64,
    /// How many other rows the fitted models are judged by.
    pub test_rows: u64,
    /// How often each trainer runs; they take turns.
    pub rounds: u64,
    /// The Python that has what `benches/peers/training/requirements.txt` lists.
    pub python: PathBuf,
    /// The program that runs scikit-learn, `benches/peers/training/train.py`.
    pub script: PathBuf,
    /// What is fitted.
    pub tasks: Vec<Task>,
    /// Whether linfa's and smartcore's families run too.
    pub libraries: bool,
}

/// What all trainers are asked for, with the same settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Logistic regression, C = 1, straight lines.
    Straight,
    /// Logistic regression, C = 1, linear splines with the default number of knots.
    Bent,
    /// A random forest with the default settings.
    Forest,
}

impl Task {
    /// Every task.
    pub const ALL: [Self; 3] = [Self::Straight, Self::Bent, Self::Forest];

    /// Its name, as on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Straight => "logistic",
            Self::Bent => "logistic-splines",
            Self::Forest => "forest",
        }
    }

    /// The estimators that can do it, the one that is held against scikit-learn first.
    fn estimators(self) -> Vec<Estimator> {
        let family = match self {
            Self::Straight | Self::Bent => Family::Logistic,
            Self::Forest => Family::Forest,
        };
        Estimator::ALL.into_iter().filter(|estimator| estimator.family == family).collect()
    }

    /// The settings that all trainers have.
    fn params(self, estimator: Estimator) -> CandidateParams {
        let mut params = CandidateParams::default_of(estimator);
        if let (Self::Straight, Settings::Logistic(settings)) = (self, &mut params.settings) {
            settings.knots = 0;
        }
        params
    }

    /// What scikit-learn is told. For logistic regression both forms of its matrix run, and the quicker one counts.
    fn peers(self) -> Vec<Vec<String>> {
        let logistic = |knots: usize| {
            let of =
                |matrix: &str| words(&format!("logistic --knots {knots} --solver lbfgs --matrix {matrix}"));
            vec![of("dense"), of("sparse")]
        };
        match self {
            Self::Straight => logistic(0),
            Self::Bent => logistic(LogisticParams::default().knots),
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
    /// How many processes are measured in all.
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
            estimators.iter().take(if self.libraries { estimators.len() } else { 1 }).map(|estimator| Trainer {
                name: format!("onnward {estimator}"),
                is_peer: false,
                program: None,
                arguments: files(own_words(task, *estimator)),
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

/// Samples the tables and measures all trainers in turns. `on_run` is told what runs next, and when it
/// has run, nothing.
///
/// # Errors
/// [`ProofError`]: a table cannot be drawn, or a trainer does not come to its end.
pub fn run(
    settings: &TrainingSettings,
    mut on_run: impl FnMut(Option<String>),
) -> Result<TrainingReport, ProofError> {
    let folder = TempDir::new().map_err(ProofError::system("make a temporary folder"))?;
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

fn sample(settings: &TrainingSettings, path: &Path, rows: u64, seed: u64) -> Result<(), ProofError> {
    let text = std::fs::read_to_string(&settings.schema).map_err(ProofError::reading(&settings.schema))?;
    let file = SchemaFile::parse(&text)
        .map_err(|source| ProofError::Schema { path: settings.schema.clone(), source })?;
    let table = File::create(path).map_err(ProofError::system(format!("write {}", path.display())))?;
    Ok(write_sample(&file, rows, seed, SampleFormat::Csv, table, |_| ())?)
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// The hidden command of this very program that fits one family.
fn own_words(task: Task, estimator: Estimator) -> Vec<String> {
    words(&format!("fit-once {} {estimator}", task.name()))
}
