use std::io::ErrorKind;

use onnward_schemas::layout::CONFIG_FILE;

use super::CommandError;
use super::stdout::print;
use crate::cli::InspectArguments;
use crate::inspect::inspect;

pub fn run(arguments: &InspectArguments) -> Result<(), CommandError> {
    let path = &arguments.file;
    let bytes = std::fs::read(path).map_err(|source| CommandError::reading(path, source))?;
    let beside = path.with_file_name(CONFIG_FILE);
    let config = match std::fs::read_to_string(&beside) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(source) => return Err(CommandError::reading(&beside, source)),
    };
    let inspection = inspect(&bytes, config.as_deref())
        .map_err(|source| CommandError::Artifact { path: path.clone(), source })?;
    print(arguments.output, &inspection)
}
