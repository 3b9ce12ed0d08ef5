//! What the commands print.

use std::fmt::{self, Display, Formatter};

use onnward_repository::{AliasStatus, Deletion, ModelStatus, PointerChange, Published};
use serde::Serialize;

/// What `publish` prints.
#[derive(Serialize)]
pub struct PublishResult {
    #[serde(flatten)]
    pub published: Published,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias: Option<AliasMove>,
    pub dry_run: bool,
}

/// An alias that was moved to a new version.
#[derive(Serialize)]
pub struct AliasMove {
    pub alias: String,
    pub from: Option<u64>,
    pub to: u64,
}

/// What a move of an alias or a pin prints.
#[derive(Serialize)]
pub struct Moved {
    #[serde(flatten)]
    pub change: PointerChange,
    pub dry_run: bool,
}

/// What `alias list` prints.
#[derive(Serialize)]
pub struct Aliases {
    pub model: String,
    pub aliases: Vec<AliasStatus>,
}

/// What `versions` prints.
#[derive(Serialize)]
pub struct Versions(pub ModelStatus);

/// What `delete-version` prints.
#[derive(Serialize)]
pub struct Deleted {
    #[serde(flatten)]
    pub deletion: Deletion,
    pub dry_run: bool,
}

/// What `gc` prints.
#[derive(Serialize)]
pub struct Collected {
    pub deleted: Vec<Deletion>,
    /// What came into use while the others were deleted.
    pub kept_back: Vec<KeptBack>,
    pub dry_run: bool,
}

/// A version that was to be deleted and is not.
#[derive(Serialize)]
pub struct KeptBack {
    pub model: String,
    pub version: u64,
    pub used_as: String,
}

impl Display for PublishResult {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let would = would(self.dry_run);
        let manifest = &self.published.manifest;
        let (model, version, path) = (&self.published.model, self.published.version, &self.published.path);
        writeln!(f, "{would}published  {model} version {version}: {path}, {} bytes", manifest.size_bytes)?;
        match &self.alias {
            Some(AliasMove { alias, from, to }) => {
                writeln!(f, "{would}moved      alias {alias}: {} → {to}", named(*from))
            }
            None => Ok(()),
        }
    }
}

impl Display for Moved {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let PointerChange { model, from, to, changes, .. } = &self.change;
        let pointer = self.change.pointer();
        if !changes {
            return writeln!(f, "{pointer} of {model} already names {}", named(*to));
        }
        let would = would(self.dry_run);
        writeln!(f, "{would}moved  {pointer} of {model}: {} → {}", named(*from), named(*to))
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
        writeln!(f, "{:>8}  {:<20} {:>12}  {:<12}  named by", "version", "published", "bytes", "sha256")?;
        for found in versions {
            let pinned = pin.iter().filter(|pin| pin.version == found.version).map(|_| "pin");
            let named = aliases.iter().filter(|alias| alias.version == found.version);
            let names: Vec<&str> = pinned.chain(named.map(|alias| alias.alias.as_str())).collect();
            let names = names.join(", ");
            match &found.manifest {
                Some(manifest) => {
                    let digest = manifest.sha256.get(..12).unwrap_or_default();
                    let (created, size) = (&manifest.created, manifest.size_bytes);
                    writeln!(f, "{:>8}  {created:<20} {size:>12}  {digest:<12}  {names}", found.version)?;
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
            writeln!(f, "kept     {model} version {version}: it is {used_as}")?;
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
