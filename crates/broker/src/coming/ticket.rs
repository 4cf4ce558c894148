//! The place of a socket whose client is not in yet.

use std::net::IpAddr;
use std::sync::Arc;

use mqtt_hooks::ConnectionInfo;

use crate::broker::Broker;
use crate::coming::entrance::{Bounds, Entrance, Over};
use crate::coming::guests::Standing;

/// The place of a socket whose client is not in yet. Dropped, it is given back; with [`Self::into_seat`] it is the
/// connection's, which gives it back when it is dropped.
pub(crate) struct Ticket {
    broker: Arc<Broker>,
    entrance: Arc<Entrance>,
    /// What holds for it, whatever is told anew: it is the same for the packet that comes and for what CONNACK tells.
    bounds: Arc<Bounds>,
    address: IpAddr,
    /// Counted as a client's.
    has_seat: bool,
    /// It is to be refused when it has said CONNECT.
    over: Option<Over>,
    is_kept: bool,
}

impl Ticket {
    /// Takes a place, if there is one. `of_proxy`: whose connection it is will be known later.
    pub(crate) fn take(
        broker: &Arc<Broker>,
        entrance: &Arc<Entrance>,
        address: IpAddr,
        is_socket: bool,
        of_proxy: bool,
    ) -> Result<Self, Over> {
        broker.doors.enter(entrance, address, is_socket)?;
        let (broker, entrance, bounds) = (Arc::clone(broker), Arc::clone(entrance), entrance.bounds());
        let mut ticket = Self { broker, entrance, bounds, address, has_seat: false, over: None, is_kept: false };
        if !of_proxy {
            ticket.knock()?;
        }
        // Behind that: who comes too often from one address takes no turn of the others.
        if ticket.over.is_none() {
            let turn = ticket.entrance.take_turn(|| ticket.broker.clock.uptime());
            ticket.note(turn)?;
        }
        Ok(ticket)
    }

    /// A proxy has said that it is somebody else's connection.
    pub(crate) fn pass_on(&mut self, address: IpAddr) -> Result<(), Over> {
        if address != self.address {
            self.broker.doors.pass_on(self.address, address)?;
            self.address = address;
            if self.over.is_none() {
                self.knock()?;
            }
        }
        Ok(())
    }

    fn knock(&mut self) -> Result<(), Over> {
        let doors = &self.broker.doors;
        doors.may_knock(self.address)?;
        let turn = doors.take_turn(self.address, || self.broker.clock.uptime());
        self.note(turn)
    }

    /// Who comes too often is let in as far as CONNECT, to be told so in the answer; not too many of them at a time.
    fn note(&mut self, turn: Result<(), Over>) -> Result<(), Over> {
        let Err(over) = turn else { return Ok(()) };
        if !self.broker.doors.begin_telling() {
            return Err(over);
        }
        self.broker.watched.metrics.count(over.metric);
        self.over = Some(over);
        Ok(())
    }

    /// What it is over, so that it is to be refused.
    pub(crate) const fn over(&self) -> Option<Over> {
        self.over
    }

    /// What holds for it.
    pub(crate) const fn bounds(&self) -> &Arc<Bounds> {
        &self.bounds
    }

    /// Takes a client's place too; `old` is the connection that it takes over.
    pub(crate) fn take_seat(&mut self, old: Option<&ConnectionInfo>) -> Result<(), Over> {
        if !self.has_seat {
            self.broker.doors.take_seat(&self.entrance, self.address, old)?;
            self.has_seat = true;
        }
        Ok(())
    }

    /// Gives that back.
    pub(crate) fn leave_seat(&mut self) {
        if std::mem::take(&mut self.has_seat) {
            self.broker.doors.leave_seat(&self.entrance, self.address);
        }
    }

    /// The places are its connection's from here on.
    pub(crate) fn into_seat(mut self) {
        debug_assert!(self.has_seat, "nobody is let in without");
        self.is_kept = true;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.over.is_some() {
            self.broker.doors.end_telling();
        }
        if !self.is_kept {
            let standing = if self.has_seat { Standing::Client } else { Standing::Arriving };
            self.broker.doors.leave(&self.entrance, self.address, standing);
        }
    }
}
