//! How fast a client may send. Who sends faster is not read from until there is room again.
//!
//! What comes is in order, so whatever is behind waits too: acknowledgements and PINGREQ. A client that keeps within its rate is
//! never held back, and one that does not has its socket filled and is slowed by that, which costs the broker neither memory nor
//! a turn. It can't be told from one that is silent, so silence is nothing to end it for while it lasts; the client itself may
//! miss the answer to a ping for that long.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

use crate::coming::entrance::Bounds;
use crate::config::Rate;
use crate::time::bucket::Bucket;

/// Who is held back goes on when there is room for what comes within so long: a turn for each message would cost more than
/// the messages.
const AT_ONCE: Duration = Duration::from_millis(10);

/// How fast a client may send, and how much of that is left.
pub(crate) struct Pace {
    messages: Option<Limit>,
    bytes: Option<Limit>,
    /// It is held back until then.
    held_back: Option<Pin<Box<Sleep>>>,
    is_told: bool,
}

struct Limit {
    rate: Rate,
    bucket: Bucket,
}

impl Limit {
    const fn new(rate: Rate) -> Self {
        Self { rate, bucket: Bucket::FULL }
    }

    fn is_empty(&self, now: Duration) -> bool {
        !self.bucket.wait(1, self.rate, now).is_zero()
    }

    fn spend(&mut self, amount: u64, now: Duration) {
        self.bucket.spend(amount, self.rate, now);
    }

    /// Until it is worth to go on.
    fn wait(&self, now: Duration) -> Duration {
        let at_once = u128::from(self.rate.amount) * AT_ONCE.as_nanos() / self.rate.per.as_nanos().max(1);
        let amount = u64::try_from(at_once).unwrap_or(u64::MAX).clamp(1, self.rate.amount);
        self.bucket.wait(amount, self.rate, now)
    }
}

impl Pace {
    /// `None`: it may send as fast as it can.
    pub(crate) fn new(bounds: &Bounds) -> Option<Box<Self>> {
        let (messages, bytes) = (bounds.message_rate.map(Limit::new), bounds.byte_rate.map(Limit::new));
        let is_limited = messages.is_some() || bytes.is_some();
        is_limited.then(|| Box::new(Self { messages, bytes, held_back: None, is_told: false }))
    }

    /// Bytes were read.
    pub(crate) fn note_read(&mut self, bytes: usize, now: Duration) {
        if let Some(limit) = &mut self.bytes {
            limit.spend(bytes as u64, now);
        }
    }

    /// A message was handled.
    pub(crate) fn note_message(&mut self, now: Duration) {
        if let Some(limit) = &mut self.messages {
            limit.spend(1, now);
        }
    }

    /// Before more is read: says by which rule it is to be held back, if it is.
    pub(crate) fn hold_bytes(&mut self, now: Duration) -> Option<&'static str> {
        let wait = self.bytes.as_ref().filter(|limit| limit.is_empty(now))?.wait(now);
        self.hold(wait);
        Some("byte_rate")
    }

    /// Before another message is handled.
    pub(crate) fn hold_message(&mut self, now: Duration) -> Option<&'static str> {
        let wait = self.messages.as_ref().filter(|limit| limit.is_empty(now))?.wait(now);
        self.hold(wait);
        Some("message_rate")
    }

    fn hold(&mut self, wait: Duration) {
        self.held_back = Some(Box::pin(sleep(wait)));
    }

    /// Ready when it is not held back.
    pub(crate) fn poll_free(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(held_back) = &mut self.held_back else { return Poll::Ready(()) };
        held_back.as_mut().poll(context).map(|()| self.held_back = None)
    }

    /// True for the first time.
    pub(crate) fn is_to_be_told(&mut self) -> bool {
        !std::mem::replace(&mut self.is_told, true)
    }
}
