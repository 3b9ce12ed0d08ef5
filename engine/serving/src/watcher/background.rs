use std::io;

/// The niceness of a background thread; those that answer requests have 0 unless somebody gave the process another.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// Computes on a thread of its own, which on Linux gets the processor when no request wants it. `None` if it panics, for
/// that must not end the engine.
///
/// # Errors
/// The operating system's, if it gives no thread.
pub async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<Option<T>> {
    // Not one of the runtime's pool: a thread's niceness can be raised and, without a privilege, not lowered again.
    let thread = std::thread::Builder::new().name("background".to_owned()).spawn(move || {
        stand_back();
        work()
    })?;
    let joined = tokio::task::spawn_blocking(move || thread.join()).await;
    Ok(joined.ok().and_then(Result::ok))
}

/// Linux gives each thread a niceness of its own; elsewhere it is the process's, and stays as it is.
fn stand_back() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{getpriority_process, setpriority_process};
        let stood_back =
            getpriority_process(None).and_then(|niceness| setpriority_process(None, niceness.max(NICENESS)));
        if let Err(error) = stood_back {
            tracing::debug!(%error, "the background thread keeps its priority");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_no_result() {
        assert_eq!(in_background(|| 7).await.unwrap(), Some(7));
        assert_eq!(in_background(|| -> i32 { panic!("in the background") }).await.unwrap(), None);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn it_stands_back_and_nobody_else_does() {
        let niceness = || rustix::process::getpriority_process(None).unwrap();
        let before = niceness();
        let inside = in_background(niceness).await.unwrap();
        assert_eq!((inside, niceness()), (Some(before.max(NICENESS)), before));
    }
}
