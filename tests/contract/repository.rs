//! One suite for the model repository, run on every kind of store: memory, a local folder and a real S3
//! server.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::TryStreamExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use onnward_repository::{
    FetchedModel, Fetcher, Move, Pointer, Repository, RepositoryConfig, RepositoryError, Target, Watch,
};
use tempfile::TempDir;

use crate::contract::repository::counted::Counted;
use crate::support::seaweedfs;

mod archive;
mod counted;
mod deletion;
mod faults;
mod fetch;
mod pointers;
mod repair;
mod silence;
mod snapshot;
mod strays;
mod versions;

/// A repository with the store that it lies in, to damage it.
#[derive(Clone)]
struct Place {
    repository: Repository,
    store: Arc<dyn ObjectStore>,
}

#[tokio::test(flavor = "multi_thread")]
async fn in_memory_it_does_what_it_promises() {
    suite(|_| Place::new(Repository::from_store(Arc::new(InMemory::new())))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_local_disk_it_does_what_it_promises() {
    let folder = TempDir::new().unwrap();
    suite(|case| {
        let location = format!("file://{}", folder.path().join(case).display());
        Place::new(Repository::create(&RepositoryConfig { location, ..RepositoryConfig::default() }).unwrap())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_an_s3_server_it_does_what_it_promises() {
    let Some(server) = tokio::task::spawn_blocking(seaweedfs::start).await.unwrap() else { return };
    suite(|case| Place::new(Repository::open(&server.config(&format!("some/prefix/{case}"))).unwrap())).await;
    versions::bad_keys_are_refused_in_one_sentence(&server).await;
}

/// Runs all cases. `place` makes an empty repository for each one.
async fn suite(place: impl Fn(&str) -> Place) {
    archive::suite(&place).await;
    versions::suite(&place).await;
    pointers::suite(&place).await;
    deletion::suite(&place).await;
    snapshot::suite(&place).await;
    fetch::suite(&place).await;
    repair::suite(&place).await;
}

fn alias(name: &str) -> Pointer {
    Pointer::Alias(name.to_owned())
}

impl Place {
    fn new(repository: Repository) -> Self {
        let store = Arc::clone(repository.store());
        Self { repository, store }
    }

    /// Returns the same place with its store requests counted.
    fn counted(&self) -> (Repository, Arc<Counted>) {
        let store = Arc::new(Counted::new(Arc::clone(&self.store)));
        (Repository::from_store(Arc::clone(&store) as Arc<dyn ObjectStore>), store)
    }

    /// Returns the version of a model to serve for an alias.
    async fn target(&self, model: &str, alias: &str) -> Option<Target> {
        let look = Watch::new(self.repository.clone()).snapshot().await.unwrap();
        look.models.get(model)?.as_ref().unwrap().target(alias)
    }

    async fn publish(&self, model: &str) -> u64 {
        let bytes = b"the model".to_vec();
        self.repository.publish(model, bytes, Some("print".to_owned())).await.unwrap().version
    }

    async fn fetch(&self, model: &str, version: u64) -> Result<FetchedModel, RepositoryError> {
        Fetcher::new(self.repository.clone(), None, u64::MAX).fetch(model, version).await
    }

    async fn delete(&self, model: &str, version: u64) {
        let deletion = self.repository.plan_deletion(model, version).await.unwrap();
        self.repository.apply_deletion(&deletion).await.unwrap();
    }

    /// Moves a pointer of `churn`, and returns the version that it names afterwards.
    async fn step(&self, pointer: &Pointer, step: Move) -> Result<Option<u64>, RepositoryError> {
        let change = self.repository.plan_move("churn", pointer, step).await?;
        self.repository.apply_move(&change).await?;
        Ok(change.to)
    }

    /// Returns the version that an alias of `churn` names, and the one that a rollback would restore.
    async fn named(&self, pointer: &Pointer) -> Option<(u64, Option<u64>)> {
        let status = self.repository.status("churn").await.unwrap();
        let Pointer::Alias(name) = pointer else { panic!("a pin is not rolled back") };
        let found = status.aliases.into_iter().find(|found| found.alias == *name);
        found.map(|found| (found.version, found.previous))
    }

    /// Returns the version that a pointer of `churn` names.
    async fn state(&self, pointer: &Pointer) -> Option<u64> {
        let status = self.repository.status("churn").await.unwrap();
        match pointer {
            Pointer::Pin => status.pin.map(|pin| pin.version),
            Pointer::Alias(name) => {
                status.aliases.into_iter().find(|found| found.alias == *name).map(|found| found.version)
            }
        }
    }

    async fn versions(&self, model: &str) -> Vec<u64> {
        let status = self.repository.status(model).await.unwrap();
        status.versions.into_iter().map(|found| found.version).collect()
    }

    async fn put(&self, path: &str, text: &str) {
        self.store.put(&Path::from(path), text.to_owned().into()).await.unwrap();
    }

    async fn get(&self, path: &str) -> String {
        let bytes = self.store.get(&Path::from(path)).await.unwrap().bytes().await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    /// Returns every file with its size and the time of its last change.
    async fn files(&self) -> BTreeMap<String, (u64, String)> {
        let files: Vec<_> = self.store.list(None).try_collect().await.unwrap();
        let each = files.into_iter();
        each.map(|file| (file.location.to_string(), (file.size, file.last_modified.to_rfc3339()))).collect()
    }
}
