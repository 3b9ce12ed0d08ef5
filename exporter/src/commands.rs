//! The commands, from their arguments to the output.

mod audit;
mod error;
mod inspect;
mod progress;
mod repository;
mod sample;
mod schema;
mod signing;
mod stdout;
mod train;

use std::path::Path;

use onnward_repository::{Move, Pointer};
use onnward_schemas::SchemaFile;

pub use self::error::CommandError;
use crate::cli::{Arguments, Command, SchemaCommand};

/// Runs a command.
///
/// # Errors
/// [`CommandError`], with a message for the user.
pub fn run(arguments: Arguments) -> Result<(), CommandError> {
    match arguments.command {
        Command::Schema(SchemaCommand::Infer(arguments)) => schema::infer(&arguments),
        Command::Schema(SchemaCommand::Check(arguments)) => schema::check(&arguments),
        Command::Sample(arguments) => sample::run(&arguments),
        Command::Train(arguments) => train::run(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Publish(arguments) => repository::publish(&arguments),
        Command::Promote(promote) => {
            let (alias, step) = (Pointer::Alias(promote.alias), Move::To(promote.version));
            repository::move_pointer("promote", &promote.model, &alias, step, &promote.change)
        }
        Command::Rollback(back) => {
            let alias = Pointer::Alias(back.alias);
            repository::move_pointer("rollback", &back.model, &alias, Move::Back, &back.change)
        }
        Command::Alias(command) => repository::alias(command),
        Command::Keygen(arguments) => signing::keygen(&arguments),
        Command::Sign(arguments) => signing::sign(&arguments),
        Command::Versions(arguments) => repository::versions(&arguments),
        Command::Pin(pin) => {
            repository::move_pointer("pin", &pin.model, &Pointer::Pin, Move::To(pin.version), &pin.change)
        }
        Command::Unpin(unpin) => {
            repository::move_pointer("unpin", &unpin.model, &Pointer::Pin, Move::Clear, &unpin.change)
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
