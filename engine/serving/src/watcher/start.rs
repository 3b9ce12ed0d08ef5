use std::sync::Arc;
use std::time::Duration;

use onnward_repository::{CacheRecord, Target};

use super::Parts;
use super::model::{Failure, prove};
use crate::registry::{Problem, RepositoryState};

/// How long the start waits for the store before it turns to the cache.
pub const PATIENCE: Duration = Duration::from_secs(3);

/// Serves what was served last, from the cache alone; once, and only if nothing is served yet.
pub async fn from_memory(parts: &Arc<Parts>, why: &str) {
    let Parts { registry, location, .. } = parts.as_ref();
    if !registry.slots().is_empty() {
        return;
    }
    let models = parts.remembered.lock().await.models.clone();
    if models.is_empty() {
        return;
    }
    tracing::warn!(
        repository = location,
        why,
        "the store is not reached: what was served last is served from the cache"
    );
    registry.set_repository(RepositoryState {
        location: location.clone(),
        reachable: Some(false),
        error: Some(why.to_owned()),
        from_cache: true,
        ..RepositoryState::default()
    });
    for (name, model) in models {
        if let Err(Failure::Refused { step, reason, .. }) = serve(parts, &name, &model).await {
            tracing::error!(model = name, version = model.version, step, reason, "not served from the cache");
            registry.fail(&name, Problem::now(Some(model.version), step, reason));
        }
    }
    registry.finish_loading();
}

async fn serve(parts: &Arc<Parts>, name: &str, model: &CacheRecord) -> Result<(), Failure> {
    let target = Target { version: model.version, decided_by: model.decided_by.clone() };
    parts.registry.change(name, |slot| slot.desired = Some(target.clone()));
    let fetched = parts.fetcher.fetch_cached(name, model).await;
    let fetched = fetched.map_err(|error| Failure::of_repository(&error))?;
    let loaded = prove(parts, name, model.version, fetched).await?;
    tracing::info!(model = name, version = model.version, "serving from the cache");
    parts.registry.insert(loaded);
    parts.registry.serve(name, &target);
    Ok(())
}
