//! Another node, as it is spoken to.

use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;

/// Another node, in one of its lives.
pub trait Peer: Debug + Send + Sync + 'static {
    /// Its name.
    fn name(&self) -> &str;

    /// Says a piece, which is made of these parts, behind all before. Returns its place.
    fn say(&self, parts: &[&[u8]]) -> u64;

    /// The place of what was said last.
    fn said(&self) -> u64;

    /// Bytes that were said and are not known to have arrived.
    fn held(&self) -> u64;

    /// Whether the piece at this place is done with, or never will be.
    fn has_handled(&self, place: u64) -> bool;

    /// Done when it is.
    fn handled(self: Arc<Self>, place: u64) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}
