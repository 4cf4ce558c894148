//! A file of the log: its name, its head, and frames read one after the other.

use std::fs::{self, File, OpenOptions};
use std::hash::BuildHasher;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::frame::{self, Head, Salt};
use crate::StoreError;

/// What a segment begins with: magic, version, the salt, and a checksum of all that.
pub(super) const HEAD: usize = 28;

const MAGIC: [u8; 12] = *b"rollcall log";
const VERSION: u32 = 1;

/// Bytes that are read at once.
const READ: usize = 256 << 10;

pub(super) fn path(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("{number:016}.log"))
}

/// How files of the folder are made: for the owner's eyes only, for messages and digests of passwords are in them.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).mode(0o600);
    options
}

/// The numbers of all segments, lowest first.
pub(super) fn numbers(folder: &Path) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".log"));
        let is_ours = |digits: &&str| digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_digit());
        numbers.extend(number.filter(is_ours).and_then(|digits| digits.parse::<u32>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// A head, and the salt in it, that no other segment is likely to have.
pub(super) fn new_head() -> ([u8; HEAD], Salt) {
    let random = std::hash::RandomState::new().hash_one(MAGIC).to_le_bytes();
    let mut head = [0; HEAD];
    head[..12].copy_from_slice(&MAGIC);
    head[12..16].copy_from_slice(&VERSION.to_le_bytes());
    head[16..24].copy_from_slice(&random);
    let check = crc32fast::hash(&head[..24]);
    head[24..].copy_from_slice(&check.to_le_bytes());
    (head, salt(&head))
}

fn salt(head: &[u8; HEAD]) -> Salt {
    let [.., m0, m1, m2, m3, c0, c1, c2, c3, _, _, _, _] = *head;
    Salt { marker: [m0, m1, m2, m3], check: u32::from_le_bytes([c0, c1, c2, c3]) }
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
    /// `None`: its making was not finished; nothing can have been written into it.
    pub(super) fn open(path: &Path, is_newest: bool) -> Result<Option<Self>, StoreError> {
        let file = File::options().read(true).write(is_newest).open(path).map_err(|error| at_path(path, &error))?;
        let len = file.metadata()?.len();
        let mut head = [0; HEAD];
        let there = usize::try_from(len).unwrap_or(HEAD).min(HEAD);
        file.read_exact_at(&mut head[..there], 0)?;
        let is_zero = head.iter().all(|&byte| byte == 0);
        let magic = there.min(MAGIC.len());
        if head[..magic] != MAGIC[..magic] && !is_zero {
            return Err(StoreError::Foreign(format!("{} is not a segment of its log", path.display())));
        }
        let version = u32::from_le_bytes([head[12], head[13], head[14], head[15]]);
        let is_whole = there == HEAD && crc32fast::hash(&head[..24]).to_le_bytes() == head[24..];
        if is_whole && version != VERSION {
            return Err(StoreError::Schema { found: format!("log {version}"), expected: VERSION });
        }
        match is_whole {
            true => {
                let (salt, at) = (salt(&head), HEAD as u64);
                Ok(Some(Self { file, salt, len, at, body: 0, buffer: Vec::new(), start: 0 }))
            }
            false if is_newest && len <= HEAD as u64 => Ok(None),
            false => Err(StoreError::Damaged { file: path.to_owned(), offset: 0 }),
        }
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

    /// True if a frame begins anywhere behind a bad one.
    pub(super) fn has_more(&mut self) -> io::Result<bool> {
        let mut at = self.at + 1;
        while at + (frame::HEAD as u64) < self.len {
            let marker = self.salt.marker;
            let window = self.bytes(at, READ.min(to_usize(self.len - at)))?;
            let Some(found) = window.windows(marker.len()).position(|bytes| bytes == marker) else {
                at += (window.len() - marker.len() + 1) as u64;
                continue;
            };
            at += found as u64;
            if self.frame(at)?.is_some() {
                return Ok(true);
            }
            at += 1;
        }
        Ok(false)
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
