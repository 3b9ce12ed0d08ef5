//! The metadata as `metadata_props`: one property a part. So other tools can read the figures or the schema.

use std::collections::HashMap;

use onnward_schemas::{FORMAT_VERSION, Metadata, MetadataError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::artifact::ArtifactError;
use crate::bounds::{ModelBounds, check_golden_rows};
use crate::proto::ModelProto;

const VERSION: &str = "onnward.format_version";
const SCHEMA: &str = "onnward.schema";
const FINGERPRINT: &str = "onnward.fingerprint";
const SEGMENTS: &str = "onnward.segments";
const FAMILY: &str = "onnward.family";
const PARAMETERS: &str = "onnward.parameters";
const EVALUATION: &str = "onnward.evaluation";
const PROFILE: &str = "onnward.profile";
const GOLDEN: &str = "onnward.golden";
const PROVENANCE: &str = "onnward.provenance";

/// Returns whether a property's key is one of Onnward's.
pub fn is_own_property(key: &str) -> bool {
    key.starts_with("onnward.")
}

/// Returns the properties of an artifact, in the order in which they are written.
pub fn properties_of(metadata: &Metadata) -> Result<Vec<(&'static str, String)>, ArtifactError> {
    Ok(vec![
        (VERSION, FORMAT_VERSION.to_string()),
        (SCHEMA, json(SCHEMA, &metadata.schema)?),
        (FINGERPRINT, metadata.schema.fingerprint()),
        (SEGMENTS, json(SEGMENTS, &metadata.schema.segments)?),
        (FAMILY, metadata.family.clone()),
        (PARAMETERS, json(PARAMETERS, &metadata.parameters)?),
        (EVALUATION, json(EVALUATION, &metadata.evaluation)?),
        (PROFILE, json(PROFILE, &metadata.profile)?),
        (GOLDEN, json(GOLDEN, &metadata.golden)?),
        (PROVENANCE, json(PROVENANCE, &metadata.provenance)?),
    ])
}

fn json(key: &'static str, value: &impl Serialize) -> Result<String, ArtifactError> {
    serde_json::to_string(value).map_err(|source| ArtifactError::Property { key, source })
}

/// Parses an artifact's properties and checks that they agree with each other.
pub fn read_properties(model: &ModelProto, bounds: &ModelBounds) -> Result<Metadata, ArtifactError> {
    let properties: HashMap<&str, &str> =
        model.metadata_props.iter().map(|entry| (entry.key(), entry.value())).collect();
    let version = properties.get(VERSION).ok_or(ArtifactError::External)?;
    let found: u32 = parse(VERSION, version)?;
    if found == 0 {
        return Err(MetadataError::new(VERSION, found, "a whole number from 1").into());
    }
    if found > FORMAT_VERSION {
        return Err(ArtifactError::TooNew { found, known: FORMAT_VERSION });
    }
    let text = |key| properties.get(key).copied().ok_or(ArtifactError::Missing(key));
    let metadata = Metadata {
        schema: parse(SCHEMA, text(SCHEMA)?)?,
        family: text(FAMILY)?.to_owned(),
        parameters: parse(PARAMETERS, text(PARAMETERS)?)?,
        evaluation: parse(EVALUATION, text(EVALUATION)?)?,
        profile: parse(PROFILE, text(PROFILE)?)?,
        golden: parse(GOLDEN, text(GOLDEN)?)?,
        provenance: parse(PROVENANCE, text(PROVENANCE)?)?,
    };
    bounds.check_schema(&metadata.schema)?;
    check_golden_rows(metadata.golden.rows.len())?;
    if metadata.schema.fingerprint() != text(FINGERPRINT)? {
        return Err(ArtifactError::Inconsistent("the fingerprint is not the schema's".to_owned()));
    }
    Ok(metadata.checked()?)
}

fn parse<T: DeserializeOwned>(key: &'static str, text: &str) -> Result<T, ArtifactError> {
    serde_json::from_str(text).map_err(|source| ArtifactError::Property { key, source })
}

#[cfg(test)]
mod tests;
