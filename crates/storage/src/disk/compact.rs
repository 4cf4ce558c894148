//! What is alive in the oldest segment is appended again, then the segment is removed.
//!
//! Nothing is older than the oldest segment, so its removals have nothing left to remove and need not be kept. What
//! is appended says what the store says already: it is as true if the process dies right behind it.
//!
//! # Beside the writers
//!
//! The segment is read without a lock. It may be, because it is not the newest one, so its bytes change no more, and only
//! this thread removes segments. What is alive in it gets less and never more. Whether a put that was read is still
//! alive is found out under the log's lock, and under the same hold of it the put is appended: in between a writer could
//! remove the record, and the copy behind that would bring it back.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use parking_lot::Mutex;

use super::Durability;
use super::frame::{Frame, Placed, ReadSteps};
use super::index::Place;
use super::log::{Log, sync_folder};
use super::manifest;
use super::segment::{self, Next, Segment, at_path};
use crate::{Damage, Step, StoreError};

#[derive(Debug, Default)]
pub(super) struct Compactor {
    oldest: Option<Oldest>,
    /// Puts that may be alive, and where they are.
    puts: Frame,
    places: Vec<Place>,
    /// Those that are.
    alive: Frame,
}

#[derive(Debug)]
struct Oldest {
    number: u32,
    segment: Segment,
    /// How far into the body of the current frame.
    at: usize,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// There is nothing to do.
    Idle,
    /// Something is done, and there may be more.
    Working,
}

impl Compactor {
    /// Does some of what is to be done. The log is locked for as long as it takes to append `tuning.chunk` bytes.
    ///
    /// After an error it begins with the oldest segment again: what was appended is found not to be there any more.
    pub(super) fn step(&mut self, log: &Mutex<Log>) -> Result<Progress, StoreError> {
        // If this fails the rest is done all the same: on a full disk it is what makes room.
        let noted = manifest::bring_up_to_date(log);
        let done = self.try_step(log);
        if done.is_err() {
            self.oldest = None;
        }
        match done? {
            Progress::Working => Ok(Progress::Working),
            Progress::Idle => Ok(if noted? { Progress::Working } else { Progress::Idle }),
        }
    }

    fn try_step(&mut self, log: &Mutex<Log>) -> Result<Progress, StoreError> {
        let (number, live, folder, chunk) = {
            let log = log.lock();
            let Some(oldest) = log.segments.front() else { return Ok(Progress::Idle) };
            // One that was begun with is gone through: to stop halfway would leave two copies of much and free nothing.
            if self.oldest.is_none() && !log.is_compactable() {
                return Ok(Progress::Idle);
            }
            (oldest.number, oldest.live, log.folder.clone(), log.tuning.chunk)
        };
        let path = segment::path(&folder, number);
        // It stays so: only what is appended is alive, and nothing is appended to this one.
        if live == 0 {
            self.oldest = None;
            release(log, number)?;
            return Ok(Progress::Working);
        }
        let oldest = match &mut self.oldest {
            // Still the first in the list, for nobody else takes one out.
            Some(oldest) => oldest,
            closed => {
                let damaged = || StoreError::Damaged { file: path.clone(), offset: 0, what: Damage::Head };
                let segment = Segment::open(&folder, number, false, None)?.ok_or_else(damaged)?;
                closed.insert(Oldest { number, segment, at: 0 })
            }
        };
        self.puts.clear();
        self.places.clear();
        oldest.gather(chunk, &mut self.puts, &mut self.places).map_err(|error| match error {
            StoreError::Io(error) => at_path(&path, &error).into(),
            _ => StoreError::Damaged { file: path, offset: oldest.segment.at(), what: Damage::Frame { table: None } },
        })?;
        self.keep(&mut log.lock())?;
        Ok(Progress::Working)
    }

    /// Appends again what the index still points to.
    fn keep(&mut self, log: &mut Log) -> Result<(), StoreError> {
        self.alive.clear();
        for (placed, place) in ReadSteps::new(self.puts.body(), 0).flatten().zip(&self.places) {
            if let Step::Put(table, key, _) = placed.step
                // No two puts have the same place, so one that has been replaced by its like is told apart.
                && log.table(table).get(key).as_ref() == Some(place)
            {
                self.alive.push(placed.step);
            }
        }
        if self.alive.size() == 0 {
            return Ok(());
        }
        self.alive.check()?;
        log.append(&mut self.alive)
    }
}

/// Lets the oldest segment go, of which nothing is alive.
fn release(log: &Mutex<Log>, number: u32) -> Result<(), StoreError> {
    let (folder, durability) = {
        let log = log.lock();
        (log.folder.clone(), log.durability)
    };
    if durability == Durability::Process {
        sync_all(log, &folder)?;
    }
    let (path, gone) = (segment::path(&folder, number), segment::gone_path(&folder, number));
    // First the file, then its place in the list: the other way round a failure would leave a file that nobody tries to
    // take away again, and when the segment behind it has gone the next start finds a gap.
    match fs::rename(&path, &gone) {
        // An earlier attempt failed behind this.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        renamed => renamed.map_err(|error| at_path(&path, &error))?,
    }
    // The removals in the next one must not be gone before what they removed.
    sync_folder(&folder)?;
    let mut log = log.lock();
    log.total -= log.segments.pop_front().map_or(0, |oldest| oldest.total);
    log.is_manifest_due = true;
    drop(log);
    // The room is there at once, should the disk be too full for a new manifest. If this fails it is there later.
    let _ = File::options().write(true).open(&gone).and_then(|file| file.set_len(0));
    Ok(())
}

/// What is to go may have been on the disk for long; what was copied from it, or came instead of it, is not yet, when
/// nothing is waited for. So it is waited for here, off the way of any write: what survives a loss of power, survives it
/// after this too.
fn sync_all(log: &Mutex<Log>, folder: &Path) -> Result<(), StoreError> {
    let (rest, newest, sync) = {
        let log = log.lock();
        let rest = log.segments.iter().skip(1).filter(|count| !count.is_synced).map(|count| count.number);
        (rest.collect::<Vec<_>>(), log.segments.back().map_or(0, |newest| newest.number), log.tuning.sync)
    };
    for number in rest {
        let path = segment::path(folder, number);
        File::open(&path).and_then(|file| sync(&file)).map_err(|error| at_path(&path, &error))?;
        // More may come into the newest.
        if number != newest
            && let Some(count) = log.lock().segments.iter_mut().find(|count| count.number == number)
        {
            count.is_synced = true;
        }
    }
    // The names of new ones.
    Ok(sync_folder(folder)?)
}

impl Oldest {
    /// Takes the next puts, some `limit` bytes of them.
    fn gather(&mut self, limit: usize, puts: &mut Frame, places: &mut Vec<Place>) -> Result<(), StoreError> {
        while puts.size() < limit {
            if self.at >= self.segment.body().len() {
                self.at = 0;
                match self.segment.next()? {
                    Next::Frame => {}
                    // When this step began something in the segment was alive, and nothing that earlier steps read was: they
                    // appended it elsewhere. So a put had to follow, whatever became of its record since.
                    Next::End if puts.size() == 0 => return Err(unreadable()),
                    Next::End => return Ok(()),
                    Next::Bad => return Err(unreadable()),
                }
            }
            let mut steps = ReadSteps::new(self.segment.body(), self.at);
            while puts.size() < limit
                && let Some(placed) = steps.next()
            {
                let Placed { step, value_at } = placed.map_err(|_| unreadable())?;
                if let Step::Put(_, _, value) = step {
                    let offset = self.segment.body_at() as u32 + value_at;
                    places.push(Place { segment: self.number, offset, len: value.len() as u32 });
                    puts.push(step);
                }
            }
            self.at = steps.at();
        }
        Ok(())
    }
}

/// The file and the place are filled in by who knows them.
fn unreadable() -> StoreError {
    StoreError::Damaged { file: Default::default(), offset: 0, what: Damage::Frame { table: None } }
}
