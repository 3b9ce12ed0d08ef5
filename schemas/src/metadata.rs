use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::evaluation::Evaluation;
use crate::golden::Golden;
use crate::metadata_checks::check;
use crate::metadata_error::MetadataError;
use crate::profile::Profile;
use crate::schema::Schema;

/// The version of the artifact format that this code writes, and the newest that it reads.
pub const FORMAT_VERSION: u32 = 1;

/// An artifact's description of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Metadata {
    /// The schema of the rows that the model scores; its segments are the columns to break results down by.
    pub schema: Schema,
    /// The model family's name, as on the command line.
    pub family: String,
    /// The settings with which the model was fitted.
    pub parameters: BTreeMap<String, f64>,
    /// The model's figures on held-out rows.
    pub evaluation: Evaluation,
    /// The distribution of the training rows.
    pub profile: Profile,
    /// The rows that verify a runtime.
    pub golden: Golden,
    /// The origin of the model.
    pub provenance: Provenance,
}

impl Metadata {
    /// Checks every figure by which a file could weaken its own checks, or break what reads it.
    ///
    /// Whoever reads an artifact passes its metadata through here, before anything else uses them.
    ///
    /// # Errors
    /// [`MetadataError`] for the first figure that is not permitted.
    ///
    /// ```
    /// # use onnward_schemas::{Metadata, SchemaFile};
    /// # fn read() -> Result<Metadata, Box<dyn std::error::Error>> {
    /// # let schema = SchemaFile::parse(r#"
    /// #     name = "shop"
    /// #     version = 1
    /// #     label = { column = "Left", positive = "1", negative = "0" }
    /// #     features = [{ name = "orders", type = "numeric" }]
    /// # "#)?.schema;
    /// # let figures = r#"{"accuracy": 1, "precision": 1, "recall": 1, "f1": 1, "roc_auc": 1,
    /// #     "log_loss": 0, "average_precision": 1, "brier": 0, "confusion": {"true_positives": 1,
    /// #     "false_positives": 0, "true_negatives": 1, "false_negatives": 0}}"#;
    /// # let evaluation = format!(r#"{{"train_rows": 8, "test_rows": 2, "test": {figures},
    /// #     "cross_validation": {{"fold_roc_auc": [1], "roc_auc_mean": 1, "roc_auc_std": 0}}}}"#);
    /// # Ok(Metadata {
    /// #     schema,
    /// #     family: "logistic".to_owned(),
    /// #     parameters: Default::default(),
    /// #     evaluation: serde_json::from_str(&evaluation)?,
    /// #     profile: serde_json::from_str(r#"{"rows": 8, "features": [{"type": "numeric", "edges": [],
    /// #         "min": 0, "median": 0, "mean": 0, "max": 1, "counts": [8], "missing": 0}],
    /// #         "score": [1,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,1]}"#)?,
    /// #     golden: serde_json::from_str(
    /// #         r#"{"tolerance": 1e-6, "rows": [{"values": [1], "probability": 0.5}]}"#,
    /// #     )?,
    /// #     provenance: serde_json::from_str(r#"{"data_sha256": "", "seed": 1, "versions": {}}"#)?,
    /// # })
    /// # }
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut metadata = read()?.checked()?;
    ///
    /// // A file that says its own golden rows may be wrong by as much as it likes verifies nothing.
    /// metadata.golden.tolerance = 1e6;
    /// let Err(error) = metadata.checked() else { return Err("it must be rejected".into()) };
    /// assert_eq!(error.to_string(), "golden.tolerance is 1000000; it must be above 0 and at most 0.0001");
    /// # Ok(())
    /// # }
    /// ```
    pub fn checked(self) -> Result<Self, MetadataError> {
        check(&self)?;
        Ok(self)
    }
}

/// The origin of a model. It contains no time and no machine: the same data and seed produce the same bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// The SHA-256 of the training table's file, in hexadecimal.
    pub data_sha256: String,
    /// The seed of every random choice.
    pub seed: u64,
    /// The versions of the libraries that fitted and wrote the model.
    pub versions: BTreeMap<String, String>,
}
