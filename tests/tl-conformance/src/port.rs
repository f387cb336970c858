use std::net::{Ipv4Addr, TcpListener};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};

/// A port nobody listens on. The system does not give it out by itself, so it is still free when a
/// server is started on it once more.
pub fn free_port() -> u16 {
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| AtomicU16::new(fastrand::u16(..)));
    let mut ports = std::iter::repeat_with(|| {
        PORT_FIRST + NEXT.fetch_add(1, Ordering::Relaxed) % (PORT_END - PORT_FIRST)
    });
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    ports.by_ref().take(ATTEMPTS).find(is_free).expect("a port is free")
}

/// Above what well-known services use.
const PORT_FIRST: u16 = 16_384;
/// Where Linux begins to choose ports by itself.
const PORT_END: u16 = 32_768;
/// Hardly any port of the range is taken.
const ATTEMPTS: usize = 100;
