//! A set of packet ids.

use mqtt_codec::PacketId;

/// More ids than this are kept as one bit each, so that a client with many open QoS 2 messages makes no packet slow.
const MAX_LISTED: usize = 64;
const WORDS: usize = 65_536 / 64;

/// A set of packet ids: a list while they are few, else a map of 8 KiB. Empty, it owns no memory.
#[derive(Debug)]
pub(crate) enum IdSet {
    Listed(Vec<PacketId>),
    Mapped { words: Box<[u64; WORDS]>, len: usize },
}

impl Default for IdSet {
    fn default() -> Self {
        Self::Listed(Vec::new())
    }
}

impl IdSet {
    pub(crate) const fn len(&self) -> usize {
        match self {
            Self::Listed(ids) => ids.len(),
            Self::Mapped { len, .. } => *len,
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes.
    pub(crate) const fn allocated(&self) -> usize {
        match self {
            Self::Listed(ids) => ids.capacity() * size_of::<PacketId>(),
            Self::Mapped { .. } => WORDS * size_of::<u64>(),
        }
    }

    pub(crate) fn contains(&self, id: PacketId) -> bool {
        match self {
            Self::Listed(ids) => ids.contains(&id),
            Self::Mapped { words, .. } => {
                let (word, bit) = place(id);
                words[word] & bit != 0
            }
        }
    }

    /// False if it was there.
    pub(crate) fn insert(&mut self, id: PacketId) -> bool {
        if self.contains(id) {
            return false;
        }
        match self {
            Self::Listed(ids) if ids.len() < MAX_LISTED => ids.push(id),
            Self::Listed(ids) => {
                let mut words = Box::new([0; WORDS]);
                for &id in ids.iter().chain([&id]) {
                    let (word, bit) = place(id);
                    words[word] |= bit;
                }
                *self = Self::Mapped { words, len: ids.len() + 1 };
            }
            Self::Mapped { words, len } => {
                let (word, bit) = place(id);
                words[word] |= bit;
                *len += 1;
            }
        }
        true
    }

    /// False if it was not there.
    pub(crate) fn remove(&mut self, id: PacketId) -> bool {
        if !self.contains(id) {
            return false;
        }
        match self {
            Self::Listed(ids) => ids.retain(|&listed| listed != id),
            // With the last id, and not when it could be a list again: who had so many open soon has again.
            Self::Mapped { len: 1, .. } => *self = Self::default(),
            Self::Mapped { words, len } => {
                let (word, bit) = place(id);
                words[word] &= !bit;
                *len -= 1;
            }
        }
        true
    }

    /// In no order that means anything.
    pub(crate) fn iter(&self) -> impl Iterator<Item = PacketId> + '_ {
        let (listed, mapped) = match self {
            Self::Listed(ids) => (ids.as_slice(), None),
            Self::Mapped { .. } => (&[][..], Some((1..=u16::MAX).filter_map(PacketId::new))),
        };
        listed.iter().copied().chain(mapped.into_iter().flatten().filter(|&id| self.contains(id)))
    }
}

const fn place(id: PacketId) -> (usize, u64) {
    let id = id.as_u16() as usize;
    (id / 64, 1 << (id % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_every_id_and_gives_the_memory_back() {
        let mut set = IdSet::default();
        let ids = || (1..=u16::MAX).rev().map(|id| PacketId::new(id).unwrap());
        for id in ids() {
            assert!(set.insert(id) && !set.insert(id));
        }
        assert_eq!((set.len(), set.iter().count()), (65_535, 65_535));
        for id in ids() {
            assert!(set.remove(id) && !set.remove(id));
        }
        assert!(set.is_empty() && matches!(&set, IdSet::Listed(ids) if ids.capacity() == 0));
    }

    #[test]
    fn few_ids_are_listed() {
        let mut set = IdSet::default();
        for id in 1..=64 {
            set.insert(PacketId::new(id).unwrap());
        }
        assert!(matches!(set, IdSet::Listed(_)));
        set.insert(PacketId::new(65).unwrap());
        assert!(matches!(set, IdSet::Mapped { len: 65, .. }));
        assert_eq!(set.iter().map(PacketId::as_u16).collect::<Vec<_>>(), (1..=65).collect::<Vec<_>>());
    }
}
