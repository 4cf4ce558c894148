//! Small things about sockets.

use std::io::{Error, ErrorKind};
use std::net::Shutdown;

use tokio::net::TcpStream;

/// The POSIX name of a socket error in lower case, as presence events show it.
pub(crate) fn error_name(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::ConnectionReset => "econnreset",
        ErrorKind::ConnectionAborted => "econnaborted",
        ErrorKind::TimedOut => "etimedout",
        ErrorKind::BrokenPipe => "epipe",
        ErrorKind::NotConnected => "enotconn",
        ErrorKind::HostUnreachable => "ehostunreach",
        ErrorKind::NetworkUnreachable => "enetunreach",
        ErrorKind::NetworkDown => "enetdown",
        ErrorKind::OutOfMemory => "enomem",
        _ => "eio",
    }
}

/// Tells the peer that nothing more comes; what the system still has is sent first.
pub(crate) fn shut_down(stream: &TcpStream) {
    // An error means that the peer is gone: there is nobody left to tell.
    let _ = socket2::SockRef::from(stream).shutdown(Shutdown::Write);
}
