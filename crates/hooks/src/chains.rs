//! The hooks of the running modules.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use mqtt_codec::{Filter, ReasonCode, SubscribeOptions};
use parking_lot::Mutex;

use crate::panics::{caught, caught_async};
use crate::standby::{Hook, Standby};
use crate::task::watched;
use crate::{
    Access, Acting, Alarm, Asked, Authenticate, Authorize, ConnectionInfo, Ctx, Due, Exchange, Fact, Incoming,
    Intercept, Login, Moment, Observe, ObserveAcks, ObserveDrops, ObserveMessages, Passage, Raised, Remember, Reserve,
    Retain, States, Stop, SubscribeOnEntry, Tagging, Task, Timers, Verdict,
};

mod asked;
mod chain;
mod deliveries;
mod entry;
mod remember;
mod reserved;
mod retain;
mod states;
mod tagging;

use chain::Chain;
pub use states::StatesOf;

/// All hooks of the running modules; an empty list costs a load.
///
/// They are called in the order in which the modules were registered, whatever was stopped and started since. A call
/// under way on another thread may still end after its module was stopped.
#[derive(Default)]
pub struct Hooks {
    observe: Chain<dyn Observe>,
    authenticate: Chain<dyn Authenticate>,
    authorize: Chain<dyn Authorize>,
    intercept: Chain<dyn Intercept>,
    observe_drops: Chain<dyn ObserveDrops>,
    observe_acks: Chain<dyn ObserveAcks>,
    observe_messages: Chain<dyn ObserveMessages>,
    states: Chain<dyn States>,
    remember: Chain<dyn Remember>,
    reserve: Chain<dyn Reserve>,
    asked: Chain<dyn Asked>,
    subscribe_on_entry: Chain<dyn SubscribeOnEntry>,
    retain: Chain<dyn Retain>,
    tagging: Chain<dyn Tagging>,
    /// Nothing is retained while there is nobody in [`Self::retain`].
    retaining_is_decided: AtomicBool,
    /// Held while chains are replaced; readers never take it.
    changing: Mutex<()>,
}

impl Hooks {
    /// No hooks.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// True if [`Self::observe`] reaches anyone.
    pub fn has_observers(&self) -> bool {
        self.observe.any()
    }

    /// Shows a fact to all observers. One that panics is logged and passed over.
    pub fn observe(&self, fact: &Fact<'_>, moment: &mut dyn Moment) {
        if !self.observe.any() {
            return;
        }
        let acting = moment.acting();
        for owned in self.observe.list.load().iter() {
            moment.set_acting(owned.start.acts_after(acting));
            if let Err(why) = caught(|| owned.hook.observe(fact, moment)) {
                owned.start.complain("observe", &why);
            }
        }
        moment.set_acting(acting);
    }

    /// True if [`Self::authenticate`] asks anyone.
    pub fn has_authenticators(&self) -> bool {
        self.authenticate.any()
    }

    /// Asks the authenticators in order of registration. One that panics is logged and denies.
    pub async fn authenticate(&self, client: &ConnectionInfo, password: Option<&[u8]>) -> Login {
        if !self.authenticate.any() {
            return Login::Ignore;
        }
        for owned in self.authenticate.list.load_full().iter() {
            // The block has the call itself inside too, for a hook whose future panics while it is made.
            match caught_async(async { owned.hook.authenticate(client, password).await }).await {
                Ok(Login::Ignore) => {}
                Ok(login) => return login,
                Err(why) => {
                    owned.start.complain("authenticate", &why);
                    // Nothing is known against the client: it is told to come again.
                    return Login::Deny(ReasonCode::ServerUnavailable);
                }
            }
        }
        Login::Ignore
    }

    /// True if an authenticator knows this method of extended authentication.
    pub fn has_method(&self, method: &str) -> bool {
        self.authenticate.any() && self.authenticate.list.load().iter().any(|owned| owned.knows(method))
    }

    /// Lets the authenticators that know the method at a client, in order of registration. One that panics is logged and
    /// denies, and so it is if none decides.
    pub async fn exchange(&self, client: &ConnectionInfo, exchange: &mut Exchange<'_>) -> Login {
        for owned in self.authenticate.list.load_full().iter().filter(|owned| owned.knows(exchange.method)) {
            match caught_async(async { owned.hook.exchange(client, exchange).await }).await {
                // What the client says next is meant for who has challenged it.
                Ok(Login::Ignore) if exchange.has_challenged() => break,
                Ok(Login::Ignore) => {}
                Ok(login) => return login,
                Err(why) => {
                    owned.start.complain("exchange", &why);
                    return Login::Deny(ReasonCode::ServerUnavailable);
                }
            }
        }
        Login::Deny(ReasonCode::NotAuthorized)
    }

    /// True if [`Self::authorize`] asks anyone.
    pub fn has_authorizers(&self) -> bool {
        self.authorize.any()
    }

    /// Asks the authorizers in order of registration. One that panics is logged and denies.
    pub fn authorize(&self, client: &ConnectionInfo, access: Access<'_>) -> Verdict {
        if !self.authorize.any() {
            return Verdict::Ignore;
        }
        for owned in self.authorize.list.load().iter() {
            match caught(|| owned.hook.authorize(client, access)) {
                Ok(Verdict::Ignore) => {}
                Ok(verdict) => return verdict,
                Err(why) => {
                    owned.start.complain("authorize", &why);
                    return Verdict::Deny(ReasonCode::NotAuthorized);
                }
            }
        }
        Verdict::Ignore
    }

    /// True if [`Self::intercept`] or [`Self::intercept_subscribe`] reaches anyone.
    pub fn has_interceptors(&self) -> bool {
        self.intercept.any()
    }

    /// Lets the interceptors at a message, but for those that have led to it. One that panics is logged and passed over.
    pub fn intercept(&self, incoming: &mut Incoming<'_>, moment: &mut dyn Moment) -> Passage {
        if !self.intercept.any() {
            return Passage::Pass;
        }
        let acting = moment.acting();
        let mut passage = Passage::Pass;
        for owned in self.intercept.list.load().iter().filter(|owned| !acting.has_passed(owned.start.place)) {
            let before = (incoming.message.clone(), *incoming.expires_at);
            moment.set_acting(owned.start.acts_after(acting));
            match caught(|| owned.hook.publish(incoming, moment)) {
                Ok(Passage::Pass) => {}
                Ok(end @ (Passage::Drop | Passage::Refuse(_))) => {
                    passage = end;
                    break;
                }
                Err(why) => {
                    (*incoming.message, *incoming.expires_at) = before;
                    owned.start.complain("publish", &why);
                }
            }
        }
        moment.set_acting(acting);
        passage
    }

    /// Lets all interceptors at a filter. One that panics is logged and passed over.
    pub fn intercept_subscribe(&self, client: &ConnectionInfo, filter: &mut Filter, options: &mut SubscribeOptions) {
        if !self.intercept.any() {
            return;
        }
        for owned in self.intercept.list.load().iter() {
            let before = (filter.clone(), *options);
            if let Err(why) = caught(|| owned.hook.subscribe(client, filter, options)) {
                (*filter, *options) = before;
                owned.start.complain("subscribe", &why);
            }
        }
    }

    /// Lets all interceptors at a filter that is given up. One that panics is logged and passed over.
    pub fn intercept_unsubscribe(&self, client: &ConnectionInfo, filter: &mut Filter) {
        if !self.intercept.any() {
            return;
        }
        for owned in self.intercept.list.load().iter() {
            let before = filter.clone();
            if let Err(why) = caught(|| owned.hook.unsubscribe(client, filter)) {
                *filter = before;
                owned.start.complain("unsubscribe", &why);
            }
        }
    }

    /// Puts in what the start of a module has registered, until what this returns is dropped; for who runs modules.
    pub fn enter(self: &Arc<Self>, ctx: Ctx) -> Entered {
        self.put_in(ctx, None)
    }

    /// As [`Self::enter`], in place of what an earlier start of the module has left in. At no moment is neither of them asked.
    pub fn replace(self: &Arc<Self>, earlier: Entered, ctx: Ctx) -> Entered {
        let entered = self.put_in(ctx, Some(&earlier.start));
        drop(earlier);
        entered
    }

    fn put_in(self: &Arc<Self>, ctx: Ctx, earlier: Option<&Arc<Start>>) -> Entered {
        let start = Arc::new(Start { module: ctx.module, place: ctx.place, panics: AtomicU64::new(0) });
        let (host, actor) = (ctx.host(), ctx.actor());
        let registered = ctx.into_registrations();
        let changing = self.changing.lock();
        self.observe.add(&start, registered.observe);
        // Those of the earlier start stay in, and are asked first, until the standbys are in too.
        self.authenticate.add(&start, registered.authenticate);
        self.authorize.add(&start, registered.authorize);
        self.reserve.add(&start, registered.reserve);
        self.asked.add(&start, registered.asked);
        // In one step: no message is changed twice.
        self.intercept.swap(earlier, &start, registered.intercept);
        self.observe_drops.add(&start, registered.observe_drops);
        self.observe_acks.add(&start, registered.observe_acks);
        self.observe_messages.add(&start, registered.observe_messages);
        self.states.add(&start, registered.states);
        self.remember.add(&start, registered.remember);
        self.subscribe_on_entry.swap(earlier, &start, registered.subscribe_on_entry);
        self.retain.swap(earlier, &start, registered.retain);
        drop(changing);
        registered.standbys.iter().for_each(|standby| standby.enter(self, &start));
        let timers = registered
            .timers
            .into_iter()
            .map(|(timers, due)| timers.run(due, host.clone(), actor.clone(), start.clone()));
        let tasks = registered.tasks.into_iter().chain(timers);
        let tasks = tasks.map(|task| host.spawn(watched(task, start.clone()))).collect();
        Entered { hooks: self.clone(), start, standbys: registered.standbys, alarms: registered.alarms, tasks }
    }

    /// Puts in one hook more of a module that runs.
    pub(crate) fn put(&self, start: &Arc<Start>, hook: Hook) {
        let _changing = self.changing.lock();
        match hook {
            Hook::Authenticate(hook) => self.authenticate.add(start, vec![hook]),
            Hook::Authorize(hook) => self.authorize.add(start, vec![hook]),
            Hook::Messages(hook) => self.observe_messages.add(start, vec![hook]),
            Hook::Tagging(hook) => self.tagging.add(start, vec![hook]),
        }
    }

    /// Takes one hook out.
    pub(crate) fn take_out(&self, hook: &Hook) {
        let _changing = self.changing.lock();
        match hook {
            Hook::Authenticate(hook) => self.authenticate.keep(|owned| !Arc::ptr_eq(&owned.hook, hook)),
            Hook::Authorize(hook) => self.authorize.keep(|owned| !Arc::ptr_eq(&owned.hook, hook)),
            Hook::Messages(hook) => self.observe_messages.keep(|owned| !Arc::ptr_eq(&owned.hook, hook)),
            Hook::Tagging(hook) => self.tagging.keep(|owned| !Arc::ptr_eq(&owned.hook, hook)),
        }
    }

    fn leave(&self, start: &Arc<Start>) {
        let _changing = self.changing.lock();
        self.remove_observers(start);
        self.authenticate.remove(start);
        self.authorize.remove(start);
        self.intercept.remove(start);
        self.reserve.remove(start);
        self.subscribe_on_entry.remove(start);
        self.retain.remove(start);
        self.tagging.remove(start);
    }

    /// Says whether anything of it is left.
    fn retire(&self, start: &Arc<Start>) -> bool {
        let _changing = self.changing.lock();
        self.remove_observers(start);
        self.authenticate.has(start)
            || self.authorize.has(start)
            || self.intercept.has(start)
            || self.reserve.has(start)
            || self.subscribe_on_entry.has(start)
            || self.retain.has(start)
            || self.tagging.has(start)
    }

    fn remove_observers(&self, start: &Arc<Start>) {
        self.observe.remove(start);
        self.observe_drops.remove(start);
        self.observe_acks.remove(start);
        self.observe_messages.remove(start);
        self.states.remove(start);
        self.remember.remove(start);
        self.asked.remove(start);
    }
}

/// What a start under way has registered, and no one calls yet.
#[derive(Default)]
pub(crate) struct Registrations {
    pub(crate) observe: Vec<Arc<dyn Observe>>,
    pub(crate) authenticate: Vec<Arc<dyn Authenticate>>,
    pub(crate) authorize: Vec<Arc<dyn Authorize>>,
    pub(crate) intercept: Vec<Arc<dyn Intercept>>,
    pub(crate) observe_drops: Vec<Arc<dyn ObserveDrops>>,
    pub(crate) observe_acks: Vec<Arc<dyn ObserveAcks>>,
    pub(crate) observe_messages: Vec<Arc<dyn ObserveMessages>>,
    pub(crate) states: Vec<Arc<dyn States>>,
    pub(crate) remember: Vec<Arc<dyn Remember>>,
    pub(crate) reserve: Vec<Arc<dyn Reserve>>,
    pub(crate) asked: Vec<Arc<dyn Asked>>,
    pub(crate) subscribe_on_entry: Vec<Arc<dyn SubscribeOnEntry>>,
    pub(crate) retain: Vec<Arc<dyn Retain>>,
    pub(crate) standbys: Vec<Standby>,
    pub(crate) alarms: Vec<Alarm>,
    pub(crate) tasks: Vec<Task>,
    pub(crate) timers: Vec<(Arc<Timers>, Arc<dyn Due>)>,
}

/// The start that hooks belong to.
pub(crate) struct Start {
    module: &'static str,
    /// The module's place in order of registration.
    place: usize,
    panics: AtomicU64,
}

impl Start {
    const fn acts_after(&self, acting: Acting) -> Acting {
        acting.then(self.module, self.place)
    }

    pub(crate) fn complain(&self, hook: &'static str, why: &str) {
        let panics = self.panics.fetch_add(1, Ordering::Relaxed) + 1;
        // What brings it about may be a packet that its client repeats.
        if panics < 10 || panics.is_power_of_two() {
            tracing::error!(module = self.module, hook, why, panics, "a hook panicked");
        }
    }
}

/// Takes the hooks of one start out again when it is dropped, and ends its tasks.
#[must_use]
pub struct Entered {
    hooks: Arc<Hooks>,
    start: Arc<Start>,
    standbys: Vec<Standby>,
    alarms: Vec<Alarm>,
    tasks: Vec<Box<dyn Stop>>,
}

impl Entered {
    /// How often hooks and tasks of this start have panicked.
    pub fn panics(&self) -> u64 {
        self.start.panics.load(Ordering::Relaxed)
    }

    /// The module is about to be started again: its tasks end and it is shown nothing any more, but those of its hooks that are
    /// asked (who comes in, what they may do, whose topics are whose, how a message goes on) are asked until this is [replaced](Hooks::replace) or
    /// dropped. Without them a client could do in between what it must not. Says whether there are any.
    #[must_use]
    pub fn retire(&mut self) -> bool {
        self.tasks.drain(..).for_each(|task| task.stop());
        self.hooks.retire(&self.start)
    }

    /// What is wrong by what this start has registered.
    pub fn raised(&self) -> Vec<Raised> {
        self.alarms.iter().filter_map(Alarm::raised).collect()
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        // First, so that none comes in again.
        self.standbys.iter().for_each(Standby::leave);
        self.hooks.leave(&self.start);
        self.tasks.iter().for_each(|task| task.stop());
    }
}

#[cfg(test)]
mod tests;
