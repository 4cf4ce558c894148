//! Retained messages that a subscriber is still to be sent: for which filters, and how far that is done.

use mqtt_codec::{Filter, Qos, SubscribeFilter, Topic};
use mqtt_hooks::Walk;
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
    /// Of the wish that it is at: what is retained is sent, and this is how far the states are.
    pub(super) walk: Option<Walk>,
    /// Only states, and of them those that have changed since.
    pub(super) states_since: Option<u64>,
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
    /// What has been [retained](crate::delivery::retained::RetainedMessages::in_turn) since comes anyway, as it is published.
    pub(super) last: u64,
}

/// That a client has subscribed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Added {
    /// It had subscribed with this filter before.
    pub(crate) existed: bool,
    /// See [`Wish`].
    pub(crate) last: u64,
}

impl Wish {
    /// `None`: the subscriber is to get none.
    pub(crate) fn new(wish: &SubscribeFilter, Added { existed, last }: Added) -> Option<Self> {
        use mqtt_codec::RetainHandling::{DoNotSend, Send, SendIfNew};
        // [MQTT-3.3.1-9] to [MQTT-3.3.1-11]; a shared subscription gets none.
        let is_wanted = match wish.options.retain_handling {
            Send => true,
            SendIfNew => !existed,
            DoNotSend => false,
        };
        (is_wanted && wish.filter.group().is_none()).then(|| Self {
            filter: wish.filter.detached(),
            qos: wish.options.qos,
            last,
        })
    }

    /// Time passes before it is fulfilled. What comes meanwhile may be dropped where the client does not read, and then this is how it
    /// learns of it.
    pub(crate) const fn put_off(&mut self) {
        self.last = u64::MAX;
    }
}

impl Wish {
    /// For what a client has subscribed with.
    pub(super) fn of(filter: &Filter, qos: Qos) -> Self {
        Self { filter: filter.detached(), qos, last: u64::MAX }
    }
}

impl Replay {
    pub(super) fn new(wishes: Vec<Wish>, id: Option<u32>, memory: &Memory) -> Self {
        let mut held = memory.half_done().claim();
        held.set(wishes.iter().map(|wish| Session::cost_of(&wish.filter)).sum());
        let cursor = Cursor::default();
        Self { wishes: wishes.into(), id, at: 0, cursor, walk: None, states_since: None, is_noted: false, held }
    }

    /// Of states that were missed.
    pub(super) fn of_states(wishes: Vec<Wish>, id: Option<u32>, since: u64, memory: &Memory) -> Self {
        Self { states_since: Some(since), ..Self::new(wishes, id, memory) }
    }

    /// It is to send states that were missed, and has sent none.
    pub(crate) const fn awaits_states(&self) -> bool {
        self.states_since.is_some() && self.at == 0 && self.walk.is_none()
    }

    /// What an earlier process had not sent of a session's subscriptions, and noted so. They begin anew: how far it was is
    /// not known, and a message that comes once more is better than none.
    pub(crate) fn restored(mut owing: Vec<LoadedSubscription>, memory: &Memory) -> Vec<Self> {
        owing.sort_by_key(|subscription| subscription.id);
        let replays = owing.chunk_by(|one, next| one.id == next.id).map(|of_one_id| {
            let wishes = of_one_id.iter().map(|of| Wish::of(&of.filter, of.options.qos)).collect();
            Self { is_noted: true, ..Self::new(wishes, of_one_id[0].id, memory) }
        });
        replays.collect()
    }

    /// The filters that are not at their end.
    pub(crate) fn left(&self) -> impl Iterator<Item = &Filter> {
        let wishes = if self.states_since.is_some() { &[] } else { &self.wishes[self.at.min(self.wishes.len())..] };
        wishes.iter().map(|wish| &wish.filter)
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
