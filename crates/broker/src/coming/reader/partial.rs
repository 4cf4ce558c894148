//! What has been read and not been handled.

use bytes::BytesMut;
use mqtt_codec::ReasonCode;

use super::{Reader, SMALL_PARTIAL, Unhandled};
use crate::client::ending::Ending;
use crate::client::seat::Seat;
use crate::watch::refusals::Kind;

impl Reader {
    /// Counts a large half packet to the client, which may hold no more than its share.
    pub(super) fn count_partial(&mut self, seat: &Seat) -> Result<(), Ending> {
        // By its capacity: that is what it takes; and what a transport has of a record that is not whole, or not taken.
        let capacity = self.partial.as_ref().map_or(0, |partial| partial.capacity());
        let held = capacity + seat.connection.transport().held();
        if held <= SMALL_PARTIAL {
            self.held = None;
            return Ok(());
        }
        self.held.get_or_insert_with(|| seat.broker().watched.memory.half_done().claim()).set(held);
        let bytes = self.partial.as_ref().map_or(0, |partial| partial.len());
        // Whole packets that wait for the next turn are what one read has brought, and soon gone.
        if self.unhandled == Unhandled::Rest || seat.client.state.lock().session.has_share(bytes) {
            return Ok(());
        }
        let reason = ReasonCode::QuotaExceeded;
        seat.tell_refused(
            Kind::Packet,
            reason,
            &"limits.memory leaves no room for more of a packet that is not whole",
            "",
        );
        Err(Ending::refused(reason))
    }

    /// Keeps the beginning of a packet, in memory of its own.
    pub(super) fn keep(&mut self, rest: &[u8]) {
        self.partial = (!rest.is_empty()).then(|| Box::new(BytesMut::from(rest)));
    }

    /// Leaves whole packets for the next turn, in the memory into which they were read.
    pub(super) fn leave(&mut self, input: BytesMut) {
        self.partial = Some(Box::new(input));
        self.unhandled = Unhandled::Rest;
    }

    /// Keeps packets that are not to be handled yet, in memory of their own: it may be long until then.
    pub(super) fn keep_for_later(&mut self, input: &[u8]) {
        self.keep(input);
        self.unhandled = if self.partial.is_some() { Unhandled::Rest } else { Unhandled::None };
    }
}
