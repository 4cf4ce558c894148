//! Threads of their own for what takes long, so that no worker of the broker's does it.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use parking_lot::{Condvar, Mutex};

/// Jobs that wait.
const MAX_WAITING: usize = 1024;

/// Of these, those for one address: who floods from one leaves room for others.
const MAX_OF_ONE: usize = MAX_WAITING / 4;

/// Threads that work through a bounded line of jobs. They end, and what waits is dropped, when this is.
pub(crate) struct Pool(Arc<Shared>);

/// No more may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// Something to do.
pub(crate) type Work = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Shared {
    line: Mutex<Line>,
    changed: Condvar,
}

#[derive(Default)]
struct Line {
    jobs: VecDeque<(IpAddr, Work)>,
    /// How many of them are for whom.
    of: HashMap<IpAddr, usize>,
    is_closed: bool,
}

impl Pool {
    /// Half of the cores are left to others.
    pub(crate) fn start() -> std::io::Result<Self> {
        let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self::with_threads((cores / 2).max(1))
    }

    fn with_threads(threads: usize) -> std::io::Result<Self> {
        let pool = Self(Arc::default());
        for _ in 0..threads {
            let shared = Arc::clone(&pool.0);
            thread::Builder::new().name("auth".to_owned()).spawn(move || shared.work())?;
        }
        Ok(pool)
    }

    /// Without threads.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self(Arc::default())
    }

    /// Does this when it is its turn; a panic of it is its own. What is not taken is handed back.
    pub(crate) fn submit(&self, whose: IpAddr, work: Work) -> Result<(), (Full, Work)> {
        let mut line = self.0.line.lock();
        let of = line.of.get(&whose).copied().unwrap_or_default();
        if line.jobs.len() >= MAX_WAITING || of >= MAX_OF_ONE {
            return Err((Full, work));
        }
        line.of.insert(whose, of + 1);
        line.jobs.push_back((whose, work));
        drop(line);
        self.0.changed.notify_one();
        Ok(())
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut line = self.0.line.lock();
        line.is_closed = true;
        let dropped = std::mem::take(&mut line.jobs);
        drop(line);
        self.0.changed.notify_all();
        drop(dropped);
    }
}

impl Shared {
    fn work(&self) {
        while let Some(work) = self.next() {
            if catch_unwind(AssertUnwindSafe(work)).is_err() {
                tracing::error!("a login could not be checked: it panicked");
            }
        }
    }

    fn next(&self) -> Option<Work> {
        let mut line = self.line.lock();
        loop {
            if line.is_closed {
                return None;
            }
            if let Some((whose, work)) = line.jobs.pop_front() {
                line.done(whose);
                return Some(work);
            }
            self.changed.wait(&mut line);
        }
    }
}

impl Line {
    fn done(&mut self, whose: IpAddr) {
        if let Some(of) = self.of.get_mut(&whose) {
            *of -= 1;
            if *of == 0 {
                self.of.remove(&whose);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn submit(pool: &Pool, last: u8, work: impl FnOnce() + Send + 'static) -> Result<(), Full> {
        pool.submit([192, 0, 2, last].into(), Box::new(work)).map_err(|(full, _)| full)
    }

    #[test]
    fn few_wait_and_fewer_of_one_address() {
        let pool = Pool::with_threads(1).unwrap();
        let (begun, begins) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let hold = move || {
            begun.send(()).unwrap();
            // The end of the test is as good.
            let _ = released.recv();
        };
        submit(&pool, 0, hold).unwrap();
        begins.recv().unwrap();
        for last in 0..4 {
            for _ in 0..MAX_OF_ONE {
                submit(&pool, last, || ()).unwrap();
            }
            assert_eq!(submit(&pool, last, || ()), Err(Full));
        }
        assert_eq!(submit(&pool, 4, || ()), Err(Full), "all of it is taken");
        release.send(()).unwrap();
    }

    #[test]
    fn a_panic_ends_nothing_but_its_job() {
        let pool = Pool::with_threads(1).unwrap();
        submit(&pool, 0, || panic!("no")).unwrap();
        let (done, is_done) = mpsc::channel();
        submit(&pool, 0, move || done.send(()).unwrap()).unwrap();
        is_done.recv().unwrap();
        assert!(pool.0.line.lock().of.is_empty());
    }

    #[test]
    fn what_waits_is_dropped_with_the_pool() {
        let pool = Pool::none();
        let held = Arc::new(());
        let job = Arc::clone(&held);
        submit(&pool, 0, move || drop(job)).unwrap();
        drop(pool);
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
