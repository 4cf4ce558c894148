//! Long lists.

/// A part of a list.
#[derive(Clone, Debug)]
pub struct Rows<T> {
    /// The part.
    pub rows: Vec<T>,
    /// There are more after it.
    pub has_more: bool,
    /// How many were left out before it, of those that were to be.
    pub skipped: usize,
}
