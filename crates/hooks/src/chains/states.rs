//! Who tells of states.

use mqtt_codec::{Filter, Message};

use super::Hooks;
use super::chain::Owned;
use crate::panics::caught;
use crate::{States, Walk};

impl Hooks {
    /// True if [`Self::states_about`] may find anyone.
    pub fn has_states(&self) -> bool {
        self.states.any()
    }

    /// Who tells of what a filter is about; the first, if there are several. One that panics is logged and passed over.
    pub fn states_about(&self, filter: &Filter) -> Option<StatesOf> {
        if !self.states.any() {
            return None;
        }
        let list = self.states.list.load();
        let found = list.iter().find(|owned| owned.called("is_about", |hook| hook.is_about(filter)) == Some(true))?;
        Some(StatesOf(found.clone()))
    }
}

impl Owned<dyn States> {
    /// `None`: it has panicked.
    fn called<T>(&self, what: &'static str, call: impl FnOnce(&dyn States) -> T) -> Option<T> {
        caught(|| call(&*self.hook)).inspect_err(|why| self.start.complain(what, why)).ok()
    }
}

/// Who tells of what a filter is about: a [`States`] of which panics are logged, and taken for *nothing* and *no more*.
pub struct StatesOf(Owned<dyn States>);

impl StatesOf {
    /// [`States::find`]
    pub fn find(&self, filter: &Filter, walk: &mut Walk, found: &mut Vec<Box<str>>) -> bool {
        self.0.called("find", |hook| hook.find(filter, walk, found)).unwrap_or(false)
    }

    /// [`States::state`]
    pub fn state(&self, name: &str) -> Option<Message> {
        self.0.called("state", |hook| hook.state(name)).flatten()
    }

    /// [`States::done`]
    pub fn done(&self, walk: &Walk) -> Option<Message> {
        self.0.called("done", |hook| hook.done(walk)).flatten()
    }
}
