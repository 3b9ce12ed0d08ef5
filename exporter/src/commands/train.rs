use std::collections::BTreeMap;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use onnward_models::{
    CandidateParams, Comparison, Dataset, Estimator, Family, ForestParams, LabelSummary, LogisticParams,
    OnInvalid, RidgeParams, SampleFormat, Settings, TrainingPlan, TrainingRun, ValueSummary, train,
    write_sample,
};
use onnward_onnx::Artifact;
use onnward_repository::{
    About, NewVersion, Published, Repository, RepositoryConfig, Signer, check_name, make_writable,
};
use onnward_schemas::{Figures, ModelSummary, TaskKind};
use serde::Serialize;

use super::check::check;
use super::compatibility::{Candidate, check_publication};
use super::progress::TrainingBar;
use super::publish::{Outcome, Publication, publish_new};
use super::repository::block_on;
use super::results::{AliasMove, described};
use super::signing::signer;
use super::stdout::print;
use super::webhooks::{WebhookCall, Webhooks};
use super::{CommandError, read_schema};
use crate::cli::repository::repository_config;
use crate::cli::{DataArguments, InvalidRows, PublishingArguments, TrainArguments};
use crate::export::export;
use crate::report;

/// The result of `train`.
#[derive(Serialize)]
struct TrainResult<'a> {
    comparison: &'a Comparison,
    published: Published,
    /// Whether the version is new. The same bytes are published once.
    changes: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    alias: Option<AliasMove>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    webhooks: Vec<WebhookCall>,
    report: Option<PathBuf>,
}

/// The result of `train --if-absent` if the model exists.
#[derive(Serialize)]
struct Present<'a> {
    model: &'a str,
    /// The highest version in the repository.
    present_version: u64,
}

pub fn run(arguments: &TrainArguments) -> Result<(), CommandError> {
    let PublishingArguments { repository, model, alias, if_absent, sign_key, out, other_schema, .. } =
        &arguments.publishing;
    let format = arguments.output.format;
    for name in [Some(model), alias.as_ref()].into_iter().flatten() {
        check_name(name)?;
    }
    let signer = signer(sign_key.as_deref())?;
    let webhooks = Webhooks::new(&arguments.publishing.webhooks)?;
    let repository = repository_config(repository);
    if *if_absent && let Some(present_version) = highest_version(&repository, model)? {
        return print(format, &Present { model, present_version });
    }
    let data = read_table(&arguments.data, arguments.training.seed)?;
    warn(&data);
    // A repository that cannot be reached, or that serves other rows, is reported before the training.
    block_on(async {
        let repository = Repository::create(&repository)?;
        let status = repository.find_status(model).await?;
        let candidate = Candidate::New(&data.schema);
        let (alias, other_schema) = (alias.as_deref(), (*other_schema).into());
        check_publication(&repository, status.as_ref(), candidate, alias, other_schema).await
    })?;
    if let Some(out) = out {
        make_writable(out).map_err(|source| CommandError::writing(out, source))?;
    }
    let plan = plan_of(arguments, data.labels.task());
    let run = {
        let bar = TrainingBar::new();
        train(&data, &plan, &|progress| bar.show(progress))?
    };

    let artifacts = run.models.iter().map(export).collect::<Result<Vec<_>, _>>()?;
    let report = match out {
        Some(folder) => {
            let page = report::write(&run.comparison, folder)?;
            write_artifacts(folder, &run, &artifacts)?;
            Some(page)
        }
        None => None,
    };
    if !run.comparison.has_signal() {
        let baseline = &run.comparison.baseline.name;
        eprintln!("warning: no model is better than {baseline}: nothing can be learned from this table");
    }
    let outcome = publish_best(&repository, &arguments.publishing, &artifacts, signer.as_ref(), &webhooks)?;
    let Outcome { published, changes, alias, webhooks, .. } = outcome;
    let comparison = &run.comparison;
    print(format, &TrainResult { comparison, published, changes, alias, webhooks, report })
}

fn highest_version(repository: &RepositoryConfig, model: &str) -> Result<Option<u64>, CommandError> {
    block_on(async {
        let status = Repository::open_or_empty(repository)?.find_status(model).await?;
        Ok(status.and_then(|status| Some(status.versions.first()?.version)))
    })
}

/// Reads the table, or draws one from the schema with this seed.
fn read_table(arguments: &DataArguments, seed: u64) -> Result<Dataset, CommandError> {
    let file = read_schema(&arguments.schema)?;
    let on_invalid = match arguments.on_invalid {
        InvalidRows::Fail => OnInvalid::Fail,
        InvalidRows::Skip => OnInvalid::Skip,
    };
    if let Some(path) = &arguments.data {
        return Ok(Dataset::read(path, &file.schema, on_invalid)?);
    }
    let mut table = Vec::new();
    let rows = arguments.sample.unwrap_or_default();
    write_sample(&file, rows, seed, SampleFormat::Csv, &mut table, |_| {})?;
    Ok(Dataset::parse(&table, Path::new("the sample"), &file.schema, on_invalid)?)
}

/// Warns on standard error of skipped rows, and of columns without information.
fn warn(data: &Dataset) {
    if data.skipped_rows > 0 {
        eprintln!("warning: {} invalid rows were skipped:{}", data.skipped_rows, data.skipped);
    }
    let same = data.uninformative();
    if !same.is_empty() {
        eprintln!("warning: nothing can be learned from columns of one value: {}", same.join(", "));
    }
}

fn plan_of(arguments: &TrainArguments, task: TaskKind) -> TrainingPlan {
    let mut estimators = arguments.training.candidates.clone();
    if estimators.is_empty() {
        estimators.extend(Family::for_task(task).iter().copied().map(Estimator::from));
    }
    estimators.sort();
    estimators.dedup();
    let candidates = estimators.into_iter().map(|estimator| params_of(estimator, arguments, task));
    TrainingPlan {
        candidates: candidates.collect(),
        folds: arguments.training.folds,
        seed: arguments.training.seed,
        test_fraction: arguments.training.test_fraction,
    }
}

fn params_of(estimator: Estimator, arguments: &TrainArguments, task: TaskKind) -> CandidateParams {
    let TrainArguments { logistic, forest, ridge, .. } = arguments;
    let settings = match estimator.family {
        Family::Logistic => {
            Settings::Logistic(LogisticParams { c: logistic.logistic_c, knots: logistic.logistic_knots })
        }
        Family::Forest => {
            let default = ForestParams::for_task(task);
            Settings::Forest(ForestParams {
                trees: forest.forest_trees,
                min_samples_leaf: forest.forest_min_samples_leaf.unwrap_or(default.min_samples_leaf),
                min_samples_split: forest.forest_min_samples_split.unwrap_or(default.min_samples_split),
                max_depth: forest.forest_max_depth,
                max_features: forest.forest_max_features,
            })
        }
        Family::Ridge => Settings::Ridge(RidgeParams { alpha: ridge.ridge_alpha, knots: ridge.ridge_knots }),
    };
    CandidateParams { solver: estimator.solver, settings }
}

/// Writes the file of every candidate beside the report, so that one that was not selected can be tried.
/// Deletes files of candidates that only an earlier run had.
fn write_artifacts(folder: &Path, run: &TrainingRun, artifacts: &[Artifact]) -> Result<(), CommandError> {
    for (candidate, artifact) in run.comparison.candidates.iter().zip(artifacts) {
        let path = folder.join(format!("{}.onnx", candidate.estimator));
        std::fs::write(&path, artifact.encode()).map_err(|source| CommandError::writing(&path, source))?;
    }
    let is_candidate =
        |estimator| run.comparison.candidates.iter().any(|candidate| candidate.estimator == estimator);
    for estimator in Estimator::ALL.into_iter().filter(|estimator| !is_candidate(*estimator)) {
        let stale = folder.join(format!("{estimator}.onnx"));
        match std::fs::remove_file(&stale) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(CommandError::writing(&stale, error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Publishes the best model, once it is checked.
fn publish_best(
    repository: &RepositoryConfig,
    arguments: &PublishingArguments,
    artifacts: &[Artifact],
    signer: Option<&Signer>,
    webhooks: &Webhooks,
) -> Result<Outcome, CommandError> {
    let best = artifacts.first().ok_or(onnward_models::TrainingError::NoCandidates)?;
    let (bytes, path) = (best.encode(), Path::new(&arguments.model));
    // What is written by this program is read as strictly as what comes from elsewhere.
    Artifact::decode(&bytes).map_err(|source| CommandError::Artifact { path: path.to_owned(), source })?;
    check(&arguments.check, path, &bytes, None)?;
    let summary = Some(ModelSummary::of(&best.metadata));
    let publication = Publication {
        command: "train",
        model: &arguments.model,
        new: NewVersion {
            bytes,
            fingerprint: Some(best.metadata.schema.fingerprint()),
            signer,
            config: None,
            about: About { summary, ..About::default() },
        },
        schema: &best.metadata.schema,
        alias: arguments.alias.as_deref(),
        other_schema: arguments.other_schema.into(),
        allow_duplicate: false,
        webhooks,
    };
    block_on(async { publish_new(&Repository::create(repository)?, publication, false).await })
}

impl fmt::Display for Present<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { model, present_version } = self;
        writeln!(f, "{model} already has version {present_version}; nothing was trained")
    }
}

impl fmt::Display for TrainResult<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Comparison { data, train_rows, test_rows, .. } = self.comparison;
        let skipped = match data.skipped_rows {
            0 => String::new(),
            skipped => format!(", {skipped} invalid rows skipped"),
        };
        let rows = data.rows;
        let labels = label_in_words(self.comparison);
        writeln!(f, "{rows} rows, {labels}{skipped}; {train_rows} to train, {test_rows} to test")?;
        write_candidates(f, self.comparison)?;
        let Published { model, version, .. } = &self.published;
        match self.changes {
            true => writeln!(f, "\npublished  {}", described(&self.published))?,
            false => writeln!(f, "\nunchanged  {model} version {version} has the same bytes")?,
        }
        if let Some(alias) = &self.alias {
            writeln!(f, "moved      {alias}")?;
        }
        if let Some(report) = &self.report {
            writeln!(f, "report     {}", report.display())?;
        }
        Ok(())
    }
}

/// The number of classes whose shares are listed.
const LISTED_CLASSES: usize = 6;

/// Describes the labels of the table.
fn label_in_words(comparison: &Comparison) -> String {
    let Comparison { data, classes, label, .. } = comparison;
    let percent = |rows: u64| 100.0 * rows as f64 / data.rows.max(1) as f64;
    match &data.label {
        LabelSummary::Binary { positives } => format!("{:.1} % positive", percent(*positives as u64)),
        LabelSummary::Classes { class_rows } => {
            let shares = classes.iter().zip(class_rows).take(LISTED_CLASSES);
            let shares: Vec<String> =
                shares.map(|(class, rows)| format!("{class} {:.1} %", percent(*rows))).collect();
            let more = if classes.len() > LISTED_CLASSES { ", …" } else { "" };
            format!("{} classes ({}{more})", classes.len(), shares.join(", "))
        }
        LabelSummary::Number { mean } => match &data.label_values {
            Some(ValueSummary::Numeric { min, max, .. }) => {
                format!("{label} from {} to {}, {} on average", shown(*min), shown(*max), shown(*mean))
            }
            Some(ValueSummary::Categorical { .. }) | None => format!("{label} {} on average", shown(*mean)),
        },
    }
}

/// Returns the heading of the cross-validated figure, and those of the columns with the figures in them.
fn columns(task: TaskKind) -> (&'static str, &'static [(&'static str, &'static str)]) {
    match task {
        TaskKind::Binary | TaskKind::Raw => (
            "CV AUC",
            &[
                ("test AUC", "roc_auc"),
                ("avg prec", "average_precision"),
                ("accuracy", "accuracy"),
                ("precision", "precision"),
                ("recall", "recall"),
                ("Brier", "brier"),
            ],
        ),
        TaskKind::Classes => (
            "CV log loss",
            &[
                ("log loss", "log_loss"),
                ("accuracy", "accuracy"),
                ("macro F1", "macro_f1"),
                ("wtd F1", "weighted_f1"),
                ("AUC ovr", "roc_auc_ovr"),
                ("top 2", "top_2_accuracy"),
            ],
        ),
        TaskKind::Number => (
            "CV RMSE",
            &[
                ("RMSE", "rmse"),
                ("MAE", "mae"),
                ("median AE", "median_absolute_error"),
                ("R²", "r2"),
                ("bias", "bias"),
            ],
        ),
    }
}

/// Writes a table of the candidates, and of what needs no features.
fn write_candidates(f: &mut fmt::Formatter<'_>, comparison: &Comparison) -> fmt::Result {
    let (validated, columns) = columns(comparison.task);
    write!(f, "\n{:<16} {validated:>16}", "family")?;
    columns.iter().try_for_each(|(title, _)| write!(f, " {title:>9}"))?;
    writeln!(f, " {:>8}", "fit")?;
    let write_figures = |f: &mut fmt::Formatter<'_>, test: &Figures| {
        let figures: BTreeMap<&str, f64> = test.by_name().into_iter().collect();
        columns.iter().try_for_each(|(_, name)| match figures.get(name) {
            Some(figure) => write!(f, " {:>9}", shown(*figure)),
            None => write!(f, " {:>9}", "-"),
        })
    };
    for candidate in &comparison.candidates {
        let folds = &candidate.cross_validation;
        let validated = format!("{} ± {}", shown(folds.mean), shown(folds.std));
        let selected = if candidate.estimator == comparison.selected { "  selected" } else { "" };
        write!(f, "{:<16} {validated:>16}", candidate.estimator)?;
        write_figures(f, &candidate.test)?;
        writeln!(f, " {:>6.1} s{selected}", candidate.fit_seconds)?;
    }
    write!(f, "{:<16} {:>16}", "baseline", "-")?;
    write_figures(f, &comparison.baseline.test)?;
    writeln!(f, " {:>8}  {}", "-", comparison.baseline.name)
}

/// Formats a number with four decimal places, and with fewer where it is large.
fn shown(value: f64) -> String {
    match value.abs() {
        size if size < 1000.0 => format!("{value:.4}"),
        size if size < 1e6 => format!("{value:.1}"),
        _ => format!("{value:.3e}"),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Arguments, Command};

    /// Runs `train` in a folder of its own, with paths in it, on a table that takes no time to fit.
    fn train_in(folder: &Path, model: &str, candidates: &str) -> Result<(), CommandError> {
        let text = |path: &str| folder.join(path).display().to_string();
        let typed = format!(
            "x train --schema {} --data {} --repository {} --out {} --model {model} --candidates {candidates}
             --folds 2 --forest-trees 2",
            text("schema.toml"),
            text("table.csv"),
            text("repository"),
            text("out"),
        );
        match Arguments::try_parse_from(typed.split_whitespace()).unwrap().command {
            Command::Train(arguments) => run(&arguments),
            other => panic!("{other:?}"),
        }
    }

    fn workshop(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("onnward-train-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let rows: String =
            (0..200).map(|row| format!("{}.5,{}\n", row % 40, ["no", "yes"][row % 3 % 2])).collect();
        std::fs::write(folder.join("table.csv"), format!("amount,left\n{rows}")).unwrap();
        let options = onnward_models::InferOptions { name: None, label: Some("left".to_owned()) };
        let schema = onnward_models::infer_schema(&folder.join("table.csv"), &options).unwrap();
        std::fs::write(folder.join("schema.toml"), schema.toml).unwrap();
        folder
    }

    #[test]
    fn a_refused_name_leaves_nothing_behind() {
        let folder = workshop("name");
        let refused = train_in(&folder, "Churn", "logistic").unwrap_err().to_string();
        assert!(refused.contains("\"Churn\" cannot name a model"), "{refused}");
        assert!(!folder.join("out").exists() && !folder.join("repository").exists());
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_repository_that_cannot_be_one_is_refused_before_the_report_is_written() {
        let folder = workshop("repository");
        std::fs::write(folder.join("repository"), "a file").unwrap();
        let refused = train_in(&folder, "churn", "logistic").unwrap_err().to_string();
        assert!(refused.contains("cannot open the model repository"), "{refused}");
        assert!(!folder.join("out").exists());
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_first_model_is_trained_on_a_sample_promoted_and_left_alone_from_then_on() {
        let folder = workshop("first");
        let text = |path: &str| folder.join(path).display().to_string();
        let typed = format!(
            "x train --schema {} --sample 300 --repository {} --model churn --alias champion --if-absent
             --candidates logistic --folds 2",
            text("schema.toml"),
            text("repository"),
        );
        let train = || match Arguments::try_parse_from(typed.split_whitespace()).unwrap().command {
            Command::Train(arguments) => run(&arguments).unwrap(),
            other => panic!("{other:?}"),
        };
        train();
        let entries = folder.join("repository/churn/aliases/champion");
        assert_eq!(std::fs::read_dir(&entries).unwrap().count(), 1);
        train();
        assert_eq!(std::fs::read_dir(&entries).unwrap().count(), 1);
        assert!(!folder.join("repository/churn/2").exists());
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn the_out_folder_holds_the_candidates_of_the_last_run_alone() {
        let folder = workshop("stale");
        train_in(&folder, "churn", "logistic,forest").unwrap();
        std::fs::write(folder.join("out/notes.onnx"), "somebody's own").unwrap();
        train_in(&folder, "churn", "forest").unwrap();
        let kept = |name: &str| folder.join("out").join(name).exists();
        assert!(kept("forest.onnx") && kept("notes.onnx") && !kept("logistic.onnx"));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
