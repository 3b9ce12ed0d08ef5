use std::io::{BufReader, Read, Write, pipe};

use onnward_schemas::{GoldenValue, Kept, Numbers, Rows, TypedArray, TypedValues, sha256_hex};

use super::child::answer;
use super::protocol::{
    OpenResponse, ScoreResponse, parse_json, read_frame_or_end, read_rows, write_json, write_rows,
};
use super::*;
use crate::backend::{BackendKind, load_backends};
use crate::verify::Verifier;

const FILE: &[u8] = include_bytes!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../tests/fuzz/corpus/model/artifact-logistic.onnx"
));

fn request(file: &[u8]) -> Open {
    Open {
        name: "shop".to_owned(),
        sha256: sha256_hex(file),
        fingerprint: None,
        config: None,
        backend: BackendChoice::Tract,
        library: None,
        max_batch_rows: None,
        memory: 1 << 30,
        file_bytes: file.len() as u64,
    }
}

/// Sends bytes to a child that runs in a thread, and returns what it has answered once it has ended.
fn answers(sent: &[u8]) -> (io::Result<()>, Vec<u8>) {
    let (mut input, mut answered) = (io::Cursor::new(sent), Vec::new());
    let ended = answer(&mut input, &mut answered, |_| ());
    (ended, answered)
}

fn opening(file: &[u8]) -> Vec<u8> {
    let mut sent = Vec::new();
    write_json(&mut sent, &request(file)).unwrap();
    sent.extend_from_slice(file);
    sent
}

#[test]
fn a_child_scores_as_this_process_does() {
    let backends = load_backends(BackendChoice::Tract, None).unwrap();
    let mut model = Verifier::new(backends).verify("shop", &ModelFile::new(FILE)).unwrap();
    let (row, _) = model.description.example().unwrap();
    let row: Vec<GoldenValue> = row.to_vec();

    let (child_input, mut input) = pipe().unwrap();
    let (output, child_output) = pipe().unwrap();
    let child = std::thread::spawn(move || answer(child_input, child_output, |_| ()));
    let mut output = BufReader::new(output);
    input.write_all(&opening(FILE)).unwrap();
    let opened = read_frame_or_end(&mut output).unwrap().unwrap();
    let OpenResponse::Opened(opened) = parse_json(&opened).unwrap() else { panic!("it opens") };
    assert_eq!((opened.backend, opened.replays > 0), (BackendKind::Tract, true));
    for rows in [1, 2, 7, 300] {
        let encoded = model.schema().encode_rows(&vec![row.clone(); rows]);
        write_rows(&mut input, &encoded).unwrap();
        let frame = read_frame_or_end(&mut output).unwrap().unwrap();
        let ScoreResponse::Scored(scored) = parse_json(&frame).unwrap() else { panic!("it scores") };
        assert_eq!(scored, model.score(&encoded).unwrap(), "{rows} rows");
    }
    drop(input);
    child.join().unwrap().unwrap();
    assert_eq!(output.read(&mut [0]).unwrap(), 0, "it says nothing more");
}

#[test]
fn a_model_that_fails_is_reported_with_its_step() {
    let (ended, answered) = answers(&opening(b"not an ONNX file"));
    ended.unwrap();
    let frame = read_frame_or_end(&mut answered.as_slice()).unwrap().unwrap();
    let OpenResponse::Failed { step, reason } = parse_json(&frame).unwrap() else { panic!("it fails") };
    assert_eq!((step.name(), reason.as_str()), ("artifact", "not an ONNX file"));
}

#[test]
fn a_request_that_is_cut_off_anywhere_ends_the_child() {
    let sent = opening(b"not an ONNX file");
    assert!(answers(&[]).0.is_ok(), "nothing was asked");
    for length in 1..sent.len() {
        let (ended, answered) = answers(&sent[..length]);
        assert!(ended.is_err() && answered.is_empty(), "{length} of {} bytes", sent.len());
    }
    // A length without content takes no memory.
    assert!(answers(&u32::MAX.to_le_bytes()).0.is_err());
    assert!(answers(&(1_u32 << 29).to_le_bytes()).0.is_err());
}

#[test]
fn batches_are_read_as_they_were_written() {
    let numbers = TypedValues::Numbers(Numbers::Double(vec![0.1, f64::NEG_INFINITY]));
    let array = Kept::Array(TypedArray { shape: vec![2], values: numbers });
    for (rows, kept) in [(0, vec![]), (3, vec![Kept::Text("é\n".to_owned()), Kept::Missing, array])] {
        let values = vec![1.5, f32::NAN, f32::NEG_INFINITY][..rows].to_vec();
        let batch = Rows { values, kept, len: rows };
        let mut written = Vec::new();
        write_rows(&mut written, &batch).unwrap();
        let read = read_rows(&mut written.as_slice()).unwrap().unwrap();
        let bits = |batch: &Rows| batch.values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!((bits(&read), read.kept, read.len), (bits(&batch), batch.kept, batch.len));
    }
}
