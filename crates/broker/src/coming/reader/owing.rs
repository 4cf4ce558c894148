//! What waits for other nodes.

use std::task::{Context, Poll};

use super::Reader;
use crate::client::ending::Ending;
use crate::client::seat::Seat;
use crate::delivery::batch::Batch;
use crate::packets;

impl Reader {
    /// What the packets of this turn owe is waited for from now on.
    pub(super) fn take_owed(&mut self, context: &Context<'_>, batch: &mut Batch<'_>) {
        if let Some(owed) = batch.take_owed() {
            self.owing = Some(Box::new(owed.wait()));
            context.waker().wake_by_ref();
        }
    }

    /// Whether other nodes have to say something before the last packets are answered. Whoever publishes does so no faster than they
    /// take it.
    pub(super) fn answer_owing(
        &mut self,
        seat: &Seat,
        context: &mut Context<'_>,
        batch: &mut Batch<'_>,
    ) -> Result<bool, Ending> {
        let Some(owing) = &mut self.owing else { return Ok(false) };
        let Poll::Ready(answers) = owing.poll(context) else { return Ok(true) };
        self.owing = None;
        packets::answer(seat, answers, seat.broker().clock.now(), batch)?;
        Ok(false)
    }
}
