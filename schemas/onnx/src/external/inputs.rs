//! The inputs of an external graph, as the fields of a request.

use std::collections::HashSet;
use std::ops::Range;

use onnward_schemas::{Feature, FeatureKind, UnknownPolicy};

use super::ExternalError;
use super::config::InputsConfig;
use super::graph::{Categories, Declared, categories_of, declared, shape_in_words};
use crate::proto::tensor_proto::DataType;
use crate::proto::tensor_shape_proto::dimension;
use crate::proto::{GraphProto, ValueInfoProto, type_proto};

/// The largest magnitude up to which single precision holds every whole number.
const LARGEST_INTEGER: f64 = 16_777_216.0;

/// An input of an external graph and the features that make it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalInput {
    /// The input's name.
    pub name: String,
    /// The type of its elements.
    pub element: Element,
    /// The number of columns, where the shape is `[rows, columns]`; `None` where it is `[rows]`.
    pub columns: Option<usize>,
    /// The features, by index in the schema: one a column.
    pub features: Range<usize>,
}

/// The type of an input's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// Numbers of single precision; NaN is missing.
    Float,
    /// Numbers of double precision, of which single precision is used; NaN is missing.
    Double,
    /// Whole numbers of 32 bits.
    Int32,
    /// Whole numbers of 64 bits.
    Int64,
    /// Booleans.
    Boolean,
    /// Strings.
    Text,
}

/// The inputs of a graph.
pub struct Inputs {
    /// The inputs, in the graph's order.
    pub inputs: Vec<ExternalInput>,
    /// The features, in the order of the inputs and their columns.
    pub features: Vec<Feature>,
    /// Whether the graph takes one row at a time.
    pub one_row_a_run: bool,
}

/// An input as declared.
struct Raw<'g> {
    value: &'g ValueInfoProto,
    element: Element,
    rows: Option<i64>,
    /// `None` for shape `[rows]`. For `[rows, columns]`, the number of columns, if the file declares it.
    columns: Option<Option<usize>>,
}

/// Reads the inputs of a graph. Initializers that are listed as inputs do not count.
pub fn read(graph: &GraphProto, config: &InputsConfig) -> Result<Inputs, ExternalError> {
    let raw = real_inputs(graph).map(read_one).collect::<Result<Vec<Raw<'_>>, _>>()?;
    if let Some((input, rows)) = raw.iter().find_map(|raw| Some((raw, raw.rows.filter(|rows| *rows > 1)?))) {
        return Err(ExternalError::FixedRows { input: input.value.name().to_owned(), rows });
    }
    let matrix = the_matrix(&raw, config)?;
    let categories = categories_of(graph);
    let mut inputs = Vec::with_capacity(raw.len());
    let mut features = Vec::new();
    for (index, input) in raw.iter().enumerate() {
        let name = input.value.name();
        let named = config.features.as_ref().filter(|_| matrix == Some(index));
        let columns = match (input.columns, named) {
            (Some(Some(columns)), Some(names)) if names.len() != columns => {
                let (input, names) = (name.to_owned(), names.len());
                return Err(ExternalError::FeatureCount { input, columns, names });
            }
            (Some(None), Some(names)) => Some(names.len()),
            (Some(None), None) => return Err(ExternalError::UnknownColumns { input: name.to_owned() }),
            (columns, _) => columns.flatten(),
        };
        let start = features.len();
        let count = columns.unwrap_or(1);
        for column in 0..count {
            let field = match named.and_then(|names| names.get(column)) {
                Some(name) => name.clone(),
                None if count == 1 => name.to_owned(),
                None if matrix == Some(index) => format!("f{column}"),
                None => format!("{name}_{column}"),
            };
            // Which column of several goes where is not followed.
            let encoder = categories.get(name).filter(|_| count == 1);
            features.push(feature(input, field, (count > 1).then_some(column), encoder));
        }
        let features = start..features.len();
        inputs.push(ExternalInput { name: name.to_owned(), element: input.element, columns, features });
    }
    rename(&mut features, config)?;
    Ok(Inputs { inputs, features, one_row_a_run: raw.iter().any(|input| input.rows == Some(1)) })
}

/// Returns the inputs that are not initializers, with a name for the number of rows where they have none.
/// Inputs of a run have the same number of rows.
pub fn named_rows(graph: &GraphProto) -> Vec<ValueInfoProto> {
    let mut inputs: Vec<ValueInfoProto> = real_inputs(graph).cloned().collect();
    for input in &mut inputs {
        if let Some(type_proto::Value::TensorType(tensor)) =
            input.r#type.as_mut().and_then(|r#type| r#type.value.as_mut())
            && let Some(rows) = tensor.shape.as_mut().and_then(|shape| shape.dim.first_mut())
            && !matches!(rows.value, Some(dimension::Value::DimValue(1) | dimension::Value::DimParam(_)))
        {
            rows.value = Some(dimension::Value::DimParam("rows".to_owned()));
        }
    }
    inputs
}

fn real_inputs(graph: &GraphProto) -> impl Iterator<Item = &ValueInfoProto> {
    let dense = graph.initializer.iter().map(|tensor| tensor.name());
    let sparse = graph.sparse_initializer.iter().filter_map(|tensor| Some(tensor.values.as_ref()?.name()));
    let constants: HashSet<&str> = dense.chain(sparse).collect();
    graph.input.iter().filter(move |input| !constants.contains(input.name()))
}

fn read_one(value: &ValueInfoProto) -> Result<Raw<'_>, ExternalError> {
    let input = || value.name().to_owned();
    let no_field = |found: &str| ExternalError::InputType { input: input(), found: found.to_owned() };
    let Declared { element, shape } = declared(value).ok_or_else(|| no_field("no tensor"))?;
    let element = match element {
        Some(DataType::Float) => Element::Float,
        Some(DataType::Double) => Element::Double,
        Some(DataType::Int32) => Element::Int32,
        Some(DataType::Int64) => Element::Int64,
        Some(DataType::Bool) => Element::Boolean,
        Some(DataType::String) => Element::Text,
        Some(other) => return Err(no_field(&other.as_str_name().to_lowercase())),
        None => return Err(no_field("elements of an unknown type")),
    };
    let (rows, columns) = match shape.as_deref() {
        Some([rows]) => (*rows, None),
        Some([rows, columns]) => (*rows, Some(columns.and_then(|columns| usize::try_from(columns).ok()))),
        Some(shape) => {
            return Err(ExternalError::InputShape { input: input(), shape: shape_in_words(shape) });
        }
        None => {
            return Err(ExternalError::InputShape { input: input(), shape: "of no known rank".to_owned() });
        }
    };
    Ok(Raw { value, element, rows, columns })
}

/// Finds the one input whose columns have names of their own.
fn the_matrix(raw: &[Raw<'_>], config: &InputsConfig) -> Result<Option<usize>, ExternalError> {
    let is_matrix = |(index, input): (usize, &Raw<'_>)| match input.columns {
        Some(Some(1)) | None => None,
        Some(_) => Some(index),
    };
    let matrices: Vec<usize> = raw.iter().enumerate().filter_map(is_matrix).collect();
    match (matrices.as_slice(), &config.features) {
        ([only], _) => Ok(Some(*only)),
        ([], Some(_)) if raw.len() == 1 => Ok(Some(0)),
        (_, None) => Ok(None),
        ([], Some(_)) => Err(ExternalError::NotOneMatrix { found: "none" }),
        (_, Some(_)) => Err(ExternalError::NotOneMatrix { found: "several" }),
    }
}

fn feature(input: &Raw<'_>, name: String, column: Option<usize>, encoder: Option<&Categories>) -> Feature {
    let input_name = input.value.name();
    let closed = encoder.is_some_and(|categories| categories.is_closed && !categories.values.is_empty());
    let values = encoder.map(|categories| categories.values.clone()).unwrap_or_default();
    let kind = match input.element {
        Element::Float | Element::Double => FeatureKind::Numeric { min: None, max: None, integer: false },
        Element::Boolean => FeatureKind::Categorical {
            values: vec!["false".to_owned(), "true".to_owned()],
            unknown: UnknownPolicy::Reject,
        },
        Element::Int32 | Element::Int64 | Element::Text if closed => {
            FeatureKind::Categorical { values, unknown: UnknownPolicy::Reject }
        }
        Element::Int32 | Element::Int64 => {
            FeatureKind::Numeric { min: Some(-LARGEST_INTEGER), max: Some(LARGEST_INTEGER), integer: true }
        }
        Element::Text => FeatureKind::Categorical { values, unknown: UnknownPolicy::Keep },
    };
    let description = match column {
        Some(column) => format!("Column {column} of the input {input_name}."),
        None => String::new(),
    };
    Feature { name, description, required: !matches!(input.element, Element::Float | Element::Double), kind }
}

fn rename(features: &mut [Feature], config: &InputsConfig) -> Result<(), ExternalError> {
    let fields: Vec<String> = features.iter().map(|feature| feature.name.clone()).collect();
    for (from, to) in &config.rename {
        // By the names before any renaming, so that two fields can change places.
        let found = fields.iter().position(|field| field == from);
        match found.and_then(|index| features.get_mut(index)) {
            Some(feature) => feature.name.clone_from(to),
            None => return Err(ExternalError::UnknownRename { name: from.clone(), fields }),
        }
    }
    Ok(())
}
