//! What has been read and not been handled.

use bytes::BytesMut;
use mqtt_codec::{FixedHeader, PacketType, ReasonCode};

use super::{Reader, SMALL_PARTIAL, Unhandled};
use crate::client::ending::Ending;
use crate::client::seat::Seat;
use crate::time::patience::Patient;
use crate::watch::refusals::Kind;

/// Bytes of a SUBSCRIBE or UNSUBSCRIBE that may have some hundred filters.
const LONG: usize = 1024;
const SUBSCRIBE: u8 = PacketType::Subscribe as u8;
const UNSUBSCRIBE: u8 = PacketType::Unsubscribe as u8;

/// So many bytes more of a packet that is not whole are a sign of life.
const SIGN_OF_LIFE: u32 = 256;

impl Reader {
    /// [MQTT-3.1.2-22]: it is packets that keep a client alive. But who takes long to send a large one is not silent, and is
    /// heard by its bytes; who feeds it in drop by drop is not. `left` bytes wait for more of their packet, and `is_half` says
    /// that they are all that is new.
    pub(super) fn note_heard(&mut self, seat: &Seat, heard: Patient, is_half: bool, left: usize) {
        // A packet has no more than this can count.
        let left = left as u32;
        if !is_half || left.saturating_sub(self.heard_by) >= SIGN_OF_LIFE {
            seat.connection.heard(heard);
            self.heard_by = left;
        }
    }

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

/// A SUBSCRIBE or UNSUBSCRIBE that takes a turn by itself: for it one has to be in the line. Else as many of them are handled one
/// after the other as there are clients who send the first of theirs.
pub(super) fn is_long(input: &[u8]) -> bool {
    input.first().is_some_and(|first| matches!(first >> 4, SUBSCRIBE | UNSUBSCRIBE))
        && FixedHeader::read(input).is_ok_and(|header| {
            header.is_some_and(|header| header.remaining >= LONG && input.len() >= header.packet_size())
        })
}
