use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::thread::{ThreadId, current};
use std::time::Duration;

use onnward_runtime::backend::{BackendError, BackendKind, Batch};
use onnward_runtime::fixtures::{quick, slow};
use onnward_runtime::threads::RuntimeThreads;
use onnward_schemas::Kept;
use onnward_telemetry::metrics::Metrics;

use super::*;

const WIDTH: RowWidth = RowWidth { features: 2, kept: 0 };
const LONG: Duration = Duration::from_secs(60);

/// A session that adds a row's two features. It sends the size of each batch before it runs it, and waits for
/// a signal before each run.
struct Adder {
    started: mpsc::Sender<usize>,
    go: mpsc::Receiver<()>,
}

impl Session for Adder {
    fn score(&mut self, batch: Batch<'_>) -> Result<Predictions, BackendError> {
        let Batch::Features(matrix) = batch else { panic!("a batcher gives encoded rows") };
        self.started.send(matrix.nrows()).unwrap();
        self.go.recv().unwrap();
        if matrix.iter().any(|value| value.is_nan()) {
            let reason = "not a number".to_owned();
            return Err(BackendError::Run { backend: BackendKind::Tract, reason });
        }
        assert!(matrix[[0, 0]] != 666.0, "a session may panic");
        Ok(matrix.outer_iter().map(|row| row.sum()).collect::<Vec<_>>().into())
    }
}

struct Rig {
    batcher: Arc<Batcher>,
    started: mpsc::Receiver<usize>,
    go: mpsc::Sender<()>,
}

fn rig(max_batch_rows: usize, max_queue_rows: usize, max_queue_delay: Duration) -> Rig {
    let (started_sender, started) = mpsc::channel();
    let (go, go_receiver) = mpsc::channel();
    let session: Box<dyn Session> = Box::new(Adder { started: started_sender, go: go_receiver });
    let max_batch_rows = Some(max_batch_rows);
    let config = BatchingConfig { workers: 1, max_batch_rows, max_queue_rows, max_queue_delay };
    let monitor = monitor("adder");
    let batcher = start(vec![session], &slow(), WIDTH, &config, monitor);
    Rig { batcher: Arc::new(batcher), started, go }
}

type Answer = tokio::task::JoinHandle<Result<Vec<f32>, SubmitError>>;

impl Rig {
    /// Submits rows `(first, 0), (first + 1, 0), …` and returns once they are queued.
    async fn submit(&self, first: usize, rows: usize) -> Answer {
        let values = (first..first + rows).flat_map(|value| [value as f32, 0.0]).collect();
        self.submit_values(values, rows).await
    }

    async fn submit_values(&self, values: Vec<f32>, rows: usize) -> Answer {
        let batcher = self.batcher.clone();
        let answer = tokio::spawn(async move { submit(&batcher, plain(values, rows)).await });
        // The current-thread runtime runs the task up to where it waits.
        tokio::task::yield_now().await;
        answer
    }
}

/// Returns workers of few threads.
fn workers() -> Workers {
    Workers::new(NonZeroUsize::new(4).unwrap())
}

fn start(
    sessions: Vec<Box<dyn Session>>,
    costs: &BatchCosts,
    width: RowWidth,
    config: &BatchingConfig,
    monitor: Arc<Monitor>,
) -> Batcher {
    let (workers, threads) = (workers(), RuntimeThreads::default());
    Batcher::start(sessions, costs, width, config, monitor, &workers, &threads, Rows::default()).unwrap()
}

/// Creates a monitor that is not read.
fn monitor(model: &str) -> Arc<Monitor> {
    Arc::new(Monitor::new(Metrics::new().unwrap().inference(model, 1, BackendKind::Tract.name())))
}

/// Scores rows and returns their probabilities.
async fn submit(batcher: &Batcher, rows: Rows) -> Result<Vec<f32>, SubmitError> {
    Ok(batcher.submit(rows, LONG).await?.predictions.probabilities().unwrap().to_vec())
}

/// Creates rows without kept.
fn plain(values: Vec<f32>, len: usize) -> Rows {
    Rows { values, kept: Vec::new(), len }
}

fn numbers(first: usize, rows: usize) -> Vec<f32> {
    (first..first + rows).map(|value| value as f32).collect()
}

#[tokio::test]
async fn an_idle_worker_starts_at_once_and_a_busy_one_takes_all_that_has_queued() {
    let rig = rig(64, 1000, Duration::ZERO);
    let first = rig.submit(0, 1).await;
    assert_eq!(rig.started.recv().unwrap(), 1);
    let second = rig.submit(10, 2).await;
    let third = rig.submit(20, 3).await;
    rig.go.send(()).unwrap();
    assert_eq!(rig.started.recv().unwrap(), 5);
    rig.go.send(()).unwrap();
    assert_eq!(first.await.unwrap().unwrap(), numbers(0, 1));
    assert_eq!(second.await.unwrap().unwrap(), numbers(10, 2));
    assert_eq!(third.await.unwrap().unwrap(), numbers(20, 3));
}

#[tokio::test]
async fn a_batch_holds_no_more_rows_than_allowed_and_a_larger_request_is_run_in_pieces() {
    let rig = rig(4, 1000, Duration::ZERO);
    let blocker = rig.submit(0, 1).await;
    assert_eq!(rig.started.recv().unwrap(), 1);
    let small = rig.submit(10, 3).await;
    let next = rig.submit(20, 2).await;
    let large = rig.submit(30, 9).await;
    for _ in 0..6 {
        rig.go.send(()).unwrap();
    }
    blocker.await.unwrap().unwrap();
    assert_eq!(small.await.unwrap().unwrap(), numbers(10, 3));
    assert_eq!(next.await.unwrap().unwrap(), numbers(20, 2));
    assert_eq!(large.await.unwrap().unwrap(), numbers(30, 9));
    let batches: Vec<usize> = rig.started.try_iter().collect();
    assert_eq!(batches, [3, 2, 4, 4, 1]);
}

#[tokio::test]
async fn a_full_queue_refuses_at_once_and_takes_rows_again_when_it_has_room() {
    let rig = rig(2, 4, Duration::ZERO);
    let running = rig.submit(0, 2).await;
    rig.started.recv().unwrap();
    let queued = rig.submit(10, 3).await;
    let refused = rig.submit(20, 2).await.await.unwrap();
    assert!(matches!(refused, Err(SubmitError::QueueFull { .. })), "{refused:?}");
    let never = rig.submit(20, 5).await.await.unwrap();
    assert_eq!(never, Err(SubmitError::TooManyRows { rows: 5, limit: 4 }));
    for _ in 0..4 {
        rig.go.send(()).unwrap();
    }
    running.await.unwrap().unwrap();
    queued.await.unwrap().unwrap();
    assert_eq!(rig.submit(20, 2).await.await.unwrap().unwrap(), numbers(20, 2));
}

#[tokio::test]
async fn rows_whose_client_has_gone_are_not_scored() {
    let rig = rig(64, 1000, Duration::ZERO);
    let running = rig.submit(0, 1).await;
    rig.started.recv().unwrap();
    let gone = rig.submit(10, 1).await;
    let stays = rig.submit(20, 1).await;
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    rig.go.send(()).unwrap();
    assert_eq!(rig.started.recv().unwrap(), 1);
    rig.go.send(()).unwrap();
    running.await.unwrap().unwrap();
    assert_eq!(stays.await.unwrap().unwrap(), numbers(20, 1));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_late_is_a_timeout() {
    let rig = rig(64, 1000, Duration::ZERO);
    let answer = rig.batcher.submit(plain(vec![1.0, 2.0], 1), Duration::from_millis(250)).await;
    assert_eq!(answer, Err(SubmitError::TimedOut { after: Duration::from_millis(250) }));
    rig.go.send(()).unwrap();
}

#[tokio::test]
async fn a_failing_or_panicking_batch_is_answered_and_the_worker_goes_on() {
    let rig = rig(64, 1000, Duration::ZERO);
    for bad in [f32::NAN, 666.0] {
        let answer = rig.submit_values(vec![bad, 0.0], 1).await;
        rig.go.send(()).unwrap();
        assert!(matches!(answer.await.unwrap(), Err(SubmitError::Failed(_))));
    }
    let answer = rig.submit(7, 1).await;
    rig.go.send(()).unwrap();
    assert_eq!(answer.await.unwrap().unwrap(), numbers(7, 1));
}

#[tokio::test]
async fn a_queue_delay_waits_for_a_full_batch() {
    let rig = rig(3, 1000, LONG);
    let answers = [rig.submit(0, 1).await, rig.submit(1, 1).await, rig.submit(2, 1).await];
    assert_eq!(rig.started.recv().unwrap(), 3);
    rig.go.send(()).unwrap();
    for (first, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.await.unwrap().unwrap(), numbers(first, 1));
    }
}

#[tokio::test]
async fn what_is_queued_is_answered_when_the_batcher_is_dropped() {
    let Rig { batcher, started, go } = rig(64, 1000, Duration::ZERO);
    let rig = Rig { batcher, started, go };
    let running = rig.submit(0, 1).await;
    rig.started.recv().unwrap();
    let queued = rig.submit(10, 1).await;
    let Rig { batcher, started: _started, go } = rig;
    batcher.queue.close();
    let refused = submit(&batcher, plain(vec![0.0, 0.0], 1)).await;
    assert_eq!(refused, Err(SubmitError::ShuttingDown));
    go.send(()).unwrap();
    go.send(()).unwrap();
    assert_eq!(running.await.unwrap().unwrap(), numbers(0, 1));
    assert_eq!(queued.await.unwrap().unwrap(), numbers(10, 1));
}

/// A session that returns the length of each row's text, and sends the sizes of its batches.
struct Measurer {
    started: mpsc::Sender<usize>,
}

impl Session for Measurer {
    fn score(&mut self, batch: Batch<'_>) -> Result<Predictions, BackendError> {
        let Batch::FeaturesAndKept(matrix, kept) = batch else { panic!("the rows keep texts") };
        assert_eq!(matrix.nrows(), kept.len());
        self.started.send(kept.len()).unwrap();
        Ok(kept
            .iter()
            .map(|kept| if let Kept::Text(text) = kept { text.len() as f32 } else { f32::NAN })
            .collect::<Vec<_>>()
            .into())
    }
}

#[tokio::test]
async fn texts_go_with_their_rows_through_batches_and_pieces_of_them() {
    let (started_sender, started) = mpsc::channel();
    let session: Box<dyn Session> = Box::new(Measurer { started: started_sender });
    let config = BatchingConfig {
        workers: 1,
        max_batch_rows: Some(2),
        max_queue_rows: 100,
        max_queue_delay: Duration::ZERO,
    };
    let monitor = monitor("measurer");
    let width = RowWidth { features: 1, kept: 1 };
    let batcher = start(vec![session], &slow(), width, &config, monitor);
    let rows = |kept: &[&str]| Rows {
        values: vec![f32::NAN; kept.len()],
        kept: kept.iter().map(|text| Kept::Text((*text).to_owned())).collect(),
        len: kept.len(),
    };
    let (three, one) =
        tokio::join!(submit(&batcher, rows(&["", "a", "bb"])), submit(&batcher, rows(&["cccc"])));
    assert_eq!((three.unwrap(), one.unwrap()), (vec![0.0, 1.0, 2.0], vec![4.0]));
    assert!(started.try_iter().all(|rows| rows <= 2));
    let torn = Rows { kept: Vec::new(), ..rows(&["a"]) };
    assert!(matches!(batcher.submit(torn, LONG).await, Err(SubmitError::Failed(_))));
}

/// Marks a row whose batch panics.
const BOMB: f32 = 666.0;

/// Scores a half for each row, and panics on a [`BOMB`] if it is to.
struct Halves {
    panics: bool,
}

impl Session for Halves {
    fn score(&mut self, batch: Batch<'_>) -> Result<Predictions, BackendError> {
        let Batch::Features(matrix) = batch else { panic!("a batcher gives encoded rows") };
        assert!(!self.panics || matrix[[0, 0]] != BOMB, "a session may panic");
        Ok(vec![0.5; matrix.nrows()].into())
    }
}

fn halves(panics: bool) -> Box<dyn Session> {
    Box::new(Halves { panics })
}

fn one_runner() -> BatchingConfig {
    let (max_batch_rows, max_queue_delay) = (Some(64), Duration::ZERO);
    BatchingConfig { workers: 1, max_batch_rows, max_queue_rows: 1000, max_queue_delay }
}

/// Submits a row whose batch panics and another one, again and again, inline or to a worker.
async fn survives_panics(session_panics: bool, observer_panics: bool) {
    for costs in [quick(), slow()] {
        let mut monitor = Monitor::new(Metrics::new().unwrap().inference("halves", 1, "halves"));
        monitor.on_observe =
            observer_panics.then_some(|features| assert!(features[0] != BOMB, "an observer may panic"));
        let threads = RuntimeThreads::default();
        let sessions = vec![halves(session_panics)];
        let (config, monitor) = (one_runner(), Arc::new(monitor));
        let (workers, sample) = (workers(), Rows::default());
        let batcher =
            Batcher::start(sessions, &costs, WIDTH, &config, monitor, &workers, &threads, sample).unwrap();
        // More often than there are runners.
        for _ in 0..3 {
            let bomb = submit(&batcher, plain(vec![BOMB; 2], 1)).await;
            assert!(matches!(bomb, Err(SubmitError::Failed(_))), "{bomb:?}");
            assert_eq!(submit(&batcher, plain(vec![1.0; 2], 1)).await, Ok(vec![0.5]));
        }
        drop(batcher);
        assert!(threads.wait_until_idle(LONG), "the sessions end with the batcher");
    }
}

#[tokio::test]
async fn a_session_that_panics_loses_neither_runner_nor_worker() {
    survives_panics(true, false).await;
}

#[tokio::test]
async fn an_observer_that_panics_loses_neither_runner_nor_worker() {
    survives_panics(false, true).await;
}

type Receiver = oneshot::Receiver<Result<Scored, SubmitError>>;

/// Creates a queue with one runner for rows of this width.
fn queue(width: RowWidth) -> Arc<Queue> {
    let config = one_runner();
    let sizes = Arc::new(BatchSizes::new(config, slow()));
    let runners = vec![runner(width, &sizes)];
    Arc::new(Queue::new(&config, sizes, runners, workers(), Rows::default(), &[]))
}

fn runner(width: RowWidth, sizes: &Arc<BatchSizes>) -> BatchRunner {
    let in_use = RuntimeThreads::default().enter();
    BatchRunner::new(halves(false), width, Arc::clone(sizes), monitor("halves"), in_use)
}

/// Queues so many requests of one row.
fn push(queue: &Arc<Queue>, width: RowWidth, requests: usize) -> Vec<Receiver> {
    let push = |_| {
        let (reply, receiver) = oneshot::channel();
        let (values, submitted) = (vec![1.0; width.features], Instant::now());
        let request = PendingRequest { values, kept: Vec::new(), rows: 1, submitted, reply };
        queue.push(request, RunBy::Inline).unwrap();
        receiver
    };
    (0..requests).map(push).collect()
}

#[test]
fn a_panic_while_a_batch_is_assembled_is_answered_and_the_runner_returns() {
    // The rows of a matrix without columns cannot be counted.
    let width = RowWidth { features: 0, kept: 0 };
    let queue = queue(width);
    for _ in 0..3 {
        let receivers = push(&queue, width, 2);
        let (mut runner, batch) = queue.try_take(64).unwrap();
        runner.run(batch);
        drop(runner);
        for mut receiver in receivers {
            assert!(matches!(receiver.try_recv(), Ok(Err(SubmitError::Failed(_)))));
        }
    }
}

/// A waker that panics when the answer wakes its client.
struct PanickingWaker;

impl std::task::Wake for PanickingWaker {
    fn wake(self: Arc<Self>) {
        panic!("a client's waker may panic");
    }
}

#[test]
fn a_panic_while_a_request_is_answered_leaves_no_other_without_an_answer_and_the_runner_returns() {
    let queue = queue(WIDTH);
    let waker = Waker::from(Arc::new(PanickingWaker));
    for panicking in [0..1, 1..2, 2..3, 0..3] {
        let mut receivers = push(&queue, WIDTH, 3);
        for receiver in &mut receivers[panicking] {
            assert!(Pin::new(receiver).poll(&mut Context::from_waker(&waker)).is_pending());
        }
        let (mut runner, batch) = queue.try_take(64).unwrap();
        runner.run(batch);
        drop(runner);
        for mut receiver in receivers {
            let answer = receiver.try_recv().unwrap();
            assert!(matches!(answer, Ok(_) | Err(SubmitError::Failed(_))), "{answer:?}");
        }
    }
}

#[test]
fn a_runner_returns_whatever_panics_while_it_is_in_use() {
    let queue = queue(WIDTH);
    for _ in 0..3 {
        let receivers = push(&queue, WIDTH, 1);
        let in_use = queue.try_take(64);
        assert!(in_use.is_some(), "the runner is there again");
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _in_use = in_use;
            panic!("outside of the batch");
        }));
        assert!(outcome.is_err() && receivers.len() == 1);
    }
}

/// A session that sends its thread and the number of rows that it scores.
struct Whereabouts {
    scored: mpsc::Sender<(ThreadId, usize)>,
}

impl Session for Whereabouts {
    fn score(&mut self, batch: Batch<'_>) -> Result<Predictions, BackendError> {
        self.scored.send((current().id(), batch.rows())).unwrap();
        Ok(vec![0.5; batch.rows()].into())
    }
}

fn whereabouts(max_queue_delay: Duration) -> (Batcher, mpsc::Receiver<(ThreadId, usize)>) {
    let (sender, scored) = mpsc::channel();
    let session: Box<dyn Session> = Box::new(Whereabouts { scored: sender });
    let config =
        BatchingConfig { workers: 1, max_batch_rows: Some(64), max_queue_rows: 1000, max_queue_delay };
    let monitor = monitor("quick");
    let batcher = start(vec![session], &quick(), WIDTH, &config, monitor);
    (batcher, scored)
}

#[tokio::test]
async fn what_takes_no_time_is_scored_on_the_thread_that_has_the_requests_all_of_them_at_once() {
    let (batcher, scored) = whereabouts(Duration::ZERO);
    let ask = || submit(&batcher, plain(vec![1.0, 2.0], 1));
    let answers = tokio::join!(ask(), ask(), ask());
    assert_eq!(answers, (Ok(vec![0.5]), Ok(vec![0.5]), Ok(vec![0.5])));
    assert_eq!(scored.recv().unwrap(), (current().id(), 3));
    assert_eq!(ask().await, Ok(vec![0.5]));
    assert_eq!(scored.recv().unwrap(), (current().id(), 1));
    assert!(scored.try_recv().is_err());
}

#[tokio::test]
async fn more_rows_than_the_thread_that_has_the_request_may_score_are_a_workers() {
    let (batcher, scored) = whereabouts(Duration::ZERO);
    let many = submit(&batcher, plain(vec![1.0; 2 * 65], 65));
    let one = submit(&batcher, plain(vec![1.0; 2], 1));
    let (many, one) = tokio::join!(many, one);
    assert_eq!((many.unwrap().len(), one.unwrap().len()), (65, 1));
    let (thread, rows) = scored.recv().unwrap();
    assert!(thread != current().id() && rows == 64);
}

#[tokio::test]
async fn a_delay_is_waited_out_by_a_worker() {
    let (batcher, scored) = whereabouts(Duration::from_millis(1));
    submit(&batcher, plain(vec![1.0; 2], 1)).await.unwrap();
    assert_ne!(scored.recv().unwrap().0, current().id());
}

#[tokio::test]
async fn rows_of_others_do_not_stay_behind_when_a_request_ends_before_it_has_scored_them() {
    let (batcher, scored) = whereabouts(Duration::ZERO);
    let mut ends = Box::pin(submit(&batcher, plain(vec![1.0; 2], 1)));
    // It has queued its rows and lets others run.
    assert!(poll_once(ends.as_mut()).is_pending());
    drop(ends);
    submit(&batcher, plain(vec![1.0; 2], 1)).await.unwrap();
    assert_eq!(scored.recv().unwrap().1, 1);
    assert!(scored.try_recv().is_err());
}

fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn costs_are_measured_again_once_nothing_has_been_queued_for_a_while() {
    let config = BatchingConfig { max_batch_rows: None, ..one_runner() };
    let sizes = Arc::new(BatchSizes::new(config, slow()));
    assert_eq!(sizes.inline_rows(), 0, "a batch seems to take a second");
    let runners = vec![runner(WIDTH, &sizes)];
    let sample = plain(vec![1.0, 0.0], 1);
    let idle_times = [Duration::ZERO, Duration::ZERO, LONG];
    let queue = Arc::new(Queue::new(&config, Arc::clone(&sizes), runners, workers(), sample, &idle_times));
    let receivers = push(&queue, WIDTH, 1);
    queue.measure();
    assert_eq!(sizes.inline_rows(), 0, "what is queued comes first");
    queue.run_batches();
    assert_eq!(sizes.inline_rows(), 0, "nobody was to measure");
    drop(receivers);
    let (mut runner, batch) = queue.try_take(64).unwrap();
    runner.run(batch);
    drop(runner);
    queue.measure();
    assert!(sizes.inline_rows() > 0, "{}", sizes.costs());
}

#[test]
fn a_start_on_a_busy_machine_ends_where_one_on_an_idle_machine_does() {
    use rand::{RngExt, SeedableRng};
    let config = BatchingConfig { max_batch_rows: None, ..one_runner() };
    for start in 0..300 {
        let mut random = rand::rngs::StdRng::seed_from_u64(start);
        let (call, row) = (random.random_range(500..50_000), random.random_range(50..20_000));
        let measure = |noise: &mut dyn FnMut() -> u64| {
            let mut run = |rows: usize| Duration::from_nanos(call + row * rows as u64 + noise());
            BatchCosts::measure(|rows| Ok::<_, std::convert::Infallible>(run(rows))).unwrap()
        };
        let idle = BatchSizes::new(config, measure(&mut || 0));
        let busy = BatchSizes::new(config, measure(&mut || random.random_range(0..20_000_000)));
        // Of the measurements in idle moments, some are disturbed too.
        busy.improve(&measure(&mut || random.random_range(0..20_000_000)));
        busy.improve(&measure(&mut || 0));
        assert_eq!(busy.costs(), idle.costs(), "start {start}");
        assert_eq!(
            (busy.max_batch_rows(), busy.inline_rows()),
            (idle.max_batch_rows(), idle.inline_rows()),
            "start {start}"
        );
    }
}

/// A session that counts the batches that run at once, and lets others in between.
struct Crowd {
    inside: Arc<(AtomicUsize, AtomicUsize)>,
}

impl Session for Crowd {
    fn score(&mut self, batch: Batch<'_>) -> Result<Predictions, BackendError> {
        let (now, most) = &*self.inside;
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::yield_now();
        now.fetch_sub(1, Ordering::SeqCst);
        Ok(vec![0.5; batch.rows()].into())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_models_share_few_threads_and_every_request_is_answered() {
    const THREADS: usize = 3;
    let workers = Workers::new(NonZeroUsize::new(THREADS).unwrap());
    let threads = RuntimeThreads::default();
    let inside = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
    let config = BatchingConfig { workers: 2, ..one_runner() };
    let batchers: Vec<_> = (0..50)
        .map(|_| {
            let session = || Box::new(Crowd { inside: Arc::clone(&inside) }) as Box<dyn Session>;
            let (sessions, sample) = (vec![session(), session()], plain(vec![1.0; 2], 1));
            let monitor = monitor("crowd");
            let started =
                Batcher::start(sessions, &slow(), WIDTH, &config, monitor, &workers, &threads, sample);
            Arc::new(started.unwrap())
        })
        .collect();
    assert_eq!(workers.threads(), 1, "a model that is not used needs no thread of its own");
    let mut requests = tokio::task::JoinSet::new();
    for batcher in batchers.iter().cycle().take(2_000) {
        let batcher = Arc::clone(batcher);
        requests.spawn(async move { submit(&batcher, plain(vec![1.0; 2], 1)).await });
    }
    while let Some(answer) = requests.join_next().await {
        assert_eq!(answer.unwrap(), Ok(vec![0.5]));
    }
    assert!(workers.threads() <= THREADS);
    let most = inside.1.load(Ordering::SeqCst);
    assert!((2..=THREADS).contains(&most), "{most}");
    drop(batchers);
    assert!(threads.wait_until_idle(LONG), "the sessions end with the batchers");
}

#[tokio::test]
async fn a_slow_model_delays_no_other() {
    let workers = Workers::new(NonZeroUsize::new(2).unwrap());
    let (started_sender, started) = mpsc::channel();
    let (go, go_receiver) = mpsc::channel();
    let adder: Box<dyn Session> = Box::new(Adder { started: started_sender, go: go_receiver });
    let with = |session| {
        let (monitor, threads) = (monitor("shared"), RuntimeThreads::default());
        let (config, sample) = (one_runner(), Rows::default());
        Batcher::start(vec![session], &slow(), WIDTH, &config, monitor, &workers, &threads, sample).unwrap()
    };
    let (stuck, other) = (Arc::new(with(adder)), with(halves(false)));
    let waits = tokio::spawn({
        let stuck = Arc::clone(&stuck);
        async move { submit(&stuck, plain(vec![1.0, 2.0], 1)).await }
    });
    tokio::task::yield_now().await;
    started.recv().unwrap();
    for _ in 0..100 {
        assert_eq!(submit(&other, plain(vec![1.0; 2], 1)).await, Ok(vec![0.5]));
    }
    go.send(()).unwrap();
    assert_eq!(waits.await.unwrap(), Ok(vec![3.0]));
}

#[tokio::test]
async fn a_batch_that_does_not_fill_runs_after_the_delay_also_if_the_first_client_has_gone() {
    let rig = rig(3, 1000, Duration::from_millis(20));
    let gone = rig.submit(0, 1).await;
    let stays = rig.submit(1, 1).await;
    gone.abort();
    rig.go.send(()).unwrap();
    assert_eq!(stays.await.unwrap().unwrap(), numbers(1, 1));
}

/// A session that cannot be dropped quietly.
struct Loud;

impl Session for Loud {
    fn score(&mut self, batch: Batch<'_>) -> Result<Predictions, BackendError> {
        Ok(vec![0.5; batch.rows()].into())
    }
}

impl Drop for Loud {
    fn drop(&mut self) {
        panic!("a runtime may panic while a session is dropped");
    }
}

#[tokio::test]
async fn a_session_that_panics_while_it_is_dropped_costs_no_worker() {
    let (workers, threads) = (Workers::new(NonZeroUsize::MIN), RuntimeThreads::default());
    let with = |session: Box<dyn Session>| {
        let (config, sample, monitor) = (one_runner(), Rows::default(), monitor("loud"));
        Batcher::start(vec![session], &slow(), WIDTH, &config, monitor, &workers, &threads, sample).unwrap()
    };
    let other = with(halves(false));
    for _ in 0..3 {
        let loud = with(Box::new(Loud));
        assert_eq!(submit(&loud, plain(vec![1.0; 2], 1)).await, Ok(vec![0.5]));
        drop(loud);
        assert_eq!(submit(&other, plain(vec![1.0; 2], 1)).await, Ok(vec![0.5]));
    }
    drop(other);
    assert!(threads.wait_until_idle(LONG), "every session has ended");
}
