//! The limits of open files and connections.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The file handles reserved for models, the store, the log and outcomes.
const RESERVED: u64 = 256;
/// The default maximum of connections, each of which takes some kilobytes.
const MAX_CONNECTIONS: usize = 8192;
const MIN_CONNECTIONS: usize = 64;

/// Raises the soft limit of open files to the hard limit, and returns the number of connections that fit.
pub fn raise_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // If the system rejects it, as some reject "unlimited", the soft limit stays in force.
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    connections_below(current)
}

fn connections_below(limit: Option<u64>) -> usize {
    let free = limit.map_or(u64::MAX, |limit| limit.saturating_sub(RESERVED));
    usize::try_from(free).unwrap_or(usize::MAX).clamp(MIN_CONNECTIONS, MAX_CONNECTIONS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_the_rest() {
        assert_eq!(connections_below(Some(1024)), 768);
        assert_eq!(connections_below(Some(100)), MIN_CONNECTIONS);
        assert_eq!(connections_below(None), MAX_CONNECTIONS);
    }
}
