//! A file of the log: its name, its head, and frames read one after the other.

use std::fs::{self, File, OpenOptions};
use std::hash::BuildHasher;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::frame::{self, Head, Salt};
use super::manifest::Manifest;
use crate::{Damage, StoreError, Table};

/// What a segment begins with: magic, version, the salt, and a checksum of all that.
pub(super) const HEAD: usize = 28;

const MAGIC: [u8; 12] = *b"rollcall log";
const VERSION: u32 = 1;

/// Bytes that are read at once.
const READ: usize = 256 << 10;

pub(super) fn path(folder: &Path, number: u32) -> PathBuf {
    folder.join(name(number))
}

pub(super) fn name(number: u32) -> String {
    format!("{number:016}.log")
}

/// Of a segment that has gone, until the manifest says so too.
pub(super) fn gone_path(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("{number:016}.gone"))
}

/// How files of the folder are made: for the owner's eyes only, for messages and digests of passwords are in them.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).mode(0o600);
    // Whoever could put a link there would have us write to what it points to.
    options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    options
}

/// The numbers of all segments, lowest first.
pub(super) fn numbers(folder: &Path) -> io::Result<Vec<u32>> {
    numbered(folder, ".log")
}

/// The numbers of those that have gone.
pub(super) fn gone(folder: &Path) -> io::Result<Vec<u32>> {
    numbered(folder, ".gone")
}

/// The numbers of files with names that end like this, lowest first.
pub(super) fn numbered(folder: &Path, suffix: &str) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(suffix));
        let is_ours = |digits: &&str| digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_digit());
        numbers.extend(number.filter(is_ours).and_then(|digits| digits.parse::<u32>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// A head, and the salt in it, that no other segment is likely to have.
pub(super) fn new_head() -> ([u8; HEAD], Salt) {
    let salt = Salt::from_number(std::hash::RandomState::new().hash_one(MAGIC));
    (head_with(salt), salt)
}

pub(super) fn head_with(salt: Salt) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..12].copy_from_slice(&MAGIC);
    head[12..16].copy_from_slice(&VERSION.to_le_bytes());
    head[16..24].copy_from_slice(&salt.to_number().to_le_bytes());
    let check = crc32fast::hash(&head[..24]);
    head[24..].copy_from_slice(&check.to_le_bytes());
    head
}

/// What a file begins with.
pub(super) enum Beginning {
    /// A head of this version.
    Head(Salt),
    /// What may be one that was damaged, or not finished.
    Broken,
    /// Something else.
    Foreign,
}

pub(super) fn beginning(file: &File, len: u64) -> Result<Beginning, StoreError> {
    let mut head = [0; HEAD];
    let there = usize::try_from(len).unwrap_or(HEAD).min(HEAD);
    file.read_exact_at(&mut head[..there], 0)?;
    // As the system leaves it where it had made the file longer and not yet written to it.
    let is_zero = head.iter().all(|&byte| byte == 0);
    // As much of it as there is: its making may have been cut short.
    let magic = there.min(MAGIC.len());
    if head[..magic] != MAGIC[..magic] && !is_zero {
        return Ok(Beginning::Foreign);
    }
    if there < HEAD || crc32fast::hash(&head[..24]).to_le_bytes() != head[24..] {
        return Ok(Beginning::Broken);
    }
    let version = u32::from_le_bytes([head[12], head[13], head[14], head[15]]);
    if version != VERSION {
        return Err(StoreError::Schema { found: format!("log {version}"), expected: VERSION });
    }
    let mut salt = [0; 8];
    salt.copy_from_slice(&head[16..24]);
    Ok(Beginning::Head(Salt::from_number(u64::from_le_bytes(salt))))
}

/// What is at the place of the next frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A frame: [`Segment::body`].
    Frame,
    /// The end of the file.
    End,
    /// No frame.
    Bad,
}

/// A segment that is read from its beginning to its end.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) file: File,
    pub(super) salt: Salt,
    /// Bytes that there are to be read.
    pub(super) len: u64,
    /// Where the current frame begins, or the next.
    at: u64,
    /// Bytes of the current frame's body; 0: there is none.
    body: usize,
    buffer: Vec<u8>,
    /// Offset of the buffer in the file.
    start: u64,
}

impl Segment {
    /// `None`: its making was not finished; nothing can have been written into it, nor does the manifest name it.
    pub(super) fn open(
        folder: &Path,
        number: u32,
        is_newest: bool,
        manifest: Option<&Manifest>,
    ) -> Result<Option<Self>, StoreError> {
        let path = path(folder, number);
        let file = File::options().read(true).write(is_newest).open(&path).map_err(|error| at_path(&path, &error))?;
        let len = file.metadata()?.len();
        let listed = manifest.and_then(|manifest| manifest.entry(number));
        let is = |what| StoreError::Damaged { file: path.clone(), offset: 0, what };
        match beginning(&file, len)? {
            Beginning::Head(salt) if listed.is_some_and(|listed| listed.salt != salt) => {
                let other = manifest.and_then(|manifest| manifest.entries.iter().find(|entry| entry.salt == salt));
                Err(is(other.map_or(Damage::Strange, |other| Damage::Exchanged(name(other.number)))))
            }
            Beginning::Head(salt) => Ok(Some(Self::with_salt(file, len, salt))),
            _ if listed.is_some() => Err(is(Damage::Head)),
            Beginning::Foreign => Err(StoreError::Foreign(format!("{} is not a segment of its log", path.display()))),
            Beginning::Broken if is_newest && len <= HEAD as u64 => Ok(None),
            Beginning::Broken => Err(is(Damage::Head)),
        }
    }

    /// Whatever its head says.
    pub(super) const fn with_salt(file: File, len: u64, salt: Salt) -> Self {
        Self { file, salt, len, at: HEAD as u64, body: 0, buffer: Vec::new(), start: 0 }
    }

    /// Where the current frame begins, or what is there instead of one.
    pub(super) const fn at(&self) -> u64 {
        self.at
    }

    /// Where the current frame's body begins.
    pub(super) const fn body_at(&self) -> u64 {
        self.at + frame::HEAD as u64
    }

    /// Of the current frame; empty if there is none.
    pub(super) fn body(&self) -> &[u8] {
        let from = (self.body_at().saturating_sub(self.start)) as usize;
        self.buffer.get(from..).and_then(|rest| rest.get(..self.body)).unwrap_or_default()
    }

    /// Goes to the next frame.
    pub(super) fn next(&mut self) -> io::Result<Next> {
        if self.body > 0 {
            self.at = self.body_at() + self.body as u64;
            self.body = 0;
        }
        if self.at >= self.len {
            return Ok(Next::End);
        }
        let Some(len) = self.frame(self.at)? else { return Ok(Next::Bad) };
        self.body = len;
        Ok(Next::Frame)
    }

    /// Where the next frame begins behind a bad one, if one does.
    pub(super) fn find_next(&mut self) -> io::Result<Option<u64>> {
        let mut at = self.at + 1;
        while at + (frame::HEAD as u64) < self.len {
            let marker = self.salt.marker;
            let window = self.bytes(at, READ.min(to_usize(self.len - at)))?;
            let Some(found) = window.windows(marker.len()).position(|bytes| bytes == marker) else {
                // A marker may begin in this window's last bytes.
                at += (window.len() - marker.len() + 1) as u64;
                continue;
            };
            at += found as u64;
            // The marker alone may be anything; with the checksum it is a frame.
            if self.frame(at)?.is_some() {
                return Ok(Some(at));
            }
            at += 1;
        }
        Ok(None)
    }

    /// Goes on there.
    pub(super) const fn skip_to(&mut self, at: u64) {
        (self.at, self.body) = (at, 0);
    }

    /// The table of the first step of what is not a frame any more, as far as that can be told.
    pub(super) fn table(&mut self) -> io::Result<Option<&'static str>> {
        const LEN: usize = frame::HEAD + 1;
        if self.len - self.at < LEN as u64 {
            return Ok(None);
        }
        let marker = self.salt.marker;
        let bytes = self.bytes(self.at, LEN)?;
        let first = bytes.starts_with(&marker).then(|| bytes.last().copied()).flatten();
        Ok(first.and_then(frame::table_of).map(Table::name))
    }

    /// That what is here is not a frame, as an error.
    pub(super) fn damaged(&mut self, path: &Path) -> Result<StoreError, io::Error> {
        let table = self.table().map_err(|error| at_path(path, &error))?;
        Ok(StoreError::Damaged { file: path.to_owned(), offset: self.at, what: Damage::Frame { table } })
    }

    /// Length of the body of the frame that begins at `at`.
    fn frame(&mut self, at: u64) -> io::Result<Option<usize>> {
        let left = self.len - at;
        if left < frame::HEAD as u64 {
            return Ok(None);
        }
        let salt = self.salt;
        let mut head = [0; frame::HEAD];
        head.copy_from_slice(self.bytes(at, frame::HEAD)?);
        let Some(head) = Head::read(head, salt) else { return Ok(None) };
        // Before as much is read: a damaged length may say 4 GiB.
        if left - (frame::HEAD as u64) < u64::from(head.len) {
            return Ok(None);
        }
        let len = head.len as usize;
        let bytes = self.bytes(at, frame::HEAD + len)?;
        Ok(head.is_of(&bytes[frame::HEAD..], salt).then_some(len))
    }

    /// `len` bytes that are in the file, from `at` on.
    fn bytes(&mut self, at: u64, len: usize) -> io::Result<&[u8]> {
        let end = at + len as u64;
        if at < self.start || end > self.start + self.buffer.len() as u64 {
            let read = to_usize(self.len - at).min(len.max(READ));
            self.start = at;
            self.buffer.clear();
            self.buffer.resize(read, 0);
            if let Err(error) = self.file.read_exact_at(&mut self.buffer, at) {
                // What it has may be half of one and half of another place.
                self.buffer.clear();
                return Err(error);
            }
        }
        let from = (at - self.start) as usize;
        Ok(&self.buffer[from..from + len])
    }
}

fn to_usize(len: u64) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
}

/// The error with the path it is about.
pub(super) fn at_path(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
