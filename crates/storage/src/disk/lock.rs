//! The folder is this process's alone, and says who had it before.

use std::fs::{self, File, Permissions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::process::geteuid;

use super::Durability;
use super::log::sync_folder;
use super::segment::{self, at_path};
use crate::StoreError;

/// Of the mark of who keeps a manifest; earlier versions don't.
const KEEPS_MANIFEST: &str = "manifest ";

/// Held for as long as a folder is used.
#[derive(Debug)]
pub(super) struct Lock {
    /// The folder itself is locked: a file in it can be removed, and another made that nobody has locked. `None`: this kind of
    /// file system can't.
    folder: Option<File>,
    /// Locked too, for earlier versions lock only this. What is in it says who was here last.
    file: File,
    before: String,
}

impl Lock {
    /// Makes the folder if it is not there, and takes it for this process.
    pub(super) fn make(folder: &Path, durability: Durability) -> Result<Self, StoreError> {
        if !folder.is_dir() {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)
                .map_err(|error| at_path(folder, &error))?;
            if let (Durability::Power, Some(parent)) = (durability, folder.parent()) {
                let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
                sync_folder(parent).map_err(|error| at_path(parent, &error))?;
            }
        }
        let lock = Self::take(folder)?;
        if let Err(error) = close_to_others(folder) {
            tracing::warn!(folder = %folder.display(), %error, "others on this machine may be able to read its files");
        }
        warn_of_others(folder);
        Ok(lock)
    }

    /// Takes a folder that is there. The lock is the system's: one who is killed holds none.
    pub(super) fn take(folder: &Path) -> Result<Self, StoreError> {
        let opened = File::open(folder).map_err(|error| at_path(folder, &error))?;
        let folder_lock = match opened.try_lock() {
            Ok(()) => Some(opened),
            Err(TryLockError::WouldBlock) => return Err(StoreError::InUse),
            // The file's lock is what there is then.
            Err(TryLockError::Error(_)) => None,
        };
        let path = folder.join("lock");
        let open = segment::private().truncate(false).open(&path);
        let mut file = open.map_err(|error| match fs::symlink_metadata(&path) {
            Ok(found) if found.is_symlink() => {
                io::Error::other(format!("{} is a symbolic link, which is not followed: remove it", path.display()))
            }
            _ => at_path(&path, &error),
        })?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::InUse),
            Err(TryLockError::Error(error)) => return Err(at_path(&path, &error).into()),
        }
        let mut before = String::new();
        // Not text: no mark of ours.
        let _ = file.read_to_string(&mut before);
        Ok(Self { folder: folder_lock, file, before })
    }

    /// True if the manifest says how the folder is: whoever was here last kept it.
    pub(super) fn has_manifest(&self) -> bool {
        self.before.starts_with(KEEPS_MANIFEST)
    }

    /// True if whoever was here last kept no manifest: one that is there is older than that.
    pub(super) fn is_of_earlier_version(&self) -> bool {
        !self.before.is_empty() && !self.has_manifest()
    }

    /// True if the system has ended since, and nobody was promised that all of it is on the disk.
    pub(super) fn may_be_incomplete(&self) -> bool {
        let before = self.before.strip_prefix(KEEPS_MANIFEST).unwrap_or(&self.before);
        before.ends_with(" process\n") && before != mark(Durability::Process)
    }

    /// Marks the folder as this process's.
    pub(super) fn mark(&self, durability: Durability, has_manifest: bool) -> io::Result<()> {
        let mark = if has_manifest { KEEPS_MANIFEST } else { "" }.to_owned() + &mark(durability);
        // Not emptied first: there is always a mark.
        self.file.write_all_at(mark.as_bytes(), 0)?;
        self.file.set_len(mark.len() as u64)
    }
}

impl Drop for Lock {
    /// Given back by name, not by closing the files: a child that another thread has just forked has them too, until it has
    /// become another program, and what is only closed would be locked until then.
    fn drop(&mut self) {
        for file in self.folder.iter().chain([&self.file]) {
            if let Err(error) = file.unlock() {
                tracing::warn!(%error, "the folder's lock is not given back before its files are closed");
            }
        }
    }
}

/// Which start of the system it is, and how is written.
fn mark(durability: Durability) -> String {
    // Where there is no such file no restart is noticed.
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let durability = match durability {
        Durability::Process => "process",
        Durability::Power => "power",
    };
    format!("{} {durability}\n", boot.trim())
}

/// Earlier versions made files that everyone could read.
fn close_to_others(folder: &Path) -> io::Result<()> {
    let segments = segment::numbers(folder)?.into_iter().map(|number| segment::path(folder, number));
    for path in segments.chain([folder.join("lock")]) {
        let mode = fs::metadata(&path)?.permissions().mode();
        if mode & 0o077 != 0 {
            fs::set_permissions(&path, Permissions::from_mode(mode & 0o700))?;
        }
    }
    Ok(())
}

/// Who can write to the folder can put another in its place, or take away what is in it.
fn warn_of_others(folder: &Path) {
    let (Ok(target), Ok(name)) = (fs::metadata(folder), fs::symlink_metadata(folder)) else { return };
    let shown = folder.display();
    if let Some(fix) = fix_for(target.mode(), [target.uid(), name.uid()], geteuid().as_raw(), &shown.to_string()) {
        tracing::warn!(folder = %shown, "others on this machine can write to the data folder: {fix}");
    }
}

/// What is to be done about a folder of such a mode, its owner and that of the symbolic link to it; `None`: nothing.
fn fix_for(mode: u32, owners: [u32; 2], user: u32, folder: &str) -> Option<String> {
    const ROOT: u32 = 0;
    const OTHERS_WRITE: u32 = 0o022;
    if owners.iter().any(|&owner| owner != user && owner != ROOT) {
        return Some(format!(
            "it, or the symbolic link to it, is another user's; give --data-dir a folder of your own ({folder} is not)"
        ));
    }
    (mode & OTHERS_WRITE != 0).then(|| format!("chmod go-w {folder}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_others_can_write_to_is_told_with_the_fix() {
        let fix = |mode, owners| fix_for(mode, owners, 7, "data").unwrap_or_default();
        for mode in [0o700, 0o750, 0o755, 0o40700] {
            assert_eq!(fix(mode, [7, 7]), "");
        }
        for mode in [0o770, 0o707, 0o777, 0o40722] {
            assert_eq!(fix(mode, [7, 7]), "chmod go-w data");
        }
        assert_eq!(fix(0o700, [0, 0]), "", "root may do anything anyway");
        for owners in [[8, 7], [7, 8]] {
            assert!(fix(0o700, owners).contains("another user's"));
        }
    }

    #[test]
    fn the_mark_says_who_was_here() {
        let folder = tempfile::tempdir().unwrap();
        let look = || {
            let lock = Lock::take(folder.path()).unwrap();
            (lock.has_manifest(), lock.is_of_earlier_version(), lock.may_be_incomplete(), lock)
        };
        for (text, expected) in [
            ("", (false, false, false)),
            ("a-boot process\n", (false, true, true)),
            ("a-boot power\n", (false, true, false)),
            ("manifest a-boot process\n", (true, false, true)),
            ("manifest a-boot power\n", (true, false, false)),
        ] {
            fs::write(folder.path().join("lock"), text).unwrap();
            let (manifest, earlier, incomplete, _) = look();
            assert_eq!((manifest, earlier, incomplete), expected, "{text}");
        }
        look().3.mark(Durability::Process, true).unwrap();
        let (manifest, earlier, incomplete, lock) = look();
        assert_eq!((manifest, earlier, incomplete), (true, false, false));
        lock.mark(Durability::Power, false).unwrap();
        drop(lock);
        assert_eq!(fs::read_to_string(folder.path().join("lock")).unwrap(), mark(Durability::Power));
    }

    #[test]
    fn a_folder_given_back_is_free_though_a_child_has_its_files_still() {
        let folder = tempfile::tempdir().unwrap();
        let lock = Lock::take(folder.path()).unwrap();
        // What a fork makes: other descriptors of the same open files.
        let inherited = [lock.folder.as_ref().unwrap(), &lock.file].map(|file| file.try_clone().unwrap());
        assert!(matches!(Lock::take(folder.path()), Err(StoreError::InUse)));
        drop(lock);
        Lock::take(folder.path()).unwrap();
        drop(inherited);
    }
}
