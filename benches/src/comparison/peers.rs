//! The peers' environments: each has its pinned requirements installed into a folder of its own, once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use onnward_harness::HarnessError;

/// A Python environment that is ready.
#[derive(Debug, Clone)]
pub struct Environment {
    /// Its folder.
    pub folder: PathBuf,
    /// The requested packages that are installed in it, as `name version`.
    pub versions: Vec<String>,
}

/// The file in an environment that says which requirements were installed to the end.
const INSTALLED: &str = "installed.txt";

impl Environment {
    /// Creates the environment in `folder` with these requirements, unless it exists.
    ///
    /// # Errors
    /// A sentence that says why there is none: no Python, or no network.
    pub fn prepare(python: &str, requirements: &Path, folder: PathBuf) -> Result<Self, String> {
        let wanted = fs::read_to_string(requirements)
            .map_err(|error| format!("cannot read {}: {error}", requirements.display()))?;
        if fs::read_to_string(folder.join(INSTALLED)).ok().as_deref() != Some(&wanted) {
            install(python, requirements, &folder)?;
            fs::write(folder.join(INSTALLED), &wanted)
                .map_err(|error| format!("cannot write into {}: {error}", folder.display()))?;
        }
        let pins = wanted.lines().filter_map(|line| line.split_once("=="));
        let versions = pins.map(|(name, version)| format!("{name} {version}")).collect();
        Ok(Self { folder, versions })
    }

    /// Returns the path of a program in the environment.
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join("bin").join(name)
    }

    /// Runs a script to its end.
    ///
    /// # Errors
    /// The last output, if the script fails.
    pub fn run(&self, script: &Path, arguments: &[&Path]) -> Result<(), String> {
        finish(Command::new(self.program("python")).arg(script).args(arguments))
    }
}

fn install(python: &str, requirements: &Path, folder: &Path) -> Result<(), String> {
    // What was begun with other requirements, or broken off, is of no use.
    let _ = fs::remove_dir_all(folder);
    finish(Command::new(python).args(["-m", "venv"]).arg(folder))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:", "-r"];
    finish(Command::new(folder.join("bin/python")).args(pip).arg(requirements))
}

fn finish(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{program} does not start: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it says nothing");
    Err(format!("{program} has failed: {}", last.trim()))
}

/// Returns the size of the files in a folder, without those that it links to.
///
/// # Errors
/// The system's.
pub fn size_of(path: &Path) -> Result<u64, HarnessError> {
    let mut bytes = 0;
    for file in files_in(path)? {
        bytes += fs::symlink_metadata(&file).map_err(HarnessError::reading(&file))?.len();
    }
    Ok(bytes)
}

/// Returns the files in a folder, without those that it links to. For a file, returns that file.
///
/// # Errors
/// The system's.
pub fn files_in(path: &Path) -> Result<Vec<PathBuf>, HarnessError> {
    let reading = || HarnessError::reading(path);
    if !fs::metadata(path).map_err(reading())?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(reading())? {
        let entry = entry.map_err(reading())?;
        // A link within a folder leads to what is counted elsewhere, or belongs to the system.
        if !entry.file_type().map_err(reading())?.is_symlink() {
            files.extend(files_in(&entry.path())?);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn an_environment_that_cannot_be_made_is_told_in_one_sentence() {
        let folder = TempDir::new().unwrap();
        let requirements = folder.path().join("requirements.txt");
        fs::write(&requirements, "numpy==2.4.6\n").unwrap();
        let reason = Environment::prepare("no-such-python", &requirements, folder.path().join("environment"));
        assert!(reason.unwrap_err().contains("no-such-python does not start"));
    }

    #[test]
    fn what_is_installed_is_not_installed_again_until_the_requirements_change() {
        let folder = TempDir::new().unwrap();
        let requirements = folder.path().join("requirements.txt");
        fs::write(&requirements, "# pinned\nnumpy==2.4.6\n").unwrap();
        fs::copy(&requirements, folder.path().join(INSTALLED)).unwrap();
        let prepare = || Environment::prepare("no-such-python", &requirements, folder.path().to_owned());
        assert_eq!(prepare().unwrap().versions, ["numpy 2.4.6"]);
        fs::write(&requirements, "numpy==2.4.7\n").unwrap();
        assert!(prepare().is_err());
    }

    #[test]
    fn the_size_of_a_folder_is_that_of_its_files() {
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.path().join("inner")).unwrap();
        fs::write(folder.path().join("inner/a"), [0; 100]).unwrap();
        fs::write(folder.path().join("b"), [0; 11]).unwrap();
        assert_eq!(size_of(folder.path()).unwrap(), 111);
    }
}
