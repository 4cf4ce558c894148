//! Both connections are there: what comes from one goes to the other.

use std::collections::HashSet;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytestring::ByteString;
use mqtt_codec::{Ack, Disconnect, Packet, PacketId, Properties, Property, Publish, Qos, ReasonCode, Version};
use tokio::time::{Instant, Interval, MissedTickBehavior};

use crate::counts::Counts;
use crate::plan::Plan;
use crate::probe::Probe;
use crate::side::{Came, Side};
use crate::subscribing::Subscribing;
use crate::sweep::Sweep;
use crate::trouble::Trouble;

/// The user property that names a broker that a message has passed.
const HOP: &str = "rollcall-hop";

/// Packets of each side that are handled before what they led to is written.
const AT_ONCE: usize = 64;

/// Why a message goes no further whose topic is all right. PUBACK and PUBREC have no reason that says more (tables 3-4 and 3-5 of MQTT 5).
const UNFIT: ReasonCode = ReasonCode::ImplementationSpecific;

/// How long the answer to a ping may take at least: a broker may ask for a very short keep alive.
const ANSWER: Duration = Duration::from_secs(2);

/// How long a DISCONNECT may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// Both connections, and what is between them.
pub(crate) struct Relay {
    pub(crate) remote: Side,
    pub(crate) local: Side,
    pub(crate) plan: Arc<Plan>,
    /// This broker, among those that a message has passed.
    pub(crate) here: ByteString,
    pub(crate) counts: Arc<Counts>,
    /// The highest that the remote broker takes.
    pub(crate) max_qos: Qos,
    /// The remote broker retains.
    pub(crate) retains: bool,
    pub(crate) keep_alive: Duration,
    /// What the remote broker has not confirmed yet. Nothing goes out until then, so that its packet id is nobody's.
    pub(crate) subscribing: Option<Subscribing>,
    pub(crate) sweep: Option<(End, Sweep)>,
    /// Sent when all is subscribed, before anything else goes out.
    pub(crate) probe: Option<Probe>,
    pub(crate) pinged: Option<Instant>,
    /// Refusals of single messages that were told; each once.
    pub(crate) told: HashSet<ReasonCode>,
}

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Remote,
    Local,
}

impl Relay {
    /// Until one of the connections ends. `settled` is called once, when all is subscribed and swept.
    pub(crate) async fn run(&mut self, settled: &mut (dyn FnMut() + Send)) -> Trouble {
        let mut beat = tokio::time::interval(Duration::from_secs(1));
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut settled = Some(settled);
        std::future::poll_fn(|context| match self.poll(&mut beat, &mut settled, context) {
            Ok(()) => Poll::Pending,
            Err(trouble) => Poll::Ready(trouble),
        })
        .await
    }

    fn poll(
        &mut self,
        beat: &mut Interval,
        settled: &mut Option<&mut (dyn FnMut() + Send)>,
        context: &mut Context<'_>,
    ) -> Result<(), Trouble> {
        loop {
            // Until it says when: only then it wakes the task up.
            while beat.poll_tick(context).is_ready() {
                self.look_at_the_time(Instant::now())?;
            }
            match &mut self.sweep {
                Some((End::Remote, sweep)) => sweep.go_on(&mut self.remote),
                Some((End::Local, sweep)) => sweep.go_on(&mut self.local),
                None => self.subscribe()?,
            }
            let held_up = self.full();
            let came = self.handle_some(context)?;
            if self.sweep.is_none()
                && self.subscribing.is_none()
                && let Some(settled) = settled.take()
            {
                settled();
            }
            let is_written = self.flush(context)?;
            // Who is not read from now has no waker with its reader: it must be held up by an output that is still full, which has one.
            let is_relieved = self.full() < held_up;
            if !(came || is_relieved || is_written && self.is_sweeping()) {
                return Ok(());
            }
        }
    }

    /// How many sides take no more.
    fn full(&self) -> usize {
        [&self.remote, &self.local].into_iter().filter(|side| side.is_full()).count()
    }

    /// Behind the sweep: a remote broker whose session is new sends nothing before this, so that no id is released with which it has
    /// sent something.
    fn subscribe(&mut self) -> Result<(), Trouble> {
        let packets = self.subscribing.as_mut().map(Subscribing::take_packets).unwrap_or_default();
        packets.into_iter().try_for_each(|packet| self.pass(End::Remote, packet))
    }

    fn is_sweeping(&self) -> bool {
        self.sweep.as_ref().is_some_and(|(_, sweep)| sweep.has_more())
    }

    /// True if there may be more.
    fn handle_some(&mut self, context: &mut Context<'_>) -> Result<bool, Trouble> {
        let mut came = false;
        for _ in 0..AT_ONCE {
            let mut is_idle = true;
            if self.may_read(End::Remote)
                && let Poll::Ready(packet) = self.remote.poll_come(context)
            {
                self.handle_remote(packet?)?;
                is_idle = false;
            }
            if self.may_read(End::Local)
                && let Poll::Ready(packet) = self.local.poll_come(context).map_err(Trouble::here)
            {
                self.handle_local(packet?)?;
                is_idle = false;
            }
            if is_idle {
                break;
            }
            came = true;
        }
        Ok(came)
    }

    /// Nothing is read that can't be handed on. That does not hold up both for ever: each broker reads answers whatever it writes, and
    /// they are bounded by the messages on the way.
    fn may_read(&self, end: End) -> bool {
        match end {
            End::Remote => !self.local.is_full(),
            // What goes out has ids of the remote's sweep, or that of SUBSCRIBE, until these are answered.
            End::Local => {
                let is_asking = self.sweep.is_none() && self.subscribing.is_some();
                !self.remote.is_full() && !is_asking && !matches!(self.sweep, Some((End::Remote, _)))
            }
        }
    }

    /// True: all is written.
    fn flush(&mut self, context: &mut Context<'_>) -> Result<bool, Trouble> {
        let remote = self.remote.poll_flush(context)?.is_ready();
        let local = self.local.poll_flush(context).map_err(Trouble::here)?.is_ready();
        Ok(remote && local)
    }

    fn look_at_the_time(&mut self, now: Instant) -> Result<(), Trouble> {
        let (patience, remote) = (self.keep_alive + self.keep_alive / 2, &mut self.remote);
        if remote.has_output() && now.duration_since(remote.last_written) > patience {
            return Err(Trouble::Stuck);
        }
        if self.local.has_output() && now.duration_since(self.local.last_written) > patience {
            return Err(Trouble::Stuck.here());
        }
        match self.pinged {
            Some(at) if remote.last_read >= at => self.pinged = None,
            Some(at) if now.duration_since(at) > (self.keep_alive / 2).max(ANSWER) => return Err(Trouble::Silent),
            Some(_) => {}
            // [MQTT-3.1.2-20], and to find out whether it is there though there is much to say to it.
            None if now.duration_since(remote.last_written.min(remote.last_read)) + Duration::from_secs(1)
                >= self.keep_alive =>
            {
                let _ = remote.put(&Packet::PingReq);
                self.pinged = Some(now);
            }
            None => {}
        }
        Ok(())
    }

    fn handle_local(&mut self, came: Came) -> Result<(), Trouble> {
        let Came::Packet(packet) = came else { return Ok(()) };
        match packet {
            Packet::Publish(publish) => self.carry_out(publish),
            Packet::PubRel(ack) => self.pass(End::Remote, Packet::PubRel(Ack::new(ack.packet_id, ReasonCode::Success))),
            Packet::PubComp(_) if self.note_swept(End::Local) => Ok(()),
            Packet::PubAck(ack) => self.answer(End::Remote, ack, Packet::PubAck),
            Packet::PubRec(ack) => self.answer(End::Remote, ack, Packet::PubRec),
            Packet::PubComp(ack) => self.pass(End::Remote, Packet::PubComp(Ack::new(ack.packet_id, ack.reason))),
            Packet::Disconnect(disconnect) => Err(Trouble::Disconnected(disconnect.reason).here()),
            Packet::PingResp | Packet::SubAck(_) | Packet::UnsubAck(_) => Ok(()),
            other => Err(Trouble::Malformed(format!("{:?}", other.packet_type())).here()),
        }
    }

    fn handle_remote(&mut self, came: Came) -> Result<(), Trouble> {
        let packet = match came {
            Came::Packet(packet) => packet,
            Came::TooLarge { qos, packet_id } => {
                self.counts.dropped.add_one();
                return self.settle(End::Remote, qos, packet_id, UNFIT);
            }
        };
        match packet {
            Packet::Publish(publish) => match self.probe.as_ref().and_then(|probe| probe.comes_back(&publish)) {
                Some(both) => Err(Trouble::Echoes(both.to_owned())),
                None => self.carry_in(publish),
            },
            Packet::PubRel(ack) => self.pass(End::Local, Packet::PubRel(Ack::new(ack.packet_id, ReasonCode::Success))),
            Packet::PubComp(_) if self.note_swept(End::Remote) => Ok(()),
            Packet::PubAck(ack) => self.answer(End::Local, ack, Packet::PubAck),
            Packet::PubRec(ack) => self.answer(End::Local, ack, Packet::PubRec),
            Packet::PubComp(ack) => self.pass(End::Local, Packet::PubComp(Ack::new(ack.packet_id, ack.reason))),
            Packet::SubAck(ack) => self.note_subscribed(|subscribing| subscribing.note_suback(&ack)),
            Packet::UnsubAck(ack) => self.note_subscribed(|subscribing| subscribing.note_unsuback(ack.packet_id)),
            Packet::PingResp => Ok(()),
            Packet::Disconnect(disconnect) => Err(Trouble::Disconnected(disconnect.reason)),
            other => Err(Trouble::Malformed(format!("{:?}", other.packet_type()))),
        }
    }

    /// The last answer of a sweep makes an end of it.
    fn note_swept(&mut self, end: End) -> bool {
        let Some((swept, sweep)) = &mut self.sweep else { return false };
        if *swept != end {
            return false;
        }
        if sweep.note_answer() {
            self.sweep = None;
        }
        true
    }

    fn note_subscribed(
        &mut self,
        note: impl FnOnce(&mut Subscribing) -> Result<Option<Packet>, Trouble>,
    ) -> Result<(), Trouble> {
        let Some(subscribing) = &mut self.subscribing else { return Ok(()) };
        let again = note(subscribing)?;
        if subscribing.is_done() {
            self.subscribing = None;
            if let Some(packet) = self.probe.as_mut().and_then(Probe::take_packet) {
                self.pass(End::Remote, packet)?;
            }
        }
        again.map_or(Ok(()), |packet| self.pass(End::Remote, packet))
    }

    fn carry_out(&mut self, publish: Publish) -> Result<(), Trouble> {
        if publish.qos > self.max_qos {
            // It is from before the remote broker said so: nothing of it is subscribed to with more.
            self.counts.dropped.add_one();
            return self.settle(End::Local, publish.qos, publish.packet_id, UNFIT);
        }
        let retain = publish.retain && self.retains;
        self.carry(End::Remote, Publish { retain, ..publish })
    }

    fn carry_in(&mut self, publish: Publish) -> Result<(), Trouble> {
        self.carry(End::Local, publish)
    }

    /// Hands a message on under its own packet id, or answers for the broker that it can't go to.
    fn carry(&mut self, to: End, publish: Publish) -> Result<(), Trouble> {
        let (qos, packet_id, from) = (publish.qos, publish.packet_id, to.other());
        let topic =
            publish.topic.as_ref().ok_or_else(|| self.malformed(from, "a topic alias that was not asked for"))?;
        if has_passed(&publish.properties, &self.here) {
            self.counts.looped.add_one();
            return self.settle(from, qos, packet_id, ReasonCode::Success);
        }
        let mapping = if to == End::Remote { &self.plan.out } else { &self.plan.r#in };
        let Ok(topic) = mapping.map(topic) else {
            self.counts.dropped.add_one();
            return self.settle(from, qos, packet_id, ReasonCode::TopicNameInvalid);
        };
        let properties = match (to, self.side(to).version()) {
            (End::Remote, Version::V5) => passed(&publish.properties, &self.here),
            _ => publish.properties.clone(),
        };
        let packet = Packet::Publish(Publish { topic: Some(topic), properties, ..publish });
        if self.side(to).put(&packet).is_err() {
            self.counts.dropped.add_one();
            return self.settle(from, qos, packet_id, UNFIT);
        }
        let count = if to == End::Remote { &self.counts.sent } else { &self.counts.received };
        count.add_one();
        Ok(())
    }

    /// Answers a message that is not handed on. Nothing need be kept for what follows: with QoS 2 a broker of MQTT 5 has done with it
    /// by a reason that is an error, and before that it sends PUBREL, which the other broker answers though it knows of none.
    fn settle(&mut self, from: End, qos: Qos, packet_id: Option<PacketId>, reason: ReasonCode) -> Result<(), Trouble> {
        let Some(packet_id) = packet_id else { return Ok(()) };
        let ack = Ack::new(packet_id, reason);
        self.pass(from, if qos == Qos::ExactlyOnce { Packet::PubRec(ack) } else { Packet::PubAck(ack) })
    }

    /// What one broker says of the other's message.
    fn answer(&mut self, to: End, ack: Ack, packet: fn(Ack) -> Packet) -> Result<(), Trouble> {
        let (from, reason) = (to.other(), ack.reason);
        if reason.is_error() {
            // To be tried again: handed on, it would be the last that is heard of the message.
            if reason == ReasonCode::QuotaExceeded {
                let trouble = Trouble::Full(reason);
                return Err(if from == End::Local { trouble.here() } else { trouble });
            }
            self.counts.refused.add_one();
            if self.told.insert(reason) {
                let by = if from == End::Local { "this broker" } else { "the remote broker" };
                tracing::warn!(
                    reason = reason.name(),
                    by,
                    "a bridge's message is refused; others like it are only counted"
                );
            }
        }
        // Reasons that are none of refusal are a server's alone: nobody had subscribed.
        let reason = if reason.is_error() { reason } else { ReasonCode::Success };
        self.pass(to, packet(Ack::new(ack.packet_id, reason)))
    }

    /// An answer, which is smaller than any limit on packets.
    fn pass(&mut self, to: End, packet: Packet) -> Result<(), Trouble> {
        self.side(to).put(&packet).map_err(|why| Trouble::Malformed(why.to_string()))
    }

    const fn side(&mut self, end: End) -> &mut Side {
        match end {
            End::Remote => &mut self.remote,
            End::Local => &mut self.local,
        }
    }

    fn malformed(&self, from: End, why: &str) -> Trouble {
        let trouble = Trouble::Malformed(why.to_owned());
        if from == End::Local { trouble.here() } else { trouble }
    }

    /// Says so to both, if they take it.
    pub(crate) async fn leave(mut self) {
        let goodbye = Packet::Disconnect(Disconnect { reason: ReasonCode::Success, properties: Properties::EMPTY });
        let _ = self.remote.put(&goodbye);
        let _ = self.local.put(&goodbye);
        let flush = std::future::poll_fn(|context| {
            // Each for itself: the one that broke is no reason not to tell the other.
            let remote = self.remote.poll_flush(context).is_ready();
            let local = self.local.poll_flush(context).is_ready();
            if remote && local { Poll::Ready(()) } else { Poll::Pending }
        });
        let _ = tokio::time::timeout(FAREWELL, flush).await;
    }
}

impl End {
    const fn other(self) -> Self {
        match self {
            Self::Remote => Self::Local,
            Self::Local => Self::Remote,
        }
    }
}

/// The message has been at this broker.
fn has_passed(properties: &Properties, broker: &ByteString) -> bool {
    properties.iter().any(|one| matches!(one, Property::UserProperty(name, hop) if name == HOP && hop == *broker))
}

/// And has now.
fn passed(properties: &Properties, broker: &ByteString) -> Properties {
    properties.iter().chain([Property::UserProperty(ByteString::from_static(HOP), broker.clone())]).collect()
}

#[cfg(test)]
mod tests;
