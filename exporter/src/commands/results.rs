//! The results of the commands on a repository.

use std::fmt::{self, Display, Formatter};

use onnward_repository::{
    AliasStatus, Copied, Damage, DamageKind, Deletion, HistoryEntry, KeyId, ModelDeletion, ModelStatus,
    PointerChange, Published, TagChange, Tags, VersionStatus,
};
use onnward_schemas::{Criterion, ModelSummary};
use serde::Serialize;

use super::calls::EngineAnswer;
use super::check::Checked;
use super::compatibility::Compatibility;
use super::webhooks::WebhookCall;

use crate::external::ExternalReading;
use crate::settings::ChangedSetting;

/// The result of `publish`.
#[derive(Serialize)]
pub struct PublishResult {
    #[serde(flatten)]
    pub published: Published,
    /// Whether the version is new. The same bytes are published once.
    pub changes: bool,
    /// The command that does what was left out for a version that is not new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias: Option<AliasMove>,
    /// The comparison with the version whose place it takes, if it takes one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compatibility: Option<Compatibility>,
    /// The result of the check on the runtimes of this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checked: Option<Checked>,
    /// The settings of an artifact that were changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<ChangedSetting>,
    /// The interpretation of an external ONNX file; `foreign` in the output.
    #[serde(rename = "foreign", skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalReading>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub webhooks: Vec<WebhookCall>,
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

/// The result of a command that moves a pointer.
#[derive(Serialize)]
pub struct MoveResult {
    #[serde(flatten)]
    pub moved: Moved,
    /// The comparison with the version whose place the other one takes, if engines notice the move.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compatibility: Option<Compatibility>,
    /// What the engines say that were waited for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub engines: Vec<EngineAnswer>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub webhooks: Vec<WebhookCall>,
}

/// The result of `alias list`.
#[derive(Serialize)]
pub struct Aliases {
    pub model: String,
    pub aliases: Vec<AliasStatus>,
}

/// The result of `versions`.
#[derive(Serialize)]
pub struct Versions {
    /// The versions, with the tags that they have now.
    #[serde(flatten)]
    pub status: ModelStatus,
    /// The versions that have files and no manifest.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unpublished: Vec<Damage>,
}

/// The result of `models`.
#[derive(Serialize)]
pub struct Models {
    pub models: Vec<ModelSummaryRow>,
}

/// A model in the result of `models`.
#[derive(Serialize)]
pub struct ModelSummaryRow {
    pub model: String,
    /// The number of versions.
    pub versions: usize,
    /// The highest version.
    pub highest: Option<u64>,
    /// The version that engines serve that follow the default alias.
    pub served: Option<u64>,
    pub aliases: Vec<AliasStatus>,
    /// The version that the model is pinned to.
    pub pin: Option<u64>,
}

/// The result of `history`.
#[derive(Serialize)]
pub struct History {
    pub model: String,
    pub alias: String,
    /// The moves, the first one first.
    pub entries: Vec<HistoryEntry>,
}

/// The result of `pull`.
#[derive(Serialize)]
pub struct Pulled {
    pub model: String,
    pub version: u64,
    /// The files that were written.
    pub files: Vec<String>,
    pub sha256: String,
}

/// The result of `copy`.
#[derive(Serialize)]
pub struct CopyResult {
    #[serde(flatten)]
    pub copied: Copied,
    /// The comparison with the version whose place it takes, if it takes one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compatibility: Option<Compatibility>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub webhooks: Vec<WebhookCall>,
    pub dry_run: bool,
}

/// The result of `tag`.
#[derive(Serialize)]
pub struct Tagged {
    #[serde(flatten)]
    pub change: TagChange,
    pub dry_run: bool,
}

/// The result of `repair`.
#[derive(Serialize)]
pub struct Repaired {
    /// What was found.
    pub found: Vec<Damage>,
    /// Whether it was repaired, but for what is recent.
    pub fixed: bool,
    /// The command that repairs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// The result of `delete-model`.
#[derive(Serialize)]
pub struct ModelDeleted {
    #[serde(flatten)]
    pub deletion: ModelDeletion,
    pub dry_run: bool,
}

/// The result of `delete-version`.
#[derive(Serialize)]
pub struct Deleted {
    #[serde(flatten)]
    pub deletion: Deletion,
    /// The comparison with the version that takes its place, if it was served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compatibility: Option<Compatibility>,
    pub dry_run: bool,
}

/// Describes a new version in words.
pub fn described(published: &Published) -> String {
    let Published { model, version, path, manifest, signed_by, .. } = published;
    let signed = signed_by.as_ref().map(|key| format!(", signed by key {key}")).unwrap_or_default();
    format!("{model} version {version}: {path}, {} bytes{signed}", manifest.size_bytes)
}

impl Display for PublishResult {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let would = would(self.dry_run);
        let Published { model, version, passed_over, .. } = &self.published;
        if let Some(number) = passed_over {
            writeln!(
                f,
                "warning    {model} has a folder {number}, the largest number there is, after which there is none; \
                 it is passed over: remove it, or engines without an alias serve what is in it"
            )?;
        }
        match self.changes {
            true => writeln!(f, "{would}published  {}", described(&self.published))?,
            false => writeln!(
                f,
                "unchanged  {model} version {version} has the same bytes, so nothing is published"
            )?,
        }
        if let Some(checked) = &self.checked {
            writeln!(f, "checked    {checked}")?;
        }
        for ChangedSetting { setting, from, to } in &self.settings {
            writeln!(f, "setting    {setting}: {from} → {to}")?;
        }
        if let Some(alias) = &self.alias {
            writeln!(f, "{would}moved      {alias}")?;
        }
        write_compatibility(f, self.compatibility.as_ref())?;
        if let Some(hint) = &self.hint {
            writeln!(f, "next       {hint}")?;
        }
        write_webhooks(f, &self.webhooks)?;
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

impl Display for MoveResult {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.moved)?;
        let next = self.compatibility.as_ref().and_then(|compared| compared.next);
        if let (None, Some(next)) = (self.moved.change.to, next) {
            writeln!(f, "engines serve version {next} then")?;
        }
        write_compatibility(f, self.compatibility.as_ref())?;
        for engine in &self.engines {
            writeln!(f, "{}  {engine}", if engine.done { "served " } else { "not yet" })?;
        }
        write_webhooks(f, &self.webhooks)
    }
}

fn write_compatibility(f: &mut Formatter<'_>, compatibility: Option<&Compatibility>) -> fmt::Result {
    let Some(Compatibility { served, differences, unknown, .. }) = compatibility else { return Ok(()) };
    match unknown {
        Some(_) => return Ok(()),
        None if differences.is_empty() => {
            return writeln!(f, "compatible with version {served}, which is served now");
        }
        None => writeln!(f, "breaks clients of version {served}, which is served now:")?,
    }
    differences.iter().try_for_each(|difference| writeln!(f, "  {difference}"))
}

fn write_webhooks(f: &mut Formatter<'_>, webhooks: &[WebhookCall]) -> fmt::Result {
    webhooks
        .iter()
        .filter(|call| call.delivered)
        .try_for_each(|call| writeln!(f, "told       {}", call.webhook))
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

/// The words of a table's row.
type Row = [String; 8];

impl Display for Versions {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let figure = self.figure_title();
        let head = ["version", "published", "family", figure, "bytes", "sha256", "used by", "signed by"];
        let rows: Vec<(&VersionStatus, Row)> =
            self.status.versions.iter().map(|found| (found, self.row(found))).collect();
        let widths: Vec<usize> = (0..head.len())
            .map(|column| {
                rows.iter().map(|(_, row)| row[column].len()).max().unwrap_or(0).max(head[column].len())
            })
            .collect();
        write_row(f, &head.map(str::to_owned), &widths)?;
        for (found, row) in &rows {
            match &found.problem {
                Some(problem) => writeln!(f, "{:>7}  {problem}", found.version)?,
                None => write_row(f, row, &widths)?,
            }
            write_origin(f, found)?;
        }
        for damage in &self.unpublished {
            writeln!(f, "\n{}", DamageText(damage))?;
        }
        Ok(())
    }
}

impl Versions {
    fn row(&self, found: &VersionStatus) -> Row {
        let ModelStatus { aliases, pin, .. } = &self.status;
        let pinned = pin.iter().filter(|pin| pin.version == found.version).map(|_| "pin");
        let named = aliases.iter().filter(|alias| alias.version == found.version);
        let used_by = pinned.chain(named.map(|alias| alias.alias.as_str())).collect::<Vec<_>>().join(", ");
        let keys = found.signed_by.iter().map(KeyId::as_str).collect::<Vec<_>>().join(", ");
        let manifest = found.manifest.clone().unwrap_or_default();
        let summary = manifest.summary;
        let family = summary.as_ref().map_or("-", |summary| &summary.family).to_owned();
        let figure = summary.and_then(|summary| figure_of(&summary));
        let figure = figure.map_or_else(|| "-".to_owned(), |(_, figure)| format!("{figure:.4}"));
        let digest = manifest.sha256.get(..12).unwrap_or_default().to_owned();
        let (version, size) = (found.version.to_string(), manifest.size_bytes.to_string());
        [version, manifest.created, family, figure, size, digest, used_by, keys]
    }

    /// Returns the heading of the versions' figures on held-out rows: its name if all have the same.
    fn figure_title(&self) -> &'static str {
        let summaries =
            self.status.versions.iter().filter_map(|found| found.manifest.as_ref()?.summary.as_ref());
        let mut criteria: Vec<Criterion> =
            summaries.filter_map(figure_of).map(|(criterion, _)| criterion).collect();
        criteria.dedup();
        match criteria.as_slice() {
            [] => Criterion::RocAuc.title(),
            [only] => only.title(),
            _ => "test figure",
        }
    }
}

/// Returns the figure by which models of the version's task are compared, on held-out rows.
fn figure_of(summary: &ModelSummary) -> Option<(Criterion, f64)> {
    let criterion = Criterion::of(summary.task)?;
    let figure = match criterion {
        Criterion::RocAuc => summary.roc_auc,
        Criterion::LogLoss => summary.log_loss,
        Criterion::Rmse => summary.rmse,
    };
    Some((criterion, figure?))
}

/// Writes a row; the columns of numbers are aligned at their ends.
fn write_row(f: &mut Formatter<'_>, row: &Row, widths: &[usize]) -> fmt::Result {
    const NUMBERS: [usize; 3] = [0, 3, 4];
    let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| {
        if NUMBERS.contains(&column) { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
    });
    writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())
}

/// Writes the author, the commit and the tags of a version, on a line of their own.
fn write_origin(f: &mut Formatter<'_>, found: &VersionStatus) -> fmt::Result {
    let Some(manifest) = &found.manifest else { return Ok(()) };
    let author = manifest.author.iter().map(|author| format!("by {author}"));
    let commit = manifest.commit.iter().map(|commit| format!("commit {commit}"));
    let tags = manifest.tags.iter().map(|(key, value)| format!("{key}={value}"));
    let parts: Vec<String> = author.chain(commit).chain(tags).collect();
    if parts.is_empty() {
        return Ok(());
    }
    // Control characters would move the terminal's cursor.
    writeln!(f, "         {}", parts.join(", ").replace(char::is_control, "?"))
}

impl Display for Models {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.models.is_empty() {
            return writeln!(f, "the repository has no models");
        }
        let widest = self.models.iter().map(|row| row.model.len()).max().unwrap_or(0).max(5);
        writeln!(f, "{:<widest$}  {:>8}  {:>7}  {:>6}  aliases", "model", "versions", "highest", "served")?;
        for ModelSummaryRow { model, versions, highest, served, aliases, pin } in &self.models {
            let pinned = pin.iter().map(|version| format!("pin → {version}"));
            let named = aliases.iter().map(|alias| format!("{} → {}", alias.alias, alias.version));
            let pointers = pinned.chain(named).collect::<Vec<_>>().join(", ");
            let (highest, served) = (named_or_dash(*highest), named_or_dash(*served));
            let row = format!("{model:<widest$}  {versions:>8}  {highest:>7}  {served:>6}  {pointers}");
            writeln!(f, "{}", row.trim_end())?;
        }
        Ok(())
    }
}

fn named_or_dash(version: Option<u64>) -> String {
    version.map_or_else(|| "-".to_owned(), |version| version.to_string())
}

impl Display for History {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { model, alias, entries } = self;
        if entries.is_empty() {
            return writeln!(f, "the alias {alias} of {model} was never set");
        }
        writeln!(f, "{:>5}  {:>7}  {:<24}  rollback to", "entry", "version", "moved")?;
        for HistoryEntry { entry, version, rollback_to, moved } in entries {
            let rollback_to = rollback_to.map(|entry| format!("entry {entry}")).unwrap_or_default();
            let row = format!("{entry:>5}  {:>7}  {moved:<24}  {rollback_to}", named_or_dash(*version));
            writeln!(f, "{}", row.trim_end())?;
        }
        Ok(())
    }
}

impl Display for Pulled {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { model, version, files, sha256 } = self;
        writeln!(f, "pulled  {model} version {version}, sha256 {sha256}")?;
        files.iter().try_for_each(|file| writeln!(f, "        {file}"))
    }
}

impl Display for CopyResult {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Copied { model, version, from, size_bytes, signed_by, changes, .. } = &self.copied;
        if !changes {
            return writeln!(f, "{model} version {version} is here already");
        }
        let keys = signed_by.iter().map(KeyId::as_str).collect::<Vec<_>>().join(", ");
        let signed = if keys.is_empty() { String::new() } else { format!(", signed by {keys}") };
        let would = would(self.dry_run);
        writeln!(f, "{would}copied  {model} version {version} from {from}, {size_bytes} bytes{signed}")?;
        write_compatibility(f, self.compatibility.as_ref())?;
        write_webhooks(f, &self.webhooks)
    }
}

impl Display for Tagged {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let TagChange { model, version, tags, changes, .. } = &self.change;
        let verb = if *changes { "tagged  " } else { "unchanged  " };
        let would = if *changes { would(self.dry_run) } else { "" };
        writeln!(f, "{would}{verb}{model} version {version}: {}", in_words(tags))
    }
}

fn in_words(tags: &Tags) -> String {
    let tags: Vec<String> = tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
    if tags.is_empty() { "no tags".to_owned() } else { tags.join(", ") }
}

impl Display for Repaired {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.found.is_empty() {
            return writeln!(f, "nothing is damaged");
        }
        for damage in &self.found {
            if let (true, DamageKind::NoManifest { size_bytes, .. }) =
                (self.fixed && !damage.recent, &damage.kind)
            {
                let (model, version) = (&damage.model, damage.version.unwrap_or_default());
                writeln!(
                    f,
                    "removed: the {size_bytes} bytes of {model} version {version}, which had no manifest.json"
                )?;
                continue;
            }
            let verb = match (self.fixed, damage.recent) {
                (true, true) => "left alone, since it is recent: ",
                (false, true) => "recent, maybe of a command at work: ",
                (true, false) => "repaired: ",
                (false, false) => "",
            };
            writeln!(f, "{verb}{}", DamageText(damage))?;
        }
        match &self.hint {
            Some(hint) => writeln!(f, "\nrepair it with  {hint}"),
            None => Ok(()),
        }
    }
}

/// A damage in words, with what a repair does.
struct DamageText<'a>(&'a Damage);

impl Display for DamageText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Damage { model, version, kind, .. } = self.0;
        let version = version.unwrap_or_default();
        match kind {
            DamageKind::EmptyEntry { pointer, path } => write!(
                f,
                "a command was killed while it moved the {pointer} of {model}, and left {path} empty; a repair \
                 removes it"
            ),
            DamageKind::NoManifest { size_bytes, publish } => {
                write!(f, "{model} version {version} has {size_bytes} bytes of files and no manifest.json")?;
                match publish {
                    Some(command) => write!(
                        f,
                        "; if it was copied by hand, publish it with `{command}` before a repair removes it"
                    ),
                    None => write!(f, "; a repair removes the files"),
                }
            }
            DamageKind::UnfinishedDeletion { size_bytes } => {
                write!(
                    f,
                    "{model} version {version} is deleted, and {size_bytes} bytes remain; a repair removes them"
                )
            }
            DamageKind::UndecidedDeletion { path } => {
                write!(
                    f,
                    "a deletion of {model} version {version} was cut short ({path}); a repair keeps the version"
                )
            }
            DamageKind::UndecidedMove { pointer, path } => write!(
                f,
                "a move of the {pointer} of {model} to version {version} was cut short ({path}); a repair forgets it"
            ),
            DamageKind::DanglingPointer { pointer, restores, .. } => {
                write!(f, "the {pointer} of {model} names version {version}, which does not exist; ")?;
                match restores {
                    Some(earlier) => write!(f, "a repair points it at version {earlier}"),
                    None => write!(f, "a repair removes it"),
                }
            }
        }
    }
}

impl Display for ModelDeleted {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let ModelDeletion { model, versions, aliases, pinned } = &self.deletion;
        let would = would(self.dry_run);
        if *pinned {
            writeln!(f, "{would}removed  the pin of {model}")?;
        }
        for alias in aliases {
            writeln!(f, "{would}removed  the alias {alias} of {model}")?;
        }
        versions.iter().try_for_each(|deletion| write_deletion(f, deletion, self.dry_run))
    }
}

impl Display for Deleted {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_deletion(f, &self.deletion, self.dry_run)?;
        write_compatibility(f, self.compatibility.as_ref())
    }
}

/// Writes a deletion of a version.
pub fn write_deletion(f: &mut Formatter<'_>, deletion: &Deletion, dry_run: bool) -> fmt::Result {
    let Deletion { model, version, size_bytes } = deletion;
    writeln!(f, "{}deleted  {model} version {version}, {size_bytes} bytes", would(dry_run))
}

/// Returns the beginning of a line about something that is only planned.
pub fn would(dry_run: bool) -> &'static str {
    if dry_run { "would be " } else { "" }
}

fn named(version: Option<u64>) -> String {
    version.map_or_else(|| "none".to_owned(), |version| version.to_string())
}
