//! What is kept secret, as it is set or in a file.

use mqtt_hooks::{HIDDEN, Secret};

/// What this setting says, or the file that stands instead of it; `None`: nothing is set.
pub(super) fn read(setting: &str, secret: &Secret, file: &str) -> Result<Option<String>, String> {
    match (&*secret.0, file) {
        ("", "") => Ok(None),
        (HIDDEN, "") => Err(format!("{setting}: wants the {setting} itself, which is not shown")),
        (secret, "") => Ok(Some(secret.to_owned())),
        ("", file) => {
            let text = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
            let secret = text.trim();
            if secret.is_empty() { Err(format!("{file}: no {setting} is in it")) } else { Ok(Some(secret.to_owned())) }
        }
        _ => Err(format!("wants {setting} or {setting}_file, not both")),
    }
}
