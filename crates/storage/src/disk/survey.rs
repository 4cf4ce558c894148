//! A folder is looked at as a whole, and nothing in it is changed: what is whole, and what isn't.
//!
//! A start ends with the first thing that is wrong. Here all is found: a segment by its salt, whatever it is called now,
//! and frames behind a damaged one by the marker and the checksum that both need the salt.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use super::frame::{self, ReadSteps, Salt};
use super::lock::Lock;
use super::log::Log;
use super::manifest::{self, Manifest, Stated};
use super::segment::{self, Beginning, HEAD, Next, Segment, at_path};
use super::{Durability, Tuning};
use crate::{Damage, Loaded, Steps, Store, StoreError, Table, Unreadable, Visit};

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// In which file of the folder.
    pub file: String,
    /// Where.
    pub offset: u64,
    /// How much can't be read there.
    pub bytes: u64,
    /// In what way.
    pub what: Damage,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}: {}", self.file, self.offset, self.what)?;
        if self.bytes > 0 { write!(f, " ({} bytes)", self.bytes) } else { Ok(()) }
    }
}

/// What is in the folder of a store that no broker uses; nobody else can use it meanwhile.
#[derive(Debug)]
pub struct Survey {
    pub(super) folder: PathBuf,
    pub(super) lock: Lock,
    /// In the order in which they were written, those that are missing included.
    pub(super) segments: Vec<Found>,
    /// Files in the place of a segment, which are none.
    pub(super) strangers: Vec<PathBuf>,
    findings: Vec<Finding>,
    records: u64,
    unreadable: Vec<Unreadable>,
}

/// A segment, or the place of one.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) number: u32,
    /// Where it is now; `None`: nowhere.
    pub(super) path: Option<PathBuf>,
    pub(super) salt: Salt,
    pub(super) len: u64,
    has_head: bool,
    /// Where whole frames are, without those that follow each other apart.
    pub(super) whole: Vec<Range<u64>>,
    pub(super) frames: u64,
    /// Bytes of a write that was not finished, behind all that.
    torn: u64,
}

/// A file that may be a segment.
struct Candidate {
    number: u32,
    path: PathBuf,
    len: u64,
    salt: Option<Salt>,
}

impl Found {
    fn missing(number: u32, salt: Salt) -> Self {
        Self { number, path: None, salt, len: 0, has_head: false, whole: Vec::new(), frames: 0, torn: 0 }
    }

    /// Its contents are as they were written.
    pub(super) fn is_whole(&self) -> bool {
        let end = self.len - self.torn;
        let is_all = match &self.whole[..] {
            [] => end == HEAD as u64,
            [all] => *all == (HEAD as u64..end),
            _ => false,
        };
        self.path.is_some() && self.has_head && is_all
    }

    /// Bytes that a file with all that is whole has.
    pub(super) fn whole_len(&self) -> u64 {
        HEAD as u64 + self.whole.iter().map(|range| range.end - range.start).sum::<u64>()
    }
}

impl Survey {
    /// Looks at a folder.
    ///
    /// # Errors
    /// There is none, a process has it open ([`StoreError::InUse`]), or what is in it is of another version
    /// ([`StoreError::Schema`], [`StoreError::Later`]).
    pub fn of(folder: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let folder = folder.into();
        // Else the lock would leave a file in whatever folder it is.
        if !is_store(&folder).map_err(|error| at_path(&folder, &error))? {
            return Err(StoreError::Foreign("there is none in this folder".to_owned()));
        }
        let lock = Lock::take(&folder)?;
        let mut survey = Self {
            folder,
            lock,
            segments: Vec::new(),
            strangers: Vec::new(),
            findings: Vec::new(),
            records: 0,
            unreadable: Vec::new(),
        };
        let manifest = survey.manifest()?;
        survey.find_segments(manifest.as_ref())?;
        // Of a damaged log it could not be said which records are missing and which were never there.
        if survey.findings.is_empty() {
            survey.read_records()?;
        }
        Ok(survey)
    }

    /// True if a broker can start with it and has all that was written.
    pub const fn is_whole(&self) -> bool {
        self.findings.is_empty() && self.unreadable.is_empty()
    }

    /// What is wrong with the files.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Records that are as they were written and can't be read all the same; not looked for while files are damaged.
    pub fn unreadable(&self) -> &[Unreadable] {
        &self.unreadable
    }

    /// Records there are; 0 while files are damaged.
    pub const fn records(&self) -> u64 {
        self.records
    }

    /// Segments that were found.
    pub fn segments(&self) -> usize {
        self.segments.iter().filter(|found| found.path.is_some()).count()
    }

    /// Bytes of the segments that can be read.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().filter(|found| found.path.is_some()).map(Found::whole_len).sum()
    }

    fn manifest(&mut self) -> Result<Option<Manifest>, StoreError> {
        if self.lock.is_of_earlier_version() {
            return Ok(None);
        }
        let what = match Manifest::read(&self.folder) {
            Ok(None) if self.lock.has_manifest() => Damage::Missing,
            Err(StoreError::Damaged { what, .. }) => what,
            read => return read,
        };
        let path = manifest::path(&self.folder);
        self.note(&path, 0, 0, what);
        Ok(None)
    }

    fn find_segments(&mut self, manifest: Option<&Manifest>) -> Result<(), StoreError> {
        let mut candidates = self.candidates()?;
        let newest = manifest.map(Manifest::newest);
        for entry in manifest.iter().flat_map(|manifest| &manifest.entries) {
            match take(&mut candidates, entry) {
                Some(candidate) => self.add_named(entry, candidate, Some(entry.number) == newest)?,
                // The oldest may have gone since the manifest was written.
                None if self.segments.is_empty() && segment::gone_path(&self.folder, entry.number).exists() => {}
                None => {
                    self.note(&segment::path(&self.folder, entry.number), 0, entry.total, Damage::Missing);
                    self.segments.push(Found::missing(entry.number, entry.salt));
                }
            }
        }
        let oldest = manifest.and_then(|manifest| manifest.entries.first()).map_or(0, |entry| entry.number);
        for candidate in candidates {
            let last = self.segments.last().map(|found| found.number).max(newest);
            if candidate.number < oldest {
                // It has gone long since.
            } else if last.is_some_and(|last| candidate.number <= last || candidate.number - last > MOST_MISSING) {
                self.note(&candidate.path, 0, candidate.len, Damage::Strange);
                self.strangers.push(candidate.path);
            } else {
                self.add_newer(candidate)?;
            }
        }
        self.note_torn_in_the_midst();
        Ok(())
    }

    /// By number, and of the same those in their place first.
    fn candidates(&self) -> Result<Vec<Candidate>, StoreError> {
        let mut candidates = Vec::new();
        for suffix in [".log", MOVED] {
            for number in segment::numbered(&self.folder, suffix).map_err(|error| at_path(&self.folder, &error))? {
                let path = self.folder.join(format!("{number:016}{suffix}"));
                let file = File::open(&path).map_err(|error| at_path(&path, &error))?;
                let len = file.metadata()?.len();
                let salt = match segment::beginning(&file, len)? {
                    Beginning::Head(salt) => Some(salt),
                    Beginning::Broken | Beginning::Foreign => None,
                };
                candidates.push(Candidate { number, path, len, salt });
            }
        }
        candidates.sort_by_key(|candidate| candidate.number);
        Ok(candidates)
    }

    /// One that the manifest names.
    fn add_named(&mut self, entry: &Stated, candidate: Candidate, is_newest: bool) -> Result<(), StoreError> {
        let Candidate { path, len, salt, .. } = candidate;
        if path != segment::path(&self.folder, entry.number) {
            self.note(&path, 0, 0, Damage::Exchanged(segment::name(entry.number)));
        }
        if salt.is_none() {
            self.note(&path, 0, HEAD as u64, Damage::Head);
        }
        let mut found = self.scan(entry.number, path.clone(), entry.salt, salt.is_some())?;
        let written = len - found.torn;
        if written < entry.total {
            // Not what was never finished: it is known to have been there.
            let torn = std::mem::take(&mut found.torn);
            match len < entry.total {
                true => self.note(&path, written, 0, Damage::Short(entry.total - written)),
                false => self.note(&path, written, torn, Damage::Frame { table: None }),
            }
        } else if written > entry.total && !is_newest {
            self.note(&path, entry.total, 0, Damage::Long(written - entry.total));
        }
        self.segments.push(found);
        Ok(())
    }

    /// One that was begun after the manifest was written, or of a folder without one.
    fn add_newer(&mut self, candidate: Candidate) -> Result<(), StoreError> {
        let Candidate { number, path, len, salt } = candidate;
        let next = self.segments.last().map_or(number, |found| found.number + 1);
        for missing in next..number {
            self.note(&segment::path(&self.folder, missing), 0, 0, Damage::Missing);
            self.segments.push(Found::missing(missing, segment::new_head().1));
        }
        let has_head = salt.is_some();
        if !has_head && len <= HEAD as u64 {
            // Its making was not finished; if it is not the newest, something is missing in it.
            self.segments.push(Found {
                path: Some(path),
                len,
                torn: len,
                ..Found::missing(number, segment::new_head().1)
            });
            return Ok(());
        }
        if !has_head {
            self.note(&path, 0, HEAD as u64, Damage::Head);
        }
        let salt = match salt {
            Some(salt) => salt,
            None => guess(&path, len)?.unwrap_or(segment::new_head().1),
        };
        let found = self.scan(number, path, salt, has_head)?;
        self.segments.push(found);
        Ok(())
    }

    fn scan(&mut self, number: u32, path: PathBuf, salt: Salt, has_head: bool) -> Result<Found, StoreError> {
        let file = File::open(&path).map_err(|error| at_path(&path, &error))?;
        let len = file.metadata()?.len();
        let mut segment = Segment::with_salt(file, len, salt);
        let mut found = Found { path: Some(path.clone()), len, has_head, ..Found::missing(number, salt) };
        loop {
            match segment.next().map_err(|error| at_path(&path, &error))? {
                Next::End => break,
                Next::Frame => {
                    if ReadSteps::new(segment.body(), 0).any(|step| step.is_err()) {
                        return Err(StoreError::Later { file: path, offset: segment.at() });
                    }
                    let end = segment.body_at() + segment.body().len() as u64;
                    match found.whole.last_mut() {
                        Some(last) if last.end == segment.at() => last.end = end,
                        _ => found.whole.push(segment.at()..end),
                    }
                    found.frames += 1;
                }
                Next::Bad => {
                    let at = segment.at();
                    let Some(next) = segment.find_next().map_err(|error| at_path(&path, &error))? else {
                        found.torn = len - at;
                        break;
                    };
                    let table = segment.table()?;
                    self.note(&path, at, next - at, Damage::Frame { table });
                    segment.skip_to(next);
                }
            }
        }
        Ok(found)
    }

    /// A write that was not finished can only be at the end of the newest one.
    fn note_torn_in_the_midst(&mut self) {
        let Some((_, older)) = self.segments.split_last_mut() else { return };
        let mut torn = Vec::new();
        for found in older {
            if let (Some(path), bytes @ 1..) = (&found.path, std::mem::take(&mut found.torn)) {
                torn.push((path.clone(), found.len - bytes, bytes));
            }
        }
        for (path, offset, bytes) in torn {
            self.note(&path, offset, bytes, Damage::Frame { table: None });
        }
    }

    fn note(&mut self, path: &Path, offset: u64, bytes: u64, what: Damage) {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.findings.push(Finding { file, offset, bytes, what });
    }

    fn read_records(&mut self) -> Result<(), StoreError> {
        let Some(newest) = self.segments.last() else { return Ok(()) };
        let file = File::open(segment::path(&self.folder, newest.number))?;
        let mut log = Log::new(self.folder.clone(), Durability::Process, Tuning::default(), file, newest.salt);
        for found in &self.segments {
            let path = segment::path(&self.folder, found.number);
            let file = File::open(&path).map_err(|error| at_path(&path, &error))?;
            log.replay(found.number, &mut Segment::with_salt(file, found.len, found.salt))?;
        }
        self.records = log.len() as u64;
        self.unreadable = match Loaded::read(&Frozen(Mutex::new(log))) {
            Ok(loaded) => loaded.unreadable,
            // A new one, or one that the next start brings to this version's schema.
            Err(StoreError::Closed) => Vec::new(),
            Err(error) => return Err(error),
        };
        Ok(())
    }
}

fn is_store(folder: &Path) -> io::Result<bool> {
    let has = |path: PathBuf| fs::symlink_metadata(path).is_ok();
    let numbers = [segment::numbers(folder)?, segment::numbered(folder, MOVED)?];
    Ok(!numbers.concat().is_empty() || has(folder.join("lock")) || has(manifest::path(folder)))
}

/// A file whose number is further from the others than this is not a segment behind so many that are missing.
const MOST_MISSING: u32 = 10_000;

/// Of a segment on its way to its place.
pub(super) const MOVED: &str = ".moved";

/// The file of a segment that the manifest names: by its salt if it has one, and that in its place rather than another.
fn take(candidates: &mut Vec<Candidate>, entry: &Stated) -> Option<Candidate> {
    let is_named = |candidate: &Candidate| candidate.number == entry.number;
    let is_same = |candidate: &Candidate| candidate.salt == Some(entry.salt);
    let at = candidates
        .iter()
        .position(|candidate| is_same(candidate) && is_named(candidate))
        .or_else(|| candidates.iter().position(is_same))
        .or_else(|| candidates.iter().position(|candidate| candidate.salt.is_none() && is_named(candidate)))?;
    Some(candidates.remove(at))
}

/// The salt of a segment whose head is damaged, if its first frame is whole.
fn guess(path: &Path, len: u64) -> Result<Option<Salt>, StoreError> {
    let file = File::open(path).map_err(|error| at_path(path, &error))?;
    let mut head = [0; frame::HEAD];
    let body_at = (HEAD + frame::HEAD) as u64;
    if len < body_at {
        return Ok(None);
    }
    file.read_exact_at(&mut head, HEAD as u64)?;
    let body_len = frame::body_len(head);
    if body_len == 0 || len - body_at < u64::from(body_len) {
        return Ok(None);
    }
    let mut body = vec![0; body_len as usize];
    file.read_exact_at(&mut body, body_at)?;
    let is_body = ReadSteps::new(&body, 0).all(|step| step.is_ok());
    Ok(is_body.then(|| Salt::of_frame(head, &body)))
}

/// Records that are not changed.
struct Frozen(Mutex<Log>);

impl Store for Frozen {
    fn write(&self, _: &Steps) -> Result<(), StoreError> {
        Err(StoreError::Closed)
    }

    fn read(&self, table: Table, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        self.0.lock().read(table, visit)
    }
}
