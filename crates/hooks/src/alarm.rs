//! What may be wrong with what a module does, for operators.

use std::sync::Arc;

use parking_lot::Mutex;

/// Something that may be wrong; from [`Ctx::alarm`](crate::Ctx::alarm).
///
/// While it is raised operators are shown it, wherever the broker's own alarms are; it is over when it is cleared or the
/// module is stopped. It is looked at once a second. What is wrong while a counter grows needs none of these:
/// [`Number::alarming`](crate::Number::alarming).
#[derive(Clone, Debug)]
pub struct Alarm(Arc<State>);

#[derive(Debug)]
struct State {
    name: &'static str,
    /// What is wrong, while it is.
    message: Mutex<Option<String>>,
}

/// An [`Alarm`] that is raised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raised {
    /// Without the module's name.
    pub name: &'static str,
    /// What is wrong.
    pub message: String,
}

impl Alarm {
    pub(crate) fn new(name: &'static str) -> Self {
        Self(Arc::new(State { name, message: Mutex::default() }))
    }

    /// It is wrong: what, for people.
    pub fn raise(&self, message: impl Into<String>) {
        *self.0.message.lock() = Some(message.into());
    }

    /// It is right.
    pub fn clear(&self) {
        *self.0.message.lock() = None;
    }

    pub(crate) fn raised(&self) -> Option<Raised> {
        let message = self.0.message.lock().clone()?;
        Some(Raised { name: self.0.name, message })
    }
}
