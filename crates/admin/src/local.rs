//! How programs on this machine find the admin port.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

/// How programs on this machine find the admin port of the broker that uses a data_dir, and come in.
#[derive(Clone, Serialize, Deserialize)]
pub struct Local {
    /// `http://127.0.0.1:18083`
    pub url: String,
    /// Where it speaks TLS, what it shows: one of these certificates, DER in base64, and no other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<String>,
    /// The user name and password of HTTP Basic, with a colon between them.
    pub credentials: String,
}

impl Local {
    /// In data_dir: for who may read that.
    pub const FILE: &str = "admin.json";

    /// Of a port that is bound here. What it shows, where it speaks TLS, is [still to be said](Self::showing).
    pub fn new(address: SocketAddr, speaks_tls: bool, credentials: String) -> Self {
        let scheme = if speaks_tls { "https" } else { "http" };
        Self { url: format!("{scheme}://{}", from_here(address)), certificates: Vec::new(), credentials }
    }

    /// The same, showing these certificates, DER.
    pub fn showing<C: AsRef<[u8]>>(&self, certificates: impl IntoIterator<Item = C>) -> Self {
        let certificates = certificates.into_iter().map(|der| BASE64_STANDARD.encode(der)).collect();
        Self { certificates, ..self.clone() }
    }

    /// Reads what the broker that uses the folder has written.
    ///
    /// # Errors
    /// No broker runs on this folder, or this user may not read it.
    pub fn read(data_dir: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&fs::read(data_dir.join(Self::FILE))?)?)
    }

    /// Writes it for the owner's eyes only.
    pub fn write(&self, data_dir: &Path) -> io::Result<()> {
        let (path, new) = (data_dir.join(Self::FILE), data_dir.join(format!("{}.new", Self::FILE)));
        let text = serde_json::to_vec(self)?;
        // Its mode holds for a file that is made; one that is there may be readable.
        let _ = fs::remove_file(&new);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(&text)?;
        fs::rename(new, path)
    }

    /// Removes what was written: soon nobody answers there.
    pub fn forget(data_dir: &Path) {
        // It may be gone already, and names an address that nobody answers.
        let _ = fs::remove_file(data_dir.join(Self::FILE));
    }
}

/// A listener on every address is reached from this machine by loopback.
fn from_here(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        let loopback = if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        address.set_ip(loopback);
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_on_every_address_is_reached_by_loopback() {
        let url = |address: &str, speaks_tls| Local::new(address.parse().unwrap(), speaks_tls, String::new()).url;
        assert_eq!(url("0.0.0.0:7", false), "http://127.0.0.1:7");
        assert_eq!(url("[::]:7", true), "https://[::1]:7");
        assert_eq!(url("192.0.2.1:7", true), "https://192.0.2.1:7");
    }
}
