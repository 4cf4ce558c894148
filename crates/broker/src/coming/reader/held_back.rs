//! A client that sends faster than it may.

use std::task::Context;

use mqtt_codec::{PacketType, ReasonCode};

use super::Reader;
use crate::client::seat::Seat;
use crate::watch::metrics::Metric;
use crate::watch::refusals::Kind;

const PUBLISH: u8 = PacketType::Publish as u8;

impl Reader {
    /// The task is woken when it is not any more.
    pub(super) fn is_held_back(&mut self, context: &mut Context<'_>) -> bool {
        self.pace.as_mut().is_some_and(|pace| pace.poll_free(context).is_pending())
    }

    /// Before more is read: holds the client back if it has sent too many bytes.
    pub(super) fn hold_bytes(&mut self, seat: &Seat) -> bool {
        let now = seat.broker().clock.uptime();
        let rule = self.pace.as_mut().and_then(|pace| pace.hold_bytes(now));
        self.tell(seat, rule)
    }

    /// Before the next packet is handled: holds the client back if that is a message too many. All others pass, so a client
    /// that waits for its turn to publish is answered when it pings.
    pub(super) fn hold_message(&mut self, seat: &Seat, input: &[u8]) -> bool {
        if input.first().is_none_or(|first| first >> 4 != PUBLISH) {
            return false;
        }
        let now = seat.broker().clock.uptime();
        let rule = self.pace.as_mut().and_then(|pace| pace.hold_message(now));
        self.tell(seat, rule)
    }

    /// Counts it, and tells it once for each connection.
    fn tell(&mut self, seat: &Seat, rule: Option<&'static str>) -> bool {
        let Some(rule) = rule else { return false };
        seat.broker().watched.metrics.count(Metric::HeldBack);
        if self.pace.as_mut().is_some_and(|pace| pace.is_to_be_told()) {
            seat.tell_refused(Kind::Pace, ReasonCode::MessageRateTooHigh, &rule, "");
        }
        true
    }
}
