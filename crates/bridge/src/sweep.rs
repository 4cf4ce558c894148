//! Makes one broker forget packet ids of QoS 2 that the other knows nothing of any more.
//!
//! Where one of the two sessions is new and the other is not, the one that is left may hold ids of messages that it received and that
//! were never released. A new message with such an id would be taken for that one, and lost. PUBREL releases an id whether or not
//! it is held, and is answered in any case [MQTT-4.3.3-11], so one for each makes both ends begin alike.

use mqtt_codec::{Ack, Packet, PacketId, ReasonCode};

use crate::side::Side;

/// Ids that are being released.
#[derive(Debug, Default)]
pub(crate) struct Sweep {
    /// Sent up to here.
    sent: u16,
    /// Answered.
    answered: u16,
}

impl Sweep {
    /// Sends what there is room for.
    pub(crate) fn go_on(&mut self, side: &mut Side) {
        while self.sent < u16::MAX && !side.is_full() {
            self.sent += 1;
            let Some(packet_id) = PacketId::new(self.sent) else { return };
            // It is smaller than any limit.
            let _ = side.put(&Packet::PubRel(Ack::new(packet_id, ReasonCode::Success)));
        }
    }

    /// Some are not sent yet.
    pub(crate) const fn has_more(&self) -> bool {
        self.sent < u16::MAX
    }

    /// PUBCOMP has come; true: it was the last.
    pub(crate) const fn note_answer(&mut self) -> bool {
        self.answered = self.answered.saturating_add(1);
        self.answered == u16::MAX
    }
}
