//! Where listeners are.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where a listener is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Port 0 lets the system choose.
    Ip(SocketAddr),
    /// A socket of this machine.
    Unix {
        /// Where.
        path: PathBuf,
        /// Who may connect, as `chmod` takes it.
        mode: u32,
    },
}

impl Address {
    /// If it has one.
    pub const fn ip(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Unix { .. } => None,
        }
    }

    /// True if only this machine can reach it; `::ffff:127.0.0.1` counts.
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Ip(address) => address.ip().to_canonical().is_loopback(),
            Self::Unix { .. } => true,
        }
    }

    /// 0: it has none, or the system chooses it.
    pub const fn port(&self) -> u16 {
        match self {
            Self::Ip(address) => address.port(),
            Self::Unix { .. } => 0,
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix { path, .. } => write!(f, "unix:{}", path.display()),
        }
    }
}
