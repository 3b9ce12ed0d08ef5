/// The limits on reading rows.
///
/// A body of a few bytes can stand for a large matrix, because a row need not contain its optional features:
/// 10,000 times `{}` is 30 KB, and with 4,096 features it is a matrix of 160 MB. So the cells are bounded
/// too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowsLimits {
    /// The maximum number of rows in a body.
    pub max_rows: usize,
    /// The maximum number of cells in its matrix: rows × features.
    pub max_cells: usize,
}

impl RowsLimits {
    /// The number of cells that a body may always have: 64 MiB of single-precision numbers.
    ///
    /// At 10,000 rows, the engine's usual limit, it is reached by models with more than 1,677 features.
    pub const DEFAULT_MAX_CELLS: usize = 64 * 1024 * 1024 / size_of::<f32>();

    /// The minimum number of bytes of a cell in a body that contains its value, as in `"a":1,`.
    pub const MIN_CELL_BYTES: usize = 6;

    /// No limits: for a body whose sender is trusted.
    pub const NONE: Self = Self { max_rows: usize::MAX, max_cells: usize::MAX };

    /// Returns limits of this many rows, and of [`RowsLimits::DEFAULT_MAX_CELLS`].
    pub const fn of_rows(max_rows: usize) -> Self {
        Self { max_rows, max_cells: Self::DEFAULT_MAX_CELLS }
    }

    /// Returns limits for bodies of at most `max_body_bytes`.
    ///
    /// Larger bodies may have more cells than [`RowsLimits::DEFAULT_MAX_CELLS`], so that no body is
    /// rejected for its cells if it contains a value for each feature:
    /// one for every [`RowsLimits::MIN_CELL_BYTES`].
    ///
    /// ```
    /// use onnward_rows::RowsLimits;
    ///
    /// let usual = RowsLimits::of_bodies(10_000, 8 * 1024 * 1024);
    /// assert_eq!(usual, RowsLimits::of_rows(10_000));
    /// let large = RowsLimits::of_bodies(10_000, 600_000_000);
    /// assert_eq!(large.max_cells, 100_000_000);
    /// ```
    pub const fn of_bodies(max_rows: usize, max_body_bytes: usize) -> Self {
        let given = max_body_bytes / Self::MIN_CELL_BYTES;
        let usual = Self::DEFAULT_MAX_CELLS;
        Self { max_rows, max_cells: if given > usual { given } else { usual } }
    }

    /// Returns how many rows of this many features a body may hold.
    pub(crate) fn max_rows_of(self, features: usize) -> usize {
        self.max_rows.min(self.max_cells / features.max(1))
    }
}
