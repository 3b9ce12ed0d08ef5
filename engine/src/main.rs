//! The engine's program.

use std::process::ExitCode;

use mimalloc::MiMalloc;
use onnward_runtime::backend::TELEMETRY_SWITCH;

// A request makes some hundred small allocations, which it hands out in less time than the system's.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    // Before ONNX Runtime is loaded, and before there is a second thread.
    // SAFETY: the environment may be changed as long as no other thread reads it, and there is none yet.
    #[expect(unsafe_code)]
    unsafe {
        std::env::set_var(TELEMETRY_SWITCH, "1");
    }
    onnward_engine::cli::run()
}
