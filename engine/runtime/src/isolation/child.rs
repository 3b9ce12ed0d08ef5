use std::io::{self, BufReader, BufWriter, Read, Write};

use onnward_onnx::ModelBounds;

use super::process::status_bytes;
use super::protocol::{self, Open, OpenResponse, Opened, ScoreResponse};
use crate::backend::load_backends;
use crate::costs::LARGEST_BATCH_ROWS;
use crate::description::Description;
use crate::verify::{LoadStep, ModelFile, Progress, VerifiedModel, Verifier, VerifyError};

/// Runs the one model that the first request describes, until the input ends. The process must have no other
/// purpose: it bounds its own memory.
///
/// # Errors
/// The input or the output fails.
pub fn run_child(input: impl Read, output: impl Write) -> io::Result<()> {
    answer(input, output, bound_process)
}

/// Answers requests until the input ends. `bound` bounds the memory of the process.
pub fn answer(input: impl Read, output: impl Write, bound: fn(u64)) -> io::Result<()> {
    let (mut input, mut output) = (BufReader::new(input), BufWriter::new(output));
    let Some(request) = protocol::read_frame_or_end(&mut input)? else { return Ok(()) };
    let request: Open = protocol::parse_json(&request)?;
    bound(request.memory);
    let mut file = vec![0; usize::try_from(request.file_bytes).map_err(io::Error::other)?];
    input.read_exact(&mut file)?;

    let (mut model, opened) = match open(&request, &file) {
        Ok(opened) => opened,
        Err((step, reason)) => {
            protocol::write_json(&mut output, &OpenResponse::Failed { step, reason })?;
            return output.flush();
        }
    };
    drop(file);
    protocol::write_json(&mut output, &OpenResponse::Opened(opened))?;
    output.flush()?;
    while let Some(rows) = protocol::read_rows(&mut input)? {
        match model.score(&rows) {
            Ok(predictions) => protocol::write_json(&mut output, &ScoreResponse::Scored(predictions))?,
            Err(error) => protocol::write_json(&mut output, &ScoreResponse::Failed(error.to_string()))?,
        }
        output.flush()?;
    }
    Ok(())
}

/// Opens and tests the model, and scores a large batch. An error is the step that failed and the reason.
fn open(request: &Open, file: &[u8]) -> Result<(VerifiedModel, Opened), (LoadStep, String)> {
    let failed = |error: VerifyError| (error.step(), error.to_string());
    let backends = load_backends(request.backend, request.library.as_deref());
    let backends = backends.map_err(|error| (LoadStep::Open, error.to_string()))?;
    // The engine has held the file against its own bounds.
    let verifier = Verifier {
        bounds: ModelBounds::LARGEST,
        max_batch_rows: request.max_batch_rows,
        ..Verifier::new(backends)
    };
    let model_file = ModelFile {
        bytes: file,
        sha256: request.sha256.as_str().into(),
        fingerprint: request.fingerprint.as_deref(),
        config: request.config.as_deref(),
    };
    let replays = std::cell::Cell::new(0);
    let progress = Progress { replayed: &|_| replays.set(replays.get() + 1), ..Progress::default() };
    let mut model = verifier.verify_with(&request.name, &model_file, &progress).map_err(failed)?;
    let example = model.description.example().map(|(row, prediction)| (row.to_vec(), prediction));
    if let Some((row, _)) = &example {
        let size = request.max_batch_rows.unwrap_or(LARGEST_BATCH_ROWS);
        let rows = model.schema().encode_rows(&vec![row.clone(); size]);
        let scored = model.score(&rows);
        scored.map_err(|source| failed(VerifyError::WarmUp { rows: size, source }))?;
    }
    let opened = Opened {
        backend: model.backend,
        comparison: model.comparison,
        replays: replays.get(),
        example,
        passed_over: match &model.description {
            Description::External(external) => external.passed_over.clone(),
            Description::Artifact(_) => Vec::new(),
        },
        task: model.schema().label.task.kind(),
        peak_bytes: peak_bytes(),
    };
    Ok((model, opened))
}

/// The interval at which a child looks for its parent.
#[cfg(target_os = "linux")]
const PARENT_INTERVAL: std::time::Duration = std::time::Duration::from_secs(1);

/// Bounds the memory of this process, ends it with its parent, and offers it first if the system runs out of
/// memory.
#[cfg(target_os = "linux")]
fn bound_process(memory: u64) {
    use rustix::process::{Resource, Rlimit, getppid, setrlimit};
    let limit = Rlimit { current: Some(memory), maximum: Some(memory) };
    // Without these the parent still ends a process that takes too much.
    let _ = setrlimit(Resource::Data, limit);
    let no_core = Rlimit { current: Some(0), maximum: Some(0) };
    let _ = setrlimit(Resource::Core, no_core);
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    // A parent that was killed closes the input, which a computing child does not notice. Linux' own signal
    // for this is sent as soon as the thread ends that started the child.
    let parent = getppid();
    let watch = move || {
        while getppid() == parent {
            std::thread::sleep(PARENT_INTERVAL);
        }
        std::process::exit(1);
    };
    let _ = std::thread::Builder::new().name("parent".to_owned()).spawn(watch);
}

#[cfg(not(target_os = "linux"))]
fn bound_process(_: u64) {}

/// Returns the most memory that this process has taken, in bytes; 0 where the system does not tell.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status_bytes(&status, "VmHWM:").unwrap_or_default()
}
