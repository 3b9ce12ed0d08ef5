//! Runs the fuzz targets on every file of their corpora, seeds and findings, without a fuzzer.

// The same code as the fuzzers', which are a workspace of their own.
#[path = "../fuzz/src/lib.rs"]
mod fuzz;

use crate::support::root;

#[test]
fn what_fuzzers_have_found_stays_found() {
    let corpora = root().join("tests/fuzz/corpus");
    let folders = std::fs::read_dir(&corpora).unwrap().count();
    assert_eq!(folders, fuzz::TARGETS.len(), "each corpus has its target");
    for (target, run) in fuzz::TARGETS {
        let mut inputs: Vec<_> =
            std::fs::read_dir(corpora.join(target)).unwrap().map(|file| file.unwrap().path()).collect();
        inputs.sort();
        assert!(inputs.len() >= 2, "{target} has {} inputs", inputs.len());
        for input in inputs {
            // Where one of them fails, its name is the last that is written.
            println!("{}", input.display());
            run(&std::fs::read(&input).unwrap());
            assert!(!fuzz::model::is_in_runtime());
        }
    }
}
