//! External graphs: turns encoded rows into their named inputs.

use ndarray::{ArrayView1, ArrayView2, Axis};
use onnward_onnx::{Element, ExternalInput, ExternalModel};
use onnward_schemas::{Feature, FeatureKind, Rows, UnknownPolicy};

use super::{Backend, BackendError, BackendKind, Batch, Input, InputValues, Session, score_every_row};

/// The distance by which a probability may lie outside [0, 1], because float32 sums are rounded.
const PROBABILITY_TOLERANCE: f32 = 1e-5;

/// An external model that is ready to score.
///
/// As a [`Session`] it returns NaN for a row on which the graph fails or returns no probability, so that one
/// client's row does not fail the rows of others. [`ExternalSession::score_rows`] returns the reason.
pub struct ExternalSession {
    backend: BackendKind,
    inner: Box<dyn Session>,
    inputs: Vec<InputPlan>,
    texts: usize,
    one_row_a_run: bool,
}

/// The sources of an input's values.
struct InputPlan {
    name: String,
    element: Element,
    columns: Option<usize>,
    /// One for each column.
    sources: Vec<Source>,
}

/// The place of a value in an encoded row.
enum Source {
    /// A number in the matrix.
    Number { feature: usize },
    /// The index of one of these values in the matrix.
    Category { feature: usize, values: Vec<String> },
    /// A string in the table of texts.
    Text { text: usize },
}

impl ExternalSession {
    /// Opens an external model.
    ///
    /// # Errors
    /// [`BackendError::Open`] if the backend cannot read the model or lacks one of its operators.
    pub fn open(backend: &dyn Backend, model: &ExternalModel, bytes: &[u8]) -> Result<Self, BackendError> {
        let inner = backend.open_with_output(bytes, &model.output)?;
        let inputs = model.inputs.iter().map(|input| InputPlan::of(input, model)).collect();
        let texts = model.schema.text_features().len();
        Ok(Self { backend: backend.kind(), inner, inputs, texts, one_row_a_run: model.one_row_a_run })
    }

    /// Scores encoded rows and returns the graph's raw number for each. It is a probability if the output
    /// holds probabilities.
    ///
    /// # Errors
    /// Those of [`Session::score`], and [`BackendError::ScoreCount`].
    pub fn score_rows(&mut self, rows: &Rows) -> Result<Vec<f32>, BackendError> {
        let features = self.inputs.iter().map(|input| input.sources.len()).sum();
        let matrix = ArrayView2::from_shape((rows.len, features), &rows.values);
        self.run_in_steps(matrix.map_err(|error| BackendError::run(self.backend, error))?, &rows.texts)
    }

    fn run_in_steps(
        &mut self,
        matrix: ArrayView2<'_, f32>,
        texts: &[String],
    ) -> Result<Vec<f32>, BackendError> {
        if !self.one_row_a_run {
            return self.run(matrix, texts);
        }
        let mut probabilities = Vec::with_capacity(matrix.nrows());
        for (row, texts) in self.single_rows(matrix, texts) {
            probabilities.extend(self.run(row, texts)?);
        }
        Ok(probabilities)
    }

    fn run(&mut self, matrix: ArrayView2<'_, f32>, texts: &[String]) -> Result<Vec<f32>, BackendError> {
        let inputs: Vec<Input> =
            self.inputs.iter().map(|plan| plan.input(matrix, texts, self.texts)).collect();
        score_every_row(self.inner.as_mut(), Batch::Inputs(&inputs))
    }

    fn score_isolating_failures(
        &mut self,
        matrix: ArrayView2<'_, f32>,
        texts: &[String],
    ) -> Result<Vec<f32>, BackendError> {
        let scored = match self.run_in_steps(matrix, texts) {
            Err(BackendError::Run { reason, .. }) if matrix.nrows() == 1 => {
                tracing::warn!(reason, "an external model failed on a row");
                Ok(vec![f32::NAN])
            }
            Err(BackendError::Run { .. }) => {
                let rows = self.single_rows(matrix, texts);
                let rows = rows.into_iter().map(|(row, texts)| self.score_isolating_failures(row, texts));
                rows.collect::<Result<Vec<_>, _>>().map(|rows| rows.concat())
            }
            other => other,
        };
        scored.map(|numbers| numbers.into_iter().map(clamp_probability).collect())
    }

    /// Splits the matrix into single rows with their texts.
    fn single_rows<'m>(
        &self,
        matrix: ArrayView2<'m, f32>,
        texts: &'m [String],
    ) -> Vec<(ArrayView2<'m, f32>, &'m [String])> {
        let texts_of = |row: usize| texts.get(row * self.texts..(row + 1) * self.texts).unwrap_or_default();
        let row = |row: usize| (matrix.slice_axis_move(Axis(0), (row..row + 1).into()), texts_of(row));
        (0..matrix.nrows()).map(row).collect()
    }
}

impl Session for ExternalSession {
    fn score(&mut self, batch: Batch<'_>) -> Result<Vec<f32>, BackendError> {
        match batch {
            Batch::Features(matrix) => self.score_isolating_failures(matrix, &[]),
            Batch::FeaturesAndTexts(matrix, texts) => self.score_isolating_failures(matrix, texts),
            Batch::Inputs(_) => self.inner.score(batch),
        }
    }
}

/// Clamps a number to a probability. Returns NaN if it lies outside [0, 1] by more than rounding.
pub fn clamp_probability(number: f32) -> f32 {
    if (-PROBABILITY_TOLERANCE..=1.0 + PROBABILITY_TOLERANCE).contains(&number) {
        number.clamp(0.0, 1.0)
    } else {
        f32::NAN
    }
}

impl InputPlan {
    fn of(input: &ExternalInput, model: &ExternalModel) -> Self {
        let features = model.schema.features.iter().enumerate();
        let features = features.skip(input.features.start).take(input.features.len());
        let texts = model.schema.text_features();
        let source = |(index, feature): (usize, &Feature)| match &feature.kind {
            FeatureKind::Numeric { .. } => Source::Number { feature: index },
            FeatureKind::Categorical { unknown: UnknownPolicy::Keep, .. } => {
                Source::Text { text: texts.partition_point(|text| *text < index) }
            }
            FeatureKind::Categorical { values, .. } => {
                Source::Category { feature: index, values: values.clone() }
            }
        };
        Self {
            name: input.name.clone(),
            element: input.element,
            columns: input.columns,
            sources: features.map(source).collect(),
        }
    }

    fn input(&self, matrix: ArrayView2<'_, f32>, texts: &[String], texts_per_row: usize) -> Input {
        let rows = matrix.outer_iter().enumerate();
        let cells = rows.flat_map(|(index, row)| {
            let texts = texts.get(index * texts_per_row..).unwrap_or_default();
            self.sources.iter().map(move |source| Cell { source, row, texts })
        });
        let values = match self.element {
            Element::Float => InputValues::Floats(cells.map(|cell| cell.number()).collect()),
            Element::Double => InputValues::Doubles(cells.map(|cell| f64::from(cell.number())).collect()),
            Element::Int32 => InputValues::Int32s(cells.map(|cell| cell.integer() as i32).collect()),
            Element::Int64 => InputValues::Int64s(cells.map(|cell| cell.integer()).collect()),
            Element::Boolean => InputValues::Booleans(cells.map(|cell| cell.code() > 0.0).collect()),
            Element::Text => InputValues::Texts(cells.map(|cell| cell.text()).collect()),
        };
        Input { name: self.name.clone(), columns: self.columns, values }
    }
}

/// One value of an input.
struct Cell<'a> {
    source: &'a Source,
    row: ArrayView1<'a, f32>,
    /// The row's texts, and perhaps those after it.
    texts: &'a [String],
}

impl Cell<'_> {
    /// Returns the value in the matrix: a number, or a category's code.
    fn code(&self) -> f32 {
        match self.source {
            Source::Number { feature } | Source::Category { feature, .. } => {
                self.row.get(*feature).copied().unwrap_or(f32::NAN)
            }
            Source::Text { .. } => f32::NAN,
        }
    }

    fn category(&self) -> Option<&str> {
        match self.source {
            Source::Category { values, .. } => values.get(self.code() as usize).map(String::as_str),
            Source::Text { text } => self.texts.get(*text).map(String::as_str),
            Source::Number { .. } => None,
        }
    }

    fn number(&self) -> f32 {
        self.category().map_or_else(|| self.code(), |text| text.parse().unwrap_or(f32::NAN))
    }

    fn integer(&self) -> i64 {
        self.category().map_or_else(|| self.code() as i64, |text| text.parse().unwrap_or_default())
    }

    fn text(&self) -> String {
        self.category().unwrap_or_default().to_owned()
    }
}

#[cfg(test)]
mod tests;
