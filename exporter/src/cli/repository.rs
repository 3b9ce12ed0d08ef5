//! The commands on a model repository, as they are typed.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use onnward_repository::{DEFAULT_ALIAS, RepositoryConfig};

use super::OutputFormat;

/// Which repository, and how the result is printed.
#[derive(Debug, Args)]
pub struct RepositoryArguments {
    /// The model repository: a folder, file:///folder or s3://bucket/prefix (with AWS's environment variables)
    #[arg(long, value_name = "URL")]
    pub repository: String,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t)]
    pub output: OutputFormat,
}

/// As [`RepositoryArguments`], for a command that changes something.
#[derive(Debug, Args)]
pub struct ChangeArguments {
    /// Which repository.
    #[command(flatten)]
    pub target: RepositoryArguments,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

impl RepositoryArguments {
    /// The repository to open.
    pub fn config(&self) -> RepositoryConfig {
        repository_config(&self.repository)
    }
}

/// A repository whose settings all come from the environment.
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
    #[arg(long)]
    pub model: String,
    /// For an ONNX file of another program: the config.toml that says what it leaves open
    #[arg(long, value_name = "FILE.toml")]
    pub config: Option<PathBuf>,
    /// An alias to move to the new version
    #[arg(long)]
    pub alias: Option<String>,
    /// A private key to sign the version with
    #[arg(long, value_name = "FILE")]
    pub sign_key: Option<PathBuf>,
    /// Which repository.
    #[command(flatten)]
    pub change: ChangeArguments,
}

/// `promote`
#[derive(Debug, Args)]
pub struct PromoteArguments {
    /// The model
    pub model: String,
    /// The version that the alias is to name
    pub version: u64,
    /// The alias
    #[arg(long, default_value = DEFAULT_ALIAS)]
    pub alias: String,
    /// Which repository.
    #[command(flatten)]
    pub change: ChangeArguments,
}

/// `rollback`
#[derive(Debug, Args)]
pub struct RollbackArguments {
    /// The model
    pub model: String,
    /// The alias
    #[arg(long, default_value = DEFAULT_ALIAS)]
    pub alias: String,
    /// Which repository.
    #[command(flatten)]
    pub change: ChangeArguments,
}

/// What can be done with aliases.
#[derive(Debug, Subcommand)]
pub enum AliasCommand {
    /// List a model's aliases
    #[command(
        after_help = "Example:\n  onnward-exporter alias list churn --repository s3://models/telco --output json"
    )]
    List(ModelArguments),
    /// Let an alias name a version
    #[command(
        after_help = "Example:\n  onnward-exporter alias set churn challenger 4 --repository model-repository"
    )]
    Set(AliasSetArguments),
    /// Let an alias name nothing
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
    /// The version that it is to name
    pub version: u64,
    /// Which repository.
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
    /// Which repository.
    #[command(flatten)]
    pub change: ChangeArguments,
}

/// `versions` and `alias list`
#[derive(Debug, Args)]
pub struct ModelArguments {
    /// The model
    pub model: String,
    /// Which repository.
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
    /// Which repository.
    #[command(flatten)]
    pub change: ChangeArguments,
}

/// `unpin`
#[derive(Debug, Args)]
pub struct UnpinArguments {
    /// The model
    pub model: String,
    /// Which repository.
    #[command(flatten)]
    pub change: ChangeArguments,
}

/// `audit`
#[derive(Debug, Args)]
pub struct AuditArguments {
    /// The model [default: every model]
    #[arg(long)]
    pub model: Option<String>,
    /// From which time on, in RFC 3339 [default: from the beginning]
    #[arg(long, value_name = "TIME")]
    pub since: Option<DateTime<Utc>>,
    /// Which repository.
    #[command(flatten)]
    pub target: RepositoryArguments,
}

/// `gc`
#[derive(Debug, Args)]
pub struct GcArguments {
    /// The model [default: every model]
    pub model: Option<String>,
    /// How many of the highest versions stay in any case
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub keep: u32,
    /// Which repository.
    #[command(flatten)]
    pub change: ChangeArguments,
}
