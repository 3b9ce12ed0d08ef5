use serde::{Deserialize, Serialize};

/// The content of `manifest.json`, about the `model.onnx` beside it. It is written last: a version without
/// one does not exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The SHA-256 of `model.onnx`, as 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// The size of `model.onnx`.
    pub size_bytes: u64,
    /// The fingerprint of the artifact's schema; absent for an external ONNX file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// The time of publication, in RFC 3339 and UTC.
    pub created: String,
}
