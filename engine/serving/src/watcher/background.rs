use std::io;

/// The niceness of a background thread. Threads that answer requests have 0, unless the process was given
/// another.
#[cfg(target_os = "linux")]
const BACKGROUND_NICENESS: i32 = 10;

/// Runs blocking work on a dedicated thread, with low priority on Linux. Returns `None` if the work panics,
/// which must not end the engine.
///
/// # Errors
/// The error of the operating system if it starts no thread.
pub async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<Option<T>> {
    // Not a thread of the runtime's pool: raising a thread's niceness cannot be undone without privileges.
    let thread = std::thread::Builder::new().name("background".to_owned()).spawn(move || {
        lower_priority();
        work()
    })?;
    let joined = tokio::task::spawn_blocking(move || thread.join()).await;
    Ok(joined.ok().and_then(Result::ok))
}

/// Lowers the thread's priority on Linux. Elsewhere niceness belongs to the process and stays unchanged.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{getpriority_process, setpriority_process};
        let result = getpriority_process(None)
            .and_then(|niceness| setpriority_process(None, niceness.max(BACKGROUND_NICENESS)));
        if let Err(error) = result {
            tracing::debug!(%error, "cannot lower the priority of the background thread");
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
    async fn it_lowers_its_own_priority_and_no_other() {
        let niceness = || rustix::process::getpriority_process(None).unwrap();
        let before = niceness();
        let inside = in_background(niceness).await.unwrap();
        assert_eq!((inside, niceness()), (Some(before.max(BACKGROUND_NICENESS)), before));
    }
}
