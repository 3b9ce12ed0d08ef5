//! The offline half: a table of customers becomes fitted models, fitted models become ONNX files, and ONNX files become
//! versions of a model repository.

pub mod cli;
pub mod commands;
pub mod export;
pub mod foreign;
pub mod inspect;
pub mod report;
