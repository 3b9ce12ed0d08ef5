//! Closing a listener without losing the connections that are just being made.
//!
//! Between the last connection that is accepted and the end of the listener the system may take another one, and then resets it. On
//! Linux a filter in front of the listener drops the packets by which connections begin: whoever sends one tries again, and is refused
//! once the listener has gone.

use tokio::net::TcpListener;

/// Lets no connection begin any more: whether the system does so. Those that have begun are still to be accepted.
#[cfg(target_os = "linux")]
pub fn begin_no_more(listener: &TcpListener) -> bool {
    use socket2::{SockFilter, SockRef};

    /// Where a TCP header has its flags, and the two that tell a connection's first packet: SYN without ACK.
    const FLAGS: u32 = 13;
    const SYN: u32 = 0x02;
    const SYN_AND_ACK: u32 = 0x12;
    // Classic BPF (linux/filter.h), by which the filter is written: load a byte, and, jump if equal, return.
    const LOAD_BYTE: u16 = 0x30;
    const AND: u16 = 0x54;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const NOTHING: u32 = 0;
    const EVERYTHING: u32 = u32::MAX;
    let drop_first_packets = [
        SockFilter::new(LOAD_BYTE, 0, 0, FLAGS),
        SockFilter::new(AND, 0, 0, SYN_AND_ACK),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, SYN),
        SockFilter::new(RETURN, 0, 0, NOTHING),
        SockFilter::new(RETURN, 0, 0, EVERYTHING),
    ];
    let filtered = SockRef::from(listener).attach_filter(&drop_first_packets);
    filtered.inspect_err(|error| tracing::debug!(%error, "connections may begin until the end")).is_ok()
}

/// Other systems cannot be told.
#[cfg(not(target_os = "linux"))]
pub fn begin_no_more(_: &TcpListener) -> bool {
    false
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn what_has_begun_is_accepted_and_nothing_begins_any_more() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut begun = TcpStream::connect(address).await.unwrap();
        assert!(begin_no_more(&listener));
        let late = timeout(Duration::from_millis(300), TcpStream::connect(address)).await;
        assert!(late.is_err(), "a connection has begun: {late:?}");
        let (mut accepted, _) = listener.accept().await.unwrap();
        begun.write_all(b"asked").await.unwrap();
        let mut asked = [0; 5];
        accepted.read_exact(&mut asked).await.unwrap();
        accepted.write_all(&asked).await.unwrap();
        begun.read_exact(&mut asked).await.unwrap();
        assert_eq!(&asked, b"asked");
    }
}
