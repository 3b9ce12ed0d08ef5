//! The command line as it is typed. What it means is decided in [`crate::commands`].

pub mod repository;
pub mod signing;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use onnward_models::{Family, UnknownFamily};

use self::repository::{
    AliasCommand, AuditArguments, GcArguments, ModelArguments, PromoteArguments, PublishArguments,
    RollbackArguments, UnpinArguments, VersionArguments,
};
use self::signing::{KeygenArguments, SignArguments};

/// Train models on a table of customers and export them as ONNX, without Python.
#[derive(Debug, Parser)]
#[command(name = "onnward-exporter", version, propagate_version = true)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the exporter can do.
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
        --candidates forest --forest-trees 300 --repository model-repository --model bank --output json\n  \
        onnward-exporter train --schema schemas/telco.toml --sample 7000 --if-absent \\\n      \
        --repository s3://models/telco --model churn --alias champion")]
    Train(Box<TrainArguments>),
    /// Show what an ONNX file holds: inputs, operators, schema, figures, digest
    #[command(after_help = "Examples:\n  \
        onnward-exporter inspect model-repository/churn/1/model.onnx\n  \
        onnward-exporter inspect model.onnx --output json")]
    Inspect(InspectArguments),
    /// Write an ONNX file into a model repository as the next version of a model
    #[command(after_help = "Examples:\n  \
        onnward-exporter publish model.onnx --repository model-repository --model churn\n  \
        onnward-exporter publish model.onnx --repository s3://models/telco --model churn --alias champion\n  \
        onnward-exporter publish sklearn.onnx --repository model-repository --model churn --config config.toml\n  \
        onnward-exporter publish model.onnx --repository s3://models/telco --model churn --sign-key release.pem")]
    Publish(PublishArguments),
    /// Let an alias name a version: the engines that follow it serve that one
    #[command(after_help = "Examples:\n  \
        onnward-exporter promote churn 4 --repository s3://models/telco --dry-run\n  \
        onnward-exporter promote churn 4 --repository s3://models/telco\n  \
        onnward-exporter promote churn 5 --alias challenger --repository model-repository --output json")]
    Promote(PromoteArguments),
    /// Let an alias name the version that it named before
    #[command(after_help = "Examples:\n  \
        onnward-exporter rollback churn --repository s3://models/telco\n  \
        onnward-exporter rollback churn --alias challenger --repository model-repository")]
    Rollback(RollbackArguments),
    /// List, set or delete a model's aliases
    #[command(subcommand)]
    Alias(AliasCommand),
    /// Make a key to sign versions with: a private and a public file
    #[command(after_help = "Example:\n  \
        onnward-exporter keygen --out release    # writes release.pem and release.pub.pem\n\n\
        Keys of `openssl genpkey -algorithm ed25519` are as good.")]
    Keygen(KeygenArguments),
    /// Sign a version that is published, as an approval
    #[command(after_help = "Examples:\n  \
        onnward-exporter sign churn 4 --key release.pem --repository s3://models/telco --dry-run\n  \
        onnward-exporter sign churn 4 --key release.pem --repository s3://models/telco\n\n\
        An engine whose signing.public_keys name the public key serves what is signed with it, and nothing else.")]
    Sign(SignArguments),
    /// List a model's versions, what names them and the keys whose signatures lie beside them
    #[command(after_help = "Example:\n  onnward-exporter versions churn --repository s3://models/telco")]
    Versions(ModelArguments),
    /// Serve this version whatever the aliases say
    #[command(after_help = "Example:\n  onnward-exporter pin churn 3 --repository s3://models/telco")]
    Pin(VersionArguments),
    /// Let the aliases decide again
    #[command(after_help = "Example:\n  onnward-exporter unpin churn --repository s3://models/telco")]
    Unpin(UnpinArguments),
    /// Delete a version that no alias and no pin needs
    #[command(
        after_help = "Example:\n  onnward-exporter delete-version churn 2 --repository model-repository"
    )]
    DeleteVersion(VersionArguments),
    /// Delete old versions, but none that an alias or a pin names or a rollback would go to
    ///
    /// Of an alias, the next rollback is sure to find its version. Those that a second or third rollback would go to are
    /// deleted unless they are among the highest, which --keep counts.
    #[command(after_help = "Examples:\n  \
        onnward-exporter gc --keep 5 --repository s3://models/telco --dry-run\n  \
        onnward-exporter gc churn --keep 5 --repository s3://models/telco")]
    Gc(GcArguments),
    /// Show who did what to a repository, when, from where, and how it ended
    ///
    /// Every command that changes something puts that on record before and after. The name is ONNWARD_ACTOR's, or the system's.
    #[command(after_help = "Examples:\n  \
        onnward-exporter audit --repository s3://models/telco --since 2026-11-01T00:00:00Z\n  \
        onnward-exporter audit --model churn --repository model-repository --output json")]
    Audit(AuditArguments),
}

/// What can be done with a schema.
#[derive(Debug, Subcommand)]
pub enum SchemaCommand {
    /// Propose a schema for a CSV file, to be read and corrected
    #[command(
        after_help = "Example:\n  onnward-exporter schema infer customers.csv > schemas/customers.toml"
    )]
    Infer(InferArguments),
    /// Check a schema, and a table against it if one is given
    #[command(
        after_help = "Example:\n  onnward-exporter schema check schemas/telco.toml --data customers.csv"
    )]
    Check(CheckArguments),
}

/// How a result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum OutputFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON document, for programs.
    Json,
}

/// `schema infer`
#[derive(Debug, Args)]
pub struct InferArguments {
    /// The table, with a header
    pub data: PathBuf,
    /// The column to predict, where it cannot be guessed
    #[arg(long)]
    pub label: Option<String>,
    /// The schema's name [default: the file's]
    #[arg(long)]
    pub name: Option<String>,
}

/// `schema check`
#[derive(Debug, Args)]
pub struct CheckArguments {
    /// The schema file
    pub schema: PathBuf,
    /// A table to read by it
    #[arg(long)]
    pub data: Option<PathBuf>,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t)]
    pub output: OutputFormat,
}

/// The form in which sample customers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum SampleFormat {
    /// A table with a header, identifiers and labels, to train on.
    #[default]
    Csv,
    /// A JSON object of features a line, to post to `/predict`.
    Jsonl,
}

/// `sample`
#[derive(Debug, Args)]
pub struct SampleArguments {
    /// The schema file
    #[arg(long)]
    pub schema: PathBuf,
    /// How many customers to draw
    #[arg(long, default_value_t = 1000)]
    pub rows: u64,
    /// The same seed draws the same customers
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    /// The form of the output
    #[arg(long, value_enum, default_value_t)]
    pub format: SampleFormat,
    /// The file to write [default: standard output]
    #[arg(long)]
    pub out: Option<PathBuf>,
}

/// What becomes of a table with invalid rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum InvalidRows {
    /// Stop and list them.
    #[default]
    Fail,
    /// Leave them out and count them.
    Skip,
}

/// `train`
#[derive(Debug, Args)]
pub struct TrainArguments {
    /// The schema file
    #[arg(long)]
    pub schema: PathBuf,
    /// The table to train on
    #[arg(long, required_unless_present = "sample")]
    pub data: Option<PathBuf>,
    /// Instead of a table: how many sample customers to draw from the schema and train on
    #[arg(long, value_name = "ROWS", conflicts_with = "data")]
    pub sample: Option<u64>,
    /// The model repository to publish the best model to: a folder, file:///folder or s3://bucket/prefix
    #[arg(long, value_name = "URL")]
    pub repository: String,
    /// The model's name in the repository
    #[arg(long)]
    pub model: String,
    /// The model families to compare: logistic, forest, linfa-logistic, smartcore-forest
    #[arg(long, value_delimiter = ',', value_parser = family, default_value = "logistic,forest")]
    pub candidates: Vec<Family>,
    /// The number of folds of the cross-validation
    #[arg(long, default_value_t = 5)]
    pub folds: usize,
    /// The seed of every random choice; the same data and seed give the same file
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    /// The share of rows that is held out for the final figures
    #[arg(long, default_value_t = 0.2)]
    pub test_fraction: f64,
    /// What to do with rows that the schema does not accept
    #[arg(long, value_enum, default_value_t)]
    pub on_invalid: InvalidRows,
    /// An alias to move to the new version
    #[arg(long)]
    pub alias: Option<String>,
    /// Do nothing, and succeed, if the model has a version already
    #[arg(long)]
    pub if_absent: bool,
    /// A private key to sign the version with
    #[arg(long, value_name = "FILE")]
    pub sign_key: Option<PathBuf>,
    /// A folder for the report and every candidate's ONNX file
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t)]
    pub output: OutputFormat,
    /// The settings of the families.
    #[command(flatten)]
    pub settings: FamilySettings,
}

/// The settings of the model families; whatever is not given has its default.
#[derive(Debug, Args)]
pub struct FamilySettings {
    /// Logistic regression: the inverse strength of the L2 penalty
    #[arg(long, value_name = "C")]
    pub logistic_c: Option<f64>,
    /// Logistic regression: in how many places the log-odds may bend along a numeric column
    #[arg(long, value_name = "N")]
    pub logistic_knots: Option<usize>,
    /// Forest: the number of trees
    #[arg(long, value_name = "N")]
    pub forest_trees: Option<usize>,
    /// Forest: the fewest rows in a leaf
    #[arg(long, value_name = "N")]
    pub forest_min_samples_leaf: Option<usize>,
    /// Forest: the fewest rows in a node that is split
    #[arg(long, value_name = "N")]
    pub forest_min_samples_split: Option<usize>,
    /// Forest: the greatest depth of a tree [default: no limit]
    #[arg(long, value_name = "N")]
    pub forest_max_depth: Option<u16>,
    /// Forest: how many columns are tried at a split [default: the square root of their number]
    #[arg(long, value_name = "N")]
    pub forest_max_features: Option<usize>,
}

/// `inspect`
#[derive(Debug, Args)]
pub struct InspectArguments {
    /// The ONNX file
    pub file: PathBuf,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t)]
    pub output: OutputFormat,
}

/// A family's name, with blanks around it: `logistic, forest` is a list too.
fn family(name: &str) -> Result<Family, UnknownFamily> {
    name.trim().parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_candidates_may_hold_blanks() {
        let parse = |candidates: &str| {
            let required =
                ["x", "train", "--schema", "s", "--data", "d", "--repository", "r", "--model", "m"];
            Arguments::try_parse_from(required.into_iter().chain(["--candidates", candidates]))
        };
        match parse("logistic, forest").unwrap().command {
            Command::Train(train) => assert_eq!(train.candidates, [Family::Logistic, Family::Forest]),
            other => panic!("{other:?}"),
        }
        assert!(parse("logistic, svm").unwrap_err().to_string().contains("\"svm\" is not a model family"));
    }
}
