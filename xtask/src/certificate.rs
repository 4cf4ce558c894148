//! A certificate for listeners under test.

use std::path::{Path, PathBuf};

use anyhow::Result;

/// A certificate for `localhost`, signed by itself, and its key.
pub(crate) struct Certificate {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

impl Certificate {
    /// Makes one and puts it into this folder.
    pub(crate) fn made(folder: &Path) -> Result<Self> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let files = Self { cert: folder.join("server.pem"), key: folder.join("server.key") };
        std::fs::write(&files.cert, made.cert.pem())?;
        std::fs::write(&files.key, made.signing_key.serialize_pem())?;
        Ok(files)
    }

    /// Settings of a listener of this name and kind, `mqtts` or `wss`, on a free port.
    pub(crate) fn listener(&self, name: &str, kind: &str) -> Vec<String> {
        vec![
            format!("listeners.{name}.kind={kind}"),
            format!("listeners.{name}.bind=127.0.0.1:0"),
            format!("listeners.{name}.cert={}", self.cert.display()),
            format!("listeners.{name}.key={}", self.key.display()),
        ]
    }
}
