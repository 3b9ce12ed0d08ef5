//! What each command does, from its arguments to what it prints.

mod audit;
mod error;
mod inspect;
mod progress;
mod repository;
mod sample;
mod schema;
mod signing;
mod train;

use std::io::{self, Write};
use std::path::Path;

use onnward_repository::{Move, Pointer};
use onnward_schemas::SchemaFile;
use serde::Serialize;

pub use self::error::CommandError;
use crate::cli::{Arguments, Command, OutputFormat, SchemaCommand};

/// Runs a command.
///
/// # Errors
/// [`CommandError`], as one sentence for whoever typed the command.
pub fn run(arguments: Arguments) -> Result<(), CommandError> {
    match arguments.command {
        Command::Schema(SchemaCommand::Infer(arguments)) => schema::infer(&arguments),
        Command::Schema(SchemaCommand::Check(arguments)) => schema::check(&arguments),
        Command::Sample(arguments) => sample::run(&arguments),
        Command::Train(arguments) => train::run(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Publish(arguments) => repository::publish(&arguments),
        Command::Promote(promote) => {
            let step = Move::To(promote.version);
            repository::move_pointer(&promote.model, &Pointer::Alias(promote.alias), step, &promote.change)
        }
        Command::Rollback(back) => {
            repository::move_pointer(&back.model, &Pointer::Alias(back.alias), Move::Back, &back.change)
        }
        Command::Alias(command) => repository::alias(command),
        Command::Keygen(arguments) => signing::keygen(&arguments),
        Command::Sign(arguments) => signing::sign(&arguments),
        Command::Versions(arguments) => repository::versions(&arguments),
        Command::Pin(pin) => {
            repository::move_pointer(&pin.model, &Pointer::Pin, Move::To(pin.version), &pin.change)
        }
        Command::Unpin(unpin) => {
            repository::move_pointer(&unpin.model, &Pointer::Pin, Move::Clear, &unpin.change)
        }
        Command::DeleteVersion(arguments) => repository::delete_version(&arguments),
        Command::Gc(arguments) => repository::gc(&arguments),
        Command::Audit(arguments) => audit::audit(&arguments),
    }
}

fn read_schema(path: &Path) -> Result<SchemaFile, CommandError> {
    let text = std::fs::read_to_string(path).map_err(|source| CommandError::reading(path, source))?;
    SchemaFile::parse(&text).map_err(|source| CommandError::Schema { path: path.to_owned(), source })
}

fn print(format: OutputFormat, result: &(impl Serialize + std::fmt::Display)) -> Result<(), CommandError> {
    match format {
        OutputFormat::Text => print_text(&result.to_string()),
        OutputFormat::Json => print_text(&serde_json::to_string_pretty(result)?),
    }
}

/// Prints to standard output; whoever reads it may stop early (`| head`) without that being an error.
fn print_text(text: &str) -> Result<(), CommandError> {
    match writeln!(io::stdout(), "{}", text.trim_end()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CommandError::Print(error)),
        _ => Ok(()),
    }
}
