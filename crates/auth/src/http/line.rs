//! How many ask the service at a time, and how many wait for that.

use std::collections::HashMap;
use std::net::IpAddr;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Who waits or asks.
const MAX_PLACES: usize = 1024;

/// Of these, those of one address: who floods from one leaves room for others.
const MAX_OF_ONE: usize = MAX_PLACES / 4;

/// A bounded line before a bounded number.
pub(super) struct Line {
    places: Mutex<HashMap<IpAddr, usize>>,
    turns: Semaphore,
}

/// No more may wait.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

/// A place in the line, for as long as it is kept.
pub(super) struct Place<'a> {
    line: &'a Line,
    whose: IpAddr,
}

impl Line {
    pub(super) fn new(at_a_time: usize) -> Self {
        Self { places: Mutex::default(), turns: Semaphore::new(at_a_time) }
    }

    pub(super) fn enter(&self, whose: IpAddr) -> Result<Place<'_>, Full> {
        let mut places = self.places.lock();
        let of_one = places.get(&whose).copied().unwrap_or_default();
        // There are no more addresses than places.
        if of_one >= MAX_OF_ONE || places.values().sum::<usize>() >= MAX_PLACES {
            return Err(Full);
        }
        places.insert(whose, of_one + 1);
        Ok(Place { line: self, whose })
    }

    pub(super) fn len(&self) -> usize {
        self.places.lock().values().sum()
    }
}

impl Place<'_> {
    /// Whose turn it is has one until this is dropped.
    pub(super) async fn turn(&self) -> SemaphorePermit<'_> {
        self.line.turns.acquire().await.expect("it is never closed")
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut places = self.line.places.lock();
        if let Some(of_one) = places.get_mut(&self.whose) {
            *of_one -= 1;
            if *of_one == 0 {
                places.remove(&self.whose);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_wait_and_fewer_of_one_address() {
        let line = Line::new(1);
        let mut places = Vec::new();
        for last in 0..4 {
            let whose = IpAddr::from([192, 0, 2, last]);
            places.extend((0..MAX_OF_ONE).map(|_| line.enter(whose).unwrap()));
            assert_eq!(line.enter(whose).err(), Some(Full));
        }
        assert_eq!(line.enter([192, 0, 2, 9].into()).err(), Some(Full), "all of it is taken");
        places.truncate(MAX_OF_ONE);
        assert!(line.enter([192, 0, 2, 9].into()).is_ok());
        assert_eq!((places.len(), line.len()), (MAX_OF_ONE, MAX_OF_ONE));
    }
}
