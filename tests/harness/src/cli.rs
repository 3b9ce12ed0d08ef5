//! Shared code of the command lines of `onnward-proofs` and `onnward-bench`: arguments, output and progress.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use onnward_models::{Family, UnknownFamily};
use serde::Serialize;

use crate::error::HarnessError;
use crate::interruption::wait_if_ending;

/// Arguments of every command that starts engines.
#[derive(Debug, Args)]
pub struct CommonArguments {
    /// The engine's program [default: onnward-engine beside this program]
    #[arg(long, value_name = "FILE")]
    engine: Option<PathBuf>,
    /// The schema whose sample rows are used for training and requests
    #[arg(long, value_name = "FILE", default_value = "schemas/telco.toml")]
    pub schema: PathBuf,
    /// Output format
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Output::Text)]
    pub output: Output,
}

/// An output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Text for people
    Text,
    /// One JSON document
    Json,
}

impl CommonArguments {
    /// Returns the path of the engine's program.
    ///
    /// # Errors
    /// As [`program`].
    pub fn engine(&self) -> Result<PathBuf, HarnessError> {
        program("onnward-engine", self.engine.as_deref())
    }
}

/// Returns the path of a program: the given one, or the program of this name beside the running one.
///
/// # Errors
/// [`HarnessError::System`] if the path of the running program is unknown.
pub fn program(name: &str, given: Option<&Path>) -> Result<PathBuf, HarnessError> {
    match given {
        Some(path) => Ok(path.to_owned()),
        None => {
            let own = std::env::current_exe().map_err(HarnessError::system("find this program's folder"))?;
            Ok(own.with_file_name(name))
        }
    }
}

/// Converts a command's result to its exit code: success only if all requirements are met. Prints an error.
pub fn exit_code(result: Result<bool, HarnessError>) -> ExitCode {
    wait_if_ending();
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Writes a report to standard output. A closed pipe, as `| head` leaves it, is no error.
///
/// # Errors
/// [`HarnessError::System`] if standard output cannot be written, [`HarnessError::Json`].
pub fn print(output: Output, report: &(impl Serialize + Display)) -> Result<(), HarnessError> {
    let text = match output {
        Output::Text => report.to_string(),
        Output::Json => serde_json::to_string_pretty(report)? + "\n",
    };
    write_out(&text)
}

/// Writes text to standard output and flushes it. A closed pipe is no error.
///
/// # Errors
/// [`HarnessError::System`] if standard output cannot be written.
pub fn write_out(text: &str) -> Result<(), HarnessError> {
    write_to(&mut io::stdout().lock(), text)
}

fn write_to(out: &mut impl Write, text: &str) -> Result<(), HarnessError> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(HarnessError::system("write to standard output")),
    }
}

/// Returns a progress bar on standard error. It draws nothing if standard error is not a terminal.
pub fn bar(length: u64, unit: &'static str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{elapsed:>4} {wide_bar:.cyan/dim} {pos} of {len} {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message(unit);
    bar
}

/// Parses the name of a model family.
///
/// # Errors
/// [`UnknownFamily`].
pub fn family(name: &str) -> Result<Family, UnknownFamily> {
    name.parse()
}

/// Parses a number above 0.
///
/// # Errors
/// A message if the text is not such a number.
pub fn positive(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "it is not a number".to_owned())?;
    if number.is_finite() && number > 0.0 { Ok(number) } else { Err("it must be above 0".to_owned()) }
}

/// Parses an environment variable, `NAME=VALUE`.
///
/// # Errors
/// A message if there is no `=`.
pub fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("it must be of the form NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Broken(io::ErrorKind);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn output_into_a_closed_pipe_is_no_error() {
        assert!(write_to(&mut Broken(io::ErrorKind::BrokenPipe), "figures").is_ok());
        assert!(write_to(&mut Broken(io::ErrorKind::StorageFull), "figures").is_err());
    }

    #[test]
    fn numbers_are_above_zero_and_variables_have_a_value() {
        assert_eq!(positive("0.5"), Ok(0.5));
        assert!(["0", "-1", "NaN", "inf", "many"].into_iter().all(|text| positive(text).is_err()));
        assert_eq!(variable("A=b=c"), Ok(("A".to_owned(), "b=c".to_owned())));
        assert!(variable("A").is_err());
    }
}
