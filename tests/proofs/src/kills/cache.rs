use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use onnward_schemas::sha256_hex;

use onnward_harness::HarnessError;

/// An engine's cache on disk: in `objects` files named by their SHA-256 in hexadecimal, in `state` what was
/// served last, and leftovers.
pub struct CacheFolder(PathBuf);

/// The contents of a cache.
#[derive(Debug, Default)]
pub struct Audit {
    /// The size of all files.
    pub bytes: u64,
    /// The number of files that are neither objects nor state.
    pub leftovers: u64,
    /// The number of objects whose digest is not their name.
    pub wrong_objects: u64,
}

impl CacheFolder {
    pub fn new(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Returns whether there is an object of this name, whatever its content.
    pub fn holds(&self, sha256: &str) -> bool {
        self.0.join("objects").join(sha256).exists()
    }

    /// Reads and checks every file.
    pub fn audit(&self) -> Result<Audit, HarnessError> {
        let mut audit = Audit::default();
        for path in files(&self.0).map_err(HarnessError::reading(&self.0))? {
            let bytes = match fs::read(&path) {
                Ok(bytes) => bytes,
                // A running engine has removed it meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(HarnessError::reading(&path)(error)),
            };
            audit.bytes += bytes.len() as u64;
            match object_name(&path) {
                Some(name) if name == sha256_hex(&bytes) => {}
                Some(_) => audit.wrong_objects += 1,
                None if is_in(&path, "state") => {}
                None => audit.leftovers += 1,
            }
        }
        Ok(audit)
    }
}

/// Returns the digest in an object's name; `None` for other files.
fn object_name(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?;
    let is_digest = name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_digest && is_in(path, "objects")).then_some(name)
}

fn is_in(path: &Path, folder: &str) -> bool {
    path.parent().is_some_and(|parent| parent.ends_with(folder))
}

fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_that_is_not_what_its_name_says_is_wrong() {
        let folder = tempfile::TempDir::new().unwrap();
        let cache = CacheFolder::new(folder.path());
        assert_eq!(cache.audit().unwrap().bytes, 0);
        for part in ["objects", "partial", "state"] {
            fs::create_dir_all(folder.path().join(part)).unwrap();
        }
        let put = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        put(&format!("objects/{}", sha256_hex(b"whole")), "whole");
        put(&format!("objects/{}", sha256_hex(b"another")), "half");
        put("objects/unnamed", "half");
        put("partial/1", "");
        put("state/1.json", "{}");
        let Audit { bytes, leftovers, wrong_objects } = cache.audit().unwrap();
        assert_eq!((bytes, leftovers, wrong_objects), (15, 2, 1));
    }
}
