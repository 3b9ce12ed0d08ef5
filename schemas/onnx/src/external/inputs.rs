//! The inputs of an external graph, as the fields of a request.

use std::collections::HashSet;
use std::ops::Range;

use onnward_schemas::{Feature, FeatureKind, KeptElement, KeptType, UnknownPolicy};

use super::ExternalError;
use super::config::InputsConfig;
use super::graph::{Categories, Declared, categories_of, declared, shape_in_words};
use crate::proto::tensor_proto::DataType;
use crate::proto::tensor_shape_proto::dimension;
use crate::proto::{GraphProto, ValueInfoProto, type_proto};

/// An input of an external graph and the features that make it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalInput {
    /// The input's name.
    pub name: String,
    /// The type of its elements.
    pub element: Element,
    /// The dimensions of its shape.
    pub layout: Layout,
    /// The features, by index in the schema: one a column.
    pub features: Range<usize>,
}

/// The dimensions of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `[]`: one value for all rows of a run.
    Scalar,
    /// `[rows]`.
    Rows,
    /// `[rows, columns]`.
    Matrix {
        /// The number of columns.
        columns: usize,
    },
    /// `[rows, …]` with several further dimensions: an array for each row.
    Arrays,
}

/// The type of an input's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// Numbers of half precision; NaN is missing.
    Half,
    /// Numbers of half precision with the exponent of single precision; NaN is missing.
    BrainHalf,
    /// Numbers of single precision; NaN is missing.
    Float,
    /// Numbers of double precision; NaN is missing.
    Double,
    /// Whole numbers of 8 bits.
    Int8,
    /// Whole numbers of 16 bits.
    Int16,
    /// Whole numbers of 32 bits.
    Int32,
    /// Whole numbers of 64 bits.
    Int64,
    /// Whole numbers of 8 bits without a sign.
    Uint8,
    /// Whole numbers of 16 bits without a sign.
    Uint16,
    /// Whole numbers of 32 bits without a sign.
    Uint32,
    /// Whole numbers of 64 bits without a sign.
    Uint64,
    /// Booleans.
    Boolean,
    /// Strings.
    Text,
}

impl Element {
    /// Returns the type of a tensor's elements. `None` for one that a field of a request cannot have.
    fn of(data: DataType) -> Option<Self> {
        Some(match data {
            DataType::Float16 => Self::Half,
            DataType::Bfloat16 => Self::BrainHalf,
            DataType::Float => Self::Float,
            DataType::Double => Self::Double,
            DataType::Int8 => Self::Int8,
            DataType::Int16 => Self::Int16,
            DataType::Int32 => Self::Int32,
            DataType::Int64 => Self::Int64,
            DataType::Uint8 => Self::Uint8,
            DataType::Uint16 => Self::Uint16,
            DataType::Uint32 => Self::Uint32,
            DataType::Uint64 => Self::Uint64,
            DataType::Bool => Self::Boolean,
            DataType::String => Self::Text,
            _ => return None,
        })
    }

    /// Returns the type in which a value reaches the graph.
    fn kept(self) -> KeptElement {
        let whole = |min: i64, max: i64| KeptElement::Integer { min, max };
        match self {
            Self::Half | Self::BrainHalf | Self::Float => KeptElement::Single,
            Self::Double => KeptElement::Double,
            Self::Int8 => whole(i8::MIN.into(), i8::MAX.into()),
            Self::Int16 => whole(i16::MIN.into(), i16::MAX.into()),
            Self::Int32 => whole(i32::MIN.into(), i32::MAX.into()),
            Self::Int64 => whole(i64::MIN, i64::MAX),
            Self::Uint8 => whole(0, u8::MAX.into()),
            Self::Uint16 => whole(0, u16::MAX.into()),
            Self::Uint32 => whole(0, u32::MAX.into()),
            Self::Uint64 => KeptElement::Unsigned,
            Self::Boolean => KeptElement::Boolean,
            Self::Text => KeptElement::Text,
        }
    }
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
    /// The sizes of the dimensions, where the file declares them.
    shape: Vec<Option<usize>>,
}

impl Raw<'_> {
    /// Returns the number of rows, if it is fixed.
    fn rows(&self) -> Option<usize> {
        self.shape.first().copied().flatten()
    }
}

/// Reads the inputs of a graph. Initializers that are listed as inputs do not count.
pub fn read(graph: &GraphProto, config: &InputsConfig) -> Result<Inputs, ExternalError> {
    let raw = real_inputs(graph).map(read_one).collect::<Result<Vec<Raw<'_>>, _>>()?;
    if let Some((input, rows)) = raw.iter().find_map(|raw| Some((raw, raw.rows().filter(|rows| *rows > 1)?)))
    {
        return Err(ExternalError::FixedRows { input: input.value.name().to_owned(), rows });
    }
    let matrix = the_matrix(&raw, config)?;
    let categories = categories_of(graph);
    let mut inputs = Vec::with_capacity(raw.len());
    let mut features = Vec::new();
    for (index, input) in raw.iter().enumerate() {
        let name = input.value.name();
        let named = config.features.as_ref().filter(|_| matrix == Some(index));
        let layout = layout_of(input, named.map(Vec::len))?;
        let start = features.len();
        let count = if let Layout::Matrix { columns } = layout { columns } else { 1 };
        for column in 0..count {
            let field = match named.and_then(|names| names.get(column)) {
                Some(name) => name.clone(),
                None if count == 1 => name.to_owned(),
                None if matrix == Some(index) => format!("f{column}"),
                None => format!("{name}_{column}"),
            };
            // Which column of several goes where is not followed.
            let encoder = categories.get(name).filter(|_| count == 1);
            features.push(feature(input, layout, field, (count > 1).then_some(column), encoder));
        }
        let features = start..features.len();
        inputs.push(ExternalInput { name: name.to_owned(), element: input.element, layout, features });
    }
    make_optional(&mut features, config)?;
    rename(&mut features, config)?;
    // A value for all rows of a run may differ from row to row.
    let is_single = |input: &Raw<'_>| input.rows() == Some(1) || input.shape.is_empty();
    Ok(Inputs { inputs, features, one_row_a_run: raw.iter().any(is_single) })
}

/// Returns the inputs that are not initializers, with the number of rows that a run has: 1, or else one name for all of
/// them.
pub fn named_rows(graph: &GraphProto, one_row_a_run: bool) -> Vec<ValueInfoProto> {
    let mut inputs: Vec<ValueInfoProto> = real_inputs(graph).cloned().collect();
    let rows = match one_row_a_run {
        true => dimension::Value::DimValue(1),
        false => dimension::Value::DimParam("rows".to_owned()),
    };
    for input in &mut inputs {
        if let Some(type_proto::Value::TensorType(tensor)) =
            input.r#type.as_mut().and_then(|r#type| r#type.value.as_mut())
            // A file leaves the shape of a scalar out.
            && let Some(first) = tensor.shape.get_or_insert_default().dim.first_mut()
        {
            first.value = Some(rows.clone());
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
        Some(data) => Element::of(data).ok_or_else(|| no_field(&data.as_str_name().to_lowercase()))?,
        None => return Err(no_field("elements of an unknown type")),
    };
    // A file leaves the shape of a scalar out.
    let shape = shape.unwrap_or_default();
    if shape.len() > MAX_RANK {
        return Err(ExternalError::InputShape { input: input(), shape: shape_in_words(&shape) });
    }
    let shape = shape.into_iter().map(|size| size.and_then(|size| usize::try_from(size).ok())).collect();
    Ok(Raw { value, element, shape })
}

/// The largest number of half precision.
const LARGEST_HALF: f64 = 65504.0;
/// The most dimensions of an input.
const MAX_RANK: usize = 4;

/// Returns the layout of an input. `names` is the number of names that the configuration has for its columns.
fn layout_of(input: &Raw<'_>, names: Option<usize>) -> Result<Layout, ExternalError> {
    let name = || input.value.name().to_owned();
    match (input.shape.as_slice(), names) {
        ([], _) => Ok(Layout::Scalar),
        ([_], _) => Ok(Layout::Rows),
        ([_, Some(columns)], Some(names)) if names != *columns => {
            Err(ExternalError::FeatureCount { input: name(), columns: *columns, names })
        }
        ([_, Some(columns)], _) => Ok(Layout::Matrix { columns: *columns }),
        ([_, None], Some(columns)) => Ok(Layout::Matrix { columns }),
        ([_, None], None) => Err(ExternalError::UnknownColumns { input: name() }),
        ([_, _, ..], _) => Ok(Layout::Arrays),
    }
}

/// Finds the one input whose columns have names of their own.
fn the_matrix(raw: &[Raw<'_>], config: &InputsConfig) -> Result<Option<usize>, ExternalError> {
    let is_matrix = |(index, input): (usize, &Raw<'_>)| match input.shape.as_slice() {
        [_, Some(1)] => None,
        [_, _] => Some(index),
        _ => None,
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

fn feature(
    input: &Raw<'_>,
    layout: Layout,
    name: String,
    column: Option<usize>,
    encoder: Option<&Categories>,
) -> Feature {
    let input_name = input.value.name();
    let closed = encoder.is_some_and(|categories| categories.is_closed && !categories.values.is_empty());
    let values = encoder.map(|categories| categories.values.clone()).unwrap_or_default();
    let element = input.element.kept();
    let kind = match (layout, input.element) {
        (Layout::Arrays, _) => {
            let shape = input.shape.iter().skip(1).copied().collect();
            FeatureKind::Kept(KeptType { element, shape })
        }
        (_, Element::Half) => {
            FeatureKind::Numeric { min: Some(-LARGEST_HALF), max: Some(LARGEST_HALF), integer: false }
        }
        (_, Element::BrainHalf | Element::Float) => {
            FeatureKind::Numeric { min: None, max: None, integer: false }
        }
        (_, Element::Double | Element::Boolean) => FeatureKind::Kept(KeptType::single(element)),
        (_, Element::Text) if !closed => FeatureKind::Categorical { values, unknown: UnknownPolicy::Keep },
        _ if closed => FeatureKind::Categorical { values, unknown: UnknownPolicy::Reject },
        _ => FeatureKind::Kept(KeptType::single(element)),
    };
    let description = match column {
        Some(column) => format!("Column {column} of the input {input_name}."),
        None => String::new(),
    };
    Feature { name, description, required: true, nullable: element.has_missing(), kind }
}

/// Lets the fields be left out that the configuration names.
fn make_optional(features: &mut [Feature], config: &InputsConfig) -> Result<(), ExternalError> {
    for name in &config.optional {
        let Some(feature) = features.iter_mut().find(|feature| feature.name == *name) else {
            let fields = features.iter().map(|feature| feature.name.clone()).collect();
            return Err(ExternalError::UnknownField { key: "optional", name: name.clone(), fields });
        };
        if !feature.nullable {
            return Err(ExternalError::NoMissing { name: name.clone(), takes: feature.expected() });
        }
        feature.required = false;
    }
    Ok(())
}

fn rename(features: &mut [Feature], config: &InputsConfig) -> Result<(), ExternalError> {
    let fields: Vec<String> = features.iter().map(|feature| feature.name.clone()).collect();
    for (from, to) in &config.rename {
        // By the names before any renaming, so that two fields can change places.
        let found = fields.iter().position(|field| field == from);
        match found.and_then(|index| features.get_mut(index)) {
            Some(feature) => feature.name.clone_from(to),
            None => return Err(ExternalError::UnknownField { key: "rename", name: from.clone(), fields }),
        }
    }
    Ok(())
}
