use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::evaluation::Evaluation;
use crate::golden::Golden;
use crate::profile::Profile;
use crate::schema::Schema;

/// The version of the artifact format that this code writes, and the newest that it reads.
pub const FORMAT_VERSION: u32 = 1;

/// What an artifact says about itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Metadata {
    /// The schema of the rows that the model scores; its segments are the columns to break results down by.
    pub schema: Schema,
    /// The model family's name, as on the command line.
    pub family: String,
    /// The settings with which the model was fitted.
    pub parameters: BTreeMap<String, f64>,
    /// How good the model is.
    pub evaluation: Evaluation,
    /// What the training rows looked like.
    pub profile: Profile,
    /// The rows that prove a runtime.
    pub golden: Golden,
    /// Where the model comes from.
    pub provenance: Provenance,
}

/// Where a model comes from. It holds no time and no machine: the same data and seed give the same bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// The SHA-256 of the training table's file, in hexadecimal.
    pub data_sha256: String,
    /// The seed of every random choice.
    pub seed: u64,
    /// The versions of the libraries that fitted and wrote the model.
    pub versions: BTreeMap<String, String>,
}
