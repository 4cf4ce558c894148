//! How programs on this machine find the admin port.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

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
