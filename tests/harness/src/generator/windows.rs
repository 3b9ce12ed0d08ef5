//! A run's windows of time. When three in a row agree the run is stable, and its figures are theirs.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::error::HarnessError;

/// The number of consecutive windows that must agree.
pub const AGREEING: usize = 3;
/// The largest ratio of the fastest to the slowest of them.
const AGREEMENT: f64 = 1.1;
/// The significant digits of a latency.
const DIGITS: u8 = 3;
/// The largest latency that is recorded, in nanoseconds; a longer one counts as this one.
const LONGEST: u64 = 100_000_000_000;

/// The number of requests by the status of their answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Statuses {
    /// 200.
    pub ok: u64,
    /// 429: the server sheds load.
    pub rejected: u64,
    /// Any other status.
    pub other: u64,
    /// No answer: the connection broke, or the timeout expired.
    pub failed: u64,
}

impl std::ops::AddAssign for Statuses {
    fn add_assign(&mut self, more: Self) {
        self.ok += more.ok;
        self.rejected += more.rejected;
        self.other += more.other;
        self.failed += more.failed;
    }
}

/// Latencies of answers, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Latencies {
    /// The median.
    pub p50: f64,
    /// The 90th percentile.
    pub p90: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The 99.9th percentile.
    pub p999: f64,
    /// The largest.
    pub max: f64,
}

/// The latency of one request.
#[derive(Debug, Clone, Copy)]
pub struct Latency {
    /// From the time at which it should have begun.
    pub from_due: Duration,
    /// From when it was sent, if it was.
    pub from_sent: Option<Duration>,
}

/// One window.
#[derive(Debug)]
struct Window {
    statuses: Statuses,
    ok: Histogram<u64>,
    /// The same answers as in `ok`, counted from when their requests were sent.
    ok_from_sent: Histogram<u64>,
    rejected: Histogram<u64>,
    /// From the last answer before the window to its own last one. Over a fixed time, a slow server's few
    /// answers would be rounded to whole numbers.
    length: Duration,
    /// The processor time that the server had used at the window's start and end.
    server_cpu: [Duration; 2],
}

/// The figures of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WindowFigures {
    /// Whether three consecutive windows agree within 10 %.
    pub stable: bool,
    /// Answers with 200 per second, in each of the last three windows.
    pub windows: Vec<f64>,
    /// Answers with 200 per second over all three.
    pub requests_per_second: f64,
    /// The length of the three windows, in seconds.
    pub seconds: f64,
    /// The number of requests by status.
    pub statuses: Statuses,
    /// Latencies of answers with 200, if there were any.
    pub latency_us: Option<Latencies>,
    /// The same, counted from when the request was sent: without the time that a request of an open loop
    /// waits for a connection.
    pub latency_from_sent_us: Option<Latencies>,
    /// Latencies of answers with 429.
    pub rejected_latency_us: Option<Latencies>,
    /// The processor time that the server used, in seconds; 0 if it is not measured.
    pub server_cpu_seconds: f64,
}

/// The last windows of a run, and the current one.
#[derive(Debug)]
pub struct Windows {
    closed: VecDeque<Window>,
    current: Window,
    last_answer: Instant,
    start: Instant,
}

impl Windows {
    /// Begins the warm-up, which ends with [`Windows::begin`].
    ///
    /// # Errors
    /// [`HarnessError::Settings`] if no histogram can be made.
    pub fn new(now: Instant) -> Result<Self, HarnessError> {
        let current = Window::new(Duration::ZERO)?;
        Ok(Self { closed: VecDeque::new(), current, last_answer: now, start: now })
    }

    /// Records a request that was answered at `now`, or failed then.
    pub fn record(&mut self, status: Option<u16>, latency: Latency, now: Instant) {
        let window = &mut self.current;
        window.count(status, latency);
        if status == Some(200) {
            self.last_answer = now;
        }
    }

    /// Ends the warm-up and discards what it recorded.
    ///
    /// # Errors
    /// As [`Windows::new`].
    pub fn begin(&mut self, server_cpu: Duration) -> Result<(), HarnessError> {
        self.start = self.last_answer;
        self.current = Window::new(server_cpu)?;
        Ok(())
    }

    /// Ends the window and begins the next. Returns whether the last three agree.
    ///
    /// # Errors
    /// As [`Windows::new`].
    pub fn next(&mut self, server_cpu: Duration) -> Result<bool, HarnessError> {
        self.current.length = self.last_answer.saturating_duration_since(self.start);
        self.current.server_cpu[1] = server_cpu;
        self.start = self.last_answer;
        let closed = std::mem::replace(&mut self.current, Window::new(server_cpu)?);
        if self.closed.len() == AGREEING {
            self.closed.pop_front();
        }
        self.closed.push_back(closed);
        Ok(self.is_stable())
    }

    fn is_stable(&self) -> bool {
        self.closed.len() == AGREEING && agree(self.closed.iter().map(Window::rate))
    }

    /// Records a request that began in time and ended after the last window. Its latency counts, and its
    /// answer does not.
    pub fn record_late(&mut self, status: Option<u16>, latency: Latency) {
        if let Some(window) = self.closed.back_mut() {
            match status {
                Some(200) => window.record_ok(latency),
                Some(429) => window.rejected.saturating_record(nanoseconds(latency.from_due)),
                Some(_) => window.statuses.other += 1,
                None => {
                    window.statuses.failed += 1;
                    window.record_ok(latency);
                }
            }
        }
    }

    /// Returns the figures of the last three windows.
    ///
    /// # Errors
    /// As [`Windows::new`].
    pub fn figures(&self) -> Result<WindowFigures, HarnessError> {
        let mut total = Window::new(Duration::ZERO)?;
        for window in &self.closed {
            total.add(window)?;
        }
        let [first, last] = [self.closed.front(), self.closed.back()];
        let [from, to] = [first.map(|window| window.server_cpu[0]), last.map(|window| window.server_cpu[1])];
        Ok(WindowFigures {
            stable: self.is_stable(),
            windows: self.closed.iter().map(Window::rate).collect(),
            requests_per_second: total.rate(),
            seconds: total.length.as_secs_f64(),
            statuses: total.statuses,
            latency_us: latencies(&total.ok),
            latency_from_sent_us: latencies(&total.ok_from_sent),
            rejected_latency_us: latencies(&total.rejected),
            server_cpu_seconds: to.zip(from).map_or(0.0, |(to, from)| to.saturating_sub(from).as_secs_f64()),
        })
    }
}

impl Window {
    fn new(server_cpu: Duration) -> Result<Self, HarnessError> {
        Ok(Self {
            statuses: Statuses::default(),
            ok: histogram()?,
            ok_from_sent: histogram()?,
            rejected: histogram()?,
            length: Duration::ZERO,
            server_cpu: [server_cpu; 2],
        })
    }

    fn count(&mut self, status: Option<u16>, latency: Latency) {
        match status {
            Some(200) => {
                self.statuses.ok += 1;
                self.record_ok(latency);
            }
            Some(429) => {
                self.statuses.rejected += 1;
                self.rejected.saturating_record(nanoseconds(latency.from_due));
            }
            Some(_) => self.statuses.other += 1,
            None => self.statuses.failed += 1,
        }
    }

    fn record_ok(&mut self, Latency { from_due, from_sent }: Latency) {
        self.ok.saturating_record(nanoseconds(from_due));
        if let Some(latency) = from_sent {
            self.ok_from_sent.saturating_record(nanoseconds(latency));
        }
    }

    fn add(&mut self, other: &Self) -> Result<(), HarnessError> {
        self.statuses += other.statuses;
        self.length += other.length;
        self.ok.add(&other.ok).map_err(unusable)?;
        self.ok_from_sent.add(&other.ok_from_sent).map_err(unusable)?;
        self.rejected.add(&other.rejected).map_err(unusable)
    }

    /// Returns the answers with 200 per second.
    fn rate(&self) -> f64 {
        if self.statuses.ok == 0 {
            return 0.0;
        }
        self.statuses.ok as f64 / self.length.as_secs_f64()
    }
}

/// Returns whether rates agree within 10 %.
fn agree(rates: impl Iterator<Item = f64>) -> bool {
    let (low, high) =
        rates.fold((f64::INFINITY, 0.0f64), |(low, high), rate| (low.min(rate), high.max(rate)));
    low > 0.0 && high <= low * AGREEMENT
}

fn histogram() -> Result<Histogram<u64>, HarnessError> {
    Histogram::new_with_max(LONGEST, DIGITS).map_err(unusable)
}

fn unusable(error: impl std::fmt::Display) -> HarnessError {
    HarnessError::Settings(format!("latencies cannot be recorded: {error}"))
}

fn nanoseconds(latency: Duration) -> u64 {
    u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX)
}

fn latencies(histogram: &Histogram<u64>) -> Option<Latencies> {
    let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
    (!histogram.is_empty()).then(|| Latencies {
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p999: at(0.999),
        max: histogram.max() as f64 / 1e3,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a latency whose first half was spent waiting to be sent.
    fn after(latency: Duration) -> Latency {
        Latency { from_due: latency, from_sent: Some(latency / 2) }
    }

    /// Returns windows of one second with these numbers of responses.
    fn windows(answers: &[u32]) -> Windows {
        let start = Instant::now();
        let mut windows = Windows::new(start).unwrap();
        let mut now = start;
        windows.begin(Duration::ZERO).unwrap();
        for (index, &count) in (1u32..).zip(answers) {
            for _ in 0..count {
                now += Duration::from_secs(1) / count;
                windows.record(Some(200), after(Duration::from_micros(100)), now);
            }
            windows.next(Duration::from_millis(500) * index).unwrap();
        }
        windows
    }

    #[test]
    fn a_run_is_stable_when_its_last_three_windows_agree_within_a_tenth() {
        assert!(windows(&[1000, 1090, 1050]).figures().unwrap().stable);
        assert!(!windows(&[1000, 1110, 1050]).figures().unwrap().stable);
        assert!(!windows(&[1000, 1000]).figures().unwrap().stable);
        assert!(!windows(&[0, 0, 0]).figures().unwrap().stable);
    }

    #[test]
    fn what_was_before_the_last_three_windows_does_not_count() {
        let figures = windows(&[10, 1000, 1000, 1000]).figures().unwrap();
        assert!(figures.stable);
        assert_eq!(figures.statuses.ok, 3000);
        assert!((figures.requests_per_second - 1000.0).abs() < 1.0);
        assert!((figures.server_cpu_seconds - 1.5).abs() < 1e-9);
    }

    #[test]
    fn statuses_and_their_latencies_are_kept_apart() {
        let mut windows = Windows::new(Instant::now()).unwrap();
        windows.begin(Duration::ZERO).unwrap();
        let now = Instant::now() + Duration::from_secs(1);
        let statuses = [(Some(200), 100), (Some(429), 5), (Some(429), 5), (Some(503), 1), (None, 1)];
        for (status, ms) in statuses {
            windows.record(status, after(Duration::from_millis(ms)), now);
        }
        windows.next(Duration::ZERO).unwrap();
        let figures = windows.figures().unwrap();
        assert_eq!(figures.statuses, Statuses { ok: 1, rejected: 2, other: 1, failed: 1 });
        let near = |latencies: Option<Latencies>, us: f64| (latencies.unwrap().p50 / us - 1.0).abs() < 0.002;
        assert!(near(figures.latency_us, 100_000.0));
        assert!(near(figures.rejected_latency_us, 5_000.0));
    }

    #[test]
    fn a_request_that_is_answered_too_late_counts_with_its_latency_alone() {
        let mut windows = windows(&[10, 10, 10]);
        windows.record_late(Some(200), after(Duration::from_secs(2)));
        let figures = windows.figures().unwrap();
        assert_eq!(figures.statuses.ok, 30);
        assert!(figures.latency_us.unwrap().max > 1.9e6);
        assert!((0.9e6..1.1e6).contains(&figures.latency_from_sent_us.unwrap().max));
    }
}
