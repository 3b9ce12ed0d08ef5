//! The commands, from their arguments to the output.

mod audit;
mod calls;
mod catalog;
mod check;
mod combined_drift;
mod combined_performance;
mod comparison;
mod compatibility;
mod error;
mod gc;
mod inspect;
mod progress;
mod publish;
mod repository;
mod results;
mod sample;
mod schema;
mod signing;
mod stdout;
mod target_store;
mod train;
mod version_file;
mod webhooks;

use std::path::Path;

use onnward_repository::{Move, Pointer};
use onnward_schemas::SchemaFile;

pub use self::error::{CommandError, FAILURE, NOT_SERVED, USAGE_ERROR};
use self::repository::{PointerMove, move_pointer};
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
        Command::Publish(arguments) => publish::publish(&arguments),
        Command::Promote(promote) => move_pointer(PointerMove {
            command: "promote",
            model: &promote.model,
            pointer: Pointer::Alias(promote.alias),
            step: Move::To(promote.version),
            serving: &promote.serving,
            wait: Some(&promote.wait),
        }),
        Command::Rollback(back) => move_pointer(PointerMove {
            command: "rollback",
            model: &back.model,
            pointer: Pointer::Alias(back.alias),
            step: Move::Back,
            serving: &back.serving,
            wait: Some(&back.wait),
        }),
        Command::Alias(command) => repository::alias(command),
        Command::Keygen(arguments) => signing::keygen(&arguments),
        Command::Sign(arguments) => signing::sign(&arguments),
        Command::Models(arguments) => catalog::models(&arguments),
        Command::Versions(arguments) => catalog::versions(&arguments),
        Command::History(arguments) => catalog::history(&arguments),
        Command::Pull(arguments) => catalog::pull(&arguments),
        Command::Copy(arguments) => catalog::copy(&arguments),
        Command::Tag(arguments) => catalog::tag(&arguments),
        Command::Pin(pin) => move_pointer(PointerMove {
            command: "pin",
            model: &pin.model,
            pointer: Pointer::Pin,
            step: Move::To(pin.version),
            serving: &pin.serving,
            wait: None,
        }),
        Command::Unpin(unpin) => move_pointer(PointerMove {
            command: "unpin",
            model: &unpin.model,
            pointer: Pointer::Pin,
            step: Move::Clear,
            serving: &unpin.serving,
            wait: None,
        }),
        Command::DeleteModel(arguments) => repository::delete_model(&arguments),
        Command::Repair(arguments) => catalog::repair(&arguments),
        Command::DeleteVersion(arguments) => repository::delete_version(&arguments),
        Command::Gc(arguments) => gc::gc(&arguments),
        Command::Audit(arguments) => audit::audit(&arguments),
        Command::Drift(arguments) => combined_drift::drift(&arguments),
        Command::Performance(arguments) => combined_performance::performance(&arguments),
    }
}

fn read_schema(path: &Path) -> Result<SchemaFile, CommandError> {
    let text = std::fs::read_to_string(path).map_err(|source| CommandError::reading(path, source))?;
    SchemaFile::parse(&text).map_err(|source| CommandError::Schema { path: path.to_owned(), source })
}
