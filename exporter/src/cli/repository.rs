//! The arguments of the commands on a model repository.

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use onnward_onnx::ExpectedRows;
use onnward_repository::{DEFAULT_ALIAS, Repository, RepositoryConfig, RepositoryError};
use reqwest::Url;
use url::Host;

use super::OutputFormat;

/// The repository, and the output format.
#[derive(Debug, Args)]
pub struct RepositoryArguments {
    /// The model repository: a folder, file:///folder or s3://bucket/prefix (with the AWS environment
    /// variables)
    #[arg(long, value_name = "URL", env = "ONNWARD_REPOSITORY", hide_env_values = true)]
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

impl ChangeArguments {
    /// Opens the repository to write new versions. It need not exist, and is not created for a dry run.
    ///
    /// # Errors
    /// Those of [`Repository::create`].
    pub fn open_or_create(&self) -> Result<Repository, RepositoryError> {
        self.open_or_create_at(&self.target.config())
    }

    /// Opens the repository with these settings, as [`ChangeArguments::open_or_create`] does.
    ///
    /// # Errors
    /// Those of [`Repository::create`].
    pub fn open_or_create_at(&self, config: &RepositoryConfig) -> Result<Repository, RepositoryError> {
        if self.dry_run { Repository::open_or_empty(config) } else { Repository::create(config) }
    }
}

/// A command that changes what engines serve.
#[derive(Debug, Args)]
pub struct ServingArguments {
    /// The repository.
    #[command(flatten)]
    pub change: ChangeArguments,
    /// Allow a version of other rows: requests that are valid now may become invalid
    #[arg(long)]
    pub other_schema: bool,
    /// The webhooks.
    #[command(flatten)]
    pub webhooks: WebhookArguments,
}

/// The webhooks that are told of a change.
#[derive(Debug, Args)]
pub struct WebhookArguments {
    /// A webhook to tell of the change by a POST of JSON: https, or http on this machine; may be repeated
    #[arg(
        long = "webhook",
        value_name = "URL",
        env = "ONNWARD_WEBHOOKS",
        hide_env_values = true,
        value_delimiter = ',',
        value_parser = WebhookUrl::parse
    )]
    pub urls: Vec<WebhookUrl>,
    /// A file with the secret that signs what webhooks are told [default: the value of ONNWARD_WEBHOOK_SECRET]
    #[arg(long, value_name = "FILE", env = "ONNWARD_WEBHOOK_SECRET_FILE", hide_env_values = true)]
    pub webhook_secret_file: Option<PathBuf>,
}

/// The URL of a webhook. What it is told is encrypted, or stays on this machine.
#[derive(Debug, Clone)]
pub struct WebhookUrl(Url);

impl WebhookUrl {
    /// Parses a URL.
    ///
    /// # Errors
    /// A sentence, for a URL that is neither https nor http on this machine.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| format!("it is not a URL: {error}"))?;
        let is_local = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        match url.scheme() {
            "https" => Ok(Self(url)),
            "http" if is_local => Ok(Self(url)),
            _ => Err("a webhook is https://…, or http://… on this machine".to_owned()),
        }
    }

    /// Returns the URL.
    pub fn url(&self) -> &Url {
        &self.0
    }
}

/// The engines that must serve a version before the command ends.
#[derive(Debug, Args)]
pub struct WaitArguments {
    /// Wait until these engines serve the version; the exit code is 3 if one of them does not
    #[arg(long, value_name = "URL", num_args = 1.., value_delimiter = ',')]
    pub wait: Vec<Url>,
    /// The longest wait, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub wait_timeout: u64,
    /// A file with an API key or token for the engines [default: the value of ONNWARD_ENGINE_KEY]
    #[arg(long, value_name = "FILE", env = "ONNWARD_ENGINE_KEY_FILE", hide_env_values = true)]
    pub engine_key_file: Option<PathBuf>,
}

/// The check of a file before it is published.
#[derive(Debug, Args)]
pub struct CheckArguments {
    /// Check the file on the runtimes of this machine first, by the program onnward-engine beside this one
    /// [default: where it is there]
    #[arg(long, conflicts_with = "no_check")]
    pub check: bool,
    /// Publish without that check
    #[arg(long)]
    pub no_check: bool,
}

/// What a version's manifest says of its origin.
#[derive(Debug, Args)]
pub struct OriginArguments {
    /// A tag of the version; may be repeated
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = tag)]
    pub tags: Vec<(String, String)>,
    /// The author of the version
    #[arg(long, value_name = "NAME")]
    pub author: Option<String>,
    /// The commit of the code that made the version
    #[arg(long, value_name = "COMMIT")]
    pub commit: Option<String>,
}

/// The least age from which records may go: what is younger may belong to a command at work.
const MIN_AGE: Duration = Duration::from_secs(3600);

/// Parses an age, such as `90d`, `12h` or `1y`.
fn age(text: &str) -> Result<Duration, String> {
    let age = humantime::parse_duration(text)
        .map_err(|error| format!("{error}: write a number with its unit, such as 90d or 12h"))?;
    match age < MIN_AGE {
        true => Err("it must be 1h at least: what is younger may belong to a command at work".to_owned()),
        false => Ok(age),
    }
}

/// Parses `KEY=VALUE`.
fn tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err("a tag is written as KEY=VALUE".to_owned()),
    }
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
    /// A config.toml: what an external ONNX file does not say itself, or other serving settings for an
    /// artifact (threshold, label name, segments, revenue)
    #[arg(long, value_name = "FILE.toml")]
    pub config: Option<PathBuf>,
    /// Rows with what an external ONNX file must answer to them, as JSON lines or CSV: a request's fields, and the keys
    /// of an answer (`probability`, the label's name, `probabilities`, `outputs`). Every engine reproduces them first
    #[arg(long, value_name = "FILE")]
    pub golden: Option<PathBuf>,
    /// The largest difference from --golden that counts as the same, up to 0.001; of numbers above 1 relative to them
    #[arg(long, value_name = "SHARE", requires = "golden", default_value_t = ExpectedRows::DEFAULT_TOLERANCE)]
    pub tolerance: f64,
    /// An alias to point at the new version
    #[arg(long, value_name = "NAME")]
    pub alias: Option<String>,
    /// A private key to sign the version with
    #[arg(long, value_name = "FILE")]
    pub sign_key: Option<PathBuf>,
    /// Publish the file although a version with the same bytes is there
    #[arg(long)]
    pub allow_duplicate: bool,
    /// The check.
    #[command(flatten)]
    pub check: CheckArguments,
    /// The origin.
    #[command(flatten)]
    pub origin: OriginArguments,
    /// The repository.
    #[command(flatten)]
    pub serving: ServingArguments,
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
    /// The engines.
    #[command(flatten)]
    pub wait: WaitArguments,
    /// The repository.
    #[command(flatten)]
    pub serving: ServingArguments,
}

/// `rollback`
#[derive(Debug, Args)]
pub struct RollbackArguments {
    /// The model
    pub model: String,
    /// The alias
    #[arg(long, value_name = "NAME", default_value = DEFAULT_ALIAS)]
    pub alias: String,
    /// The engines.
    #[command(flatten)]
    pub wait: WaitArguments,
    /// The repository.
    #[command(flatten)]
    pub serving: ServingArguments,
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
    pub serving: ServingArguments,
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
    pub serving: ServingArguments,
}

/// `alias list`
#[derive(Debug, Args)]
pub struct ModelArguments {
    /// The model
    pub model: String,
    /// The repository.
    #[command(flatten)]
    pub target: RepositoryArguments,
}

/// `pin`
#[derive(Debug, Args)]
pub struct PinArguments {
    /// The model
    pub model: String,
    /// The version
    pub version: u64,
    /// The repository.
    #[command(flatten)]
    pub serving: ServingArguments,
}

/// `delete-version`
#[derive(Debug, Args)]
pub struct VersionArguments {
    /// The model
    pub model: String,
    /// The version
    pub version: u64,
    /// Allow that a version of other rows takes its place: requests that are valid now may become invalid
    #[arg(long)]
    pub other_schema: bool,
    /// The repository.
    #[command(flatten)]
    pub change: ChangeArguments,
}

/// `delete-model`
#[derive(Debug, Args)]
pub struct DeleteModelArguments {
    /// The model
    pub model: String,
    /// Remove the aliases and the pin of the model, too
    #[arg(long)]
    pub with_aliases: bool,
    /// The repository.
    #[command(flatten)]
    pub change: ChangeArguments,
}

/// `versions`
#[derive(Debug, Args)]
pub struct VersionsArguments {
    /// The model
    pub model: String,
    /// Compare the figures and settings of two versions
    #[arg(long, value_name = "VERSION", num_args = 2)]
    pub compare: Option<Vec<u64>>,
    /// The repository.
    #[command(flatten)]
    pub target: RepositoryArguments,
}

/// `models`
#[derive(Debug, Args)]
pub struct ModelsArguments {
    /// The repository.
    #[command(flatten)]
    pub target: RepositoryArguments,
}

/// `history`
#[derive(Debug, Args)]
pub struct HistoryArguments {
    /// The model
    pub model: String,
    /// The alias
    #[arg(default_value = DEFAULT_ALIAS)]
    pub alias: String,
    /// The repository.
    #[command(flatten)]
    pub target: RepositoryArguments,
}

/// `pull`
#[derive(Debug, Args)]
pub struct PullArguments {
    /// The model
    pub model: String,
    /// The version
    pub version: u64,
    /// The folder to write the version's files to
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// The repository.
    #[command(flatten)]
    pub target: RepositoryArguments,
}

/// `copy`
#[derive(Debug, Args)]
pub struct CopyArguments {
    /// The model
    pub model: String,
    /// The version, which keeps its number
    pub version: u64,
    /// The repository to copy from
    #[arg(long, value_name = "URL")]
    pub from: String,
    /// The repository to copy to.
    #[command(flatten)]
    pub serving: ServingArguments,
}

/// `tag`
#[derive(Debug, Args)]
pub struct TagArguments {
    /// The model
    pub model: String,
    /// The version
    pub version: u64,
    /// The tags to add or replace
    #[arg(value_name = "KEY=VALUE", value_parser = tag, required_unless_present = "remove")]
    pub tags: Vec<(String, String)>,
    /// A tag to remove; may be repeated
    #[arg(long, value_name = "KEY")]
    pub remove: Vec<String>,
    /// The repository.
    #[command(flatten)]
    pub change: ChangeArguments,
}

/// `repair`
#[derive(Debug, Args)]
pub struct RepairArguments {
    /// The model [default: every model]
    pub model: Option<String>,
    /// Repair what is found
    #[arg(long)]
    pub fix: bool,
    /// The age in minutes from which a command that left something behind is no longer at work
    #[arg(long, value_name = "MINUTES", default_value_t = 60)]
    pub min_age: u64,
    /// The repository.
    #[command(flatten)]
    pub target: RepositoryArguments,
}

/// `unpin`
#[derive(Debug, Args)]
pub struct UnpinArguments {
    /// The model
    pub model: String,
    /// The repository.
    #[command(flatten)]
    pub serving: ServingArguments,
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
    /// Delete versions, but for this number of the highest and those that are in use [default: delete none]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub keep: Option<u32>,
    /// The age from which records go, such as 90d or 12h: of the audit log, half uploads, earlier moves of
    /// aliases, marks of deleted versions
    #[arg(long, value_name = "AGE", value_parser = age, default_value = "365d")]
    pub older_than: Duration,
    /// The repository.
    #[command(flatten)]
    pub change: ChangeArguments,
}
