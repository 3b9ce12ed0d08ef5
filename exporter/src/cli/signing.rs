//! The arguments of the commands on keys and signatures.

use std::path::PathBuf;

use clap::Args;

use super::OutputFormat;
use super::repository::ChangeArguments;

/// `keygen`
#[derive(Debug, Args)]
pub struct KeygenArguments {
    /// The name of the files: NAME.pem, which only you can read, and NAME.pub.pem
    #[arg(long, value_name = "NAME")]
    pub out: PathBuf,
    /// Output format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub output: OutputFormat,
}

/// `sign`
#[derive(Debug, Args)]
pub struct SignArguments {
    /// The model
    pub model: String,
    /// The version
    pub version: u64,
    /// The private key: Ed25519, in PEM without a password
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// The repository.
    #[command(flatten)]
    pub change: ChangeArguments,
}
