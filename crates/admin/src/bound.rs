//! Where the port listens.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};

/// A port that is bound; nobody is answered yet.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
}

impl Bound {
    /// Binds it. `None`: it may be another program's, and is.
    ///
    /// # Errors
    /// Those of the system.
    pub fn take(address: SocketAddr, may_be_taken: bool) -> io::Result<Option<Self>> {
        let listener = match TcpListener::bind(address) {
            Ok(listener) => listener,
            Err(error) if error.kind() == ErrorKind::AddrInUse && may_be_taken => {
                tracing::error!(
                    %address,
                    "no admin port: another program listens there; give another with --admin, or \"off\"",
                );
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok(Some(Self { listener, address }))
    }

    /// With the port that the system has chosen, if it was to choose.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What [`Admin::serve`](crate::Admin::serve) answers on.
    ///
    /// # Errors
    /// Those of the system.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn listen(self) -> io::Result<tokio::net::TcpListener> {
        tokio::net::TcpListener::from_std(self.listener)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_programs_address_is_none_where_it_may_be() {
        let other = Bound::take(([127, 0, 0, 1], 0).into(), false).unwrap().unwrap();
        assert_eq!(Bound::take(other.address(), false).unwrap_err().kind(), ErrorKind::AddrInUse);
        assert!(Bound::take(other.address(), true).unwrap().is_none());
    }
}
