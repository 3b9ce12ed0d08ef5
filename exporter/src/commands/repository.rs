//! The commands on a model repository that move pointers, and delete versions and whole models.

use onnward_repository::{Move, Pointer, PointerChange, Repository};

use super::CommandError;
use super::audit::{action, move_action, on_record};
use super::calls::wait_for_engines;
use super::compatibility::{Compatibility, check_deletion, check_move};
use super::results::{Aliases, Deleted, ModelDeleted, MoveResult, Moved};
use super::stdout::print;
use super::webhooks::{Notification, WebhookEvent, Webhooks, notify};
use crate::cli::repository::{
    AliasCommand, DeleteModelArguments, ModelArguments, ServingArguments, VersionArguments, WaitArguments,
};

/// Runs an asynchronous task to its end.
pub fn block_on<T>(work: impl Future<Output = Result<T, CommandError>>) -> Result<T, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(CommandError::Runtime)?.block_on(work)
}

/// A move of an alias or the pin, as a command asks for it.
pub struct PointerMove<'a> {
    /// The command.
    pub command: &'static str,
    /// The model.
    pub model: &'a str,
    /// The pointer.
    pub pointer: Pointer,
    /// The move.
    pub step: Move,
    /// The repository, and what the move may do.
    pub serving: &'a ServingArguments,
    /// The engines to wait for.
    pub wait: Option<&'a WaitArguments>,
}

/// Moves an alias or the pin unless clients would get errors, records the move under the command's name, tells
/// the webhooks, and waits for the engines.
pub fn move_pointer(step: PointerMove<'_>) -> Result<(), CommandError> {
    let PointerMove { command, model, serving, wait, .. } = &step;
    let (output, dry_run) = (serving.change.target.output, serving.change.dry_run);
    let webhooks = Webhooks::new(&serving.webhooks)?;
    let result = block_on(async {
        let repository = Repository::open(&serving.change.target.config())?.with_reserve();
        let on_record_as = move_action(command, model, &step.pointer, &step.step);
        let work = check_and_move(&repository, &step);
        let (moved, compatibility) = match dry_run {
            true => work.await?,
            false => on_record(&repository, on_record_as, work, |(moved, _)| moved.to_string()).await?,
        };
        let mut result = MoveResult { moved, compatibility, engines: Vec::new(), webhooks: Vec::new() };
        if dry_run {
            return Ok(result);
        }
        let change = &result.moved.change;
        if change.changes {
            let notification = moved_notification(command, change);
            result.webhooks = notify(&webhooks, &repository, &notification).await;
        }
        if let (Some(wait), Some(version)) = (wait, change.to) {
            result.engines = wait_for_engines(wait, model, version).await?;
        }
        Ok(result)
    })?;
    print(output, &result)?;
    let missing = result.engines.iter().filter(|engine| !engine.done).map(ToString::to_string);
    let missing: Vec<String> = missing.collect();
    match result.moved.change.to.filter(|_| !missing.is_empty()) {
        Some(version) => Err(CommandError::NotServed { version, engines: result.engines.len(), missing }),
        None => Ok(()),
    }
}

async fn check_and_move(
    repository: &Repository,
    step: &PointerMove<'_>,
) -> Result<(Moved, Option<Compatibility>), CommandError> {
    let PointerMove { model, pointer, serving, .. } = step;
    let (dry_run, allowed) = (serving.change.dry_run, serving.other_schema);
    let change = repository.plan_move(model, pointer, step.step).await?;
    // What is allowed in any case is compared to be shown, and a rollback in a hurry waits for no download.
    let compatibility = match allowed && !dry_run {
        true => None,
        false => check_move(repository, &change, allowed.into()).await?,
    };
    if !dry_run {
        repository.apply_move(&change).await?;
    }
    Ok((Moved { change, dry_run }, compatibility))
}

fn moved_notification(command: &'static str, change: &PointerChange) -> Notification {
    Notification {
        event: WebhookEvent::Moved,
        command,
        model: change.model.clone(),
        version: change.to,
        previous: change.from,
        alias: change.alias.clone(),
        sha256: None,
    }
}

pub fn alias(command: AliasCommand) -> Result<(), CommandError> {
    match command {
        AliasCommand::List(ModelArguments { model, target }) => {
            let status = block_on(async { Ok(Repository::open(&target.config())?.status(&model).await?) })?;
            print(target.output, &Aliases { model: status.model, aliases: status.aliases })
        }
        AliasCommand::Set(set) => move_pointer(PointerMove {
            command: "alias set",
            model: &set.model,
            pointer: Pointer::Alias(set.alias),
            step: Move::To(set.version),
            serving: &set.serving,
            wait: None,
        }),
        AliasCommand::Delete(delete) => move_pointer(PointerMove {
            command: "alias delete",
            model: &delete.model,
            pointer: Pointer::Alias(delete.alias),
            step: Move::Clear,
            serving: &delete.serving,
            wait: None,
        }),
    }
}

pub fn delete_version(arguments: &VersionArguments) -> Result<(), CommandError> {
    let VersionArguments { model, version, other_schema, change } = arguments;
    let dry_run = change.dry_run;
    let deleted = block_on(async {
        let repository = Repository::open(&change.target.config())?.with_reserve();
        let work = async {
            let deletion = repository.plan_deletion(model, *version).await?;
            // What is allowed in any case is compared to be shown.
            let compatibility = match *other_schema && !dry_run {
                true => None,
                false => check_deletion(&repository, &deletion, (*other_schema).into()).await?,
            };
            if !dry_run {
                repository.apply_deletion(&deletion).await?;
            }
            Ok(Deleted { deletion, compatibility, dry_run })
        };
        if dry_run {
            return work.await;
        }
        let on_record_as = action("delete-version", model, format!("version {version}"));
        on_record(&repository, on_record_as, work, |_| format!("version {version} is deleted")).await
    })?;
    print(change.target.output, &deleted)
}

pub fn delete_model(arguments: &DeleteModelArguments) -> Result<(), CommandError> {
    let DeleteModelArguments { model, with_aliases, change } = arguments;
    let deleted = block_on(async {
        let repository = Repository::open(&change.target.config())?.with_reserve();
        let plan = repository.plan_model_deletion(model, *with_aliases);
        if change.dry_run {
            return Ok(ModelDeleted { deletion: plan.await?, dry_run: true });
        }
        let work = async {
            let deletion = plan.await?;
            repository.apply_model_deletion(&deletion).await?;
            Ok(ModelDeleted { deletion, dry_run: false })
        };
        let on_record_as = action("delete-model", model, "all versions".to_owned());
        let result =
            |deleted: &ModelDeleted| format!("{} versions are deleted", deleted.deletion.versions.len());
        on_record(&repository, on_record_as, work, result).await
    })?;
    print(change.target.output, &deleted)
}
