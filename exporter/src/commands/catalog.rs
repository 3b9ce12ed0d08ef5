//! The commands that show, copy, tag and repair what a repository holds.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::time::Duration;

use onnward_repository::{DEFAULT_ALIAS, Damage, DamageKind, FetchedModel, ModelStatus, Repository};
use onnward_schemas::sha256_hex;

use super::CommandError;
use super::audit::{action, on_record};
use super::comparison::compare;
use super::compatibility::{Candidate, Compatibility, check_publication};
use super::repository::block_on;
use super::results::{CopyResult, History, ModelSummaryRow, Models, Pulled, Repaired, Tagged, Versions};
use super::stdout::print;
use super::target_store::target_config;
use super::version_file::describe;
use super::webhooks::{Notification, Webhooks, notify};
use crate::cli::repository::{
    CopyArguments, HistoryArguments, ModelsArguments, PullArguments, RepairArguments, TagArguments,
    VersionsArguments, repository_config,
};

pub fn models(arguments: &ModelsArguments) -> Result<(), CommandError> {
    let target = &arguments.target;
    let models = block_on(async {
        let repository = Repository::open(&target.config())?;
        let mut models = Vec::new();
        for model in repository.models().await? {
            // A folder without versions is no model.
            models.extend(repository.find_status(&model).await?.map(summarized));
        }
        Ok(models)
    })?;
    print(target.output, &Models { models })
}

fn summarized(status: ModelStatus) -> ModelSummaryRow {
    ModelSummaryRow {
        versions: status.versions.len(),
        highest: status.versions.first().map(|found| found.version),
        served: status.served(DEFAULT_ALIAS),
        pin: status.pin.as_ref().map(|pin| pin.version),
        model: status.model,
        aliases: status.aliases,
    }
}

pub fn versions(arguments: &VersionsArguments) -> Result<(), CommandError> {
    let VersionsArguments { model, compare: compared, target } = arguments;
    if let Some([one, other]) = compared.as_deref() {
        let comparison = block_on(async {
            let repository = Repository::open(&target.config())?;
            compare(&repository, model, *one, *other).await
        })?;
        return print(target.output, &comparison);
    }
    let versions = block_on(async {
        let repository = Repository::open(&target.config())?;
        let mut status = repository.status(model).await?;
        let mut tags = repository.changed_tags(model).await?;
        for found in &mut status.versions {
            if let (Some(manifest), Some(tags)) = (&mut found.manifest, tags.remove(&found.version)) {
                manifest.tags = tags;
            }
        }
        let damage = repository.find_damage(model, Duration::ZERO).await?;
        let is_unpublished = |damage: &Damage| matches!(damage.kind, DamageKind::NoManifest { .. });
        Ok(Versions { status, unpublished: damage.into_iter().filter(is_unpublished).collect() })
    })?;
    print(target.output, &versions)
}

pub fn history(arguments: &HistoryArguments) -> Result<(), CommandError> {
    let HistoryArguments { model, alias, target } = arguments;
    let entries = block_on(async { Ok(Repository::open(&target.config())?.history(model, alias).await?) })?;
    print(target.output, &History { model: model.clone(), alias: alias.clone(), entries })
}

pub fn pull(arguments: &PullArguments) -> Result<(), CommandError> {
    let PullArguments { model, version, out, target } = arguments;
    let files =
        block_on(async { Ok(Repository::open(&target.config())?.version_files(model, *version).await?) })?;
    let sha256 = files.first().map(|(_, artifact)| sha256_hex(artifact)).unwrap_or_default();
    let mut written = Vec::new();
    for (path, bytes) in &files {
        let path = out.join(path);
        write_new(&path, bytes)?;
        written.push(path.display().to_string());
    }
    print(target.output, &Pulled { model: model.clone(), version: *version, files: written, sha256 })
}

/// Writes a file that must not exist yet, and its folder.
fn write_new(path: &Path, bytes: &[u8]) -> Result<(), CommandError> {
    let failed = |source| CommandError::writing(path, source);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    let mut file = file.map_err(|source| match source.kind() {
        ErrorKind::AlreadyExists => CommandError::Exists { path: path.to_owned() },
        _ => failed(source),
    })?;
    file.write_all(bytes).map_err(failed)
}

pub fn copy(arguments: &CopyArguments) -> Result<(), CommandError> {
    let CopyArguments { model, version, from, serving } = arguments;
    let webhooks = Webhooks::new(&serving.webhooks)?;
    let target = target_config(&serving.change.target.repository)?;
    let result = block_on(async {
        let source = Repository::open(&repository_config(from))?;
        let repository = serving.change.open_or_create_at(&target)?;
        let work = copy_between(&source, &repository, arguments);
        if serving.change.dry_run {
            return work.await;
        }
        let what = format!("version {version} from {}", source.place());
        let copied = |result: &CopyResult| match result.copied.changes {
            true => format!("version {version} is copied"),
            false => format!("version {version} was here already"),
        };
        let mut result = on_record(&repository, action("copy", model, what), work, copied).await?;
        if result.copied.changes {
            let notification = Notification::published("copy", model, *version, &result.copied.sha256);
            result.webhooks = notify(&webhooks, &repository, &notification).await;
        }
        Ok(result)
    })?;
    print(serving.change.target.output, &result)
}

async fn copy_between(
    source: &Repository,
    repository: &Repository,
    arguments: &CopyArguments,
) -> Result<CopyResult, CommandError> {
    let CopyArguments { model, version, serving, .. } = arguments;
    let dry_run = serving.change.dry_run;
    let plan = repository.plan_copy(source, model, *version).await?;
    let compatibility = match plan.copied.changes {
        true => becomes_served(&plan.fetched, repository, arguments).await?,
        false => None,
    };
    if !dry_run {
        repository.apply_copy(&plan).await?;
    }
    Ok(CopyResult { copied: plan.copied, compatibility, webhooks: Vec::new(), dry_run })
}

/// Compares a copy with the version whose place it takes: as the highest version, where no alias decides.
async fn becomes_served(
    fetched: &FetchedModel,
    repository: &Repository,
    arguments: &CopyArguments,
) -> Result<Option<Compatibility>, CommandError> {
    let CopyArguments { model, version, serving, .. } = arguments;
    let Some(status) = repository.find_status(model).await? else { return Ok(None) };
    if status.versions.first().is_some_and(|highest| highest.version > *version) {
        return Ok(None);
    }
    let schema = describe(fetched, model, *version)?.schema;
    let candidate = Candidate::New(&schema);
    check_publication(repository, Some(&status), candidate, None, serving.other_schema.into()).await
}

pub fn tag(arguments: &TagArguments) -> Result<(), CommandError> {
    let TagArguments { model, version, tags, remove, change } = arguments;
    let tagged = block_on(async {
        let repository = Repository::open(&change.target.config())?;
        let set = tags.iter().cloned().collect();
        let plan = repository.plan_tags(model, *version, set, remove);
        if change.dry_run {
            return Ok(Tagged { change: plan.await?, dry_run: true });
        }
        let work = async {
            let planned = plan.await?;
            repository.apply_tags(&planned).await?;
            Ok(Tagged { change: planned, dry_run: false })
        };
        let on_record_as = action("tag", model, format!("the tags of version {version}"));
        on_record(&repository, on_record_as, work, |tagged| tagged.to_string().trim_end().to_owned()).await
    })?;
    print(change.target.output, &tagged)
}

pub fn repair(arguments: &RepairArguments) -> Result<(), CommandError> {
    let RepairArguments { model, fix, min_age, target } = arguments;
    let recent = Duration::from_secs(min_age.saturating_mul(60));
    let repaired = block_on(async {
        let repository = Repository::open(&target.config())?.with_reserve();
        let models = match model {
            Some(model) => vec![model.clone()],
            None => repository.models().await?,
        };
        let mut found = Vec::new();
        for model in &models {
            found.extend(repository.find_damage(model, recent).await?);
        }
        if !*fix || found.is_empty() {
            let arguments = model
                .as_ref()
                .map_or_else(|| "repair --fix".to_owned(), |name| format!("repair {name} --fix"));
            let hint = (!found.is_empty()).then(|| repository.command(&arguments));
            return Ok(Repaired { found, fixed: false, hint });
        }
        let on_record_as = onnward_repository::Action {
            command: "repair",
            model: model.clone(),
            what: format!("{} damages", found.len()),
        };
        let work = async {
            for damage in &found {
                repository.repair(damage).await?;
            }
            Ok(())
        };
        on_record(&repository, on_record_as, work, |()| "they are repaired".to_owned()).await?;
        Ok(Repaired { found, fixed: true, hint: None })
    })?;
    print(target.output, &repaired)
}
