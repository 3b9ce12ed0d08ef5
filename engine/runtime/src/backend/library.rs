//! The shared library of ONNX Runtime: where it is, and whether it may be loaded.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// The environment variable that switches off ONNX Runtime's telemetry. It must be `1` before the library is
/// loaded; `main` sets it.
pub const TELEMETRY_SWITCH: &str = "ORT_DISABLE_TELEMETRY";

/// The reason why ONNX Runtime cannot be used.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum LibraryError {
    /// No shared library was found.
    #[error(
        "no ONNX Runtime library: fetch it with engine/onnxruntime/fetch.sh or name it as onnxruntime.library"
    )]
    NotFound,
    /// The configured path is not a file.
    #[error("there is no ONNX Runtime library at {0}: correct onnxruntime.library")]
    NoSuchFile(PathBuf),
    /// The library's telemetry is on.
    #[error("{TELEMETRY_SWITCH} is not 1: ONNX Runtime is loaded only with its telemetry switched off")]
    Telemetry,
    /// The file ends before the library does.
    #[error("the ONNX Runtime library {0} is truncated: fetch it again with engine/onnxruntime/fetch.sh")]
    Truncated(PathBuf),
    /// The library does not load.
    #[error("cannot load the ONNX Runtime library: {0}")]
    Load(String),
}

/// Finds the library to load: the configured one, else the one named by `ORT_DYLIB_PATH`, else one beside the
/// program or in a `lib` or `.onnxruntime` folder there or above.
///
/// The working directory is not searched, because anyone who can write there could choose what code is
/// loaded.
///
/// # Errors
/// [`LibraryError::NoSuchFile`], [`LibraryError::NotFound`].
pub fn find_library(configured: Option<&Path>) -> Result<PathBuf, LibraryError> {
    const ABOVE: usize = 4;
    let named =
        configured.map(Path::to_owned).or_else(|| std::env::var_os("ORT_DYLIB_PATH").map(PathBuf::from));
    if let Some(path) = named {
        // A relative path means the working directory here, and the program's folder to `ort`.
        return path.canonicalize().map_err(|_| LibraryError::NoSuchFile(path));
    }
    let file = format!("{}onnxruntime{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let program = std::env::current_exe().map_err(|_| LibraryError::NotFound)?;
    let folders = program.ancestors().skip(1).take(ABOVE);
    let candidates =
        folders.flat_map(|folder| ["", "lib", ".onnxruntime"].map(|part| folder.join(part).join(&file)));
    candidates.into_iter().find(|path| path.is_file()).ok_or(LibraryError::NotFound)
}

/// Rejects a truncated library: reading past its end would kill the process with a signal. The segments of an
/// ELF file are checked (System V ABI, chapter 5); other formats are left to the loader.
///
/// # Errors
/// [`LibraryError::Truncated`]; [`LibraryError::Load`] if the file cannot be read.
pub fn check_not_truncated(library: &Path) -> Result<(), LibraryError> {
    let unreadable = |error: std::io::Error| LibraryError::Load(format!("{}: {error}", library.display()));
    let mut file = File::open(library).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    let mut header = [0; ELF_HEADER];
    if file.read_exact(&mut header).is_err() || !header.starts_with(ELF_64_LITTLE_ENDIAN) {
        return Ok(());
    }
    let truncated = || LibraryError::Truncated(library.to_owned());
    let segments = number(&header, 32, 8);
    let (length, count) = (number(&header, 54, 2), number(&header, 56, 2));
    for index in 0..count {
        let mut segment = [0; ELF_SEGMENT];
        let at = segments.saturating_add(index * length);
        file.seek(SeekFrom::Start(at)).map_err(unreadable)?;
        file.read_exact(&mut segment).map_err(|_| truncated())?;
        let end = number(&segment, 8, 8).saturating_add(number(&segment, 32, 8));
        if number(&segment, 0, 4) == LOADED && end > size {
            return Err(truncated());
        }
    }
    Ok(())
}

const ELF_64_LITTLE_ENDIAN: &[u8] = b"\x7fELF\x02\x01";
const ELF_HEADER: usize = 64;
const ELF_SEGMENT: usize = 56;
/// `PT_LOAD`: a segment that is mapped from the file.
const LOADED: u64 = 1;

/// Reads the little-endian number of `length` bytes at an offset.
fn number(bytes: &[u8], offset: usize, length: usize) -> u64 {
    let bytes = bytes.iter().skip(offset).take(length);
    bytes.rev().fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test's own program is an ELF file where the check applies.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_library_that_is_cut_short_is_refused_before_it_is_loaded() {
        let complete = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let path = std::env::temp_dir().join(format!("onnward-truncated-{}.so", std::process::id()));
        for (length, is_complete) in [(complete.len(), true), (complete.len() / 2, false), (3000, false)] {
            std::fs::write(&path, &complete[..length]).unwrap();
            assert_eq!(
                check_not_truncated(&path).is_ok(),
                is_complete,
                "{length} of {} bytes",
                complete.len()
            );
        }
        std::fs::write(&path, b"no library").unwrap();
        assert!(check_not_truncated(&path).is_ok(), "the loader says what it is");
        std::fs::remove_file(path).unwrap();
    }
}
