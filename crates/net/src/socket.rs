//! Small things about sockets.

use std::io::{Error, ErrorKind};
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// The POSIX names of socket errors in lower case, as events show them. The last one stands for all others.
const NAMES: [(ErrorKind, &str); 10] = [
    (ErrorKind::ConnectionReset, "econnreset"),
    (ErrorKind::ConnectionAborted, "econnaborted"),
    (ErrorKind::TimedOut, "etimedout"),
    (ErrorKind::BrokenPipe, "epipe"),
    (ErrorKind::NotConnected, "enotconn"),
    (ErrorKind::HostUnreachable, "ehostunreach"),
    (ErrorKind::NetworkUnreachable, "enetunreach"),
    (ErrorKind::NetworkDown, "enetdown"),
    (ErrorKind::OutOfMemory, "enomem"),
    (ErrorKind::Other, "eio"),
];

/// The POSIX name of a socket error.
pub fn error_name(error: &Error) -> &'static str {
    NAMES[position(error)].1
}

/// The first error of a socket, in one byte.
#[derive(Debug, Default)]
pub struct FirstError(AtomicU8);

impl FirstError {
    /// Notes an error; who is later changes nothing.
    pub fn note(&self, error: &Error) {
        // 0 is none; who is later changes nothing.
        let _ = self.0.compare_exchange(0, position(error) as u8 + 1, Relaxed, Relaxed);
    }

    /// Its POSIX name in lower case, if there was one.
    pub fn name(&self) -> Option<&'static str> {
        let noted = usize::from(self.0.load(Relaxed)).checked_sub(1)?;
        NAMES.get(noted).map(|(_, name)| *name)
    }
}

fn position(error: &Error) -> usize {
    NAMES.iter().position(|(kind, _)| *kind == error.kind()).unwrap_or(NAMES.len() - 1)
}
