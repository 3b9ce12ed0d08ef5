//! Runs tasks step by step, in every order.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use onnward_repository::Repository;
use rand::SeedableRng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use tokio::sync::oneshot;

/// The consistency of a folder's listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// As it is at one moment.
    Atomic,
    /// In two steps: entries of pointers as they are at the first, and all other files as they are at the
    /// second.
    Torn,
}

/// The number of explored states.
#[derive(Debug, Default, Clone, Copy)]
pub struct Explored {
    /// The states that differ.
    pub states: usize,
    /// Those in which every task has ended.
    pub ends: usize,
}

/// Explores the orders of tasks that all begin with the files of one store.
pub struct Scheduler {
    files: Vec<(Path, PutPayload)>,
    listing: Listing,
}

impl Scheduler {
    pub fn new(store: Arc<dyn ObjectStore>, listing: Listing) -> Self {
        let read = async {
            let mut read = Vec::new();
            for file in files(store.as_ref()) {
                let path = Path::from(file);
                let bytes = store.get(&path).await.unwrap().bytes().await.unwrap();
                read.push((path, PutPayload::from(bytes)));
            }
            read
        };
        Self { files: read.now_or_never().unwrap(), listing }
    }

    /// Runs `count` tasks in every order; calls `always` in each state that is new, and `at_the_end` in those
    /// that are last.
    pub fn explore<R>(
        &self,
        count: usize,
        start: impl Fn(usize, Repository) -> BoxFuture<'static, R>,
        always: impl Fn(&Repository, &dyn Fn() -> String),
        at_the_end: impl Fn(&Repository, &[R], &str),
    ) -> Explored {
        let mut seen = HashSet::new();
        let mut explored = Explored::default();
        let mut open: Vec<Vec<usize>> = vec![Vec::new()];
        while let Some(mut order) = open.pop() {
            let mut run = Run::new(self, count, &start);
            order.iter().for_each(|task| run.step(*task));
            while seen.insert(run.fingerprint()) {
                explored.states += 1;
                always(&run.repository, &|| run.story());
                let Some((first, others)) = run.unfinished().split_first().map(|(f, o)| (*f, o.to_vec()))
                else {
                    explored.ends += 1;
                    let reports: Vec<R> = run.reports.drain(..).flatten().collect();
                    at_the_end(&run.repository, &reports, &run.story());
                    break;
                };
                open.extend(others.iter().map(|task| [order.as_slice(), &[*task]].concat()));
                order.push(first);
                run.step(first);
            }
        }
        explored
    }

    /// Runs `count` tasks in as many orders, drawn at random, as there are numbers in `seeds`.
    pub fn sample<R>(
        &self,
        count: usize,
        seeds: Range<u64>,
        start: impl Fn(usize, Repository) -> BoxFuture<'static, R>,
        always: impl Fn(&Repository, &dyn Fn() -> String),
        at_the_end: impl Fn(&Repository, &[R], &str),
    ) {
        for seed in seeds {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let mut run = Run::new(self, count, &start);
            while let Some(task) = run.unfinished().choose(&mut random) {
                run.step(*task);
                always(&run.repository, &|| run.story());
            }
            let reports: Vec<R> = run.reports.drain(..).flatten().collect();
            at_the_end(&run.repository, &reports, &run.story());
        }
    }
}

/// Lists the files of a store by path.
pub fn files(store: &dyn ObjectStore) -> Vec<String> {
    let listed: Vec<ObjectMeta> = store.list(None).try_collect().now_or_never().unwrap().unwrap();
    let mut files: Vec<String> = listed.into_iter().map(|file| file.location.to_string()).collect();
    files.sort();
    files
}

/// One order of steps, as far as it has been taken.
struct Run<R> {
    shared: Arc<Mutex<Shared>>,
    /// The files, without a gate before them.
    repository: Repository,
    tasks: Vec<BoxFuture<'static, R>>,
    reports: Vec<Option<R>>,
}

/// Whether a task wants to be polled again.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The state shared by all tasks of a run.
#[derive(Debug)]
struct Shared {
    /// The operations that wait for their turn, by task.
    waiting: Vec<VecDeque<oneshot::Sender<()>>>,
    /// The operations of each task and their results, hashed.
    histories: Vec<DefaultHasher>,
    /// The files that were written in this run, and by which task.
    writers: BTreeMap<String, usize>,
    /// The operations of the run, for people.
    story: Vec<String>,
}

impl<R> Run<R> {
    fn new(
        scheduler: &Scheduler,
        count: usize,
        start: &impl Fn(usize, Repository) -> BoxFuture<'static, R>,
    ) -> Self {
        let store = Arc::new(object_store::memory::InMemory::new());
        for (path, bytes) in &scheduler.files {
            store.put(path, bytes.clone()).now_or_never().unwrap().unwrap();
        }
        let shared = Arc::new(Mutex::new(Shared {
            waiting: (0..count).map(|_| VecDeque::new()).collect(),
            histories: vec![DefaultHasher::new(); count],
            writers: BTreeMap::new(),
            story: Vec::new(),
        }));
        let tasks = (0..count).map(|task| {
            let (inner, shared) = (Arc::clone(&store), Arc::clone(&shared));
            let gated = Gated { inner, shared, task, listing: scheduler.listing };
            start(task, Repository::from_store(Arc::new(gated)))
        });
        let tasks = tasks.collect();
        let mut run = Self { shared, repository: Repository::from_store(store), tasks, reports: Vec::new() };
        run.reports.resize_with(count, || None);
        (0..count).for_each(|task| run.poll(task));
        run
    }

    fn unfinished(&self) -> Vec<usize> {
        (0..self.tasks.len()).filter(|task| self.reports[*task].is_none()).collect()
    }

    /// Lets a task take its next operation.
    fn step(&mut self, task: usize) {
        let turn = self.shared.lock().unwrap().waiting[task].pop_front();
        turn.expect("every task that has not ended waits for its turn").send(()).unwrap();
        self.poll(task);
    }

    /// Polls a task until it waits for its turn or ends.
    fn poll(&mut self, task: usize) {
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&woken));
        while woken.0.swap(false, Ordering::Relaxed) {
            if let Poll::Ready(report) = self.tasks[task].as_mut().poll(&mut Context::from_waker(&waker)) {
                self.reports[task] = Some(report);
                return;
            }
        }
    }

    /// Returns a hash of the state: the files, the tasks that wrote them, and the results that each task has
    /// seen.
    fn fingerprint(&self) -> u64 {
        let shared = self.shared.lock().unwrap();
        let mut hasher = DefaultHasher::new();
        for file in files(self.repository.store().as_ref()) {
            shared.label(&file).hash(&mut hasher);
        }
        shared.histories.iter().for_each(|history| history.finish().hash(&mut hasher));
        hasher.finish()
    }

    fn story(&self) -> String {
        self.shared.lock().unwrap().story.join("; ")
    }
}

impl Shared {
    /// Returns a short label of a file's name and content. Files are written once, so the writer identifies
    /// the content.
    fn label(&self, path: &str) -> String {
        let writer = self.writers.get(path).map_or_else(String::new, |task| format!("@{task}"));
        format!("{}{writer}", without_id(path))
    }

    fn note(&mut self, task: usize, operation: &str, path: &str, seen: &str) {
        let path = without_id(path);
        (operation, &path, seen).hash(&mut self.histories[task]);
        self.story.push(format!("{task} {operation} {path}: {seen}"));
    }
}

/// Returns a path without its 16 random digits.
fn without_id(path: &str) -> String {
    let parts = path.split_inclusive(['/', '.', '-']);
    let shown = parts.map(|part| {
        let digits = part.trim_end_matches(['/', '.', '-']);
        let is_id = digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_id { part.replace(digits, "*") } else { part.to_owned() }
    });
    shown.collect()
}

/// A store that waits for a task's turn before each operation.
#[derive(Debug, Clone)]
struct Gated {
    inner: Arc<object_store::memory::InMemory>,
    shared: Arc<Mutex<Shared>>,
    task: usize,
    listing: Listing,
}

impl Gated {
    async fn turn(&self) {
        let (sender, receiver) = oneshot::channel();
        self.shared.lock().unwrap().waiting[self.task].push_back(sender);
        receiver.await.unwrap();
    }

    fn note(&self, operation: &str, path: &str, seen: &str) {
        self.shared.lock().unwrap().note(self.task, operation, path, seen);
    }

    /// Lists everything below a prefix.
    async fn all(&self, prefix: Option<Path>) -> Result<Vec<ObjectMeta>> {
        self.turn().await;
        let mut listed: Vec<ObjectMeta> = self.inner.list(prefix.as_ref()).try_collect().await?;
        if self.listing == Listing::Torn {
            let labels = self.labels(&listed);
            self.note("begins to list", prefix.as_ref().map_or("", Path::as_ref), &labels);
            self.turn().await;
            let is_entry = |file: &ObjectMeta| {
                file.location.filename().is_some_and(|name| name.len() == "00000000000000000001.json".len())
            };
            let later: Vec<ObjectMeta> = self.inner.list(prefix.as_ref()).try_collect().await?;
            listed.retain(is_entry);
            listed.extend(later.into_iter().filter(|file| !is_entry(file)));
        }
        // Random digits in names must not decide what a task does first.
        listed.sort_by_key(|file| self.shared.lock().unwrap().label(file.location.as_ref()));
        let labels = self.labels(&listed);
        self.note("lists", prefix.as_ref().map_or("", Path::as_ref), &labels);
        Ok(listed)
    }

    fn labels(&self, files: &[ObjectMeta]) -> String {
        let shared = self.shared.lock().unwrap();
        let labels: Vec<String> = files.iter().map(|file| shared.label(file.location.as_ref())).collect();
        labels.join(" ")
    }
}

impl fmt::Display for Gated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Gated {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.turn().await;
        let put = self.inner.put_opts(path, payload, options).await;
        if put.is_ok() {
            self.shared.lock().unwrap().writers.insert(path.to_string(), self.task);
        }
        self.note("writes", path.as_ref(), if put.is_ok() { "done" } else { "it is there" });
        put
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(Error::NotImplemented { operation: "put_multipart".to_owned(), implementer: "Gated".to_owned() })
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.turn().await;
        let got = self.inner.get_opts(path, options).await;
        let seen = match &got {
            Ok(_) => self.shared.lock().unwrap().label(path.as_ref()),
            Err(_) => "it is not there".to_owned(),
        };
        self.note("reads", path.as_ref(), &seen);
        got
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        paths
            .then(move |path| {
                let store = store.clone();
                async move {
                    let path = path?;
                    store.turn().await;
                    let deleted = store.inner.delete(&path).await;
                    store.note(
                        "deletes",
                        path.as_ref(),
                        if deleted.is_ok() { "done" } else { "it is not there" },
                    );
                    deleted.map(|()| path)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix) = (self.clone(), prefix.cloned());
        let listed = async move {
            let listed = store.all(prefix).await;
            match listed {
                Ok(listed) => stream::iter(listed.into_iter().map(Ok)).boxed(),
                Err(error) => stream::iter([Err(error)]).boxed(),
            }
        };
        listed.flatten_stream().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let depth = prefix.map_or(0, |prefix| prefix.parts().count());
        let listed = self.all(prefix.cloned()).await?;
        let (objects, below): (Vec<_>, Vec<_>) =
            listed.into_iter().partition(|file| file.location.parts().count() == depth + 1);
        let mut common_prefixes: Vec<Path> =
            below.iter().map(|file| file.location.parts().take(depth + 1).collect()).collect();
        common_prefixes.sort();
        common_prefixes.dedup();
        Ok(ListResult { objects, common_prefixes, extensions: Default::default() })
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(Error::NotImplemented { operation: "copy".to_owned(), implementer: "Gated".to_owned() })
    }
}
