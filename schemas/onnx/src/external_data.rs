//! Weights that a model keeps in files beside it: they are folded into the model, because a version is one file.

use std::io;

use onnward_schemas::shorten;
use prost::Message;
use thiserror::Error;

use crate::proto::tensor_proto::DataLocation;
use crate::proto::{GraphProto, ModelProto, TensorProto};

/// A part of a file beside a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataRange {
    /// The name of the file: a plain name in the model's folder.
    pub file: String,
    /// The first byte.
    pub offset: u64,
    /// The number of bytes. `None` up to the end of the file.
    pub length: Option<u64>,
}

/// The reason why weights beside a model cannot be folded in.
#[derive(Debug, Error)]
pub enum ExternalDataError {
    /// The bytes are not an ONNX model.
    #[error("not an ONNX file")]
    NotOnnx,
    /// The weights lie elsewhere.
    #[error(
        "its weights {tensor:?} are in {file:?}, and only a file in the model's own folder is read: export the model as \
         one file, or put its files into one folder"
    )]
    Elsewhere {
        /// The tensor.
        tensor: String,
        /// The file.
        file: String,
    },
    /// The place in the file is no number.
    #[error(
        "the {key} of its weights {tensor:?} is {text:?}, which is not a number of bytes: export the model again"
    )]
    NoNumber {
        /// The tensor.
        tensor: String,
        /// The key of the place.
        key: &'static str,
        /// What it is.
        text: String,
    },
    /// The file beside the model cannot be read.
    #[error("its weights {tensor:?} cannot be read from {file:?} beside it: {source}")]
    Read {
        /// The tensor.
        tensor: String,
        /// The file.
        file: String,
        /// The error of the system.
        source: io::Error,
    },
    /// The model would be larger than a model file may be.
    #[error(
        "with its weights it is larger than {limit} bytes, the most that a model file may have: make it smaller"
    )]
    TooLarge {
        /// The largest file, in bytes.
        limit: u64,
    },
}

/// Folds the weights that a model keeps in other files into it. `read` returns a part of a file beside the model.
/// Returns `None` if the model has no such weights.
///
/// ```
/// # use onnward_onnx::proto::tensor_proto::DataLocation;
/// # use onnward_onnx::proto::{GraphProto, ModelProto, StringStringEntryProto, TensorProto};
/// # use prost::Message;
/// use onnward_onnx::fold_external_data;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let location =
/// #     StringStringEntryProto { key: Some("location".to_owned()), value: Some("model.onnx.data".to_owned()) };
/// # let weights = TensorProto {
/// #     data_location: Some(DataLocation::External as i32),
/// #     external_data: vec![location],
/// #     ..TensorProto::default()
/// # };
/// # let graph = GraphProto { initializer: vec![weights], ..GraphProto::default() };
/// # let model = ModelProto { graph: Some(graph), ..ModelProto::default() }.encode_to_vec();
/// let folded = fold_external_data(&model, 1000, |range| {
///     assert_eq!((range.file.as_str(), range.offset), ("model.onnx.data", 0));
///     Ok(vec![0; 4])
/// })?;
/// assert!(folded.is_some());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`ExternalDataError`].
pub fn fold_external_data(
    model: &[u8],
    max_bytes: u64,
    read: impl FnMut(&DataRange) -> io::Result<Vec<u8>>,
) -> Result<Option<Vec<u8>>, ExternalDataError> {
    let mut model = ModelProto::decode(model).map_err(|_| ExternalDataError::NotOnnx)?;
    let mut folding = Folding { read, bytes: 0, max_bytes, tensors: 0 };
    if let Some(graph) = &mut model.graph {
        folding.graph(graph)?;
    }
    Ok((folding.tensors > 0).then(|| model.encode_to_vec()))
}

struct Folding<R> {
    read: R,
    /// The bytes that were folded in.
    bytes: u64,
    max_bytes: u64,
    /// The number of tensors that were folded in.
    tensors: usize,
}

impl<R: FnMut(&DataRange) -> io::Result<Vec<u8>>> Folding<R> {
    fn graph(&mut self, graph: &mut GraphProto) -> Result<(), ExternalDataError> {
        graph.initializer.iter_mut().try_for_each(|tensor| self.tensor(tensor))?;
        for attribute in graph.node.iter_mut().flat_map(|node| &mut node.attribute) {
            attribute
                .t
                .iter_mut()
                .chain(&mut attribute.tensors)
                .try_for_each(|tensor| self.tensor(tensor))?;
            attribute.g.iter_mut().chain(&mut attribute.graphs).try_for_each(|inner| self.graph(inner))?;
        }
        Ok(())
    }

    fn tensor(&mut self, tensor: &mut TensorProto) -> Result<(), ExternalDataError> {
        if tensor.data_location() != DataLocation::External {
            return Ok(());
        }
        let name = shorten(tensor.name());
        let value = |key: &str| {
            let entry = tensor.external_data.iter().find(|entry| entry.key() == key);
            entry.map(|entry| entry.value().to_owned())
        };
        let file = value("location").unwrap_or_default();
        let is_plain = !file.is_empty() && !file.contains(['/', '\\', '\0']) && file != "." && file != "..";
        if !is_plain {
            return Err(ExternalDataError::Elsewhere { tensor: name, file: shorten(&file) });
        }
        let number = |key: &'static str| match value(key) {
            None => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|_| ExternalDataError::NoNumber {
                tensor: name.clone(),
                key,
                text: shorten(&text),
            }),
        };
        let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
        let range = DataRange { file, offset, length };
        let too_large = ExternalDataError::TooLarge { limit: self.max_bytes };
        if range.length.is_some_and(|length| self.bytes.saturating_add(length) > self.max_bytes) {
            return Err(too_large);
        }
        let bytes = (self.read)(&range).map_err(|source| ExternalDataError::Read {
            tensor: name,
            file: range.file.clone(),
            source,
        })?;
        self.bytes += bytes.len() as u64;
        if self.bytes > self.max_bytes {
            return Err(too_large);
        }
        tensor.raw_data = Some(bytes.into());
        tensor.external_data.clear();
        tensor.data_location = None;
        self.tensors += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::StringStringEntryProto;

    fn model(entries: &[(&str, &str)]) -> Vec<u8> {
        let entry = |(key, value): &(&str, &str)| StringStringEntryProto {
            key: Some((*key).to_owned()),
            value: Some((*value).to_owned()),
        };
        let weights = TensorProto {
            name: Some("weights".to_owned()),
            data_location: Some(DataLocation::External as i32),
            external_data: entries.iter().map(entry).collect(),
            ..TensorProto::default()
        };
        let graph = GraphProto { initializer: vec![weights], ..GraphProto::default() };
        ModelProto { graph: Some(graph), ..ModelProto::default() }.encode_to_vec()
    }

    #[test]
    fn the_part_that_a_tensor_names_becomes_its_content() {
        let file = model(&[("location", "w.data"), ("offset", "4"), ("length", "3")]);
        let folded = fold_external_data(&file, 100, |range| {
            assert_eq!(*range, DataRange { file: "w.data".to_owned(), offset: 4, length: Some(3) });
            Ok(vec![1, 2, 3])
        });
        let folded = ModelProto::decode(folded.unwrap().unwrap().as_slice()).unwrap();
        let weights = &folded.graph.unwrap().initializer[0];
        assert_eq!((weights.raw_data(), weights.external_data.len()), (&[1, 2, 3][..], 0));
        assert_eq!(weights.data_location(), DataLocation::Default);
        let none = ModelProto::default().encode_to_vec();
        assert!(fold_external_data(&none, 100, |_| panic!("nothing is read")).unwrap().is_none());
    }

    #[test]
    fn only_files_beside_the_model_and_within_the_bound_are_read() {
        let never = |_: &DataRange| -> io::Result<Vec<u8>> { panic!("nothing is read") };
        for file in ["", "/etc/passwd", "../w.data", "a/b", "..", ".", "a\\b", "a\0b"] {
            let refused = fold_external_data(&model(&[("location", file)]), 100, never).unwrap_err();
            assert!(matches!(refused, ExternalDataError::Elsewhere { .. }), "{file:?}: {refused}");
        }
        for (key, text) in [("offset", "-4"), ("offset", "0x10"), ("length", "all"), ("length", "")] {
            let refused =
                fold_external_data(&model(&[("location", "w"), (key, text)]), 100, never).unwrap_err();
            assert!(refused.to_string().contains(&format!("the {key} of its weights")), "{refused}");
        }
        let claimed = model(&[("location", "w"), ("length", "101")]);
        assert!(matches!(
            fold_external_data(&claimed, 100, never),
            Err(ExternalDataError::TooLarge { limit: 100 })
        ));
        let silent = model(&[("location", "w")]);
        let large = fold_external_data(&silent, 100, |_| Ok(vec![0; 101]));
        assert!(matches!(large, Err(ExternalDataError::TooLarge { .. })));
        let missing = fold_external_data(&silent, 100, |_| Err(io::ErrorKind::NotFound.into())).unwrap_err();
        assert!(missing.to_string().contains("\"weights\" cannot be read from \"w\" beside it"), "{missing}");
        assert!(matches!(fold_external_data(b"x", 100, never), Err(ExternalDataError::NotOnnx)));
    }
}
