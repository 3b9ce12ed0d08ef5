//! The `onnward-engine` program.

use std::process::ExitCode;

use mimalloc::MiMalloc;
use onnward_runtime::backend::TELEMETRY_SWITCH;

// A request makes about a hundred small allocations, which mimalloc serves faster than the system's allocator.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    // This must precede the loading of ONNX Runtime and the start of a second thread.
    // SAFETY: the environment may be changed as long as no other thread reads it, and there is none yet.
    #[expect(unsafe_code)]
    unsafe {
        std::env::set_var(TELEMETRY_SWITCH, "1");
    }
    onnward_engine::cli::run()
}
