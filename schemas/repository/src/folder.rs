use std::fs;
use std::io;
use std::path::Path;

use tempfile::NamedTempFile;

/// Creates a folder if it does not exist, and checks that files can be written into it.
///
/// # Errors
/// Those of the file system.
pub fn make_writable(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    // The name is random: several programs may check the same folder at once.
    NamedTempFile::new_in(folder)?.close()
}
