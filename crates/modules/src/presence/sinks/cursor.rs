//! How far a sink is, and what it has missed.

use crate::presence::history::Numbers;

/// Processes of which it is remembered which numbers they gave. Of two that are one to this a gap may be told where
/// there was none.
const MAX_GIVEN: usize = 64;

/// Where a sink is in the history.
///
/// Numbers grow by one within a process and leap from one process to the next. So that a leap is not taken for a gap, it is
/// remembered which numbers were given since; what is among these and not in the history any more is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    /// The sink has all up to this number.
    at: u64,
    /// Numbers that the last process gave began here.
    first: u64,
    /// What earlier ones gave and the sink has not, in order.
    given: Vec<Span>,
}

/// Numbers, both ends among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: u64,
    pub(super) to: u64,
}

impl Cursor {
    /// Of a sink that is to have what happens from now on.
    pub(super) const fn new(numbers: Numbers) -> Self {
        Self { at: numbers.last, first: numbers.first, given: Vec::new() }
    }

    /// In a process that gives these numbers.
    pub(super) fn go_on(&mut self, numbers: Numbers) {
        if self.first == numbers.first {
            return;
        }
        // Above what is kept the process before may have given more, of events that were not stored when it died: those never
        // were, and no sink has been told of them.
        let ended = Span { from: self.first, to: numbers.before };
        self.first = numbers.first;
        if ended.from > ended.to || ended.to <= self.at {
            return;
        }
        self.given.push(ended);
        if self.given.len() > MAX_GIVEN {
            let second = self.given.remove(1);
            self.given[0].to = second.to;
        }
    }

    pub(super) const fn at(&self) -> u64 {
        self.at
    }

    /// The sink has all up to there.
    pub(super) fn move_to(&mut self, number: u64) {
        self.at = number;
        self.given.retain(|span| span.to > number);
    }

    /// Which numbers between these two were given, neither of them among it.
    pub(super) fn between(&self, after: u64, before: u64) -> impl Iterator<Item = Span> {
        let own = Span { from: self.first, to: u64::MAX };
        let spans = self.given.iter().copied().chain([own]);
        let parts = spans.map(move |span| Span { from: span.from.max(after + 1), to: span.to.min(before - 1) });
        parts.filter(|span| span.from <= span.to)
    }

    /// About how many events the sink has still to get.
    pub(super) fn behind(&self, numbers: Numbers) -> u64 {
        self.between(self.at, numbers.last.max(self.at) + 1).map(|span| span.to - span.from + 1).sum()
    }

    /// As it is kept.
    pub(super) fn to_record(&self) -> Vec<u8> {
        let given = self.given.iter().flat_map(|span| [span.from, span.to]);
        [self.at, self.first].into_iter().chain(given).flat_map(u64::to_be_bytes).collect()
    }

    /// `None`: it is no record.
    pub(super) fn from_record(record: &[u8]) -> Option<Self> {
        let (numbers, rest) = record.as_chunks::<8>();
        let numbers: Vec<_> = numbers.iter().map(|bytes| u64::from_be_bytes(*bytes)).collect();
        let [at, first, given @ ..] = &numbers[..] else { return None };
        let (given, odd) = given.as_chunks::<2>();
        let given: Vec<_> = given.iter().map(|&[from, to]| Span { from, to }).collect();
        (rest.is_empty() && odd.is_empty()).then_some(Self { at: *at, first: *first, given })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn numbers(before: u64, first: u64, last: u64) -> Numbers {
        Numbers { before, first, last }
    }

    fn between(cursor: &Cursor, after: u64, before: u64) -> Vec<(u64, u64)> {
        cursor.between(after, before).map(|span| (span.from, span.to)).collect()
    }

    #[test]
    fn a_leap_between_two_processes_is_no_gap() {
        let mut cursor = Cursor::new(numbers(0, 1000, 1010));
        assert_eq!(cursor.behind(numbers(0, 1000, 1010)), 0);
        assert_eq!(cursor.behind(numbers(0, 1000, 1015)), 5);
        assert_eq!(between(&cursor, 1010, 1013), [(1011, 1012)]);
        cursor.go_on(numbers(1020, 5000, 4999));
        assert_eq!(between(&cursor, 1010, 1012), [(1011, 1011)]);
        assert_eq!(between(&cursor, 1020, 5000), [], "nothing was between the processes");
        assert_eq!(between(&cursor, 1018, 5002), [(1019, 1020), (5000, 5001)]);
        assert_eq!(cursor.behind(numbers(1020, 5000, 5004)), 10 + 5);
        let again = Cursor::from_record(&cursor.to_record()).unwrap();
        assert_eq!(again, cursor);
        cursor.move_to(1020);
        assert_eq!(cursor.given, []);
        // Nothing came in that process, and what was kept is of the one before.
        cursor.go_on(numbers(1020, 9000, 8999));
        assert_eq!((cursor.behind(numbers(1020, 9000, 8999)), &cursor.given[..]), (0, &[][..]));
    }

    #[test]
    fn many_processes_make_no_large_record() {
        let mut cursor = Cursor::new(numbers(0, 1, 0));
        for process in 1..1000 {
            cursor.go_on(numbers(process * 100 - 50, process * 100, process * 100 - 1));
        }
        assert_eq!(cursor.given.len(), MAX_GIVEN);
        assert_eq!((cursor.given[0].from, cursor.given[MAX_GIVEN - 1].to), (1, 999 * 100 - 50));
        assert!(cursor.given.is_sorted_by(|a, b| a.to < b.from));
    }

    #[test]
    fn other_bytes_are_no_record() {
        for len in [0, 8, 15, 17, 24, 33] {
            assert_eq!(Cursor::from_record(&vec![0; len]), None, "{len}");
        }
    }
}
