//! Retained messages that a subscriber is still to be sent: for which filters, and how far that is done.

use mqtt_codec::{Filter, Qos, SubscribeFilter, Topic};
use mqtt_router::Cursor;
use mqtt_session::Session;
use mqtt_storage::LoadedSubscription;

use crate::watch::memory::{Claim, Memory};

/// What one SUBSCRIBE is still to be sent.
#[derive(Debug)]
pub(crate) struct Replay {
    pub(super) wishes: Box<[Wish]>,
    /// The subscription id.
    pub(super) id: Option<u32>,
    /// The wish that it is at.
    pub(super) at: usize,
    pub(super) cursor: Cursor,
    /// The store knows which filters are not at their end.
    pub(super) is_noted: bool,
    /// What the filters take, as long as they are needed.
    held: Claim,
}

/// A filter whose retained messages are wanted.
#[derive(Debug)]
pub(crate) struct Wish {
    pub(super) filter: Filter,
    pub(super) qos: Qos,
}

impl Wish {
    /// `None`: the subscriber is to get none.
    pub(crate) fn new(wish: &SubscribeFilter, existed: bool) -> Option<Self> {
        use mqtt_codec::RetainHandling::{DoNotSend, Send, SendIfNew};
        // [MQTT-3.3.1-9] to [MQTT-3.3.1-11]; a shared subscription gets none.
        let is_wanted = match wish.options.retain_handling {
            Send => true,
            SendIfNew => !existed,
            DoNotSend => false,
        };
        (is_wanted && wish.filter.group().is_none())
            .then(|| Self { filter: wish.filter.detached(), qos: wish.options.qos })
    }
}

impl Replay {
    pub(super) fn new(wishes: Vec<Wish>, id: Option<u32>, memory: &Memory) -> Self {
        let mut held = memory.half_done().claim();
        held.set(wishes.iter().map(|wish| Session::cost_of(&wish.filter)).sum());
        Self { wishes: wishes.into(), id, at: 0, cursor: Cursor::default(), is_noted: false, held }
    }

    /// What an earlier process had not sent of a session's subscriptions, and noted so. They begin anew: how far it was is
    /// not known, and a message that comes once more is better than none.
    pub(crate) fn restored(mut owing: Vec<LoadedSubscription>, memory: &Memory) -> Vec<Self> {
        owing.sort_by_key(|subscription| subscription.id);
        let replays = owing.chunk_by(|one, next| one.id == next.id).map(|of_one_id| {
            let wishes = of_one_id.iter().map(|of| Wish { filter: of.filter.clone(), qos: of.options.qos }).collect();
            Self { is_noted: true, ..Self::new(wishes, of_one_id[0].id, memory) }
        });
        replays.collect()
    }

    /// Bytes that it takes.
    pub(crate) const fn held(&self) -> usize {
        self.held.bytes()
    }

    /// One of the filters before has had this topic sent, and at no lower quality of service: [MQTT-3.3.1-9] asks for the
    /// messages that match, not for each once per filter.
    pub(super) fn has_sent(&self, topic: &Topic, qos: Qos) -> bool {
        self.wishes[..self.at].iter().any(|before| before.qos >= qos && before.filter.matches(topic))
    }
}
