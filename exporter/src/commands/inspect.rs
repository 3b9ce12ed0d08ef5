use super::{CommandError, print};
use crate::cli::InspectArguments;
use crate::inspect::inspect;

pub fn run(arguments: &InspectArguments) -> Result<(), CommandError> {
    let path = &arguments.file;
    let bytes = std::fs::read(path).map_err(|source| CommandError::reading(path, source))?;
    let inspection =
        inspect(&bytes).map_err(|source| CommandError::Artifact { path: path.clone(), source })?;
    print(arguments.output, &inspection)
}
