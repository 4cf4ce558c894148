//! What a case asks of the listener that it is run against, said to each broker in its own words.

use std::path::PathBuf;

use anyhow::Result;

use crate::broker::Folder;
use crate::certificate::Certificate;
use crate::shell::{command, debian, output};

/// Of rollcall's listener, where it is not the one that is always there.
const NAME: &str = "bench";

/// The user of the case of logins, as the load driver has it.
const USER: [&str; 2] = ["bench", "an open secret"];

/// A listener's kind, and the files that it needs.
pub(super) struct Door {
    kind: String,
    certificate: Option<Certificate>,
    passwords: Option<PathBuf>,
    _folder: Folder,
}

impl Door {
    /// For this case and this kind of listener.
    pub(super) fn new(case: &str, kind: &str) -> Result<Self> {
        let folder = Folder::new()?;
        let certificate = if matches!(kind, "mqtts" | "wss") { Some(Certificate::made(folder.path())?) } else { None };
        let passwords = if case == "login" { Some(folder.path().join("passwords")) } else { None };
        if let Some(file) = &passwords {
            let program = debian("mosquitto_passwd", "mosquitto")?;
            output(command(program).args(["-c", "-b"]).arg(file).args(USER))?;
        }
        Ok(Self { kind: kind.to_owned(), certificate, passwords, _folder: folder })
    }

    /// For `--set`.
    pub(super) fn settings(&self) -> Vec<String> {
        let mut settings = match (self.kind.as_str(), &self.certificate) {
            ("mqtt", _) => Vec::new(),
            (kind, Some(certificate)) => certificate.listener(NAME, kind),
            (kind, None) => {
                vec![format!("listeners.{NAME}.kind={kind}"), format!("listeners.{NAME}.bind=127.0.0.1:0")]
            }
        };
        settings.extend(self.passwords.as_ref().map(|file| format!("auth.password_file={}", file.display())));
        settings
    }

    /// The listener's name in rollcall's ready line.
    pub(super) fn listener(&self) -> &str {
        if self.kind == "mqtt" { "mqtt" } else { NAME }
    }

    /// Lines of mosquitto's configuration below its `listener`, and who may come in.
    pub(super) fn mosquitto(&self) -> String {
        let mut lines = String::new();
        if self.is_web() {
            lines += "protocol websockets\n";
        }
        if let Some(Certificate { cert, key }) = &self.certificate {
            lines += &format!("certfile {}\nkeyfile {}\n", cert.display(), key.display());
        }
        match &self.passwords {
            None => lines += "allow_anonymous true\n",
            Some(file) => lines += &format!("allow_anonymous false\npassword_file {}\n", file.display()),
        }
        lines
    }

    /// Its clients speak WebSocket.
    pub(super) fn is_web(&self) -> bool {
        matches!(self.kind.as_str(), "ws" | "wss")
    }

    /// For the load driver.
    pub(super) fn arguments(&self) -> Vec<String> {
        let certificate = self.certificate.as_ref();
        certificate.map_or_else(Vec::new, |files| vec!["--certificate".to_owned(), files.cert.display().to_string()])
    }
}
