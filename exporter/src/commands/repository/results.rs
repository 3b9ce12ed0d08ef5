//! The results of the commands on a repository.

use std::fmt::{self, Display, Formatter};

use onnward_repository::{AliasStatus, Deletion, KeyId, ModelStatus, PointerChange, Published};
use serde::Serialize;

use crate::external::ExternalReading;

/// The result of `publish`.
#[derive(Serialize)]
pub struct PublishResult {
    #[serde(flatten)]
    pub published: Published,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias: Option<AliasMove>,
    /// The interpretation of an external ONNX file; `foreign` in the output.
    #[serde(rename = "foreign", skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalReading>,
    pub dry_run: bool,
}

/// An alias that was moved to a new version.
#[derive(Serialize)]
pub struct AliasMove {
    pub alias: String,
    pub from: Option<u64>,
    pub to: u64,
}

/// The result of a move of an alias or a pin.
#[derive(Serialize)]
pub struct Moved {
    #[serde(flatten)]
    pub change: PointerChange,
    pub dry_run: bool,
}

/// The result of `alias list`.
#[derive(Serialize)]
pub struct Aliases {
    pub model: String,
    pub aliases: Vec<AliasStatus>,
}

/// The result of `versions`.
#[derive(Serialize)]
pub struct Versions(pub ModelStatus);

/// The result of `delete-version`.
#[derive(Serialize)]
pub struct Deleted {
    #[serde(flatten)]
    pub deletion: Deletion,
    pub dry_run: bool,
}

/// The result of `gc`.
#[derive(Serialize)]
pub struct Collected {
    pub deleted: Vec<Deletion>,
    /// Versions that were taken into use while the others were deleted.
    pub kept_back: Vec<KeptBack>,
    pub dry_run: bool,
}

/// A version that is not deleted, because it was taken into use.
#[derive(Serialize)]
pub struct KeptBack {
    pub model: String,
    pub version: u64,
    pub used_as: String,
}

/// Describes a new version in words.
pub fn described(published: &Published) -> String {
    let Published { model, version, path, manifest, signed_by } = published;
    let signed = signed_by.as_ref().map(|key| format!(", signed by key {key}")).unwrap_or_default();
    format!("{model} version {version}: {path}, {} bytes{signed}", manifest.size_bytes)
}

impl Display for PublishResult {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let would = would(self.dry_run);
        writeln!(f, "{would}published  {}", described(&self.published))?;
        if let Some(alias) = &self.alias {
            writeln!(f, "{would}moved      {alias}")?;
        }
        match &self.external {
            Some(external) => write!(f, "\n{external}"),
            None => Ok(()),
        }
    }
}

impl Display for AliasMove {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "alias {}: {} → {}", self.alias, named(self.from), self.to)
    }
}

/// One line without a line break: it is also the result in the audit log.
impl Display for Moved {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let PointerChange { model, from, to, changes, .. } = &self.change;
        let pointer = self.change.pointer();
        if !changes {
            return write!(f, "{pointer} of {model} already points at {}", named(*to));
        }
        let would = would(self.dry_run);
        write!(f, "{would}moved  {pointer} of {model}: {} → {}", named(*from), named(*to))
    }
}

impl Display for Aliases {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.aliases.is_empty() {
            return writeln!(f, "{} has no alias", self.model);
        }
        writeln!(f, "{:<16} {:>8} {:>9}  moved", "alias", "version", "previous")?;
        for AliasStatus { alias, version, previous, moved } in &self.aliases {
            let previous = previous.map_or_else(|| "-".to_owned(), |version| version.to_string());
            writeln!(f, "{alias:<16} {version:>8} {previous:>9}  {moved}")?;
        }
        Ok(())
    }
}

impl Display for Versions {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let ModelStatus { versions, aliases, pin, .. } = &self.0;
        let names = |version: u64| {
            let pinned = pin.iter().filter(|pin| pin.version == version).map(|_| "pin");
            let named = aliases.iter().filter(|alias| alias.version == version);
            pinned.chain(named.map(|alias| alias.alias.as_str())).collect::<Vec<_>>().join(", ")
        };
        let widest = versions.iter().map(|found| names(found.version).len()).max().unwrap_or(0).max(8);
        writeln!(
            f,
            "{:>8}  {:<20} {:>12}  {:<12}  {:<widest$}  signed by",
            "version", "published", "bytes", "sha256", "used by"
        )?;
        for found in versions {
            let keys = found.signed_by.iter().map(KeyId::as_str).collect::<Vec<_>>().join(", ");
            match &found.manifest {
                Some(manifest) => {
                    let digest = manifest.sha256.get(..12).unwrap_or_default();
                    let (created, size) = (&manifest.created, manifest.size_bytes);
                    let row = format!(
                        "{:>8}  {created:<20} {size:>12}  {digest:<12}  {:<widest$}  {keys}",
                        found.version,
                        names(found.version)
                    );
                    writeln!(f, "{}", row.trim_end())?;
                }
                None => {
                    let problem = found.problem.as_deref().unwrap_or_default();
                    writeln!(f, "{:>8}  {problem}", found.version)?;
                }
            }
        }
        Ok(())
    }
}

impl Display for Deleted {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_deletion(f, &self.deletion, self.dry_run)
    }
}

impl Display for Collected {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for deletion in &self.deleted {
            write_deletion(f, deletion, self.dry_run)?;
        }
        for KeptBack { model, version, used_as } in &self.kept_back {
            writeln!(f, "kept     {model} version {version}: {used_as}")?;
        }
        if self.deleted.is_empty() && self.kept_back.is_empty() {
            writeln!(f, "there is nothing to delete")?;
        }
        Ok(())
    }
}

fn write_deletion(f: &mut Formatter<'_>, deletion: &Deletion, dry_run: bool) -> fmt::Result {
    let Deletion { model, version, size_bytes } = deletion;
    writeln!(f, "{}deleted  {model} version {version}, {size_bytes} bytes", would(dry_run))
}

fn would(dry_run: bool) -> &'static str {
    if dry_run { "would be " } else { "" }
}

fn named(version: Option<u64>) -> String {
    version.map_or_else(|| "none".to_owned(), |version| version.to_string())
}
