//! Clients with kept sessions that receive what the publishers send, each in its way.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use mqtt_codec::{Ack, Packet, PacketId, Publish, Qos, ReasonCode, Version};

use crate::client::{Client, End, packet_id};
use crate::publisher::{payload, topic_name};
use crate::random::Random;
use crate::report::{Fault, World, tick};
use crate::socket::{Gone, PATIENCE};

/// Answers that a slow subscriber keeps back before it stops reading.
const SLOW: usize = 30;

/// Turns for which a subscriber of a broker that lives long receives in one way.
const WHILE: u64 = 500;

/// Where it is said that everything before has been sent.
pub(crate) const FENCE: &str = "fence";

/// What is known of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    No,
    /// Asked for or given up, and not yet answered.
    Perhaps,
    Yes,
}

/// A message that came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received {
    pub(crate) publisher: usize,
    pub(crate) number: u64,
    pub(crate) topic: u64,
    pub(crate) qos: Qos,
    pub(crate) dup: bool,
}

/// A SUBSCRIBE or UNSUBSCRIBE that waits for its answer.
#[derive(Clone, Copy, Debug)]
struct Change {
    packet_id: PacketId,
    publisher: usize,
    subscribe: bool,
}

#[derive(Debug)]
pub(crate) struct Subscriber {
    pub(crate) client: Client,
    /// Since the last [`Self::forget`], in order.
    pub(crate) received: Vec<Received>,
    random: Random,
    qos: Qos,
    /// To everything and for ever, or to some publishers for a while.
    fixed: bool,
    /// For each publisher what was known from when on.
    states: Vec<Vec<(u64, State)>>,
    change: Option<Change>,
    last_id: u16,
    /// QoS 2 packet ids that the broker has not released.
    open: HashSet<PacketId>,
    /// Acknowledgements kept back.
    late: VecDeque<Packet>,
    fence: u64,
}

impl Subscriber {
    /// `number` is its own among all clients.
    pub(crate) fn new(number: u8, version: Version, qos: Qos, fixed: bool, publishers: usize, random: Random) -> Self {
        Self {
            client: Client::new(format!("subscriber-{number}"), number, version),
            received: Vec::new(),
            random,
            qos,
            fixed,
            states: vec![vec![(0, State::No)]; publishers],
            change: None,
            last_id: 0,
            open: HashSet::new(),
            late: VecDeque::new(),
            fence: 0,
        }
    }

    /// The first connection, before anything is published.
    pub(crate) fn begin(&mut self, world: &World<'_>) -> Result<(), Gone> {
        self.client.come(world, false)?;
        self.client.subscribe(&[FENCE], Qos::AtLeastOnce)?;
        if self.fixed {
            self.client.subscribe(&["message/#"], self.qos)?;
            self.states = vec![vec![(0, State::Yes)]; self.states.len()];
        }
        Ok(())
    }

    /// Receives in a way of its own until the broker is gone.
    pub(crate) fn load(&mut self, world: &World<'_>) {
        let outcome = if world.lives_long { self.receive_for_long(world) } else { self.receive_somehow(world, 0) };
        if let Err(why) = outcome {
            self.client.broke(world, &why);
        }
    }

    /// In one way after the other; between two it takes all that has come to wait.
    fn receive_for_long(&mut self, world: &World<'_>) -> Result<(), Gone> {
        while !world.is_ending() {
            self.receive_somehow(world, WHILE)?;
            std::thread::sleep(Duration::from_millis(self.random.below(2_000)));
            self.receive(world, usize::MAX, WHILE)?;
        }
        Ok(())
    }

    /// Goes after so many turns, or before; 0: never, or before.
    fn receive_somehow(&mut self, world: &World<'_>, most: u64) -> Result<(), Gone> {
        let (answers, turns) = match self.random.below(3) {
            0 => (usize::MAX, most),
            1 => (1 + self.random.below(4) as usize, most),
            _ => (usize::MAX, 1 + self.random.below(15)),
        };
        self.receive(world, answers, turns)
    }

    /// Acknowledges at most `answers` at a time; goes after `turns`, if that is not 0.
    fn receive(&mut self, world: &World<'_>, answers: usize, turns: u64) -> Result<(), Gone> {
        self.come(world)?;
        let mut turn = 0;
        while turns == 0 || turn < turns {
            turn += 1;
            if answers == usize::MAX || self.late.len() < SLOW {
                self.hear(world, Duration::from_millis(10))?;
            } else {
                std::thread::sleep(Duration::from_millis(10));
            }
            self.answer(answers);
            if self.random.once_in(8) {
                self.change();
            }
            if self.random.once_in(60) {
                self.client.leave(End::any(&mut self.random));
                self.come(world)?;
            }
        }
        self.client.flush()?;
        self.client.leave([End::Disconnect, End::Close, End::Cut][self.random.below(3) as usize]);
        Ok(())
    }

    /// Receives everything up to the fence.
    pub(crate) fn settle(&mut self, world: &World<'_>, fence: u64) {
        if let Err(why) = self.drain(world, fence) {
            self.client.broke(world, &why);
        }
    }

    fn drain(&mut self, world: &World<'_>, fence: u64) -> Result<(), Gone> {
        self.come(world)?;
        let mut last_heard = Instant::now();
        while self.fence < fence || !self.open.is_empty() || self.change.is_some() {
            if self.hear(world, Duration::from_millis(100))? {
                last_heard = Instant::now();
            }
            self.answer(usize::MAX);
            if last_heard.elapsed() > PATIENCE {
                let Self { fence: last, open, change, .. } = self;
                return Err(Gone::new(format!("silent at fence {last} of {fence}, {} open, {change:?}", open.len())));
            }
        }
        self.client.flush()
    }

    fn come(&mut self, world: &World<'_>) -> Result<(), Gone> {
        self.late.clear();
        if !self.client.come(world, false)? {
            self.open.clear();
        }
        if let Some(change) = self.change {
            self.ask(change);
        }
        Ok(())
    }

    /// Subscribes to a publisher's messages, or unsubscribes.
    fn change(&mut self) {
        if self.fixed || self.change.is_some() {
            return;
        }
        let publisher = self.random.below(self.states.len() as u64) as usize;
        let subscribe = self.state(publisher) == State::No;
        self.last_id = self.last_id % 1000 + 1;
        let change = Change { packet_id: packet_id(self.last_id), publisher, subscribe };
        self.change = Some(change);
        self.states[publisher].push((tick(), State::Perhaps));
        self.ask(change);
    }

    fn ask(&mut self, change: Change) {
        let filter = format!("message/{}/+", change.publisher);
        if change.subscribe {
            self.client.push_subscribe(change.packet_id, &[&filter], self.qos);
        } else {
            self.client.push_unsubscribe(change.packet_id, &filter);
        }
    }

    fn changed(&mut self, packet_id: PacketId, subscribe: bool) -> Result<(), Gone> {
        let change = self.change.take();
        let Some(change) = change.filter(|change| change.packet_id == packet_id && change.subscribe == subscribe)
        else {
            return Err(Gone::new(format!("an answer to {packet_id:?}, which was not asked: {change:?}")));
        };
        self.states[change.publisher].push((tick(), if subscribe { State::Yes } else { State::No }));
        Ok(())
    }

    /// Reads once. False if nothing came in time.
    fn hear(&mut self, world: &World<'_>, wait: Duration) -> Result<bool, Gone> {
        self.client.read(wait)?;
        let mut heard = false;
        while let Some(packet) = self.client.poll()? {
            heard = true;
            match packet {
                Packet::Publish(publish) => self.received(world, &publish)?,
                Packet::PubRel(ack) => {
                    self.open.remove(&ack.packet_id);
                    self.late.push_back(Packet::PubComp(Ack::new(ack.packet_id, ReasonCode::Success)));
                }
                Packet::SubAck(answer) if answer.reasons == [ReasonCode::granted(self.qos)] => {
                    self.changed(answer.packet_id, true)?;
                }
                Packet::UnsubAck(answer) if answer.reasons.iter().all(|reason| !reason.is_error()) => {
                    self.changed(answer.packet_id, false)?;
                }
                other => return Err(Gone::new(format!("{other:?} for a subscriber"))),
            }
        }
        Ok(heard)
    }

    fn received(&mut self, world: &World<'_>, publish: &Publish) -> Result<(), Gone> {
        let (Some(topic), Some(packet_id)) = (&publish.topic, publish.packet_id) else {
            return Err(Gone::new(format!("{publish:?} without topic or packet id")));
        };
        let ack = Ack::new(packet_id, ReasonCode::Success);
        let mut is_new = true;
        if publish.qos == Qos::ExactlyOnce {
            // [MQTT-4.3.3-10]: a repeated id is acknowledged, never taken again.
            is_new = self.open.insert(packet_id);
            if !is_new && !publish.dup {
                return Err(Gone::new(format!("{packet_id:?} is used again before it is released")));
            }
            self.late.push_back(Packet::PubRec(ack));
        } else {
            self.late.push_back(Packet::PubAck(ack));
        }
        let text = String::from_utf8_lossy(&publish.payload);
        if topic.as_str() == FENCE {
            self.fence = text.parse().unwrap_or(0).max(self.fence);
            return Ok(());
        }
        if !is_new {
            return Ok(());
        }
        let mut words = text.split(' ');
        let publisher = words.next().and_then(|word| word.parse().ok());
        let number = words.next().and_then(|word| word.parse().ok());
        let level = topic.levels().next_back().and_then(|word| word.parse().ok());
        match (publisher, number, level) {
            (Some(publisher), Some(number), Some(level))
                if publish.payload == payload(publisher, number)
                    && topic.as_str() == topic_name(false, publisher, level) =>
            {
                let (qos, dup) = (publish.qos, publish.dup);
                self.received.push(Received { publisher, number, topic: level, qos, dup });
            }
            _ => world.report.fault(Fault::Unasked, &format!("{}: {publish:?} was never sent so", self.client.id)),
        }
        Ok(())
    }

    fn answer(&mut self, answers: usize) {
        for packet in self.late.drain(..answers.min(self.late.len())) {
            self.client.push(&packet);
        }
    }

    fn state(&self, publisher: usize) -> State {
        self.states[publisher].last().map_or(State::No, |(_, state)| *state)
    }

    /// The QoS at which a message of this QoS comes.
    pub(crate) fn granted(&self, qos: Qos) -> Qos {
        qos.min(self.qos)
    }

    /// True if it was surely subscribed to the publisher all the time, see [`tick`].
    pub(crate) fn must_get(&self, publisher: usize, from: u64, until: u64) -> bool {
        self.between(publisher, from, until).all(|state| state == State::Yes)
    }

    /// True if it may have been subscribed to the publisher at some time.
    pub(crate) fn may_get(&self, publisher: usize, from: u64, until: u64) -> bool {
        self.between(publisher, from, until).any(|state| state != State::No)
    }

    fn between(&self, publisher: usize, from: u64, until: u64) -> impl Iterator<Item = State> {
        let states = &self.states[publisher];
        let start = states.iter().rposition(|(at, _)| *at <= from).unwrap_or(0);
        states[start..].iter().take_while(move |(at, _)| *at <= until.max(from)).map(|(_, state)| *state)
    }

    /// Everything has been checked.
    pub(crate) fn forget(&mut self) {
        self.received.clear();
        for states in &mut self.states {
            states.drain(..states.len() - 1);
        }
    }
}
