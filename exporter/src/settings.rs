//! The serving settings of an artifact, which can be changed without training: threshold, label name,
//! segments and revenue.

use std::fmt::Display;

use onnward_onnx::{Artifact, ArtifactError};
use onnward_schemas::{Schema, Task};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The content of a `config.toml` for an artifact. A key that is absent changes nothing.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServingSettings {
    /// The decision.
    pub output: OutputSettings,
    /// The categorical features by which results are broken down.
    pub segments: Option<Vec<String>>,
    /// The numeric feature that says what a customer brings in.
    pub revenue: Option<String>,
}

/// The settings of the decision, under the keys that an external file's `config.toml` has for them.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OutputSettings {
    /// The probability from which a row is predicted positive.
    pub threshold: Option<f64>,
    /// The key of the decision in a response.
    pub label_name: Option<String>,
}

/// A setting that was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChangedSetting {
    /// The key, as in the file.
    pub setting: &'static str,
    /// The value that the artifact had.
    pub from: String,
    /// The value that it has now.
    pub to: String,
}

/// The reason why settings cannot be applied.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// The text is not TOML, or has a key that an artifact does not take.
    #[error("{0}; an artifact takes segments, revenue, and threshold and label_name under [output]")]
    Syntax(String),
    /// The settings contradict the artifact's schema.
    #[error("the settings do not fit the artifact: {0}")]
    Invalid(String),
    /// The artifact cannot be written with them.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
}

impl ServingSettings {
    /// Parses the text of a `config.toml`.
    ///
    /// # Errors
    /// [`SettingsError::Syntax`].
    ///
    /// ```
    /// use onnward_exporter::settings::ServingSettings;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let settings = ServingSettings::parse("[output]\nthreshold = 0.35")?;
    /// assert_eq!(settings.output.threshold, Some(0.35));
    /// assert!(ServingSettings::parse("[inputs]\nfeatures = []").is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub fn parse(text: &str) -> Result<Self, SettingsError> {
        toml::from_str(text)
            .map_err(|error| SettingsError::Syntax(error.to_string().trim_end().replace('\n', ", ")))
    }

    /// Applies the settings to an artifact, and returns what changed. The graph and the golden rows stay as
    /// they are. The figures of the evaluation keep the threshold that they were taken at, and say so.
    ///
    /// # Errors
    /// [`SettingsError::Invalid`], [`SettingsError::Artifact`].
    pub fn apply(&self, artifact: Artifact) -> Result<(Artifact, Vec<ChangedSetting>), SettingsError> {
        let mut metadata = artifact.metadata.clone();
        let before = metadata.schema.clone();
        let mut schema = before.clone();
        match (self.output.threshold, &mut schema.label.task) {
            (Some(threshold), Task::Binary(binary)) => binary.threshold = threshold,
            (Some(_), Task::Classes(_) | Task::Number | Task::Raw(_)) => {
                let problem = "output.threshold is set, and the model does not decide by one: remove it";
                return Err(SettingsError::Invalid(problem.to_owned()));
            }
            (None, _) => {}
        }
        if let Some(name) = &self.output.label_name {
            schema.label.name.clone_from(name);
        }
        if let Some(segments) = &self.segments {
            schema.segments.clone_from(segments);
        }
        if let Some(revenue) = &self.revenue {
            schema.revenue = Some(revenue.clone());
        }
        metadata.schema = checked(&schema)?;
        let [before_threshold, threshold] = [&before, &schema].map(threshold_of);
        let evaluated_at = metadata.evaluation.threshold.or(before_threshold);
        metadata.evaluation.threshold = evaluated_at.filter(|_| evaluated_at != threshold);
        let metadata = metadata.checked().map_err(|error| SettingsError::Invalid(error.to_string()))?;
        Ok((artifact.with_metadata(metadata)?, changes(&before, &schema)))
    }
}

/// Returns the threshold of a schema's decisions, if it has one.
fn threshold_of(schema: &Schema) -> Option<f64> {
    schema.binary().map(|binary| binary.threshold)
}

/// Passes a changed schema through the checks that every schema passes.
fn checked(schema: &Schema) -> Result<Schema, SettingsError> {
    let invalid = |error: serde_json::Error| SettingsError::Invalid(error.to_string());
    serde_json::to_value(schema).and_then(serde_json::from_value).map_err(invalid)
}

fn changes(before: &Schema, after: &Schema) -> Vec<ChangedSetting> {
    fn change(setting: &'static str, from: impl Display, to: impl Display) -> Option<ChangedSetting> {
        let (from, to) = (from.to_string(), to.to_string());
        (from != to).then_some(ChangedSetting { setting, from, to })
    }
    let threshold = |schema: &Schema| threshold_of(schema).map_or_else(String::new, |one| one.to_string());
    let revenue = |schema: &Schema| schema.revenue.clone().unwrap_or_else(|| "none".to_owned());
    let settings = [
        change("output.threshold", threshold(before), threshold(after)),
        change("output.label_name", &before.label.name, &after.label.name),
        change("segments", before.segments.join(", "), after.segments.join(", ")),
        change("revenue", revenue(before), revenue(after)),
    ];
    settings.into_iter().flatten().collect()
}
