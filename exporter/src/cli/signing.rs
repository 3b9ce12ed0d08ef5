//! The commands on keys and signatures, as they are typed.

use std::path::PathBuf;

use clap::Args;

use super::OutputFormat;
use super::repository::ChangeArguments;

/// `keygen`
#[derive(Debug, Args)]
pub struct KeygenArguments {
    /// Where the key goes: NAME.pem, which only you can read, and NAME.pub.pem
    #[arg(long, value_name = "NAME")]
    pub out: PathBuf,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t)]
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
    /// Which repository.
    #[command(flatten)]
    pub change: ChangeArguments,
}
