//! What is owed to other nodes before somebody is answered.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use mqtt_codec::{Packet, ReasonCode};
use mqtt_session::Receipt;

use super::peer::Peer;
use crate::delivery::wanted::Wish;

/// What the packets of one turn owe, and the answers that wait for that.
#[derive(Default)]
pub(crate) struct Owed {
    /// Up to which place, for each node.
    to: Vec<(Arc<dyn Peer>, u64)>,
    pub(crate) answers: Vec<Answer>,
}

/// An answer, in the order of what it answers: [MQTT-4.6.0-2] [MQTT-4.6.0-3].
pub(crate) enum Answer {
    Receipt(Receipt, ReasonCode),
    /// A SUBACK, and what is retained for which filters comes behind it.
    Subscribed(Packet, Vec<Wish>, Option<u32>),
}

/// Waits.
pub(crate) struct Owing {
    done: Pin<Box<dyn Future<Output = ()> + Send>>,
    answers: Vec<Answer>,
}

impl Owed {
    pub(crate) fn add(&mut self, peer: &Arc<dyn Peer>, place: u64) {
        match self.to.iter_mut().find(|(known, _)| Arc::ptr_eq(known, peer)) {
            // Of one node it may be another life by now, in which case the last one is not waited for.
            Some((_, last)) => *last = place.max(*last),
            None => self.to.push((Arc::clone(peer), place)),
        }
    }

    pub(crate) fn wait(self) -> Owing {
        let Self { to, answers } = self;
        let all = async move {
            for (peer, place) in to {
                peer.handled(place).await;
            }
        };
        Owing { done: Box::pin(all), answers }
    }
}

impl Owing {
    /// The answers, once nothing is owed any more.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Vec<Answer>> {
        self.done.as_mut().poll(context).map(|()| std::mem::take(&mut self.answers))
    }
}
