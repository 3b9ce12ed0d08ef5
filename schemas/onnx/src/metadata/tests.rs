use onnward_schemas::{Figures, GoldenPrediction, Metadata};

use super::*;
use crate::artifact::Artifact;

/// An artifact as the trainer wrote it.
const HONEST: &[u8] = include_bytes!("../../../../tests/fuzz/corpus/model/artifact-logistic.onnx");

/// Writes the honest artifact again with other metadata, and reads it as every program does.
fn read_with(change: impl FnOnce(&mut Metadata)) -> Result<Artifact, ArtifactError> {
    let Artifact { mut metadata, .. } = Artifact::decode(HONEST).unwrap();
    change(&mut metadata);
    let mut model = Artifact::decode(HONEST).unwrap().model().clone();
    model.metadata_props.clear();
    Artifact::decode(&Artifact::new(model, metadata).unwrap().encode())
}

#[test]
fn an_artifact_that_states_figures_of_its_own_is_not_read() {
    assert!(read_with(|_| ()).is_ok());
    let forest = include_bytes!("../../../../tests/fuzz/corpus/model/artifact-forest.onnx");
    assert!(Artifact::decode(forest).is_ok());
    let said = |change: fn(&mut Metadata)| {
        let error = read_with(change).unwrap_err();
        assert!(matches!(error, ArtifactError::Metadata(_)), "{error}");
        error.to_string()
    };
    for (change, part) in [
        ((|metadata| metadata.golden.tolerance = 1e6) as fn(&mut Metadata), "golden.tolerance is 1000000"),
        (|metadata| metadata.golden.tolerance = 0.0, "golden.tolerance is 0"),
        (|metadata| metadata.golden.rows.clear(), "golden.rows is empty"),
        (
            |metadata| metadata.golden.rows[1].prediction = GoldenPrediction::Probability(1.5),
            "golden.rows[1].probability is 1.5",
        ),
        (|metadata| drop(metadata.golden.rows[2].values.pop()), "golden.rows[2].values is a list of"),
        (|metadata| metadata.profile.rows += 1, "profile.rows is 161; it must be 160"),
        (
            |metadata| {
                let Figures::Binary(figures) = &mut metadata.evaluation.test else { return };
                figures.roc_auc = 7.0;
            },
            "evaluation.test.roc_auc is 7",
        ),
    ] {
        let message = said(change);
        assert!(message.contains(part) && message.contains("must be"), "{part} is not in: {message}");
    }
}

#[test]
fn a_format_version_below_the_first_is_not_read() {
    let mut model = Artifact::decode(HONEST).unwrap().model().clone();
    let version = model.metadata_props.iter_mut().find(|entry| entry.key() == VERSION).unwrap();
    version.value = Some("0".to_owned());
    let error = read_properties(&model, &ModelBounds::default()).unwrap_err();
    assert!(error.to_string().contains("onnward.format_version is 0"), "{error}");
}
