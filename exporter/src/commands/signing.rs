//! The commands on keys and signatures.

use std::ffi::OsString;
use std::fmt::{self, Display, Formatter};
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use onnward_repository::{KeyId, Repository, Signed, Signer, generate_key};
use serde::Serialize;

use super::CommandError;
use super::audit::{action, on_record};
use super::repository::block_on;
use super::stdout::print;
use crate::cli::signing::{KeygenArguments, SignArguments};

/// The modes of the files of a private and of a public key.
const OWNER_ONLY: u32 = 0o600;
const PUBLIC: u32 = 0o644;

/// The result of `keygen`.
#[derive(Serialize)]
struct KeygenResult {
    key_id: KeyId,
    private_key: PathBuf,
    public_key: PathBuf,
}

/// The result of `sign`.
#[derive(Serialize)]
struct SignResult {
    #[serde(flatten)]
    signed: Signed,
    dry_run: bool,
}

pub fn keygen(arguments: &KeygenArguments) -> Result<(), CommandError> {
    let key = generate_key()?;
    let private_key = with_ending(&arguments.out, ".pem");
    let public_key = with_ending(&arguments.out, ".pub.pem");
    write_new(&private_key, OWNER_ONLY, &key.private_pem)?;
    if let Err(error) = write_new(&public_key, PUBLIC, &key.public_pem) {
        // Half a key pair is useless, and would make the next attempt fail.
        let _ = std::fs::remove_file(&private_key);
        return Err(error);
    }
    print(arguments.output, &KeygenResult { key_id: key.key_id, private_key, public_key })
}

pub fn sign(arguments: &SignArguments) -> Result<(), CommandError> {
    let SignArguments { model, version, key, change } = arguments;
    let signer = Signer::read(key)?;
    let signed = block_on(async {
        let repository = Repository::open(&change.target.config())?;
        if change.dry_run {
            return Ok(repository.plan_signature(model, *version, &signer).await?);
        }
        let work = async { Ok(repository.sign(model, *version, &signer).await?) };
        let on_record_as = action("sign", model, format!("version {version} by key {}", signer.key_id()));
        on_record(&repository, on_record_as, work, |signed: &Signed| signed.path.clone()).await
    })?;
    print(change.target.output, &SignResult { signed, dry_run: change.dry_run })
}

/// Reads the key of `--sign-key`.
pub fn signer(path: Option<&Path>) -> Result<Option<Signer>, CommandError> {
    Ok(path.map(Signer::read).transpose()?)
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().map(OsString::from).unwrap_or_default();
    name.push(ending);
    path.with_file_name(name)
}

/// Writes a file that must not exist yet. A file that cannot be written completely is removed.
fn write_new(path: &Path, mode: u32, text: &str) -> Result<(), CommandError> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let mut file = file.map_err(|source| match source.kind() {
        ErrorKind::AlreadyExists => CommandError::KeyExists { path: path.to_owned() },
        _ => CommandError::writing(path, source),
    })?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(|source| {
        let _ = std::fs::remove_file(path);
        CommandError::writing(path, source)
    })
}

impl Display for KeygenResult {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { key_id, private_key, public_key } = self;
        writeln!(f, "key      {key_id}")?;
        writeln!(f, "private  {}: keep it secret, since anyone who has it can sign", private_key.display())?;
        writeln!(f, "public   {}: for signing.public_keys of the engines", public_key.display())
    }
}

impl Display for SignResult {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Signed { model, version, key_id, path, changes } = &self.signed;
        if !changes {
            return writeln!(f, "{model} version {version} is already signed by key {key_id}: {path}");
        }
        let would = if self.dry_run { "would be " } else { "" };
        writeln!(f, "{would}signed  {model} version {version} by key {key_id}: {path}")
    }
}
