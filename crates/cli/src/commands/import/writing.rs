//! The files of an import are written together or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use mqtt_migrate::{Migration, Target};

use crate::failure::Failure;

/// The settings as a file.
pub(super) fn text(migration: &Migration) -> String {
    format!(
        "# Made by `rollcall import`. `rollcall print-config` prints all keys with what they mean.\n\n{}",
        migration.settings
    )
}

/// None of the files is there, unless they may be written over.
pub(super) fn check(migration: &Migration, target: &Target, force: bool) -> Result<(), Failure> {
    let mut paths = migration.beside.iter().map(|file| &file.path).chain([&target.file]);
    match paths.find(|path| !force && fs::symlink_metadata(path).is_ok()) {
        Some(there) => {
            let why = "is there already, and nothing was written: --force writes over it, --out names another";
            Err(Failure::Refused(format!("{} {why}", there.display())))
        }
        None => Ok(()),
    }
}

/// Writes all of it. The settings come last: as long as they are not there, nothing names the others.
pub(super) fn write(migration: &Migration, text: &str, target: &Target) -> Result<(), Failure> {
    let mut files: Vec<(&Path, &str)> = migration.beside.iter().map(|file| (&*file.path, &*file.text)).collect();
    files.push((&target.file, text));
    let mut new = Vec::new();
    let written = files.iter().try_for_each(|(path, text)| {
        let unfinished = unfinished(path);
        // Noted before it is begun: half of a file is removed too.
        new.push(unfinished.clone());
        put(&unfinished, text.as_bytes()).map_err(|error| failed(&unfinished, &error))
    });
    let renamed = written.and_then(|()| {
        files.iter().try_for_each(|(path, _)| fs::rename(unfinished(path), path).map_err(|error| failed(path, &error)))
    });
    if renamed.is_err() {
        new.iter().for_each(|path| drop(fs::remove_file(path)));
    }
    renamed
}

/// Only its owner can read it: settings may name secrets, and files of users have their hashes.
pub(in crate::commands) fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // One that an earlier attempt has left; never through a link that somebody else has made.
    let _ = fs::remove_file(path);
    let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

pub(in crate::commands) fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::Refused(format!("{}: {error}; nothing was written", path.display()))
}
