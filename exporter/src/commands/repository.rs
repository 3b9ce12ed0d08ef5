//! The commands on a model repository.

pub mod results;

use std::path::PathBuf;

use onnward_onnx::{Artifact, ArtifactError, ExternalModel, ModelBounds};
use onnward_repository::{Action, Move, NewVersion, Pointer, Published, Repository, RepositoryError, Signer};

use self::results::{
    AliasMove, Aliases, Collected, Deleted, KeptBack, Moved, PublishResult, Versions, described,
};
use super::CommandError;
use super::audit::{action, move_action, on_record};
use super::signing::signer;
use super::stdout::print;
use crate::cli::repository::{
    AliasCommand, ChangeArguments, GcArguments, ModelArguments, PublishArguments, VersionArguments,
};
use crate::external::ExternalReading;

/// Runs an asynchronous task to its end.
pub fn block_on<T>(work: impl Future<Output = Result<T, CommandError>>) -> Result<T, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(CommandError::Runtime)?.block_on(work)
}

pub fn publish(arguments: &PublishArguments) -> Result<(), CommandError> {
    let PublishArguments { file, model, config, alias, sign_key, change } = arguments;
    let signer = signer(sign_key.as_deref())?;
    let bytes = std::fs::read(file).map_err(|source| CommandError::reading(file, source))?;
    let read_text =
        |path: &PathBuf| std::fs::read_to_string(path).map_err(|source| CommandError::reading(path, source));
    let config = config.as_ref().map(read_text).transpose()?;
    let Contents { fingerprint, external } = contents(arguments, &bytes, config.as_deref())?;
    let result = block_on(async {
        if change.dry_run {
            let planned = plan_publish(arguments, &bytes, fingerprint, signer.as_ref()).await?;
            return Ok(PublishResult { external, ..planned });
        }
        let repository = Repository::create(&change.target.config())?;
        let new = NewVersion { bytes, fingerprint, config, signer: signer.as_ref() };
        let (published, alias) = publish_new(&repository, "publish", model, new, alias.as_deref()).await?;
        Ok(PublishResult { published, alias, external, dry_run: false })
    })?;
    print(change.target.output, &result)
}

/// Publishes a version, points the alias at it if there is one, and records both.
pub async fn publish_new(
    repository: &Repository,
    command: &'static str,
    model: &str,
    new: NewVersion<'_>,
    alias: Option<&str>,
) -> Result<(Published, Option<AliasMove>), CommandError> {
    let what = match alias {
        Some(alias) => format!("a new version, and alias {alias} to it"),
        None => "a new version".to_owned(),
    };
    let work = async {
        let published = repository.publish_version(model, new).await?;
        let alias = promote_new(repository, &published, alias).await?;
        Ok((published, alias))
    };
    on_record(repository, action(command, model, what), work, |(published, _)| described(published)).await
}

/// Returns the result that `publish` would have.
async fn plan_publish(
    arguments: &PublishArguments,
    bytes: &[u8],
    fingerprint: Option<String>,
    signer: Option<&Signer>,
) -> Result<PublishResult, CommandError> {
    let PublishArguments { model, alias, change, .. } = arguments;
    let repository = Repository::open_or_empty(&change.target.config())?;
    let mut published = repository.plan_publish(model, bytes, fingerprint).await?;
    published.signed_by = signer.map(|signer| signer.key_id().clone());
    let aliases = match repository.status(model).await {
        Ok(status) => status.aliases,
        Err(RepositoryError::NoModel { .. }) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let alias = alias.clone().map(|alias| {
        let from = aliases.iter().find(|found| found.alias == alias).map(|found| found.version);
        AliasMove { alias, from, to: published.version }
    });
    Ok(PublishResult { published, alias, external: None, dry_run: true })
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
    /// The fingerprint of an artifact's schema; `None` for an external file.
    fingerprint: Option<String>,
    /// The interpretation of an external file.
    external: Option<ExternalReading>,
}

/// Reads a file that is published, within the largest limits that an engine can have. Warns if an engine serves
/// it only with raised limits.
fn contents(
    arguments: &PublishArguments,
    bytes: &[u8],
    config: Option<&str>,
) -> Result<Contents, CommandError> {
    contents_within(arguments, bytes, config, &ModelBounds::default()).or_else(|refused| {
        let contents = contents_within(arguments, bytes, config, &ModelBounds::LARGEST)?;
        eprintln!("warning: an engine with the default limits will not serve it: {refused}");
        Ok(contents)
    })
}

/// Reads an artifact, or an external file with its config.toml.
fn contents_within(
    arguments: &PublishArguments,
    bytes: &[u8],
    config: Option<&str>,
    bounds: &ModelBounds,
) -> Result<Contents, CommandError> {
    let path = arguments.file.clone();
    match Artifact::decode_within(bytes, bounds) {
        Ok(_) if config.is_some() => Err(CommandError::NeedlessConfig { path }),
        Ok(artifact) => {
            Ok(Contents { fingerprint: Some(artifact.metadata.schema.fingerprint()), external: None })
        }
        Err(ArtifactError::External) => {
            match ExternalModel::decode_within(&arguments.model, bytes, config, bounds) {
                Ok(model) => Ok(Contents { fingerprint: None, external: Some(ExternalReading::of(&model)) }),
                Err(source) => Err(CommandError::External { path, source: Box::new(source) }),
            }
        }
        Err(source) => Err(CommandError::Artifact { path, source }),
    }
}

/// Moves an alias or the pin, and records the move under the command's name.
pub fn move_pointer(
    command: &'static str,
    model: &str,
    pointer: &Pointer,
    step: Move,
    arguments: &ChangeArguments,
) -> Result<(), CommandError> {
    let moved = block_on(async {
        let repository = Repository::open(&arguments.target.config())?;
        let dry_run = arguments.dry_run;
        let on_record_as = move_action(command, model, pointer, &step);
        let work = async {
            let change = repository.plan_move(model, pointer, step).await?;
            if !dry_run {
                repository.apply_move(&change).await?;
            }
            Ok(Moved { change, dry_run })
        };
        match dry_run {
            true => work.await,
            false => on_record(&repository, on_record_as, work, |moved| moved.to_string()).await,
        }
    })?;
    print(arguments.target.output, &moved)
}

pub fn alias(command: AliasCommand) -> Result<(), CommandError> {
    match command {
        AliasCommand::List(ModelArguments { model, target }) => {
            let status = block_on(async { Ok(Repository::open(&target.config())?.status(&model).await?) })?;
            print(target.output, &Aliases { model: status.model, aliases: status.aliases })
        }
        AliasCommand::Set(set) => {
            let step = Move::To(set.version);
            move_pointer("alias set", &set.model, &Pointer::Alias(set.alias), step, &set.change)
        }
        AliasCommand::Delete(delete) => {
            let alias = Pointer::Alias(delete.alias);
            move_pointer("alias delete", &delete.model, &alias, Move::Clear, &delete.change)
        }
    }
}

pub fn versions(arguments: &ModelArguments) -> Result<(), CommandError> {
    let ModelArguments { model, target } = arguments;
    let status = block_on(async { Ok(Repository::open(&target.config())?.status(model).await?) })?;
    print(target.output, &Versions(status))
}

pub fn delete_version(arguments: &VersionArguments) -> Result<(), CommandError> {
    let VersionArguments { model, version, change } = arguments;
    let deleted = block_on(async {
        let repository = Repository::open(&change.target.config())?;
        if change.dry_run {
            return Ok(Deleted { deletion: repository.plan_deletion(model, *version).await?, dry_run: true });
        }
        let work = async {
            let deletion = repository.plan_deletion(model, *version).await?;
            repository.apply_deletion(&deletion).await?;
            Ok(Deleted { deletion, dry_run: false })
        };
        let on_record_as = action("delete-version", model, format!("version {version}"));
        on_record(&repository, on_record_as, work, |_| format!("version {version} is deleted")).await
    })?;
    print(change.target.output, &deleted)
}

pub fn gc(arguments: &GcArguments) -> Result<(), CommandError> {
    let GcArguments { model, keep, change } = arguments;
    let collected = block_on(async {
        let repository = Repository::open(&change.target.config())?;
        let work = collect(&repository, arguments);
        if change.dry_run {
            return work.await;
        }
        let what = format!("all but the highest {keep}, and those in use");
        let on_record_as = Action { command: "gc", model: model.clone(), what };
        on_record(&repository, on_record_as, work, deleted_versions).await
    })?;
    print(change.target.output, &collected)
}

async fn collect(repository: &Repository, arguments: &GcArguments) -> Result<Collected, CommandError> {
    let GcArguments { model, keep, change: ChangeArguments { dry_run, .. } } = arguments;
    let models = match model {
        Some(model) => vec![model.clone()],
        None => repository.models().await?,
    };
    let keep = usize::try_from(*keep).unwrap_or(usize::MAX);
    let mut collected = Collected { deleted: Vec::new(), kept_back: Vec::new(), dry_run: *dry_run };
    for name in models {
        let plan = match repository.plan_gc(&name, keep).await {
            // The folder is not a model.
            Err(RepositoryError::NoModel { .. }) if model.is_none() => continue,
            plan => plan?,
        };
        for deletion in plan {
            let done = if *dry_run { Ok(()) } else { repository.apply_deletion(&deletion).await };
            match done {
                Ok(()) => collected.deleted.push(deletion),
                Err(RepositoryError::InUse { model, version, used_as }) => {
                    collected.kept_back.push(KeptBack { model, version, used_as });
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(collected)
}

fn deleted_versions(collected: &Collected) -> String {
    let deleted = collected.deleted.iter().map(|deletion| format!("{} {}", deletion.model, deletion.version));
    let deleted: Vec<String> = deleted.collect();
    if deleted.is_empty() {
        "nothing is deleted".to_owned()
    } else {
        format!("{} are deleted", deleted.join(", "))
    }
}
