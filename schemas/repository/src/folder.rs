use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;

/// Makes a folder if it is not there, and proves that files can be written into it.
///
/// # Errors
/// What the file system says.
pub fn make_writable(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let probe = folder.join(format!(".probe-{}.tmp", std::process::id()));
    OpenOptions::new().write(true).create(true).truncate(true).open(&probe)?;
    fs::remove_file(probe)
}
