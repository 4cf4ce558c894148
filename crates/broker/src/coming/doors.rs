//! Who may come in at all: places for sockets, bans, and whether the broker takes anybody.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use mqtt_codec::ReasonCode;
use mqtt_hooks::{ConnectionInfo, Listener, OWN_CLIENTS, network};
use mqtt_net::{Address, Kind, Layers};
use mqtt_operate::ListenerError;
use parking_lot::Mutex;

use crate::coming::banned::Banned;
use crate::coming::draining::Draining;
use crate::coming::entrance::{Bounds, Entrance, Over};
use crate::coming::flapping::Flapping;
use crate::coming::guests::{Guests, Standing};
use crate::coming::lateness::Lateness;
use crate::coming::line::Line;
use crate::config::{Anonymous, ListenerLimits};
use crate::terms::Terms;
use crate::watch::machine;
use crate::watch::metrics::Metric;

/// Sockets that may be there at once only to be told that they come too often.
const TOLD: usize = 1000;

/// What everyone who comes in has to pass, and who is on the way.
pub(crate) struct Doors {
    pub(crate) banned: Banned,
    pub(crate) flapping: Flapping,
    pub(crate) lateness: Lateness,
    pub(crate) draining: Draining,
    /// For those who have more to be handled than fits a turn.
    pub(crate) line: Line,
    listeners: Mutex<Vec<Known>>,
    /// The same for who comes and goes, without a lock.
    entrances: ArcSwap<Vec<Arc<Entrance>>>,
    memory: Arc<Entrance>,
    own: Arc<Entrance>,
    /// By their addresses.
    guests: Guests,
    /// Who may come in and proves nothing.
    anonymous: Mutex<Anonymous>,
    /// `mqtt.max_connections`.
    max_clients: AtomicUsize,
    /// Topics may have as many levels by all listeners.
    least_topic_levels: AtomicUsize,
    /// Sockets that there may be, for the files that they take.
    max_sockets: usize,
    /// Sockets accepted and not yet closed.
    sockets: AtomicUsize,
    /// Sockets of clients, those that are about to be closed included.
    served: AtomicUsize,
    /// Of sockets, those that are only to be told that they come too often.
    told: AtomicUsize,
    /// Nobody comes in any more.
    is_stopping: AtomicBool,
}

/// A listener, and where it listens when it is open.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) entrance: Arc<Entrance>,
    pub(crate) kind: Kind,
    pub(crate) address: Address,
    /// Its socket is of the task that accepts, and gone with it.
    socket: Weak<mqtt_net::Listener>,
}

impl Known {
    pub(crate) fn is_open(&self) -> bool {
        self.socket.upgrade().is_some_and(|socket| socket.is_open())
    }
}

impl Doors {
    pub(crate) fn new(banned: Banned, terms: &Terms, anonymous: Anonymous) -> Self {
        let memory = Arc::new(Listener::new("memory", 0));
        let own = Arc::new(Listener::new("own", 0));
        Self {
            banned,
            flapping: Flapping::new(&terms.limits.flapping),
            lateness: Lateness::new(terms.limits.lateness),
            draining: Draining::default(),
            line: Line::default(),
            listeners: Mutex::default(),
            entrances: ArcSwap::default(),
            memory: Arc::new(Entrance::new(
                memory,
                ListenerLimits::default(),
                Bounds::new(terms, &ListenerLimits::default()),
            )),
            own: Arc::new(Entrance::new(own, ListenerLimits::default(), Bounds::of_own(terms))),
            guests: Guests::new(&terms.limits),
            anonymous: Mutex::new(anonymous),
            max_clients: AtomicUsize::new(terms.mqtt.max_connections),
            least_topic_levels: AtomicUsize::new(terms.limits.max_topic_levels),
            max_sockets: machine::max_sockets().unwrap_or(usize::MAX),
            sockets: AtomicUsize::new(0),
            served: AtomicUsize::new(0),
            told: AtomicUsize::new(0),
            is_stopping: AtomicBool::new(false),
        }
    }

    /// Makes a listener known, for which these bounds of its own hold.
    pub(crate) fn add(
        &self,
        open: &Arc<mqtt_net::Listener>,
        own: &ListenerLimits,
        terms: &ArcSwap<Terms>,
    ) -> Arc<Entrance> {
        let listener = Arc::new(Listener::new(open.name(), open.address().port()));
        let mut listeners = self.listeners.lock();
        let others = self.entrances.load_full();
        // Under the lock: those it has, or `renew` finds it.
        let bounds = Bounds::new(&terms.load(), own);
        let entrance = Entrance::new(listener, own.clone(), bounds);
        let before = others.iter().rev().find(|one| one.listener.name == entrance.listener.name);
        let entrance = Arc::new(match before {
            Some(before) => entrance.in_place_of(before),
            None => entrance,
        });
        let (kind, address, socket) = (open.kind(), open.address().clone(), Arc::downgrade(open));
        self.least_topic_levels.fetch_min(entrance.bounds().max_topic_levels, Relaxed);
        listeners.push(Known { entrance: Arc::clone(&entrance), kind, address, socket });
        // Those of listeners that are gone stay as long as somebody is there who came in by them.
        let is_known = |one: &Arc<Entrance>| listeners.iter().any(|known| Arc::ptr_eq(&known.entrance, one));
        let others = others.iter().filter(|one| is_known(one) || one.has_sockets());
        self.entrances.store(Arc::new(others.chain([&entrance]).cloned().collect()));
        entrance
    }

    /// From now on this holds for who comes, and for what those who are in want that nobody told them of before.
    pub(crate) fn renew(&self, terms: &Terms) {
        let Terms { mqtt, limits, .. } = terms;
        self.max_clients.store(mqtt.max_connections, Relaxed);
        self.guests.renew(limits);
        self.flapping.renew(&limits.flapping);
        self.lateness.set_limit(limits.lateness);
        let _listeners = self.listeners.lock();
        let entrances = self.entrances.load();
        let mut least = limits.max_topic_levels;
        for entrance in entrances.iter().chain([&self.memory]) {
            let bounds = Bounds::new(terms, entrance.own());
            least = least.min(bounds.max_topic_levels);
            entrance.set_bounds(bounds);
        }
        self.own.set_bounds(Bounds::of_own(terms));
        self.least_topic_levels.store(least, Relaxed);
    }

    /// Closes the listener of this name for good. What holds for who has come in by it holds on.
    pub(crate) fn remove(&self, name: &str) {
        self.listeners.lock().retain(|known| {
            let is_it = &*known.entrance.listener.name == name;
            if is_it && let Some(socket) = known.socket.upgrade() {
                socket.retire();
            }
            !is_it
        });
    }

    /// Has other layers before MQTT at the listener of this name.
    pub(crate) fn change(&self, name: &str, layers: Layers) {
        let mut listeners = self.listeners.lock();
        let found = listeners.iter_mut().find(|known| &*known.entrance.listener.name == name);
        if let Some((found, socket)) = found.and_then(|found| found.socket.upgrade().map(|socket| (found, socket))) {
            socket.set_layers(layers);
            found.kind = socket.kind();
        }
    }

    /// Topics may have as many levels by all listeners.
    pub(crate) fn least_topic_levels(&self) -> usize {
        self.least_topic_levels.load(Relaxed)
    }

    /// Whether somebody from there may come in and prove nothing.
    pub(crate) fn lets_in_anonymous(&self, address: IpAddr) -> bool {
        self.anonymous.lock().lets_in(address)
    }

    pub(crate) fn set_anonymous(&self, anonymous: Anonymous) {
        *self.anonymous.lock() = anonymous;
    }

    pub(crate) fn listeners(&self) -> Vec<Known> {
        self.listeners.lock().clone()
    }

    /// By which those come in who have no socket.
    pub(crate) const fn memory(&self) -> &Arc<Entrance> {
        &self.memory
    }

    /// By which modules' own clients come in, each by a listener of another name.
    pub(crate) const fn own(&self) -> &Arc<Entrance> {
        &self.own
    }

    /// By which a client came in.
    pub(crate) fn entrance_of(&self, client: &ConnectionInfo) -> Arc<Entrance> {
        self.with_entrance(client, Arc::clone)
    }

    /// The same for who needs it for a moment: its count of owners is one for all threads.
    fn with_entrance<T>(&self, client: &ConnectionInfo, does: impl FnOnce(&Arc<Entrance>) -> T) -> T {
        let entrances = self.entrances.load();
        let found = entrances.iter().find(|entrance| client.is_by(&entrance.listener));
        let other = if client.client_id.starts_with(OWN_CLIENTS) { &self.own } else { &self.memory };
        does(found.unwrap_or(other))
    }

    /// Does something to the listener of this name. One at a time: who finds it stopped finds it so until it has started it.
    pub(crate) fn with_listener<T>(
        &self,
        name: &str,
        change: impl FnOnce(&mqtt_net::Listener) -> Result<T, ListenerError>,
    ) -> Result<T, ListenerError> {
        let listeners = self.listeners.lock();
        let found =
            listeners.iter().find(|known| &*known.entrance.listener.name == name).ok_or(ListenerError::NotFound)?;
        change(&*found.socket.upgrade().ok_or(ListenerError::Ending)?)
    }

    /// Gives somebody from this address a place, which is to be [left](Self::leave), or says why not.
    pub(crate) fn enter(&self, entrance: &Entrance, address: IpAddr, is_socket: bool) -> Result<(), Over> {
        self.enter_from(address, is_socket)?;
        entrance.enter().inspect_err(|_| self.guests.leave(address, Standing::Arriving))
    }

    /// The part of that which is about the address.
    fn enter_from(&self, address: IpAddr, is_socket: bool) -> Result<(), Over> {
        let refused = |rule| Err(Over { code: ReasonCode::ServerBusy, rule, metric: Metric::RefusedConnections });
        // Sockets that have not sent CONNECT yet are bounded as well: they may be as many as clients.
        let limit = self.max_clients().saturating_mul(2);
        let sockets = self.sockets();
        if sockets >= limit {
            return refused("twice mqtt.max_connections sockets are open");
        }
        if is_socket && sockets >= self.max_sockets {
            return refused("the limit of open files is reached, but for those that the store and the admin port need");
        }
        let limit = if is_socket { limit.min(self.max_sockets) } else { limit };
        // Last, for it counts: who is refused before takes no place of its address.
        if !self.guests.enter(address, limit.saturating_sub(sockets)) {
            return refused(
                "of the limit of open files or of twice mqtt.max_connections this address has seven eighths",
            );
        }
        Ok(())
    }

    /// Gives the place that a proxy's address had to that of whose connection it is.
    pub(crate) fn pass_on(&self, from: IpAddr, to: IpAddr) -> Result<(), Over> {
        self.enter_from(to, true)?;
        self.guests.leave(from, Standing::Arriving);
        Ok(())
    }

    /// Whether somebody from this address, who has a place, may go on to CONNECT.
    pub(crate) fn may_knock(&self, address: IpAddr) -> Result<(), Over> {
        self.guests.may_knock(address)
    }

    /// Whether one more from this address may connect now, which is counted.
    pub(crate) fn take_turn(&self, address: IpAddr, now: impl FnOnce() -> Duration) -> Result<(), Over> {
        self.guests.take_turn(address, now)
    }

    /// Somebody who has a place is to be a client; `old` is the connection that it takes over.
    pub(crate) fn take_seat(
        &self,
        entrance: &Entrance,
        address: IpAddr,
        old: Option<&ConnectionInfo>,
    ) -> Result<(), Over> {
        let is_from_there = |old: &ConnectionInfo| network(old.peer.ip()) == network(address);
        self.guests.take_seat(address, old.is_some_and(is_from_there))?;
        let takes_over = old.is_some_and(|old| old.listener.name == entrance.listener.name);
        entrance.take_seat(takes_over).inspect_err(|_| self.guests.leave_seat(address, Standing::Arriving))
    }

    /// It is not to be one after all.
    pub(crate) fn leave_seat(&self, entrance: &Entrance, address: IpAddr) {
        self.guests.leave_seat(address, Standing::Arriving);
        entrance.leave_seat();
    }

    pub(crate) fn leave(&self, entrance: &Entrance, address: IpAddr, standing: Standing) {
        self.guests.leave(address, standing);
        entrance.leave(standing);
    }

    /// A client is gone. Its socket may be open for a while.
    pub(crate) fn note_gone(&self, client: &ConnectionInfo) {
        self.guests.leave_seat(client.peer.ip(), Standing::Gone);
        self.with_entrance(client, |entrance| entrance.leave_seat());
    }

    /// The socket of a client is closed; `is_gone`: that was [noted](Self::note_gone).
    pub(crate) fn note_closed(&self, client: &ConnectionInfo, is_gone: bool) {
        let standing = if is_gone { Standing::Gone } else { Standing::Client };
        self.with_entrance(client, |entrance| self.leave(entrance, client.peer.ip(), standing));
    }

    /// One more is to be told that it comes too often; false: it can't be, there are too many.
    pub(crate) fn begin_telling(&self) -> bool {
        let may_begin = self.told.fetch_add(1, Relaxed) < TOLD;
        if !may_begin {
            self.end_telling();
        }
        may_begin
    }

    pub(crate) fn end_telling(&self) {
        self.told.fetch_sub(1, Relaxed);
    }

    /// There is one socket more.
    pub(crate) fn note_socket(&self) {
        self.sockets.fetch_add(1, Relaxed);
    }

    pub(crate) fn note_socket_closed(&self) {
        self.sockets.fetch_sub(1, Relaxed);
    }

    /// Sockets accepted and not yet closed.
    pub(crate) fn sockets(&self) -> usize {
        self.sockets.load(Relaxed)
    }

    /// Sockets that there may be, for the files that they take.
    pub(crate) const fn max_sockets(&self) -> usize {
        self.max_sockets
    }

    /// Connections at once, as far as they come by sockets.
    pub(crate) fn max_connections(&self) -> usize {
        self.max_clients().min(self.max_sockets)
    }

    fn max_clients(&self) -> usize {
        self.max_clients.load(Relaxed)
    }

    /// A socket is a client's from now on.
    pub(crate) fn note_served(&self) {
        self.served.fetch_add(1, Relaxed);
    }

    /// All that was to be written to a client's socket is.
    pub(crate) fn note_served_out(&self) {
        self.served.fetch_sub(1, Relaxed);
    }

    pub(crate) fn are_serving(&self) -> bool {
        self.served.load(Relaxed) > 0
    }

    /// From now on nobody comes in.
    pub(crate) fn stop(&self) {
        self.is_stopping.store(true, Relaxed);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Relaxed)
    }
}
