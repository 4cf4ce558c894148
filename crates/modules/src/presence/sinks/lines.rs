//! Files of lines, of which there are so many at the most and each has so many bytes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// What is looked at of a file's end to find the last whole line: more than a batch has.
const TAIL: u64 = 4 << 20;

/// A file to which lines are added. When it has as much as it may have it becomes `NAME.1`, what was that `NAME.2`, and so on.
pub(super) struct LineFile {
    pub(super) path: PathBuf,
    /// Bytes; a file has more only where one batch has.
    pub(super) max_bytes: u64,
    /// With the one that is written to.
    pub(super) max_files: u32,
}

impl LineFile {
    /// Adds whole lines; when this returns they are on the disk. After an error they are not there, as far as that could be seen to.
    pub(super) fn add(&self, lines: &[u8]) -> io::Result<()> {
        let folder = self.folder();
        fs::create_dir_all(folder)?;
        let (mut file, mut len) = self.open()?;
        if len > 0 && len + lines.len() as u64 > self.max_bytes {
            drop(file);
            self.rotate()?;
            (file, len) = self.open()?;
        }
        let written = file.write_all(lines).and_then(|()| file.sync_data());
        if let Err(error) = written {
            // Else half a line stays, before which the next ones would be put. What can't be taken back now is when it is opened.
            let _ = file.set_len(len);
            return Err(error);
        }
        if len == 0 {
            sync_folder(folder)?;
        }
        Ok(())
    }

    fn folder(&self) -> &Path {
        self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    /// The file, without half a line at its end, and how much it has.
    fn open(&self) -> io::Result<(File, u64)> {
        let mut options = OpenOptions::new();
        options.create(true).append(true).read(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            // It tells who comes from where: for its owner only.
            options.mode(0o600);
        }
        let mut file = options.open(&self.path)?;
        let about = file.metadata()?;
        if !about.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file"));
        }
        let len = about.len();
        // A process that died while it wrote has not moved the cursor: what is cut off is written again.
        let start = len.saturating_sub(TAIL);
        let mut tail = Vec::new();
        file.seek(SeekFrom::Start(len.saturating_sub(1)))?;
        file.read_to_end(&mut tail)?;
        if tail.last().is_none_or(|last| *last == b'\n') {
            return Ok((file, len));
        }
        tail.clear();
        file.seek(SeekFrom::Start(start))?;
        file.read_to_end(&mut tail)?;
        let whole = match tail.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => start + end as u64 + 1,
            None if start == 0 => 0,
            None => return Err(io::Error::new(io::ErrorKind::InvalidData, "it has no lines")),
        };
        file.set_len(whole)?;
        Ok((file, whole))
    }

    /// The oldest goes, the others are called by the next number. Whenever a process dies in between, none is written over that
    /// is not the oldest.
    fn rotate(&self) -> io::Result<()> {
        let oldest = self.max_files.saturating_sub(1);
        if oldest == 0 {
            return fs::remove_file(&self.path);
        }
        for number in (1..oldest).rev() {
            rename(&self.numbered(number), &self.numbered(number + 1))?;
        }
        rename(&self.path, &self.numbered(1))?;
        sync_folder(self.folder())
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }
}

/// If it is there.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// So that a file that is new or has another name is found after a loss of power.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line_file(folder: &tempfile::TempDir, max_files: u32) -> LineFile {
        LineFile { path: folder.path().join("deep/events.jsonl"), max_bytes: 10, max_files }
    }

    fn read(file: &LineFile, number: u32) -> Option<String> {
        let path = if number == 0 { file.path.clone() } else { file.numbered(number) };
        fs::read_to_string(path).ok()
    }

    #[test]
    fn files_are_rotated_and_the_oldest_goes() {
        for max_files in [1, 2, 4] {
            let folder = tempfile::tempdir().unwrap();
            let file = line_file(&folder, max_files);
            for number in 10..30 {
                file.add(format!("{number}\n").as_bytes()).unwrap();
            }
            // Three of three bytes each have room.
            let mut expected = vec![Some("28\n29\n".to_owned())];
            expected.extend(
                [Some("25\n26\n27\n"), Some("22\n23\n24\n"), Some("19\n20\n21\n")].map(|text| text.map(str::to_owned)),
            );
            expected.truncate(max_files as usize);
            expected.push(None);
            let found: Vec<_> = (0..=max_files).map(|number| read(&file, number)).collect();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn half_a_line_goes() {
        let folder = tempfile::tempdir().unwrap();
        let file = line_file(&folder, 2);
        for (before, after) in [("{\"a", "1\n"), ("1\n{\"a", "1\n1\n"), ("1\n", "1\n1\n"), ("", "1\n")] {
            fs::create_dir_all(file.folder()).unwrap();
            fs::write(&file.path, before).unwrap();
            file.add(b"1\n").unwrap();
            assert_eq!(read(&file, 0).as_deref(), Some(after), "{before}");
        }
    }

    #[test]
    fn what_is_no_file_is_not_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let file = line_file(&folder, 2);
        fs::create_dir_all(&file.path).unwrap();
        assert!(file.add(b"1\n").is_err());
    }
}
