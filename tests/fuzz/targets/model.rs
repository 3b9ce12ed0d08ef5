#![no_main]

mod mutation;

use std::panic::{PanicHookInfo, set_hook, take_hook};

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use onnward_fuzz::model::is_in_runtime;

fuzz_target!(init: {
    // The fuzzer's own hook ends the process, whoever panics.
    let end = take_hook();
    set_hook(Box::new(move |info| if !is_of_a_runtime(info) { end(info) }));
}, |data: &[u8]| onnward_fuzz::model::run(data));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutation::mutate(data, size, max_size, seed)
});

/// Returns whether tract panics, which the engine reports as a model that cannot be opened or run. The
/// engine's own code there, the forest evaluation, must not panic.
fn is_of_a_runtime(info: &PanicHookInfo<'_>) -> bool {
    let is_ours = |file: &str| file.contains("engine/") || file.contains("schemas/");
    is_in_runtime() && info.location().is_some_and(|location| !is_ours(location.file()))
}
