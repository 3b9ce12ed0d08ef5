//! Operators of ai.onnx.ml for tract, with the results of ONNX Runtime's, and operators of ONNX that tract has
//! for some types alone.
//!
//! tract has few of ai.onnx.ml, and scikit-learn and the boosting libraries export little else. Each file holds
//! an operator or a family: it reads a node's attributes into an [`operator::Operator`], which states the types
//! and shapes of its outputs and computes them. ONNX Runtime is the measure where the standard leaves
//! something open, so that a model gives the same answer on either runtime.

mod array_feature_extractor;
mod attributes;
mod binarizer;
mod cast;
mod doubles;
mod feature_vectorizer;
mod imputer;
mod label_encoder;
mod labels;
mod linear;
mod log_softmax;
mod nan;
mod normalizer;
mod numbers;
mod one_hot_encoder;
mod operator;
mod post_transform;
mod products;
mod scaler;
mod svm;
mod trees;

use tract_onnx::Onnx;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::unimpl::UnimplementedOp;

pub use self::trees::read_ensemble;

/// Registers the operators, in place of tract's own where it has some.
pub fn register(onnx: &mut Onnx) {
    cast::register(onnx);
    doubles::register(onnx);
    log_softmax::register(onnx);
    nan::register(onnx);
    products::register(onnx);
    let operators = &mut onnx.op_register;
    operators.insert("ArrayFeatureExtractor", array_feature_extractor::read);
    operators.insert("Binarizer", binarizer::read);
    operators.insert("CategoryMapper", label_encoder::read_category_mapper);
    operators.insert("FeatureVectorizer", feature_vectorizer::read);
    operators.insert("Imputer", imputer::read);
    operators.insert("LabelEncoder", label_encoder::read);
    operators.insert("LinearClassifier", linear::read_classifier);
    operators.insert("LinearRegressor", linear::read_regressor);
    operators.insert("Normalizer", normalizer::read);
    operators.insert("OneHotEncoder", one_hot_encoder::read);
    operators.insert("SVMClassifier", svm::read_classifier);
    operators.insert("SVMRegressor", svm::read_regressor);
    operators.insert("Scaler", scaler::read);
    operators.insert("TreeEnsembleClassifier", trees::read_classifier);
    operators.insert("TreeEnsembleRegressor", trees::read_regressor);
}

/// Rejects a graph whose outputs need an operator that neither tract nor this module has.
///
/// # Errors
/// A message that names the operator.
pub fn check_operators(graph: &InferenceModel) -> TractResult<()> {
    for index in graph.eval_order()? {
        if let Some(missing) = graph.node(index).op_as::<UnimplementedOp>() {
            let name = Op::name(missing);
            let name = name.trim_start_matches("Unimplemented(").trim_end_matches(')');
            bail!("tract has no operator {name}: install ONNX Runtime to serve models with it");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
