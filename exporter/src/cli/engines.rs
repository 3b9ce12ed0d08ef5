//! The arguments of the commands that add what several engines report.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use reqwest::Url;

use super::OutputFormat;

/// The engines whose reports are added.
#[derive(Debug, Args)]
pub struct EnginesArguments {
    /// The engines
    #[arg(long, value_name = "URL", num_args = 1.., value_delimiter = ',', required = true)]
    pub engines: Vec<Url>,
    /// A file with an API key or token for the engines [default: the value of ONNWARD_ENGINE_KEY]
    #[arg(long, value_name = "FILE", env = "ONNWARD_ENGINE_KEY_FILE", hide_env_values = true)]
    pub engine_key_file: Option<PathBuf>,
    /// The version [default: the one that the engines serve]
    #[arg(long = "model-version", value_name = "VERSION")]
    pub version: Option<u64>,
    /// Output format
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub output: OutputFormat,
}

impl EnginesArguments {
    /// Returns the engines, each once: one that is named twice would be counted twice.
    pub fn distinct(&self) -> Vec<Url> {
        let mut engines = self.engines.clone();
        engines.sort();
        engines.dedup();
        engines
    }
}

/// A window of a drift report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Window {
    /// The window that ends now.
    #[default]
    Sliding,
    /// The last whole window of each engine.
    Tumbling,
}

/// `drift`
#[derive(Debug, Args)]
pub struct DriftArguments {
    /// The model
    pub model: String,
    /// The engines.
    #[command(flatten)]
    pub engines: EnginesArguments,
    /// The window that the table and the page show
    #[arg(long, value_name = "WINDOW", value_enum, default_value_t)]
    pub window: Window,
    /// A file in which what each engine has counted is remembered over its restarts
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// Write the report as an HTML page, too
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// `performance`
#[derive(Debug, Args)]
pub struct PerformanceArguments {
    /// The model
    pub model: String,
    /// The engines.
    #[command(flatten)]
    pub engines: EnginesArguments,
}
