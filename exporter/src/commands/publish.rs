//! `publish`, and what `train` does with its best model.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use onnward_onnx::{
    Artifact, ArtifactError, BoundsError, DataRange, ExternalModel, ModelBounds, fold_external_data,
    inline_functions,
};
use onnward_repository::{About, ModelStatus, Move, NewVersion, Pointer, Published, Repository};
use onnward_schemas::layout::CONFIG_FILE;
use onnward_schemas::{ModelSummary, Schema};

use super::CommandError;
use super::audit::{action, on_record};
use super::check::check;
use super::compatibility::{Candidate, Compatibility, OtherSchema, check_publication};
use super::repository::block_on;
use super::results::{AliasMove, PublishResult, described};
use super::signing::signer;
use super::stdout::print;
use super::webhooks::{Notification, WebhookCall, WebhookEvent, Webhooks, notify};
use crate::cli::repository::{OriginArguments, PublishArguments};
use crate::expected_rows::read_expected_rows;
use crate::external::ExternalReading;
use crate::settings::{ChangedSetting, ServingSettings, SettingsError};

/// A model that is to be published.
pub struct Publication<'a> {
    /// The command that publishes it.
    pub command: &'static str,
    /// The model's name.
    pub model: &'a str,
    /// The files.
    pub new: NewVersion<'a>,
    /// The schema of its rows.
    pub schema: &'a Schema,
    /// An alias to point at it.
    pub alias: Option<&'a str>,
    /// The handling of a model of other rows.
    pub other_schema: OtherSchema,
    /// Whether it is published although a version with the same files is there.
    pub allow_duplicate: bool,
    /// The webhooks to tell.
    pub webhooks: &'a Webhooks,
}

/// The result of a publication.
pub struct Outcome {
    /// The version: a new one, or the one with the same files.
    pub published: Published,
    /// Whether the version is new.
    pub changes: bool,
    /// The alias that was moved.
    pub alias: Option<AliasMove>,
    /// The comparison with the version that is served.
    pub compatibility: Option<Compatibility>,
    /// The calls of webhooks.
    pub webhooks: Vec<WebhookCall>,
}

pub fn publish(arguments: &PublishArguments) -> Result<(), CommandError> {
    let PublishArguments { file, model, alias, sign_key, serving, .. } = arguments;
    let signer = signer(sign_key.as_deref())?;
    let webhooks = Webhooks::new(&serving.webhooks)?;
    let bytes = std::fs::read(file).map_err(|source| CommandError::reading(file, source))?;
    let contents = self_contained(arguments, &bytes)?;
    let checked = check(&arguments.check, file, &contents.bytes, contents.config.as_deref())?;

    let Contents { bytes, schema, summary, fingerprint, config, settings, external } = contents;
    let about = about(&arguments.origin, summary);
    let publication = Publication {
        command: "publish",
        model,
        new: NewVersion { bytes, fingerprint, config, signer: signer.as_ref(), about },
        schema: &schema,
        alias: alias.as_deref(),
        other_schema: serving.other_schema.into(),
        allow_duplicate: arguments.allow_duplicate,
        webhooks: &webhooks,
    };
    let dry_run = serving.change.dry_run;
    let (outcome, hint) = block_on(async {
        let repository = serving.change.open_or_create()?;
        let outcome = publish_new(&repository, publication, dry_run).await?;
        let hint = hint(&repository, &outcome, &arguments.origin);
        Ok((outcome, hint))
    })?;
    let Outcome { published, changes, alias, compatibility, webhooks } = outcome;
    let result = PublishResult {
        published,
        changes,
        hint,
        alias,
        compatibility,
        checked,
        settings,
        external,
        webhooks,
        dry_run,
    };
    print(serving.change.target.output, &result)
}

/// Returns the command that does what a second publication of the same files does not.
fn hint(repository: &Repository, outcome: &Outcome, origin: &OriginArguments) -> Option<String> {
    let Published { model, version, .. } = &outcome.published;
    if outcome.changes {
        return None;
    }
    if !origin.tags.is_empty() {
        let tags = origin
            .tags
            .iter()
            .map(|(key, value)| onnward_repository::shell_quoted(&format!("{key}={value}")));
        let tags: Vec<String> = tags.collect();
        return Some(repository.command(&format!("tag {model} {version} {}", tags.join(" "))));
    }
    let is_moved = outcome.alias.is_some();
    (!is_moved).then(|| repository.command(&format!("promote {model} {version}")))
}

fn about(origin: &OriginArguments, summary: ModelSummary) -> About {
    let OriginArguments { tags, author, commit } = origin;
    let tags = tags.iter().cloned().collect();
    About { summary: Some(summary), author: author.clone(), commit: commit.clone(), tags }
}

/// Publishes a model unless the same files are there, points the alias at it if there is one, records it, and
/// tells the webhooks. With `dry_run` nothing is written.
///
/// # Errors
/// [`CommandError::OtherSchema`]; those of the repository.
pub async fn publish_new(
    repository: &Repository,
    publication: Publication<'_>,
    dry_run: bool,
) -> Result<Outcome, CommandError> {
    let Publication { command, model, alias, webhooks, .. } = publication;
    let what = match alias {
        Some(alias) => format!("a new version, and alias {alias} to it"),
        None => "a new version".to_owned(),
    };
    let work = publish_or_find(repository, publication, dry_run);
    if dry_run {
        return work.await;
    }
    let mut outcome = on_record(repository, action(command, model, what), work, result_of).await?;
    for notification in notifications(command, &outcome) {
        outcome.webhooks.extend(notify(webhooks, repository, &notification).await);
    }
    Ok(outcome)
}

fn result_of(outcome: &Outcome) -> String {
    let Published { model, version, .. } = &outcome.published;
    match outcome.changes {
        true => described(&outcome.published),
        false => format!("{model} version {version} has the same bytes"),
    }
}

fn notifications(command: &'static str, outcome: &Outcome) -> Vec<Notification> {
    let Outcome { published, changes, alias, .. } = outcome;
    let Published { model, version, manifest, .. } = published;
    let notification = Notification::published(command, model, *version, &manifest.sha256);
    let moved = alias.as_ref().filter(|moved| moved.from != Some(moved.to)).map(|moved| Notification {
        event: WebhookEvent::Moved,
        previous: moved.from,
        alias: Some(moved.alias.clone()),
        ..notification.clone()
    });
    changes.then_some(notification).into_iter().chain(moved).collect()
}

async fn publish_or_find(
    repository: &Repository,
    publication: Publication<'_>,
    dry_run: bool,
) -> Result<Outcome, CommandError> {
    let Publication { model, new, schema, alias, other_schema, allow_duplicate, .. } = publication;
    let status = repository.find_status(model).await?;
    let found = match &status {
        Some(status) if !allow_duplicate => {
            repository.find_published(status, &new.bytes, new.config.as_deref()).await?
        }
        _ => None,
    };
    let candidate =
        found.as_ref().map_or(Candidate::New(schema), |found| Candidate::Published(found.version));
    let compatibility =
        check_publication(repository, status.as_ref(), candidate, alias, other_schema).await?;
    let (key, changes) = (new.signer, found.is_none());
    let mut published = match (found, dry_run) {
        (Some(found), _) => found,
        (None, true) => repository.plan_version(model, &new.bytes, new.fingerprint, new.about).await?,
        (None, false) => repository.publish_version(model, new).await?,
    };
    if let Some(key) = key {
        published.signed_by = Some(key.key_id().clone());
        if !changes && !dry_run {
            repository.sign(model, published.version, key).await?;
        }
    }
    let alias = match dry_run {
        true => alias.map(|alias| plan_alias(status.as_ref(), &published, alias)),
        false => promote_new(repository, &published, alias).await?,
    };
    Ok(Outcome { published, changes, alias, compatibility, webhooks: Vec::new() })
}

/// Returns the move of the alias that a publication would make.
fn plan_alias(status: Option<&ModelStatus>, published: &Published, alias: &str) -> AliasMove {
    let mut aliases = status.into_iter().flat_map(|status| &status.aliases);
    let from = aliases.find(|found| found.alias == alias).map(|found| found.version);
    AliasMove { alias: alias.to_owned(), from, to: published.version }
}

/// Points the alias, if there is one, at the version that was just published.
async fn promote_new(
    repository: &Repository,
    published: &Published,
    alias: Option<&str>,
) -> Result<Option<AliasMove>, CommandError> {
    let Some(alias) = alias else { return Ok(None) };
    let Published { model, version, .. } = published;
    let promoted = async {
        let change =
            repository.plan_move(model, &Pointer::Alias(alias.to_owned()), Move::To(*version)).await?;
        repository.apply_move(&change).await?;
        Ok(Some(AliasMove { alias: alias.to_owned(), from: change.from, to: *version }))
    };
    promoted.await.map_err(|source| CommandError::NotPromoted {
        model: model.to_owned(),
        version: *version,
        alias: alias.to_owned(),
        source: Box::new(source),
    })
}

/// The content of a file that is published.
struct Contents {
    /// The bytes, with the settings that were changed.
    bytes: Vec<u8>,
    schema: Schema,
    summary: ModelSummary,
    /// The fingerprint of an artifact's schema; `None` for an external file.
    fingerprint: Option<String>,
    /// The `config.toml` of an external file.
    config: Option<String>,
    /// The settings of an artifact that were changed.
    settings: Vec<ChangedSetting>,
    /// The interpretation of an external file.
    external: Option<ExternalReading>,
}

/// Reads a file that is published, by itself: the functions that it defines are inlined, and the weights beside it folded in.
fn self_contained(arguments: &PublishArguments, bytes: &[u8]) -> Result<Contents, CommandError> {
    let file = &arguments.file;
    match contents(arguments, bytes) {
        Err(CommandError::Artifact { source: ArtifactError::Bounds(BoundsError::Functions), .. }) => {
            self_contained(arguments, &with_inlined_functions(file, bytes)?)
        }
        Err(CommandError::Artifact {
            source: ArtifactError::Bounds(BoundsError::ExternalData { .. }),
            ..
        }) => self_contained(arguments, &with_external_data(file, bytes)?),
        contents => contents,
    }
}

fn with_inlined_functions(file: &Path, bytes: &[u8]) -> Result<Vec<u8>, CommandError> {
    let inlined = inline_functions(bytes, &ModelBounds::LARGEST)
        .map_err(|source| CommandError::Functions { path: file.to_owned(), source })?;
    eprintln!("note: the functions that {} defines are inlined into its graph", file.display());
    Ok(inlined.unwrap_or_else(|| bytes.to_vec()))
}

/// Folds weights in files beside a model into it, because a version is one file.
fn with_external_data(file: &Path, bytes: &[u8]) -> Result<Vec<u8>, CommandError> {
    let read = |range: &DataRange| -> io::Result<Vec<u8>> {
        let path = file.with_file_name(&range.file);
        // A link may lead to a file that is nobody's business, and a pipe to none.
        if !std::fs::symlink_metadata(&path)?.is_file() {
            return Err(io::Error::other("it is not a file but a link or a device: copy the weights there"));
        }
        let mut beside = File::open(path)?;
        beside.seek(SeekFrom::Start(range.offset))?;
        let most = range.length.unwrap_or(ModelBounds::LARGEST.max_bytes + 1);
        let mut part = Vec::new();
        beside.take(most).read_to_end(&mut part)?;
        match range.length {
            Some(length) if (part.len() as u64) < length => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(part),
        }
    };
    let folded = fold_external_data(bytes, ModelBounds::LARGEST.max_bytes, read);
    let folded = folded.map_err(|source| CommandError::ExternalData { path: file.to_owned(), source })?;
    eprintln!("note: the weights beside {} are published in one file with it", file.display());
    Ok(folded.unwrap_or_else(|| bytes.to_vec()))
}

fn read_text(path: &Path) -> Result<String, CommandError> {
    std::fs::read_to_string(path).map_err(|source| CommandError::reading(path, source))
}

/// Reads the `config.toml` beside an external file, as `check` and `predict` do. An artifact describes itself, so one
/// beside it may belong to another file, and is only mentioned.
fn config_beside(file: &Path, bytes: &[u8]) -> Result<Option<String>, CommandError> {
    let path = file.with_file_name(CONFIG_FILE);
    if !path.is_file() {
        return Ok(None);
    }
    match Artifact::decode(bytes) {
        Ok(_) => {
            eprintln!(
                "note: {} beside the file is not used: name it with --config to apply it",
                path.display()
            );
            Ok(None)
        }
        Err(ArtifactError::External) => {
            eprintln!("note: {} beside the file is published with it", path.display());
            read_text(&path).map(Some)
        }
        Err(_) => Ok(None),
    }
}

/// Reads a file that is published, within the largest limits that an engine can have. Warns if an engine serves
/// it only with raised limits.
fn contents(arguments: &PublishArguments, bytes: &[u8]) -> Result<Contents, CommandError> {
    let config = match &arguments.config {
        Some(path) => Some(read_text(path)?),
        None => config_beside(&arguments.file, bytes)?,
    };
    let within = |bounds: &ModelBounds| contents_within(arguments, bytes.to_vec(), config.clone(), bounds);
    within(&ModelBounds::default()).or_else(|refused| {
        let contents = within(&ModelBounds::LARGEST)?;
        eprintln!("warning: an engine with the default limits will not serve it: {refused}");
        Ok(contents)
    })
}

/// Reads an artifact, or an external file, with its config.toml.
fn contents_within(
    arguments: &PublishArguments,
    bytes: Vec<u8>,
    config: Option<String>,
    bounds: &ModelBounds,
) -> Result<Contents, CommandError> {
    let path = arguments.file.clone();
    match Artifact::decode_within(&bytes, bounds) {
        Ok(_) if arguments.golden.is_some() => Err(CommandError::GoldenRows(path)),
        Ok(artifact) => with_settings(artifact, bytes, config.as_deref())
            .map_err(|source| CommandError::Settings { path, source }),
        Err(ArtifactError::External) => {
            let decode = |bytes: &[u8]| {
                ExternalModel::decode_within(&arguments.model, bytes, config.as_deref(), bounds)
            };
            let mut bytes = bytes;
            let mut decoded = decode(&bytes);
            if let (Some(golden), Ok(model)) = (&arguments.golden, &decoded) {
                let rows = read_expected_rows(golden, &model.schema, arguments.tolerance)?;
                bytes = rows.add_to(&bytes).unwrap_or(bytes);
                // The bounds of a file and the fields of a request hold for the rows too.
                decoded = decode(&bytes);
            }
            match decoded {
                Ok(model) => Ok(Contents {
                    summary: ModelSummary::of_schema(&model.schema),
                    external: Some(ExternalReading::of(&model)),
                    schema: model.schema,
                    fingerprint: None,
                    settings: Vec::new(),
                    bytes,
                    config,
                }),
                Err(source) => Err(CommandError::External { path, source: Box::new(source) }),
            }
        }
        Err(source) => Err(CommandError::Artifact { path, source }),
    }
}

/// Applies a config.toml to an artifact. Without one, its bytes stay what they are.
fn with_settings(
    artifact: Artifact,
    bytes: Vec<u8>,
    config: Option<&str>,
) -> Result<Contents, SettingsError> {
    let settings = ServingSettings::parse(config.unwrap_or_default())?;
    let (artifact, settings) = settings.apply(artifact)?;
    let bytes = if settings.is_empty() { bytes } else { artifact.encode() };
    let summary = ModelSummary::of(&artifact.metadata);
    let schema = artifact.into_metadata().schema;
    let fingerprint = Some(schema.fingerprint());
    Ok(Contents { bytes, schema, summary, fingerprint, config: None, settings, external: None })
}
