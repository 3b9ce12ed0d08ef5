use std::time::Duration;

use tokio::time::Instant;

/// How many panes a window is made of.
pub const PANES: usize = 10;

/// The rows of the last windows, counted in panes of a tenth of a window each.
///
/// A pane ends after its tenth of the window's rows or of its time, whichever comes first. Ten panes that follow each
/// other from the first on are a tumbling window. The last ten, among them the one that is being filled, are the sliding
/// window. There is never more in memory than these and the sum of the last tumbling window.
#[derive(Debug)]
pub struct Windows {
    window_rows: usize,
    pane_time: Duration,
    /// A ring; the place in it is also the place in the tumbling window.
    panes: [Pane; PANES],
    /// Which pane is being filled.
    running: usize,
    /// The last tumbling window that has ended.
    tumbling: Option<Window>,
}

/// A part of a window; before the first row, one that has not begun.
#[derive(Debug, Clone, Default)]
struct Pane {
    from: Option<Instant>,
    /// How many rows came while it ran, those that were not looked at included.
    came: u64,
    /// How many were looked at.
    rows: usize,
    counts: Vec<u32>,
}

/// What a window counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// When its first pane began.
    pub from: Instant,
    /// When its last pane ended, or the time of reading.
    pub to: Instant,
    /// How many rows came, those that were not looked at included.
    pub came: u64,
    /// How many rows were looked at.
    pub rows: u64,
    /// How many values each bin holds.
    pub counts: Vec<u64>,
}

impl Windows {
    /// Windows of at most so many rows, at least [`PANES`], and of at most this length, for so many bins.
    pub fn new(window_rows: usize, window: Duration, bins: usize, now: Instant) -> Self {
        let pane = Pane { counts: vec![0; bins], ..Pane::default() };
        let mut panes = std::array::from_fn(|_| pane.clone());
        if let Some(first) = panes.first_mut() {
            first.from = Some(now);
        }
        Self { window_rows, pane_time: window / PANES as u32, panes, running: 0, tumbling: None }
    }

    /// Notes that rows came that were not looked at.
    pub fn skip(&mut self, rows: usize) {
        self.pane().came += rows as u64;
    }

    /// Counts up to `rows` rows into the pane that is being filled, and gives how many it took: at least 1 where there are
    /// any. `count` is given how many rows to add to the counts.
    pub fn fill(&mut self, rows: usize, now: Instant, count: impl FnOnce(&mut [u32], usize)) -> usize {
        if self.is_full() {
            self.next_pane(now);
        }
        let room = self.pane_rows().saturating_sub(self.pane().rows);
        let taken = rows.min(room);
        let pane = self.pane();
        pane.rows += taken;
        pane.came += taken as u64;
        count(&mut pane.counts, taken);
        taken
    }

    /// Ends the panes whose time has passed.
    pub fn advance(&mut self, now: Instant) {
        let Some(from) = self.pane().from else { return };
        let passed = now.saturating_duration_since(from).as_nanos() / self.pane_time.as_nanos().max(1);
        if passed == 0 {
            return;
        }
        // After two windows without a row nothing is left of what was counted; further whole ones change nothing.
        let whole = usize::try_from(passed).unwrap_or(usize::MAX);
        let panes = if whole > 2 * PANES { 2 * PANES + whole % PANES } else { whole };
        let left_out = self.pane_time.saturating_mul(u32::try_from(whole - panes).unwrap_or(u32::MAX));
        let mut end = from.checked_add(left_out).unwrap_or(now);
        for _ in 0..panes {
            end += self.pane_time;
            self.next_pane(end.min(now));
        }
    }

    /// The last ten panes.
    pub fn sliding(&self, now: Instant) -> Window {
        let mut window = Window { from: now, to: now, came: 0, rows: 0, counts: Vec::new() };
        for Pane { from, came, rows, counts } in &self.panes {
            let Some(from) = from else { continue };
            window.from = window.from.min(*from);
            window.came += came;
            window.rows += *rows as u64;
            window.counts.resize(counts.len(), 0);
            for (sum, count) in window.counts.iter_mut().zip(counts) {
                *sum += u64::from(*count);
            }
        }
        window
    }

    /// The last tumbling window that has ended, if one has.
    pub fn tumbling(&self, now: Instant) -> Option<Window> {
        // The pane ends with the row that fills it; that it is put away with the next one is our own affair.
        let has_just_ended = self.running + 1 == PANES && self.is_full();
        if has_just_ended { Some(self.sliding(now)) } else { self.tumbling.clone() }
    }

    fn is_full(&self) -> bool {
        self.panes.get(self.running).is_some_and(|pane| pane.rows >= self.pane_rows())
    }

    /// How many rows the pane that is being filled holds at most: the panes' sum is the window's.
    fn pane_rows(&self) -> usize {
        (self.running + 1) * self.window_rows / PANES - self.running * self.window_rows / PANES
    }

    fn next_pane(&mut self, now: Instant) {
        if self.running + 1 == PANES {
            self.tumbling = Some(self.sliding(now));
        }
        self.running = (self.running + 1) % PANES;
        let pane = self.pane();
        (pane.from, pane.came, pane.rows) = (Some(now), 0, 0);
        pane.counts.fill(0);
    }

    fn pane(&mut self) -> &mut Pane {
        // `running` is below PANES.
        &mut self.panes[self.running % PANES]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    /// Windows of 100 rows or ten hours with one bin.
    fn windows(now: Instant) -> Windows {
        Windows::new(100, HOUR * 10, 1, now)
    }

    fn add(windows: &mut Windows, now: Instant, mut rows: usize) {
        windows.advance(now);
        while rows > 0 {
            rows -= windows.fill(rows, now, |counts, taken| counts[0] += taken as u32);
        }
    }

    fn rows(window: &Window) -> u64 {
        assert_eq!(window.counts, [window.rows]);
        window.rows
    }

    #[tokio::test(start_paused = true)]
    async fn a_tumbling_window_holds_exactly_its_rows_and_the_sliding_one_the_last_ten_panes() {
        let now = Instant::now();
        let mut windows = windows(now);
        add(&mut windows, now, 99);
        assert_eq!(windows.tumbling(now), None);
        assert_eq!(rows(&windows.sliding(now)), 99);
        add(&mut windows, now, 1);
        assert_eq!(rows(&windows.tumbling(now).unwrap()), 100);
        // The eleventh pane pushes the first out.
        add(&mut windows, now, 4);
        assert_eq!(rows(&windows.sliding(now)), 94);
        assert_eq!(rows(&windows.tumbling(now).unwrap()), 100);
        // A batch may be longer than a window.
        add(&mut windows, now, 1000);
        assert_eq!(rows(&windows.sliding(now)), 94);
        assert_eq!(rows(&windows.tumbling(now).unwrap()), 100);
    }

    #[tokio::test(start_paused = true)]
    async fn a_window_whose_rows_are_no_multiple_of_ten_holds_them_all_the_same() {
        let now = Instant::now();
        let mut windows = Windows::new(13, HOUR, 1, now);
        for row in 1..=39_u64 {
            add(&mut windows, now, 1);
            assert_eq!(windows.tumbling(now).map(|window| window.rows), (row >= 13).then_some(13), "{row}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn panes_end_with_their_time() {
        let start = Instant::now();
        let mut windows = windows(start);
        for hour in 0..10 {
            add(&mut windows, start + HOUR * hour, 3);
        }
        assert_eq!(windows.tumbling(start), None, "its last pane is running");
        let end = start + HOUR * 10;
        windows.advance(end);
        let ended = windows.tumbling(end).unwrap();
        assert_eq!((rows(&ended), ended.from, ended.to), (30, start, end));
        let sliding = windows.sliding(end);
        assert_eq!((rows(&sliding), sliding.from, sliding.to), (27, start + HOUR, end));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_left_of_a_model_that_is_no_longer_asked() {
        for idle in [20, 25, 1000, 1_000_000] {
            let start = Instant::now();
            let mut windows = windows(start);
            add(&mut windows, start, 250);
            windows.advance(start + HOUR * 3);
            assert_eq!(
                rows(&windows.tumbling(start).unwrap()),
                100,
                "a window that ended stays until the next"
            );
            let now = start + HOUR * idle;
            windows.advance(now);
            let (sliding, tumbling) = (windows.sliding(now), windows.tumbling(now).unwrap());
            assert_eq!((rows(&sliding), rows(&tumbling)), (0, 0), "after {idle} hours");
            assert!(now - sliding.from <= HOUR * 10 && now - tumbling.from <= HOUR * 20);
            // And it goes on as from a fresh start.
            add(&mut windows, now, 5);
            assert_eq!(rows(&windows.sliding(now)), 5);
        }
    }
}
