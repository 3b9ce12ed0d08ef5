//! The command line. [`crate::commands`] implements the commands.

pub mod engines;
pub mod repository;
pub mod signing;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use onnward_models::{Estimator, ForestParams, LogisticParams, RidgeParams, UnknownEstimator};

use self::engines::{DriftArguments, PerformanceArguments};
use self::repository::{
    AliasCommand, AuditArguments, CopyArguments, DeleteModelArguments, GcArguments, HistoryArguments,
    ModelsArguments, PinArguments, PromoteArguments, PublishArguments, PullArguments, RepairArguments,
    RollbackArguments, TagArguments, UnpinArguments, VersionArguments, VersionsArguments, WebhookArguments,
};
use self::signing::{KeygenArguments, SignArguments};

/// Train models on a table of customers and export them as ONNX, without Python.
#[derive(Debug, Parser)]
#[command(name = "onnward-exporter", version, propagate_version = true)]
#[command(after_help = "Examples:\n  \
    onnward-exporter schema infer customers.csv > customers.toml\n  \
    onnward-exporter train --schema customers.toml --data customers.csv \\\n      \
    --repository model-repository --model churn --out report\n  \
    onnward-exporter inspect model-repository/churn/1/model.onnx\n  \
    onnward-exporter promote churn 1 --repository model-repository\n\n\
    Exit codes: 0 success, 1 failure, 2 invalid command line, 3 changed, but an engine of --wait does not serve it")]
pub struct Arguments {
    /// The command to run.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Propose or check the schema of a table
    #[command(subcommand)]
    Schema(SchemaCommand),
    /// Draw sample customers from a schema's generative model
    #[command(after_help = "Examples:\n  \
        onnward-exporter sample --schema schemas/telco.toml --rows 7000 --seed 42 --out customers.csv\n  \
        onnward-exporter sample --schema schemas/bank.toml --rows 3 --format jsonl")]
    Sample(SampleArguments),
    /// Train, compare, export and publish models
    #[command(after_help = "Examples:\n  \
        onnward-exporter train --schema schemas/telco.toml --data customers.csv \\\n      \
        --repository model-repository --model churn --out report\n  \
        onnward-exporter train --schema schemas/bank.toml --data bank.csv --on-invalid skip \\\n      \
        --candidates forest --forest-trees 300 --output json \\\n      \
        --repository model-repository --model bank\n  \
        onnward-exporter train --schema schemas/telco.toml --sample 7000 --if-absent \\\n      \
        --repository s3://models/telco --model churn --alias champion")]
    Train(Box<TrainArguments>),
    /// Show the content of an ONNX file: inputs, operators, schema, evaluation, digest
    #[command(after_help = "Examples:\n  \
        onnward-exporter inspect model-repository/churn/1/model.onnx\n  \
        onnward-exporter inspect model.onnx --output json")]
    Inspect(InspectArguments),
    /// Publish an ONNX file as the next version of a model
    #[command(after_help = "Examples:\n  \
        onnward-exporter publish model.onnx --repository model-repository --model churn\n  \
        onnward-exporter publish model.onnx --repository s3://models/telco --model churn --alias champion\n  \
        onnward-exporter publish sklearn.onnx --config config.toml \\\n      \
        --repository model-repository --model churn\n  \
        onnward-exporter publish model.onnx --sign-key release.pem \\\n      \
        --repository s3://models/telco --model churn\n  \
        onnward-exporter publish model.onnx --repository model-repository --model churn \\\n      \
        --tag run=1738 --author ada --commit 3f1c2d9\n\n\
        The same bytes and config.toml are published once: a second time, the version that is there is named.")]
    Publish(Box<PublishArguments>),
    /// Point an alias at a version: engines that follow the alias serve it
    #[command(after_help = "Examples:\n  \
        onnward-exporter promote churn 4 --repository s3://models/telco --dry-run\n  \
        onnward-exporter promote churn 4 --repository s3://models/telco\n  \
        onnward-exporter promote churn 5 --alias challenger --repository model-repository --output json\n  \
        onnward-exporter promote churn 4 --repository s3://models/telco \\\n      \
        --wait https://engine-1:8000 https://engine-2:8000")]
    Promote(Box<PromoteArguments>),
    /// Point an alias back at its previous version
    #[command(after_help = "Examples:\n  \
        onnward-exporter rollback churn --repository s3://models/telco\n  \
        onnward-exporter rollback churn --alias challenger --repository model-repository")]
    Rollback(Box<RollbackArguments>),
    /// List, set or delete a model's aliases
    #[command(subcommand)]
    Alias(AliasCommand),
    /// Generate a key pair to sign versions with
    #[command(after_help = "Example:\n  \
        onnward-exporter keygen --out release    # writes release.pem and release.pub.pem\n\n\
        Keys of `openssl genpkey -algorithm ed25519` work too.")]
    Keygen(KeygenArguments),
    /// Sign a published version, as an approval
    #[command(after_help = "Examples:\n  \
        onnward-exporter sign churn 4 --key release.pem --repository s3://models/telco --dry-run\n  \
        onnward-exporter sign churn 4 --key release.pem --repository s3://models/telco\n\n\
        An engine with the public key in signing.public_keys serves only versions that are signed with it.")]
    Sign(SignArguments),
    /// List the models, with the versions that are served
    #[command(after_help = "Example:\n  onnward-exporter models --repository s3://models/telco")]
    Models(ModelsArguments),
    /// List a model's versions, with their figures, tags, aliases and the keys that signed them
    #[command(after_help = "Examples:\n  \
        onnward-exporter versions churn --repository s3://models/telco\n  \
        onnward-exporter versions churn --compare 3 5 --repository s3://models/telco")]
    Versions(VersionsArguments),
    /// List the moves of an alias
    #[command(
        after_help = "Example:\n  onnward-exporter history churn champion --repository s3://models/telco"
    )]
    History(HistoryArguments),
    /// Write a version's files to a folder, once its digest is verified
    #[command(after_help = "Example:\n  \
        onnward-exporter pull churn 3 --out churn-3 --repository s3://models/telco")]
    Pull(PullArguments),
    /// Copy a version from another repository, with its number, digest and signatures
    #[command(after_help = "Example:\n  \
        onnward-exporter copy churn 3 --from s3://staging/telco --repository s3://models/telco\n\n\
        Both stores are opened with AWS's variables, such as AWS_ACCESS_KEY_ID. For the store to copy to, the \
        same variables after ONNWARD_TARGET_ come first, such as ONNWARD_TARGET_AWS_ACCESS_KEY_ID.")]
    Copy(CopyArguments),
    /// Add, replace or remove tags of a version
    #[command(after_help = "Examples:\n  \
        onnward-exporter tag churn 3 reviewed=yes --repository s3://models/telco\n  \
        onnward-exporter tag churn 3 --remove reviewed --repository s3://models/telco")]
    Tag(TagArguments),
    /// Pin a version: engines serve it, regardless of the aliases
    #[command(after_help = "Example:\n  onnward-exporter pin churn 3 --repository s3://models/telco")]
    Pin(PinArguments),
    /// Remove the pin
    #[command(after_help = "Example:\n  onnward-exporter unpin churn --repository s3://models/telco")]
    Unpin(UnpinArguments),
    /// Delete a version that no alias or pin uses
    #[command(
        after_help = "Example:\n  onnward-exporter delete-version churn 2 --repository model-repository"
    )]
    DeleteVersion(VersionArguments),
    /// Delete all versions of a model
    #[command(after_help = "Examples:\n  \
        onnward-exporter delete-model churn --repository s3://models/telco --dry-run\n  \
        onnward-exporter delete-model churn --with-aliases --repository s3://models/telco")]
    DeleteModel(DeleteModelArguments),
    /// Find what interrupted commands have left behind, and repair it with --fix
    #[command(after_help = "Examples:\n  \
        onnward-exporter repair --repository s3://models/telco\n  \
        onnward-exporter repair churn --fix --repository s3://models/telco")]
    Repair(RepairArguments),
    /// Delete old versions that no alias, pin or next rollback uses, and old records
    ///
    /// The version that the next rollback of an alias restores is always kept. Those of a second or third
    /// rollback are deleted, unless they are among the highest versions, which --keep counts.
    ///
    /// Records go by their age. The newest ten moves of each alias and those that the next ten rollbacks go to
    /// are always kept, and so are the marks of the ten highest versions. The audit log is pruned where no model
    /// is named.
    #[command(after_help = "Examples:\n  \
        onnward-exporter gc --keep 5 --repository s3://models/telco --dry-run\n  \
        onnward-exporter gc churn --keep 5 --repository s3://models/telco\n  \
        onnward-exporter gc --older-than 90d --repository s3://models/telco")]
    Gc(GcArguments),
    /// Show who changed a repository, when, from where, and with which result
    ///
    /// Every command that changes a repository writes a record before and after. The name is the value of
    /// ONNWARD_ACTOR, or the user's name.
    #[command(after_help = "Examples:\n  \
        onnward-exporter audit --repository s3://models/telco --since 2026-11-01T00:00:00Z\n  \
        onnward-exporter audit --model churn --repository model-repository --output json")]
    Audit(AuditArguments),
    /// Add the drift of several engines, and compare it with training
    ///
    /// The engines' counts are added, so the report is that of one engine which had seen all rows. An engine that
    /// restarts begins to count anew; with --state, what it had counted before is remembered while it is recent, as of
    /// the last time that this command ran.
    #[command(after_help = "Examples:\n  \
        onnward-exporter drift churn --engines http://engine-1:8000 http://engine-2:8000\n  \
        onnward-exporter drift churn --engines http://engine-1:8000,http://engine-2:8000 --state drift.json \\\n      \
        --html drift.html --output json")]
    Drift(DriftArguments),
    /// Add the measured and estimated performance of several engines
    ///
    /// The figures are computed from the engines' counts, as one engine would that had answered everything. Engines
    /// keep predictions and outcomes over a restart where outcomes.folder does.
    #[command(after_help = "Example:\n  \
        onnward-exporter performance churn --engines http://engine-1:8000 http://engine-2:8000")]
    Performance(PerformanceArguments),
}

/// The commands on schemas.
#[derive(Debug, Subcommand)]
pub enum SchemaCommand {
    /// Propose a schema for a CSV file, to be reviewed and corrected
    #[command(
        after_help = "Example:\n  onnward-exporter schema infer customers.csv > schemas/customers.toml"
    )]
    Infer(InferArguments),
    /// Check a schema, and optionally a table against it
    #[command(
        after_help = "Example:\n  onnward-exporter schema check schemas/telco.toml --data customers.csv"
    )]
    Check(CheckArguments),
}

/// The output format of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum OutputFormat {
    /// Text for people.
    #[default]
    Text,
    /// One JSON document.
    Json,
}

/// `schema infer`
#[derive(Debug, Args)]
pub struct InferArguments {
    /// The table, with a header
    #[arg(value_name = "FILE.csv")]
    pub data: PathBuf,
    /// The column to predict [default: found by its name and values]
    #[arg(long, value_name = "COLUMN")]
    pub label: Option<String>,
    /// The schema's name [default: the file's]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Output format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub output: OutputFormat,
}

/// `schema check`
#[derive(Debug, Args)]
pub struct CheckArguments {
    /// The schema file
    #[arg(value_name = "FILE.toml")]
    pub schema: PathBuf,
    /// A table to check against it
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// Output format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub output: OutputFormat,
}

/// The output format of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum SampleFormat {
    /// A table with a header, identifiers and labels, to train on.
    #[default]
    Csv,
    /// One JSON object of features per line, to post to `/predict`.
    Jsonl,
}

/// `sample`
#[derive(Debug, Args)]
pub struct SampleArguments {
    /// The schema file
    #[arg(long, value_name = "FILE")]
    pub schema: PathBuf,
    /// Number of customers to draw
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub rows: u64,
    /// Seed; the same seed draws the same customers
    #[arg(long, value_name = "N", default_value_t = 42)]
    pub seed: u64,
    /// Output format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub format: SampleFormat,
    /// The file to write [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Format of the result, which is printed where the sample goes to a file
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t, requires = "out")]
    pub output: OutputFormat,
}

/// The handling of invalid rows of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum InvalidRows {
    /// Stop, and list them.
    #[default]
    Fail,
    /// Skip and count them.
    Skip,
}

/// `train`
#[derive(Debug, Args)]
pub struct TrainArguments {
    /// The table.
    #[command(flatten)]
    pub data: DataArguments,
    /// The candidates and their evaluation.
    #[command(flatten)]
    pub training: TrainingArguments,
    /// The settings of logistic regression.
    #[command(flatten)]
    pub logistic: LogisticArguments,
    /// The settings of the random forest.
    #[command(flatten)]
    pub forest: ForestArguments,
    /// The settings of ridge regression.
    #[command(flatten)]
    pub ridge: RidgeArguments,
    /// The destination of the best model.
    #[command(flatten)]
    pub publishing: PublishingArguments,
    /// The form of the result.
    #[command(flatten)]
    pub output: OutputArguments,
}

/// The table of `train`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Data")]
pub struct DataArguments {
    /// The schema file
    #[arg(long, value_name = "FILE")]
    pub schema: PathBuf,
    /// The table to train on
    #[arg(long, value_name = "FILE", required_unless_present = "sample")]
    pub data: Option<PathBuf>,
    /// Train on sample customers drawn from the schema, instead of on a table
    #[arg(long, value_name = "ROWS", conflicts_with = "data")]
    pub sample: Option<u64>,
    /// Action for rows that the schema rejects
    #[arg(long, value_name = "ACTION", value_enum, default_value_t)]
    pub on_invalid: InvalidRows,
}

/// The candidates of `train` and their evaluation.
#[derive(Debug, Args)]
#[command(next_help_heading = "Training")]
pub struct TrainingArguments {
    /// The models to compare: logistic, forest, ridge, linfa-logistic, smartcore-forest [default: logistic,forest; for a
    /// number ridge,forest]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = estimator)]
    pub candidates: Vec<Estimator>,
    /// Number of cross-validation folds
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub folds: usize,
    /// Share of rows held out as the test set
    #[arg(long, value_name = "SHARE", default_value_t = 0.2)]
    pub test_fraction: f64,
    /// Seed of all random choices; the same data and seed produce the same file
    #[arg(long, value_name = "N", default_value_t = 42)]
    pub seed: u64,
}

/// The settings of logistic regression.
#[derive(Debug, Args)]
#[command(next_help_heading = "Logistic regression")]
pub struct LogisticArguments {
    /// Inverse strength of the L2 penalty
    #[arg(long, value_name = "C", default_value_t = LogisticParams::default().c)]
    pub logistic_c: f64,
    /// Number of spline knots of each numeric column; 0 = linear
    #[arg(long, value_name = "N", default_value_t = LogisticParams::default().knots)]
    pub logistic_knots: usize,
}

/// The settings of the random forest.
#[derive(Debug, Args)]
#[command(next_help_heading = "Random forest")]
pub struct ForestArguments {
    /// Number of trees
    #[arg(long, value_name = "N", default_value_t = ForestParams::default().trees)]
    pub forest_trees: usize,
    /// Minimum number of rows in a leaf [default: 20; for a number 5]
    #[arg(long, value_name = "N")]
    pub forest_min_samples_leaf: Option<usize>,
    /// Minimum number of rows in a node that is split [default: 40; for a number 10]
    #[arg(long, value_name = "N")]
    pub forest_min_samples_split: Option<usize>,
    /// Maximum depth of a tree [default: no limit]
    #[arg(long, value_name = "N")]
    pub forest_max_depth: Option<u16>,
    /// Number of columns considered at each split [default: the square root of all; for a number a third]
    #[arg(long, value_name = "N")]
    pub forest_max_features: Option<usize>,
}

/// The settings of ridge regression.
#[derive(Debug, Args)]
#[command(next_help_heading = "Ridge regression")]
pub struct RidgeArguments {
    /// Strength of the L2 penalty
    #[arg(long, value_name = "ALPHA", default_value_t = RidgeParams::default().alpha)]
    pub ridge_alpha: f64,
    /// Number of spline knots of each numeric column; 0 = linear
    #[arg(long, value_name = "N", default_value_t = RidgeParams::default().knots)]
    pub ridge_knots: usize,
}

/// The destination of the best model of `train`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Publishing")]
pub struct PublishingArguments {
    /// The model repository: a folder, file:///folder or s3://bucket/prefix
    #[arg(long, value_name = "URL", env = "ONNWARD_REPOSITORY", hide_env_values = true)]
    pub repository: String,
    /// The model's name in the repository
    #[arg(long, value_name = "NAME")]
    pub model: String,
    /// An alias to point at the new version
    #[arg(long, value_name = "NAME")]
    pub alias: Option<String>,
    /// Do nothing, and succeed, if the model already has a version
    #[arg(long)]
    pub if_absent: bool,
    /// A private key to sign the version with
    #[arg(long, value_name = "FILE")]
    pub sign_key: Option<PathBuf>,
    /// A folder for the report and the ONNX file of every candidate
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Allow a version of other rows: requests that are valid now may become invalid
    #[arg(long)]
    pub other_schema: bool,
    /// Whether the model is checked on the runtimes of this machine.
    #[command(flatten)]
    pub check: repository::CheckArguments,
    /// The webhooks.
    #[command(flatten)]
    pub webhooks: WebhookArguments,
}

/// The form of a result.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArguments {
    /// Output format
    #[arg(long = "output", value_name = "FORMAT", value_enum, default_value_t)]
    pub format: OutputFormat,
}

/// `inspect`
#[derive(Debug, Args)]
pub struct InspectArguments {
    /// The ONNX file
    #[arg(value_name = "FILE.onnx")]
    pub file: PathBuf,
    /// Output format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub output: OutputFormat,
}

/// Parses an estimator's name, with blanks around it: `logistic, forest` is a list too.
fn estimator(name: &str) -> Result<Estimator, UnknownEstimator> {
    name.trim().parse()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use onnward_models::Family;

    use super::*;

    #[test]
    fn a_list_of_candidates_may_hold_blanks() {
        let parse = |candidates: &str| {
            let required =
                ["x", "train", "--schema", "s", "--data", "d", "--repository", "r", "--model", "m"];
            Arguments::try_parse_from(required.into_iter().chain(["--candidates", candidates]))
        };
        match parse("logistic, forest").unwrap().command {
            Command::Train(train) => {
                let families = [Family::Logistic, Family::Forest].map(Estimator::from);
                assert_eq!(train.training.candidates, families);
            }
            other => panic!("{other:?}"),
        }
        assert!(parse("logistic, svm").unwrap_err().to_string().contains("\"svm\" is not a candidate"));
    }

    /// Value names name the kind of value (`<FILE>`), and do not repeat the option (`<SCHEMA>`).
    #[test]
    fn every_option_that_takes_a_value_says_what_it_is() {
        fn check(command: &clap::Command) {
            const KINDS: [&str; 23] = [
                "ACTION",
                "AGE",
                "ALPHA",
                "C",
                "COLUMN",
                "COMMIT",
                "KEY",
                "KEY=VALUE",
                "MINUTES",
                "SECONDS",
                "VERSION",
                "WINDOW",
                "DIR",
                "FILE",
                "FILE.toml",
                "FORMAT",
                "N",
                "NAME",
                "NAMES",
                "ROWS",
                "SHARE",
                "TIME",
                "URL",
            ];
            for option in command.get_opts() {
                let what = format!("{} {}", command.get_name(), option.get_id());
                let values = option.get_value_names().unwrap_or_default();
                let takes_value = option.get_action().takes_values();
                assert!(!takes_value || values.iter().all(|value| KINDS.contains(&value.as_str())), "{what}");
                assert!(option.get_help().is_some(), "{what}");
            }
            command.get_subcommands().for_each(check);
        }
        check(&Arguments::command());
    }

    #[test]
    fn the_options_of_train_are_under_headings() {
        let command = Arguments::command();
        let train = command.find_subcommand("train").unwrap();
        let mut headings: Vec<&str> =
            train.get_opts().filter_map(|option| option.get_help_heading()).collect();
        assert_eq!(headings.len(), train.get_opts().count());
        headings.dedup();
        let expected = [
            "Data",
            "Training",
            "Logistic regression",
            "Random forest",
            "Ridge regression",
            "Publishing",
            "Output",
        ];
        assert_eq!(headings, expected);
    }
}
