//! Small things about sockets.

use std::io::{Error, ErrorKind};

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
