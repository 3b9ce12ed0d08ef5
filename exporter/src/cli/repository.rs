//! The arguments of the commands on a model repository.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use onnward_repository::{DEFAULT_ALIAS, RepositoryConfig};

use super::OutputFormat;

/// The repository, and the output format.
#[derive(Debug, Args)]
pub struct RepositoryArguments {
    /// The model repository: a folder, file:///folder or s3://bucket/prefix (with the AWS environment
    /// variables)
    #[arg(long, value_name = "URL")]
    pub repository: String,
    /// Output format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub output: OutputFormat,
}

/// The repository of a command that changes it.
#[derive(Debug, Args)]
pub struct ChangeArguments {
    /// The repository.
    #[command(flatten)]
    pub target: RepositoryArguments,
    /// Print what would be done, without doing it
    #[arg(long)]
    pub dry_run: bool,
}

impl RepositoryArguments {
    /// Returns the settings of the repository.
    pub fn config(&self) -> RepositoryConfig {
        repository_config(&self.repository)
    }
}

/// Returns the settings of the repository at this location. All others come from the environment.
pub fn repository_config(location: &str) -> RepositoryConfig {
    RepositoryConfig { location: location.to_owned(), ..RepositoryConfig::default() }
}

/// `publish`
#[derive(Debug, Args)]
pub struct PublishArguments {
    /// The ONNX file
    #[arg(value_name = "FILE.onnx")]
    pub file: PathBuf,
    /// The model's name in the repository
    #[arg(long, value_name = "NAME")]
    pub model: String,
    /// The config.toml of an external ONNX file, with what the file does not say itself
    #[arg(long, value_name = "FILE.toml")]
    pub config: Option<PathBuf>,
    /// An alias to point at the new version
    #[arg(long, value_name = "NAME")]
    pub alias: Option<String>,
    /// A private key to sign the version with
    #[arg(long, value_name = "FILE")]
    pub sign_key: Option<PathBuf>,
    /// The repository.
    #[command(flatten)]
    pub change: ChangeArguments,
}

/// `promote`
#[derive(Debug, Args)]
pub struct PromoteArguments {
    /// The model
    pub model: String,
    /// The version to point the alias at
    pub version: u64,
    /// The alias
    #[arg(long, value_name = "NAME", default_value = DEFAULT_ALIAS)]
    pub alias: String,
    /// The repository.
    #[command(flatten)]
    pub change: ChangeArguments,
}

/// `rollback`
#[derive(Debug, Args)]
pub struct RollbackArguments {
    /// The model
    pub model: String,
    /// The alias
    #[arg(long, value_name = "NAME", default_value = DEFAULT_ALIAS)]
    pub alias: String,
    /// The repository.
    #[command(flatten)]
    pub change: ChangeArguments,
}

/// The commands on aliases.
#[derive(Debug, Subcommand)]
pub enum AliasCommand {
    /// List a model's aliases
    #[command(
        after_help = "Example:\n  onnward-exporter alias list churn --repository s3://models/telco --output json"
    )]
    List(ModelArguments),
    /// Point an alias at a version
    #[command(
        after_help = "Example:\n  onnward-exporter alias set churn challenger 4 --repository model-repository"
    )]
    Set(AliasSetArguments),
    /// Delete an alias
    #[command(
        after_help = "Example:\n  onnward-exporter alias delete churn challenger --repository model-repository"
    )]
    Delete(AliasDeleteArguments),
}

/// `alias set`
#[derive(Debug, Args)]
pub struct AliasSetArguments {
    /// The model
    pub model: String,
    /// The alias
    pub alias: String,
    /// The version to point it at
    pub version: u64,
    /// The repository.
    #[command(flatten)]
    pub change: ChangeArguments,
}

/// `alias delete`
#[derive(Debug, Args)]
pub struct AliasDeleteArguments {
    /// The model
    pub model: String,
    /// The alias
    pub alias: String,
    /// The repository.
    #[command(flatten)]
    pub change: ChangeArguments,
}

/// `versions` and `alias list`
#[derive(Debug, Args)]
pub struct ModelArguments {
    /// The model
    pub model: String,
    /// The repository.
    #[command(flatten)]
    pub target: RepositoryArguments,
}

/// `pin` and `delete-version`
#[derive(Debug, Args)]
pub struct VersionArguments {
    /// The model
    pub model: String,
    /// The version
    pub version: u64,
    /// The repository.
    #[command(flatten)]
    pub change: ChangeArguments,
}

/// `unpin`
#[derive(Debug, Args)]
pub struct UnpinArguments {
    /// The model
    pub model: String,
    /// The repository.
    #[command(flatten)]
    pub change: ChangeArguments,
}

/// `audit`
#[derive(Debug, Args)]
pub struct AuditArguments {
    /// The model [default: every model]
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// The time of the first entry, in RFC 3339 [default: the beginning]
    #[arg(long, value_name = "TIME")]
    pub since: Option<DateTime<Utc>>,
    /// The repository.
    #[command(flatten)]
    pub target: RepositoryArguments,
}

/// `gc`
#[derive(Debug, Args)]
pub struct GcArguments {
    /// The model [default: every model]
    pub model: Option<String>,
    /// The number of highest versions that are always kept
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub keep: u32,
    /// The repository.
    #[command(flatten)]
    pub change: ChangeArguments,
}
