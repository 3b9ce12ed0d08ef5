//! How many files and connections the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What the models, the store, the log and the outcomes may need beside connections.
const RESERVED: u64 = 256;
/// More connections than this are no use to anybody who has not said so: each takes some kilobytes.
const MOST_CONNECTIONS: usize = 8192;
const FEWEST_CONNECTIONS: usize = 64;

/// Raises the limit of open files to what the system allows this process, and returns how many connections fit below it.
pub fn raise_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // Where it is refused, as on systems that have no number for "unlimited", the lower limit holds.
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    connections_below(current)
}

fn connections_below(limit: Option<u64>) -> usize {
    let free = limit.map_or(u64::MAX, |limit| limit.saturating_sub(RESERVED));
    usize::try_from(free).unwrap_or(usize::MAX).clamp(FEWEST_CONNECTIONS, MOST_CONNECTIONS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_the_rest() {
        assert_eq!(connections_below(Some(1024)), 768);
        assert_eq!(connections_below(Some(100)), FEWEST_CONNECTIONS);
        assert_eq!(connections_below(None), MOST_CONNECTIONS);
    }
}
