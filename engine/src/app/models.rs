use std::time::Instant;

use onnward_repository::{Repository, Target};

use crate::loader::Loader;
use crate::registry::{FailedModel, Registry, ServingModel};

/// Loads the version of every model in the repository that a pin, else `alias`, else the highest number decides, one after
/// the other, and puts those that pass into service as they come. What fails is named and passed over.
pub async fn load_all(repository: &Repository, alias: &str, loader: &Loader, registry: &Registry) {
    match repository.models().await {
        Ok(names) if names.is_empty() => tracing::warn!("the model repository is empty"),
        Ok(names) => {
            for name in names {
                load_target(repository, alias, loader, registry, name).await;
            }
        }
        Err(error) => tracing::error!(%error, "the model repository cannot be listed"),
    }
    registry.finish_loading();
    match registry.default_model() {
        Some(model) => tracing::info!(model = model.name, "POST /predict is answered by this model"),
        None => tracing::warn!("POST /predict is answered by no model: the default model is not served"),
    }
}

async fn load_target(
    repository: &Repository,
    alias: &str,
    loader: &Loader,
    registry: &Registry,
    name: String,
) {
    let start = Instant::now();
    let Target { version, decided_by } = match repository.target(&name, alias).await {
        Ok(target) => target,
        Err(error) => return fail(registry, name, None, error.to_string()),
    };
    match load(repository, loader, &name, version).await {
        Ok(mut model) => {
            model.decided_by = Some(decided_by);
            let took = start.elapsed();
            let backend = model.backend.name();
            tracing::info!(model = name, version, backend, ms = took.as_micros() as f64 / 1000.0, "serving");
            registry.insert(model);
            loader.metrics.model_loaded(&name, took);
            loader.metrics.models_serving(registry.serving().len());
        }
        Err(reason) => fail(registry, name, Some(version), reason),
    }
}

async fn load(
    repository: &Repository,
    loader: &Loader,
    name: &str,
    version: u64,
) -> Result<ServingModel, String> {
    let fetched = repository.fetch(name, version).await.map_err(|error| error.to_string())?;
    let (loader, name) = (loader.clone(), name.to_owned());
    // Opening and proving a model computes for a while, and a backend that panics must not end the engine.
    let loaded = tokio::task::spawn_blocking(move || loader.load(&name, version, &fetched)).await;
    match loaded {
        Ok(loaded) => loaded.map_err(|error| error.to_string()),
        Err(_) => Err("the backend panicked while it opened the model".to_owned()),
    }
}

fn fail(registry: &Registry, name: String, version: Option<u64>, reason: String) {
    tracing::error!(model = name, version, reason, "a model is not served");
    registry.fail(&FailedModel { name, version, reason });
}
