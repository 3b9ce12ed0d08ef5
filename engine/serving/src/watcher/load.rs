//! The turns of loads, and the verification of a fetched version, part by part, in the background.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use onnward_repository::{FetchedModel, RepositoryError, Subject};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::WatcherContext;
use super::background::in_background;
use crate::loader::{LoadError, Loader, Recovery, Verification};
use crate::registry::ServingModel;

/// The reason why a version was not loaded.
pub enum VersionError {
    /// The repository or a check rejected it.
    Rejected { step: &'static str, reason: String, recovery: Recovery },
    /// The desired state changed meanwhile.
    Superseded,
}

/// The time after which nothing waits for a load any more, but for its own model's target: neither other loads nor a
/// reload.
pub const LONG_LOAD: Duration = Duration::from_secs(5);

/// Runs a load once there is a permit, so that the threads and the memory of all loads together are bounded.
pub async fn in_turn<T>(permits: &Semaphore, load: impl Future<Output = T>) -> T {
    // The permits are never closed.
    let permit = permits.acquire().await;
    let mut load = pin!(load);
    match timeout(LONG_LOAD, &mut load).await {
        Ok(loaded) => loaded,
        Err(_) => {
            drop(permit);
            load.await
        }
    }
}

/// Verifies a fetched version's signature and loads it.
pub async fn verify(
    context: &WatcherContext,
    name: &str,
    version: u64,
    fetched: FetchedModel,
) -> Result<ServingModel, VersionError> {
    if !context.keys.is_empty() {
        let FetchedModel { manifest_text, config, signatures, .. } = &fetched;
        let subject = Subject { model: name, version, manifest_text, config: config.as_deref() };
        let verified = context.keys.verify(&subject, signatures);
        verified.map_err(|error| VersionError::Rejected {
            step: "signature",
            reason: error.to_string(),
            recovery: Recovery::Never,
        })?;
    }
    let manifest = fetched.manifest.clone();
    let work = LoadWork { context, name, fetched: Arc::new(fetched), cancelled: Arc::default() };
    let begun = work.run(&context.load_permits, Loader::begin).await?;
    let verified = match begun {
        Verification::Done(verified) => *verified,
        Verification::NeedsIsolatedTest(mut decoded) => {
            let set_isolated = |is_isolated| {
                context.registry.change(name, |entry| {
                    entry.loading.iter_mut().for_each(|loading| loading.is_isolated = is_isolated);
                });
            };
            set_isolated(true);
            let test = move |loader: &Loader, name: &str, fetched: &FetchedModel, cancelled: &AtomicBool| {
                loader.test_isolated(name, fetched, &mut decoded, cancelled)?;
                Ok(decoded)
            };
            let tested = work.run(&context.isolation_permits, test).await;
            set_isolated(false);
            let tested = tested?;
            let finish =
                move |loader: &Loader, name: &str, fetched: &FetchedModel, cancelled: &AtomicBool| {
                    loader.finish(name, fetched, *tested, cancelled)
                };
            work.run(&context.load_permits, finish).await?
        }
    };
    Ok(context.loader.start(name, version, &manifest, verified)?)
}

/// A load, part by part. It is cancelled when dropped.
struct LoadWork<'a> {
    context: &'a WatcherContext,
    name: &'a str,
    fetched: Arc<FetchedModel>,
    cancelled: Arc<AtomicBool>,
}

impl LoadWork<'_> {
    /// Runs a part in the background, once there is a permit, and for a limited time. A thread cannot be
    /// ended: after the timeout it goes on, and no other model waits for it. One that is cancelled ends at its next
    /// check, and keeps the permit until then.
    async fn run<T: Send + 'static>(
        &self,
        permits: &Arc<Semaphore>,
        part: impl FnOnce(&Loader, &str, &FetchedModel, &AtomicBool) -> Result<T, LoadError> + Send + 'static,
    ) -> Result<T, VersionError> {
        let Ok(permit) = Arc::clone(permits).acquire_owned().await else {
            return Err(VersionError::Superseded);
        };
        let load_timeout = self.context.load_timeout;
        let (loader, name) = (self.context.loader.clone(), self.name.to_owned());
        let (fetched, cancelled) = (Arc::clone(&self.fetched), Arc::clone(&self.cancelled));
        // A task of its own, which outlives a load that is cancelled.
        let done = tokio::spawn(async move {
            let done = in_background(move || part(&loader, &name, &fetched, &cancelled));
            let done = timeout(load_timeout, done).await;
            drop(permit);
            done
        });
        let done =
            done.await.map_err(|_| LoadError::Panicked)?.map_err(|_| LoadError::Timeout(load_timeout))?;
        Ok(done.map_err(LoadError::from)?.ok_or(LoadError::Panicked)??)
    }
}

impl Drop for LoadWork<'_> {
    fn drop(&mut self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

impl From<RepositoryError> for VersionError {
    fn from(error: RepositoryError) -> Self {
        let step = if matches!(error, RepositoryError::Mismatch { .. }) { "digest" } else { "fetch" };
        let recovery = match (error.is_outage(), error.is_transient()) {
            (true, _) => Recovery::Expected,
            (false, true) => Recovery::Possible,
            (false, false) => Recovery::Never,
        };
        Self::Rejected { step, reason: error.to_string(), recovery }
    }
}

impl From<LoadError> for VersionError {
    fn from(error: LoadError) -> Self {
        let (step, recovery) = (error.step().name(), error.recovery());
        Self::Rejected { step, reason: error.to_string(), recovery }
    }
}
