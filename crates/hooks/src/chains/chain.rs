//! One kind of hooks, each with whose it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;

use super::Start;
use crate::Authenticate;
use crate::panics::caught;

/// The hooks of one kind, in the order in which they are called.
pub(super) struct Chain<H: ?Sized> {
    /// Spares an empty chain the swap's book-keeping.
    any: AtomicBool,
    pub(super) list: ArcSwap<Vec<Owned<H>>>,
}

impl<H: ?Sized> Chain<H> {
    pub(super) fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    pub(super) fn has(&self, start: &Arc<Start>) -> bool {
        self.list.load().iter().any(|owned| Arc::ptr_eq(&owned.start, start))
    }

    pub(super) fn add(&self, start: &Arc<Start>, hooks: Vec<Arc<H>>) {
        self.swap(None, start, hooks);
    }

    /// Puts these in, and those of another start out.
    pub(super) fn swap(&self, out: Option<&Arc<Start>>, start: &Arc<Start>, hooks: Vec<Arc<H>>) {
        if hooks.is_empty() && out.is_none() {
            return;
        }
        let mut list = Vec::clone(&self.list.load());
        list.retain(|owned| out.is_none_or(|out| !Arc::ptr_eq(&owned.start, out)));
        list.extend(hooks.into_iter().map(|hook| Owned { start: start.clone(), hook }));
        // Stable: the hooks of one module stay in the order in which it registered them.
        list.sort_by_key(|owned| owned.start.place);
        let any = !list.is_empty();
        self.list.store(Arc::new(list));
        self.any.store(any, Ordering::Release);
    }

    pub(super) fn remove(&self, start: &Arc<Start>) {
        self.keep(|owned| !Arc::ptr_eq(&owned.start, start));
    }

    pub(super) fn keep(&self, is_kept: impl Fn(&Owned<H>) -> bool) {
        let mut list = Vec::clone(&self.list.load());
        let before = list.len();
        list.retain(is_kept);
        if list.len() < before {
            self.any.store(!list.is_empty(), Ordering::Release);
            self.list.store(Arc::new(list));
        }
    }
}

impl<H: ?Sized> Default for Chain<H> {
    fn default() -> Self {
        Self { any: AtomicBool::new(false), list: ArcSwap::from_pointee(Vec::new()) }
    }
}

/// A hook, and whose it is.
pub(super) struct Owned<H: ?Sized> {
    pub(super) start: Arc<Start>,
    pub(super) hook: Arc<H>,
}

impl Owned<dyn Authenticate> {
    pub(super) fn knows(&self, method: &str) -> bool {
        caught(|| self.hook.methods().contains(&method)).unwrap_or_else(|why| {
            self.start.complain("methods", &why);
            false
        })
    }
}

// Derived, it would ask for `H: Clone`.
impl<H: ?Sized> Clone for Owned<H> {
    fn clone(&self) -> Self {
        Self { start: self.start.clone(), hook: self.hook.clone() }
    }
}
