use std::time::Duration;

use tokio::time::Instant;

/// The number of panes of a window.
pub const PANES: usize = 10;

/// The rows of the last windows, counted in panes of a tenth of a window each.
///
/// A pane ends after its tenth of the window's rows or of its time, whichever is first. Ten panes that
/// follow each other from the first on are a tumbling window. The last ten, including the current one, are
/// the sliding window. Only these and the sum of the last tumbling window are in memory.
#[derive(Debug)]
pub struct Windows {
    window_rows: usize,
    pane_time: Duration,
    /// A ring; the place in it is also the place in the tumbling window.
    panes: [Pane; PANES],
    /// The index of the pane that is being filled.
    current: usize,
    /// The last tumbling window that has ended.
    tumbling: Option<Window>,
}

/// A part of a window. It has no start before its first row.
#[derive(Debug, Clone, Default)]
struct Pane {
    from: Option<Instant>,
    /// The number of rows received while it was current, including those that were not sampled.
    rows_seen: u64,
    /// The number of sampled rows.
    rows: usize,
    counts: Vec<u32>,
}

/// The counts of a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// The start of its first pane.
    pub from: Instant,
    /// The end of its last pane, or the time of reading.
    pub to: Instant,
    /// The number of rows received, including those that were not sampled.
    pub rows_seen: u64,
    /// The number of sampled rows.
    pub rows: u64,
    /// The number of values in each bin.
    pub counts: Vec<u64>,
}

impl Windows {
    /// Creates windows of at most `window_rows` rows (at least [`PANES`]) and this duration, for `bins` bins.
    pub fn new(window_rows: usize, window: Duration, bins: usize, now: Instant) -> Self {
        let pane = Pane { counts: vec![0; bins], ..Pane::default() };
        let mut panes = std::array::from_fn(|_| pane.clone());
        if let Some(first) = panes.first_mut() {
            first.from = Some(now);
        }
        Self { window_rows, pane_time: window / PANES as u32, panes, current: 0, tumbling: None }
    }

    /// Counts rows that were not sampled.
    pub fn skip(&mut self, rows: usize) {
        self.pane().rows_seen += rows as u64;
    }

    /// Counts up to `rows` rows into the current pane and returns how many it took: at least 1 if there are
    /// any. `count` receives the number of rows to add.
    pub fn add_rows(&mut self, rows: usize, now: Instant, count: impl FnOnce(&mut [u32], usize)) -> usize {
        if self.is_full() {
            self.next_pane(now);
        }
        let room = self.pane_rows().saturating_sub(self.pane().rows);
        let taken = rows.min(room);
        let pane = self.pane();
        pane.rows += taken;
        pane.rows_seen += taken as u64;
        count(&mut pane.counts, taken);
        taken
    }

    /// Closes the panes whose time has passed.
    pub fn close_expired(&mut self, now: Instant) {
        let Some(from) = self.pane().from else { return };
        let passed = now.saturating_duration_since(from).as_nanos() / self.pane_time.as_nanos().max(1);
        if passed == 0 {
            return;
        }
        // After two windows without a row no count is left, and further empty windows change nothing.
        let ended = usize::try_from(passed).unwrap_or(usize::MAX);
        let panes = if ended > 2 * PANES { 2 * PANES + ended % PANES } else { ended };
        let left_out = self.pane_time.saturating_mul(u32::try_from(ended - panes).unwrap_or(u32::MAX));
        let mut end = from.checked_add(left_out).unwrap_or(now);
        for _ in 0..panes {
            end += self.pane_time;
            self.next_pane(end.min(now));
        }
    }

    /// Returns the sum of the last ten panes.
    pub fn sliding(&self, now: Instant) -> Window {
        let mut window = Window { from: now, to: now, rows_seen: 0, rows: 0, counts: Vec::new() };
        for Pane { from, rows_seen, rows, counts } in &self.panes {
            let Some(from) = from else { continue };
            window.from = window.from.min(*from);
            window.rows_seen += rows_seen;
            window.rows += *rows as u64;
            window.counts.resize(counts.len(), 0);
            for (sum, count) in window.counts.iter_mut().zip(counts) {
                *sum += u64::from(*count);
            }
        }
        window
    }

    /// Returns the last tumbling window that has ended, if one has.
    pub fn tumbling(&self, now: Instant) -> Option<Window> {
        // A pane ends with the row that fills it, although it is only closed with the next row.
        let has_just_ended = self.current + 1 == PANES && self.is_full();
        if has_just_ended { Some(self.sliding(now)) } else { self.tumbling.clone() }
    }

    fn is_full(&self) -> bool {
        self.panes.get(self.current).is_some_and(|pane| pane.rows >= self.pane_rows())
    }

    /// Returns how many rows the current pane holds at most. The sum over all panes is the window's.
    fn pane_rows(&self) -> usize {
        (self.current + 1) * self.window_rows / PANES - self.current * self.window_rows / PANES
    }

    fn next_pane(&mut self, now: Instant) {
        if self.current + 1 == PANES {
            self.tumbling = Some(self.sliding(now));
        }
        self.current = (self.current + 1) % PANES;
        let pane = self.pane();
        (pane.from, pane.rows_seen, pane.rows) = (Some(now), 0, 0);
        pane.counts.fill(0);
    }

    fn pane(&mut self) -> &mut Pane {
        // `current` is below PANES.
        &mut self.panes[self.current % PANES]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    /// Creates windows of 100 rows or ten hours with one bin.
    fn windows(now: Instant) -> Windows {
        Windows::new(100, HOUR * 10, 1, now)
    }

    fn add(windows: &mut Windows, now: Instant, mut rows: usize) {
        windows.close_expired(now);
        while rows > 0 {
            rows -= windows.add_rows(rows, now, |counts, taken| counts[0] += taken as u32);
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
        assert_eq!(windows.tumbling(start), None, "its last pane has not ended");
        let end = start + HOUR * 10;
        windows.close_expired(end);
        let ended = windows.tumbling(end).unwrap();
        assert_eq!((rows(&ended), ended.from, ended.to), (30, start, end));
        let sliding = windows.sliding(end);
        assert_eq!((rows(&sliding), sliding.from, sliding.to), (27, start + HOUR, end));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_left_of_a_model_without_recent_requests() {
        for idle in [20, 25, 1000, 1_000_000] {
            let start = Instant::now();
            let mut windows = windows(start);
            add(&mut windows, start, 250);
            windows.close_expired(start + HOUR * 3);
            assert_eq!(
                rows(&windows.tumbling(start).unwrap()),
                100,
                "a window that ended stays until the next"
            );
            let now = start + HOUR * idle;
            windows.close_expired(now);
            let (sliding, tumbling) = (windows.sliding(now), windows.tumbling(now).unwrap());
            assert_eq!((rows(&sliding), rows(&tumbling)), (0, 0), "after {idle} hours");
            assert!(now - sliding.from <= HOUR * 10 && now - tumbling.from <= HOUR * 20);
            // And it goes on as from a fresh start.
            add(&mut windows, now, 5);
            assert_eq!(rows(&windows.sliding(now)), 5);
        }
    }
}
