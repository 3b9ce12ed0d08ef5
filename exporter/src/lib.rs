//! The offline half: fitted models become ONNX files, and ONNX files become versions of a model repository.

pub mod export;
pub mod inspect;
pub mod publish;
