//! How much of what waits is whose.

use std::collections::HashMap;

use super::record::Record;

/// One client may have so many times what is free, so that nobody takes the last of it.
const TIMES: usize = 7;

/// Messages and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Amount {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

/// What waits of each client; all that is no client's counts as one's.
#[derive(Debug, Default)]
pub(super) struct Shares(HashMap<String, Amount>);

impl Shares {
    /// Takes room for a message of so many bytes if there is some for this client, while `waiting` wait in all and `most` may.
    pub(super) fn take(&mut self, client_id: Option<&str>, bytes: usize, waiting: Amount, most: Amount) -> bool {
        let free = Amount {
            messages: most.messages.saturating_sub(waiting.messages),
            bytes: most.bytes.saturating_sub(waiting.bytes),
        };
        let client_id = client_id.unwrap_or_default();
        let has = self.0.get(client_id).copied().unwrap_or_default();
        let fits = free.messages > 0 && bytes <= free.bytes;
        let is_share = has.messages < free.messages.saturating_mul(TIMES)
            && has.bytes.saturating_add(bytes) <= free.bytes.saturating_mul(TIMES);
        if fits && is_share {
            self.add(client_id, bytes);
        }
        fits && is_share
    }

    /// One of an earlier process waits.
    pub(super) fn restore(&mut self, payload: &[u8]) {
        if let Some(record) = Record::read(payload) {
            self.add(record.client_id.as_deref().unwrap_or_default(), payload.len());
        }
    }

    /// One waits no more.
    pub(super) fn give_back(&mut self, record: &Record, bytes: usize) {
        let client_id = record.client_id.as_deref().unwrap_or_default();
        if let Some(has) = self.0.get_mut(client_id) {
            has.messages = has.messages.saturating_sub(1);
            has.bytes = has.bytes.saturating_sub(bytes);
            if has.messages == 0 {
                self.0.remove(client_id);
            }
        }
    }

    fn add(&mut self, client_id: &str, bytes: usize) {
        let has = self.0.entry(client_id.to_owned()).or_default();
        has.messages += 1;
        has.bytes += bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Amount = Amount { messages: 80, bytes: 8000 };

    /// Takes all it can get in messages of this size; how many that were.
    fn fill(shares: &mut Shares, client_id: &str, bytes: usize, waiting: &mut Amount) -> usize {
        let before = waiting.messages;
        while shares.take(Some(client_id), bytes, *waiting, MOST) {
            waiting.messages += 1;
            waiting.bytes += bytes;
        }
        waiting.messages - before
    }

    #[test]
    fn nobody_takes_the_last_of_it() {
        for bytes in [1, 100, 1000] {
            let (mut shares, mut waiting) = (Shares::default(), Amount::default());
            let first = fill(&mut shares, "greedy", bytes, &mut waiting);
            assert_eq!(first, 70.min(7000 / bytes), "{bytes}");
            assert!(fill(&mut shares, "other", bytes, &mut waiting) > 0, "{bytes}");
        }
    }

    #[test]
    fn a_little_room_is_for_whoever_comes_first() {
        let most = Amount { messages: 3, bytes: 1000 };
        let (mut shares, mut waiting) = (Shares::default(), Amount::default());
        for _ in 0..3 {
            assert!(shares.take(None, 10, waiting, most));
            waiting.messages += 1;
            waiting.bytes += 10;
        }
        assert!(!shares.take(None, 10, waiting, most));
    }
}
