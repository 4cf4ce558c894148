//! Hooks that are called only while there is something to ask.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::chains::Start;
use crate::{Authenticate, Authorize, Hooks, ObserveMessages, Tagging};

/// Turns a hook on and off while its module runs, by [`Ctx::authenticate_when`](crate::Ctx::authenticate_when),
/// [`Ctx::authorize_when`](crate::Ctx::authorize_when), [`Ctx::observe_messages_when`](crate::Ctx::observe_messages_when) and
/// [`Ctx::tag_when`](crate::Ctx::tag_when). Off, it costs as much as one that was never registered. It is off at first.
///
/// It may be kept beyond the module's stop, and does nothing then.
#[derive(Clone)]
pub struct Standby(Arc<Mutex<State>>);

struct State {
    hook: Hook,
    is_on: bool,
    /// While its module runs.
    entered: Option<(Weak<Hooks>, Arc<Start>)>,
}

#[derive(Clone)]
pub(crate) enum Hook {
    Authenticate(Arc<dyn Authenticate>),
    Authorize(Arc<dyn Authorize>),
    Messages(Arc<dyn ObserveMessages>),
    Tagging(Arc<dyn Tagging>),
}

impl Standby {
    pub(crate) fn new(hook: Hook) -> Self {
        Self(Arc::new(Mutex::new(State { hook, is_on: false, entered: None })))
    }

    /// From when this returns the hook is called, or called no more.
    pub fn set(&self, is_on: bool) {
        let mut state = self.0.lock();
        if std::mem::replace(&mut state.is_on, is_on) != is_on {
            state.show();
        }
    }

    /// True while the hook is on, whether or not its module runs.
    pub fn is_on(&self) -> bool {
        self.0.lock().is_on
    }

    pub(crate) fn enter(&self, hooks: &Arc<Hooks>, start: &Arc<Start>) {
        let mut state = self.0.lock();
        state.entered = Some((Arc::downgrade(hooks), Arc::clone(start)));
        if state.is_on {
            state.show();
        }
    }

    /// The hook is taken out by who calls this.
    pub(crate) fn leave(&self) {
        self.0.lock().entered = None;
    }
}

impl State {
    /// Under the state's lock, so that the table has what was wanted last.
    fn show(&self) {
        let Some((hooks, start)) = &self.entered else { return };
        let Some(hooks) = hooks.upgrade() else { return };
        if self.is_on {
            hooks.put(start, self.hook.clone());
        } else {
            hooks.take_out(&self.hook);
        }
    }
}

#[cfg(test)]
mod tests {
    use mqtt_codec::{ReasonCode, Topic};

    use super::*;
    use crate::testing::{Recorder, foo};
    use crate::{Access, ConnectionInfo, Ctx, Verdict};

    struct No;

    impl Authorize for No {
        fn authorize(&self, _client: &ConnectionInfo, _access: Access<'_>) -> Verdict {
            Verdict::Deny(ReasonCode::NotAuthorized)
        }
    }

    #[test]
    fn a_hook_is_asked_only_while_it_is_on_and_its_module_runs() {
        let (host, hooks) = (Recorder::new(), Hooks::new());
        let ctx = Ctx::new("m", 0, host, Arc::default());
        let (standby, other) = (ctx.authorize_when(Arc::new(No)), ctx.authorize_when(Arc::new(No)));
        let topic = Topic::new("a").unwrap();
        let asked = || (hooks.has_authorizers(), hooks.authorize(&foo(), Access::Publish(&topic)) != Verdict::Ignore);
        standby.set(true);
        assert_eq!(asked(), (false, false), "it has not started");
        let entered = hooks.enter(ctx);
        assert_eq!(asked(), (true, true));
        other.set(true);
        standby.set(false);
        assert_eq!(asked(), (true, true), "each for itself");
        other.set(false);
        assert_eq!(asked(), (false, false));
        standby.set(true);
        assert_eq!(asked(), (true, true));
        drop(entered);
        assert_eq!(asked(), (false, false));
        standby.set(false);
        standby.set(true);
        assert_eq!(asked(), (false, false), "it has stopped");
    }
}
