#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| onnward_fuzz::external::run(data));
