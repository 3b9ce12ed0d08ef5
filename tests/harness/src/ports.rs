//! Free ports for servers that cannot choose one themselves.

use std::io;
use std::net::TcpListener;

use crate::error::HarnessError;

/// Returns different unused ports of 127.0.0.1.
///
/// # Errors
/// [`HarnessError::System`].
pub fn free_ports<const COUNT: usize>() -> Result<[u16; COUNT], HarnessError> {
    find().map_err(HarnessError::system("find free ports"))
}

fn find<const COUNT: usize>() -> io::Result<[u16; COUNT]> {
    // All are held until all are known, so that none is returned twice.
    let mut held = Vec::with_capacity(COUNT);
    let mut ports = [0; COUNT];
    for port in &mut ports {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}
