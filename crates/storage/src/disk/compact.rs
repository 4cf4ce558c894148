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

use std::fs;
use std::io;

use parking_lot::Mutex;

use super::Durability;
use super::frame::{Frame, Placed, Steps};
use super::index::Place;
use super::log::{Log, sync_folder};
use super::segment::{self, Next, Segment, at_path};
use crate::{Step, StoreError};

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
    /// Does some of what is to be done. The log is locked for as long as it takes to append `limits.chunk` bytes.
    ///
    /// After an error it begins with the oldest segment again: what was appended is found not to be there any more.
    pub(super) fn step(&mut self, log: &Mutex<Log>) -> Result<Progress, StoreError> {
        let done = self.try_step(log);
        if done.is_err() {
            self.oldest = None;
        }
        done
    }

    fn try_step(&mut self, log: &Mutex<Log>) -> Result<Progress, StoreError> {
        let (number, live, folder, chunk, durability) = {
            let log = log.lock();
            let Some(oldest) = log.segments.front() else { return Ok(Progress::Idle) };
            // One that was begun with is gone through: to stop halfway would leave two copies of much and free nothing.
            if self.oldest.is_none() && !log.is_compactable() {
                return Ok(Progress::Idle);
            }
            (oldest.number, oldest.live, log.folder.clone(), log.limits.chunk, log.durability)
        };
        let path = segment::path(&folder, number);
        // It stays so: only what is appended is alive, and nothing is appended to this one.
        if live == 0 {
            self.oldest = None;
            // First the file, then its place in the list: the other way round a failure would leave a file that nobody
            // tries to remove again, and when the segment behind it has gone the next start finds a gap.
            match fs::remove_file(&path) {
                // An earlier attempt failed behind this.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed.map_err(|error| at_path(&path, &error))?,
            }
            if durability == Durability::Power {
                // The removals in the next one must not be gone before what they removed.
                sync_folder(&folder)?;
            }
            // With `Process` nothing is waited for, the copies neither: should the system end now, it may have forgotten
            // this file and not yet written them, and they are lost with the last moments, however old they are.
            let mut log = log.lock();
            log.total -= log.segments.pop_front().map_or(0, |oldest| oldest.total);
            return Ok(Progress::Working);
        }
        let oldest = match &mut self.oldest {
            // Still the first in the list, for nobody else takes one out.
            Some(oldest) => oldest,
            closed => {
                let damaged = || StoreError::Damaged { file: path.clone(), offset: 0 };
                let segment = Segment::open(&path, false)?.ok_or_else(damaged)?;
                closed.insert(Oldest { number, segment, at: 0 })
            }
        };
        self.puts.clear();
        self.places.clear();
        oldest.gather(chunk, &mut self.puts, &mut self.places).map_err(|error| match error {
            StoreError::Io(error) => at_path(&path, &error).into(),
            _ => StoreError::Damaged { file: path, offset: oldest.segment.at() },
        })?;
        self.keep(&mut log.lock())?;
        Ok(Progress::Working)
    }

    /// Appends again what the index still points to.
    fn keep(&mut self, log: &mut Log) -> Result<(), StoreError> {
        self.alive.clear();
        for (placed, place) in Steps::new(self.puts.body(), 0).flatten().zip(&self.places) {
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
            let mut steps = Steps::new(self.segment.body(), self.at);
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
    StoreError::Damaged { file: Default::default(), offset: 0 }
}
