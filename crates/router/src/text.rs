//! Pattern texts as the map keeps them.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};

/// A text up to this long is kept in the map itself: a match among a million filters waits for memory once less per
/// filter found. With 62, a text takes a cache line.
pub(crate) const INLINE: usize = 62;

/// A pattern. Bytes, because a `str` would have to be checked each time it is read back from a fixed array.
#[derive(Debug)]
pub(crate) enum Text {
    Inline { len: u8, bytes: [u8; INLINE] },
    Heap(Box<[u8]>),
}

impl Text {
    pub(crate) fn is_inline(&self) -> bool {
        matches!(self, Self::Inline { .. })
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Self::Heap(bytes) => bytes,
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).expect("it was made from a str")
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        if text.len() > INLINE {
            return Self::Heap(text.as_bytes().into());
        }
        let mut bytes = [0; INLINE];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Self::Inline { len: text.len() as u8, bytes }
    }
}

impl Borrow<[u8]> for Text {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Text {}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_texts_are_what_they_were() {
        for len in [0, 1, INLINE, INLINE + 1, 65_535] {
            let text = "x".repeat(len);
            assert_eq!(Text::from(&*text).as_str(), text);
        }
        assert_eq!(size_of::<Text>(), 64);
    }
}
