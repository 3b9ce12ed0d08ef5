//! Models whose file does not bound what they take.

use onnward_onnx::{ExternalModel, KindSource, MemoryDemand, ModelBounds, OutputReader};
use onnward_schemas::TaskKind;

use super::{
    Decoded, DecodedModel, ModelFile, Progress, Sessions, VerifiedModel, Verifier, VerifyError, external,
};
use crate::costs::measure_costs;
use crate::description::{Description, ExternalDescription};
use crate::isolation::{PROGRAM_BYTES, Tested};

/// Verifies a model here if it needed no test, or if no size in it depends on the rows: then the process that
/// has tested it shows what it takes. Any other is scored by that process.
pub(super) fn verify(
    verifier: &Verifier,
    name: &str,
    decoded: Decoded,
    file: &ModelFile<'_>,
    progress: &Progress<'_>,
) -> Result<VerifiedModel, VerifyError> {
    let Decoded { model, mut memory, demand, tested } = decoded;
    let Some(tested) = tested else { return verifier.verify_here(name, model, file, memory, progress) };
    if let MemoryDemand::DependsOnValues { operator } = demand {
        tracing::warn!(
            model = name,
            operator,
            max_bytes = tested.memory.bytes(),
            "the model is scored in a process of its own, since the size of a value depends on the rows"
        );
        return serve(name, model, file, tested, &verifier.bounds, progress);
    }
    let (backend, comparison) = (tested.opened.backend, tested.opened.comparison);
    let taken = tested.opened.peak_bytes.saturating_sub(PROGRAM_BYTES);
    drop(tested);
    memory.grow(memory.bytes().saturating_add(taken))?;
    // Another backend may take anything.
    let mut here = verifier.clone();
    here.backends.retain(|known| known.kind() == backend);
    let mut verified = here.verify_here(name, model, file, memory, progress)?;
    verified.comparison = comparison;
    // The buffers for a large batch stay.
    let most = verified.memory.bytes().max(taken.saturating_mul(verifier.sessions as u64));
    verified.memory.loaded(most);
    Ok(verified)
}

/// Lets the process that tested a model score it.
fn serve(
    name: &str,
    model: DecodedModel,
    file: &ModelFile<'_>,
    tested: Tested,
    bounds: &ModelBounds,
    progress: &Progress<'_>,
) -> Result<VerifiedModel, VerifyError> {
    let opened = tested.opened.clone();
    (0..opened.replays).for_each(|_| (progress.replayed)(true));
    let output;
    let description = match model {
        DecodedModel::Artifact(artifact) => {
            output = OutputReader::of_artifact(&artifact.metadata.schema.label.task);
            Description::Artifact(Box::new(artifact.into_metadata()))
        }
        DecodedModel::External(model) => {
            let is_raw = opened.task == TaskKind::Raw && model.schema.label.task.kind() != TaskKind::Raw;
            let model = if is_raw {
                Box::new(ExternalModel::decode_raw_within(name, file.bytes, file.config, bounds)?)
            } else {
                model
            };
            external::log_interpretation(name, &model);
            output = model.output.clone();
            let example = opened.example.ok_or(VerifyError::NoBackend)?;
            let expected_rows = model.golden_rows();
            let ExternalModel { schema, producer, decided_by, .. } = *model;
            let is_guessed = decided_by == KindSource::Guess;
            let passed_over = opened.passed_over;
            Description::External(Box::new(ExternalDescription {
                schema,
                producer,
                example,
                passed_over,
                is_guessed,
                expected_rows,
            }))
        }
    };
    let (mut session, mut memory) = tested.into_session(output, file.bytes.into());
    let schema = description.schema();
    let example = description.example().map(|(row, _)| row.to_vec());
    let sample = schema.encode_rows(&example.into_iter().collect::<Vec<_>>());
    let costs = measure_costs(&mut session, &sample)
        .map_err(|source| VerifyError::WarmUp { rows: sample.len, source })?;
    memory.loaded(memory.bytes());
    let sessions: Sessions = vec![Box::new(session)];
    let (backend, comparison) = (opened.backend, opened.comparison);
    Ok(VerifiedModel { backend, sessions, costs, sample, comparison, description, memory })
}
