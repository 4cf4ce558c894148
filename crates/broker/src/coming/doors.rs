//! Who may come in at all: places for sockets, bans, and whether the broker takes anybody.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Weak};

use mqtt_hooks::Listener;
use mqtt_net::Kind;
use mqtt_operate::ListenerError;
use parking_lot::Mutex;

use crate::coming::banned::Banned;
use crate::coming::guests::Guests;
use crate::coming::line::Line;
use crate::watch::machine;

/// What everyone who comes in has to pass, and who is on the way.
pub(crate) struct Doors {
    pub(crate) banned: Banned,
    /// For those who have more to be handled than fits a turn.
    pub(crate) line: Line,
    listeners: Mutex<Vec<Entrance>>,
    /// By their addresses.
    guests: Guests,
    /// `mqtt.max_connections`.
    max_clients: usize,
    /// Sockets that there may be, for the files that they take.
    max_sockets: usize,
    /// Sockets accepted and not yet closed.
    sockets: AtomicUsize,
    /// Sockets of clients, those that are about to be closed included.
    served: AtomicUsize,
    /// Nobody comes in any more.
    is_stopping: AtomicBool,
}

/// A listener, and where it listens when it is open.
#[derive(Clone, Debug)]
pub(crate) struct Entrance {
    pub(crate) listener: Arc<Listener>,
    pub(crate) kind: Kind,
    pub(crate) address: SocketAddr,
    /// Its socket is of the task that accepts, and gone with it.
    socket: Weak<mqtt_net::Listener>,
}

impl Entrance {
    pub(crate) fn new(listener: Arc<Listener>, of: &Arc<mqtt_net::Listener>) -> Self {
        Self { listener, kind: of.kind(), address: of.address(), socket: Arc::downgrade(of) }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.socket.upgrade().is_some_and(|socket| socket.is_open())
    }
}

impl Doors {
    pub(crate) fn new(banned: Banned, max_clients: usize) -> Self {
        Self {
            banned,
            line: Line::default(),
            listeners: Mutex::default(),
            guests: Guests::default(),
            max_clients,
            max_sockets: machine::max_sockets().unwrap_or(usize::MAX),
            sockets: AtomicUsize::new(0),
            served: AtomicUsize::new(0),
            is_stopping: AtomicBool::new(false),
        }
    }

    /// Makes a listener known.
    pub(crate) fn add(&self, listener: Entrance) {
        self.listeners.lock().push(listener);
    }

    pub(crate) fn listeners(&self) -> Vec<Entrance> {
        self.listeners.lock().clone()
    }

    /// Does something to the listener of this name. One at a time: who finds it stopped finds it so until it has started it.
    pub(crate) fn with_listener<T>(
        &self,
        name: &str,
        change: impl FnOnce(&mqtt_net::Listener) -> Result<T, ListenerError>,
    ) -> Result<T, ListenerError> {
        let listeners = self.listeners.lock();
        let found = listeners.iter().find(|known| &*known.listener.name == name).ok_or(ListenerError::NotFound)?;
        change(&*found.socket.upgrade().ok_or(ListenerError::Ending)?)
    }

    /// Gives somebody from this address a place, which is to be [left](Self::leave), or says why not.
    pub(crate) fn enter(&self, address: IpAddr, is_socket: bool) -> Result<(), &'static str> {
        // Sockets that have not sent CONNECT yet are bounded as well: they may be as many as clients.
        let limit = self.max_clients.saturating_mul(2);
        let sockets = self.sockets();
        if sockets >= limit {
            return Err("twice mqtt.max_connections sockets are open");
        }
        if is_socket && sockets >= self.max_sockets {
            return Err("the limit of open files is reached, but for those that the store and the admin port need");
        }
        let limit = if is_socket { limit.min(self.max_sockets) } else { limit };
        // Last, for it counts: who is refused before takes no place of its address.
        if !self.guests.enter(address, limit.saturating_sub(sockets)) {
            return Err("of the limit of open files or of twice mqtt.max_connections this address has seven eighths");
        }
        Ok(())
    }

    pub(crate) fn leave(&self, address: IpAddr) {
        self.guests.leave(address);
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
        self.max_clients.min(self.max_sockets)
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
