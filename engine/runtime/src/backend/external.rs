//! External graphs: turns encoded rows into their named inputs.

use ndarray::{ArrayView1, ArrayView2, Axis};
use onnward_onnx::{Element, ExternalInput, ExternalModel, Layout, OutputReader};
use onnward_schemas::{
    ClassPredictions, Feature, FeatureKind, Kept, Numbers, PredictedValues, Prediction, Predictions,
    RowFailure, Rows, TypedArray, TypedValues,
};

use super::{
    Backend, BackendError, BackendKind, Batch, Input, InputValues, Session, joined, score_every_row,
};

/// The distance by which a probability may lie outside [0, 1], because float32 sums are rounded.
const PROBABILITY_TOLERANCE: f64 = 1e-5;

/// An external model that is ready to score.
///
/// As a [`Session`] it returns a failure for a row on which the graph fails or returns no probability, so that one
/// client's row does not fail the rows of others.
pub struct ExternalSession {
    backend: BackendKind,
    inner: Box<dyn Session>,
    output: OutputReader,
    inputs: Vec<InputPlan>,
    kept: usize,
    one_row_a_run: bool,
}

/// The sources of an input's values.
struct InputPlan {
    name: String,
    element: Element,
    layout: Layout,
    /// One for each column.
    sources: Vec<Source>,
}

/// The place of a value in an encoded row.
enum Source {
    /// A number in the matrix.
    Number { feature: usize },
    /// The index of one of these values in the matrix.
    Category { feature: usize, values: Vec<String> },
    /// A value among those that the rows keep.
    Kept { place: usize },
}

impl ExternalSession {
    /// Opens an external model.
    ///
    /// # Errors
    /// [`BackendError::Open`] if the backend cannot read the model or lacks one of its operators.
    pub fn open(backend: &dyn Backend, model: &ExternalModel, bytes: &[u8]) -> Result<Self, BackendError> {
        let inner = backend.open_with_output(bytes, &model.output)?;
        let inputs = model.inputs.iter().map(|input| InputPlan::of(input, model)).collect();
        let kept = model.schema.kept_features().len();
        let output = model.output.clone();
        Ok(Self { backend: backend.kind(), inner, output, inputs, kept, one_row_a_run: model.one_row_a_run })
    }

    /// Scores encoded rows and returns what the graph returns for each, whether or not it is a probability.
    ///
    /// # Errors
    /// Those of [`Session::score`], and [`BackendError::ScoreCount`].
    pub fn score_rows(&mut self, rows: &Rows) -> Result<Predictions, BackendError> {
        let features = self.inputs.iter().map(|input| input.sources.len()).sum();
        let matrix = ArrayView2::from_shape((rows.len, features), &rows.values);
        self.run_in_steps(matrix.map_err(|error| BackendError::run(self.backend, error))?, &rows.kept)
    }

    fn run_in_steps(
        &mut self,
        matrix: ArrayView2<'_, f32>,
        kept: &[Kept],
    ) -> Result<Predictions, BackendError> {
        if !self.one_row_a_run {
            return self.run(matrix, kept);
        }
        let rows = self.single_rows(matrix, kept);
        joined(self.backend, rows.into_iter().map(|(row, kept)| self.run(row, kept)))
    }

    fn run(&mut self, matrix: ArrayView2<'_, f32>, kept: &[Kept]) -> Result<Predictions, BackendError> {
        let inputs = self.inputs.iter().map(|plan| plan.input(matrix, kept, self.kept));
        match inputs.collect::<Option<Vec<Input>>>() {
            Some(inputs) => score_every_row(self.inner.as_mut(), Batch::Inputs(&inputs)),
            None if matrix.nrows() > 1 => {
                let rows = self.single_rows(matrix, kept);
                joined(self.backend, rows.into_iter().map(|(row, kept)| self.run(row, kept)))
            }
            None => Err(BackendError::run(self.backend, "a value has another type than its input")),
        }
    }

    fn score_isolating_failures(
        &mut self,
        matrix: ArrayView2<'_, f32>,
        kept: &[Kept],
    ) -> Result<Predictions, BackendError> {
        match self.run_in_steps(matrix, kept) {
            Err(BackendError::Run { reason, .. }) if matrix.nrows() == 1 => Ok(self.output.failed(reason)),
            Err(BackendError::Run { .. }) => {
                let rows = self.single_rows(matrix, kept);
                let backend = self.backend;
                joined(backend, rows.into_iter().map(|(row, kept)| self.score_isolating_failures(row, kept)))
            }
            other => Ok(within_bounds(other?)),
        }
    }

    /// Splits the matrix into single rows with their texts.
    fn single_rows<'m>(
        &self,
        matrix: ArrayView2<'m, f32>,
        kept: &'m [Kept],
    ) -> Vec<(ArrayView2<'m, f32>, &'m [Kept])> {
        let kept_of = |row: usize| kept.get(row * self.kept..(row + 1) * self.kept).unwrap_or_default();
        let row = |row: usize| (matrix.slice_axis_move(Axis(0), (row..row + 1).into()), kept_of(row));
        (0..matrix.nrows()).map(row).collect()
    }
}

impl Session for ExternalSession {
    fn score(&mut self, batch: Batch<'_>) -> Result<Predictions, BackendError> {
        match batch {
            Batch::Features(matrix) => self.score_isolating_failures(matrix, &[]),
            Batch::FeaturesAndKept(matrix, kept) => self.score_isolating_failures(matrix, kept),
            Batch::Inputs(_) => self.inner.score(batch),
        }
    }
}

/// Returns a number of a prediction that should be a probability and is none; `None` if all of them are.
pub fn no_probability(prediction: Prediction<'_>) -> Option<f64> {
    let is_outside = |number: &f64| !number.is_nan() && clamp(*number).is_nan();
    match prediction {
        Prediction::Probability(number) => Some(number.to_f64()).filter(is_outside),
        Prediction::Class(_, Some(probabilities)) => probabilities.iter().find(is_outside),
        Prediction::Class(_, None) | Prediction::Number(_) | Prediction::Outputs(_) => None,
    }
}

/// Clamps a number to a probability. Returns NaN if it lies outside [0, 1] by more than rounding.
fn clamp(number: f64) -> f64 {
    let is_probability = (-PROBABILITY_TOLERANCE..=1.0 + PROBABILITY_TOLERANCE).contains(&number);
    if is_probability { number.clamp(0.0, 1.0) } else { f64::NAN }
}

/// Clamps probabilities. A row with one that lies outside [0, 1] by more than rounding fails.
fn within_bounds(predictions: Predictions) -> Predictions {
    let failure = |row: usize| {
        let number = no_probability(predictions.row(row)?)?;
        Some(RowFailure { row, reason: format!("its output is {number}, which is no probability") })
    };
    let mut failures: Vec<RowFailure> = (0..predictions.len()).filter_map(failure).collect();
    let clamped = |numbers: Numbers| numbers.map(|number| clamp(f64::from(number)) as f32, clamp);
    let values = match predictions.values {
        PredictedValues::Probabilities(numbers) => PredictedValues::Probabilities(clamped(numbers)),
        PredictedValues::Classes(classes) => PredictedValues::Classes(ClassPredictions {
            probabilities: classes.probabilities.map(clamped),
            ..classes
        }),
        other @ (PredictedValues::Numbers(_) | PredictedValues::Outputs(_)) => other,
    };
    failures.extend(predictions.failures);
    failures.sort_by_key(|failure| failure.row);
    Predictions { values, failures }
}

impl InputPlan {
    fn of(input: &ExternalInput, model: &ExternalModel) -> Self {
        let features = model.schema.features.iter().enumerate();
        let features = features.skip(input.features.start).take(input.features.len());
        let source =
            |(index, feature): (usize, &Feature)| match (&feature.kind, model.schema.kept_index(index)) {
                (_, Some(place)) => Source::Kept { place },
                (FeatureKind::Categorical { values, .. }, None) => {
                    Source::Category { feature: index, values: values.clone() }
                }
                (FeatureKind::Numeric { .. } | FeatureKind::Kept(_), None) => {
                    Source::Number { feature: index }
                }
            };
        Self {
            name: input.name.clone(),
            element: input.element,
            layout: input.layout,
            sources: features.map(source).collect(),
        }
    }

    /// Returns the input's values for some rows. `None` if they cannot be in one run: arrays of different shapes.
    fn input(&self, matrix: ArrayView2<'_, f32>, kept: &[Kept], kept_per_row: usize) -> Option<Input> {
        let rows = matrix.outer_iter().enumerate();
        let cells = rows.flat_map(|(index, row)| {
            let kept = kept.get(index * kept_per_row..).unwrap_or_default();
            self.sources.iter().map(move |source| Cell { source, row, kept })
        });
        let row_shape = match self.layout {
            Layout::Scalar => None,
            Layout::Rows => Some(Vec::new()),
            Layout::Matrix { columns } => Some(vec![columns]),
            Layout::Arrays => Some(common_shape(cells.clone())?),
        };
        let values = match self.element {
            Element::Half => InputValues::Halves(collect(cells, Cell::singles)?),
            Element::BrainHalf => InputValues::BrainHalves(collect(cells, Cell::singles)?),
            Element::Float => InputValues::Floats(collect(cells, Cell::singles)?),
            Element::Double => InputValues::Doubles(collect(cells, Cell::doubles)?),
            Element::Int8 => InputValues::Int8s(collect(cells, Cell::integers)?),
            Element::Int16 => InputValues::Int16s(collect(cells, Cell::integers)?),
            Element::Int32 => InputValues::Int32s(collect(cells, Cell::integers)?),
            Element::Int64 => InputValues::Int64s(collect(cells, Cell::integers)?),
            Element::Uint8 => InputValues::Uint8s(collect(cells, Cell::integers)?),
            Element::Uint16 => InputValues::Uint16s(collect(cells, Cell::integers)?),
            Element::Uint32 => InputValues::Uint32s(collect(cells, Cell::integers)?),
            Element::Uint64 => InputValues::Uint64s(collect(cells, Cell::unsigned)?),
            Element::Boolean => InputValues::Booleans(collect(cells, Cell::booleans)?),
            Element::Text => InputValues::Texts(collect(cells, Cell::texts)?),
        };
        // Rows of a run share a value without rows, so there must be one row.
        let is_shared = self.layout == Layout::Scalar && matrix.nrows() != 1;
        (!is_shared).then(|| Input { name: self.name.clone(), row_shape, rows: matrix.nrows(), values })
    }
}

/// Returns the shape that the arrays of all rows have. `None` if they differ, or if a row has none.
fn common_shape<'a>(mut cells: impl Iterator<Item = Cell<'a>>) -> Option<Vec<usize>> {
    let first = cells.next()?.array()?.shape.clone();
    cells.all(|cell| cell.array().is_some_and(|array| array.shape == first)).then_some(first)
}

/// Collects the values of all cells. `None` if one has none of this type.
fn collect<'a, T>(
    cells: impl Iterator<Item = Cell<'a>>,
    values: impl Fn(&Cell<'a>, &mut Vec<T>) -> Option<()>,
) -> Option<Vec<T>> {
    let mut all = Vec::new();
    for cell in cells {
        values(&cell, &mut all)?;
    }
    Some(all)
}

/// The value of one field of a row.
#[derive(Clone, Copy)]
struct Cell<'a> {
    source: &'a Source,
    row: ArrayView1<'a, f32>,
    /// The row's kept values, and perhaps those after it.
    kept: &'a [Kept],
}

impl<'a> Cell<'a> {
    /// Returns the value in the matrix: a number, or a category's code.
    fn code(&self) -> f32 {
        match self.source {
            Source::Number { feature } | Source::Category { feature, .. } => {
                self.row.get(*feature).copied().unwrap_or(f32::NAN)
            }
            Source::Kept { .. } => f32::NAN,
        }
    }

    fn category(&self) -> Option<&'a str> {
        match self.source {
            Source::Category { values, .. } => values.get(self.code() as usize).map(String::as_str),
            Source::Kept { .. } | Source::Number { .. } => None,
        }
    }

    fn kept(&self) -> Option<&'a Kept> {
        match self.source {
            Source::Kept { place } => self.kept.get(*place),
            Source::Category { .. } | Source::Number { .. } => None,
        }
    }

    fn array(&self) -> Option<&'a TypedArray> {
        match self.kept() {
            Some(Kept::Array(array)) => Some(array),
            Some(Kept::Missing | Kept::Text(_)) | None => None,
        }
    }

    fn singles(&self, all: &mut Vec<f32>) -> Option<()> {
        match (self.source, self.kept(), self.array()) {
            (Source::Number { .. }, ..) => all.push(self.code()),
            (_, Some(Kept::Missing), _) => all.push(f32::NAN),
            (_, _, Some(TypedArray { values: TypedValues::Numbers(numbers), .. })) => {
                all.extend_from_slice(&numbers.to_single());
            }
            _ => return None,
        }
        Some(())
    }

    fn doubles(&self, all: &mut Vec<f64>) -> Option<()> {
        match (self.kept(), self.array()) {
            (Some(Kept::Missing), _) => all.push(f64::NAN),
            (_, Some(TypedArray { values: TypedValues::Numbers(numbers), .. })) => {
                all.extend(numbers.as_slice().iter());
            }
            _ => return None,
        }
        Some(())
    }

    fn integers<T: TryFrom<i64>>(&self, all: &mut Vec<T>) -> Option<()> {
        let convert = |number: i64| T::try_from(number).ok();
        match (self.category(), self.array()) {
            (Some(text), _) => all.push(convert(text.parse().ok()?)?),
            (None, Some(TypedArray { values: TypedValues::Integers(numbers), .. })) => {
                for number in numbers {
                    all.push(convert(*number)?);
                }
            }
            _ => return None,
        }
        Some(())
    }

    fn unsigned(&self, all: &mut Vec<u64>) -> Option<()> {
        match (self.category(), self.array()) {
            (Some(text), _) => all.push(text.parse().ok()?),
            (None, Some(TypedArray { values: TypedValues::Unsigned(numbers), .. })) => all.extend(numbers),
            _ => return None,
        }
        Some(())
    }

    fn booleans(&self, all: &mut Vec<bool>) -> Option<()> {
        let Some(TypedArray { values: TypedValues::Booleans(values), .. }) = self.array() else {
            return None;
        };
        all.extend(values);
        Some(())
    }

    fn texts(&self, all: &mut Vec<String>) -> Option<()> {
        match (self.source, self.kept()) {
            (_, Some(Kept::Text(text))) => all.push(text.clone()),
            (_, Some(Kept::Array(TypedArray { values: TypedValues::Texts(texts), .. }))) => {
                all.extend(texts.clone())
            }
            (_, Some(Kept::Missing)) => all.push(String::new()),
            // A category that is not listed has no text.
            (Source::Category { .. }, None) => all.push(self.category().unwrap_or_default().to_owned()),
            _ => return None,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests;
