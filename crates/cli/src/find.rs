//! Which broker is meant, and who asks.

use std::fs;
use std::io::ErrorKind;

use mqtt_admin::Local;
use mqtt_config::Config;

use crate::failure::Failure;
use crate::reach::Reach;
use crate::remote::{Remote, Trust};

/// A name and a secret, and who said them.
struct Credentials {
    text: String,
    source: String,
}

/// What was said on the command line goes first, then what the broker that runs on data_dir left there, then the
/// configuration.
pub(crate) fn find(reach: &Reach, config: &Config) -> Result<Remote, Failure> {
    let given = given(reach, config)?;
    let local = config.data_dir.as_ref().map(|folder| (folder.join(Local::FILE), Local::read(folder)));
    if let Some(url) = &reach.url {
        // The broker's own key goes to nobody else.
        let own = local.and_then(|(file, local)| Some((file, local.ok()?)));
        let own = own.filter(|(_, local)| local.url == url.trim_end_matches('/'));
        let pins = own.as_ref().map(|(_, local)| local.certificates.clone()).unwrap_or_default();
        let trust = if pins.is_empty() { Trust::Signed } else { Trust::Pinned(&pins) };
        let own = own.map(|(file, local)| Credentials { text: local.credentials, source: file.display().to_string() });
        let Some(credentials) = given.or(own) else {
            let why = format!("--url {url} needs --key NAME:SECRET, which `rollcall admin key add` makes there");
            return Err(Failure::Usage(why));
        };
        return Remote::new(url, "--url", &credentials.text, &credentials.source, &trust, reach);
    }
    let why = match local {
        Some((file, Ok(local))) => {
            let source = file.display().to_string();
            let credentials = given.unwrap_or(Credentials { text: local.credentials, source: source.clone() });
            let (trust, from) = (Trust::Pinned(&local.certificates), format!("from {source}"));
            return Remote::new(&local.url, &from, &credentials.text, &credentials.source, &trust, reach);
        }
        Some((file, Err(error))) if error.kind() == ErrorKind::NotFound => {
            let folder = file.parent().unwrap_or(&file).display().to_string();
            format!("no broker runs on {folder:?}, or its admin port is off (there is no {})", file.display())
        }
        Some((file, Err(error))) => format!("cannot read {}: {error}", file.display()),
        None => "data_dir is \"memory\", where no broker leaves its address".to_owned(),
    };
    match (given, config.admin.bind) {
        (Some(credentials), Some(address)) if address.port() != 0 => {
            let scheme = if config.admin.tls.is_some() { "https" } else { "http" };
            let (url, trust) = (format!("{scheme}://{address}"), Trust::Signed);
            Remote::new(&url, "from admin.bind", &credentials.text, &credentials.source, &trust, reach)
        }
        _ => Err(Failure::Unreachable(format!(
            "{why}; start it, name its folder with --data-dir, or give --url and --key"
        ))),
    }
}

fn given(reach: &Reach, config: &Config) -> Result<Option<Credentials>, Failure> {
    let Some(key) = &reach.key else {
        let password = config.admin.password.as_ref();
        let source = || "admin.password".to_owned();
        return Ok(password.map(|password| Credentials { text: format!("admin:{password}"), source: source() }));
    };
    let Some(file) = key.strip_prefix('@') else {
        return Ok(Some(Credentials { text: key.clone(), source: "--key".to_owned() }));
    };
    match fs::read_to_string(file) {
        Ok(text) => Ok(Some(Credentials { text: text.trim().to_owned(), source: format!("--key @{file}") })),
        Err(error) => Err(Failure::Usage(format!("--key @{file}: cannot be read: {error}"))),
    }
}
