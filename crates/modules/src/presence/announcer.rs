//! Turns facts into events, where they happen.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use mqtt_codec::topic::TopicError;
use mqtt_codec::{Message, Qos};
use mqtt_hooks::{Ctx, Delivery, DropReason, Fact, Host, Moment, Observe, ObserveDrops, Records, StartError};

use super::event::{Event, Gone, Style};
use super::followed::Followed;
use super::history::Happened;
use super::profiles::Profiles;
use super::states::{State, WhyGone};
use super::topics::{STATE, Topics};
use super::{History, Settings};

/// Turns facts into events.
pub(super) struct Announcer {
    host: Arc<dyn Host>,
    topics: Arc<Topics>,
    profiles: Profiles,
    qos: Qos,
    missing_username: Option<&'static str>,
    extended: bool,
    history: Arc<History>,
    records: Records,
    followed: Followed,
}

impl Announcer {
    pub(super) fn new(
        ctx: &Ctx,
        settings: &Settings,
        topics: Arc<Topics>,
        profiles: Profiles,
        history: Arc<History>,
        followed: Followed,
    ) -> Result<Self, StartError> {
        let host = ctx.host();
        let wrong = || StartError::Config(format!("qos: {}", settings.qos));
        let qos = Qos::from_u8(settings.qos).ok_or_else(wrong)?;
        Ok(Self {
            host,
            topics,
            profiles,
            qos,
            missing_username: settings.missing_username.text(),
            extended: settings.extended,
            history,
            records: ctx.records(),
            followed,
        })
    }

    fn announce(&self, event: &Event<'_>, noticed: Instant, moment: &mut dyn Moment) {
        if !self.host.is_sys_watched() {
            return;
        }
        let node = event.client.node().unwrap_or_else(|| self.host.node());
        let style = Style { missing_username: self.missing_username, extended: self.extended.then_some(node) };
        let mut is_told = false;
        for profile in self.profiles.iter() {
            let topic = match profile.topic(&self.topics, event) {
                Ok(topic) => topic,
                Err(why) => {
                    self.skip(event, why);
                    continue;
                }
            };
            let mut build = || Message {
                topic: topic.clone(),
                payload: profile.write(event, style, node).into(),
                qos: self.qos,
                retain: false,
                properties: profile.properties(event),
            };
            let mut missed = |watcher: &str| self.followed.missed(watcher, event.number);
            is_told |= moment.publish_telling(&topic, &mut build, &mut missed);
        }
        if is_told {
            self.history.latency.note(self.host.instant().saturating_duration_since(noticed));
        }
    }

    #[cold]
    fn skip(&self, event: &Event<'_>, why: TopicError) {
        let skipped = self.history.skipped.fetch_add(1, Ordering::Relaxed) + 1;
        let client_id_bytes = event.client.client_id.len();
        // Who has such an id comes as often as they like.
        if skipped.is_power_of_two() {
            let event = if event.end.is_none() { "connected" } else { "disconnected" };
            tracing::warn!(client_id_bytes, event, %why, skipped, "no topic can be made for a presence event");
        }
    }

    /// After the event, and after it is known to who asks.
    fn tell_state(&self, state: &State<'_>, moment: &mut dyn Moment) {
        if !self.host.is_sys_named() {
            return;
        }
        // Where there is none there was none for the event either, which has been counted.
        if let Ok(topic) = self.topics.of_at(state.node, state.client_id, STATE) {
            moment.publish_state(&topic, state.number, &mut || state.message(topic.clone()));
        }
    }
}

impl Observe for Announcer {
    fn observe(&self, fact: &Fact<'_>, moment: &mut dyn Moment) {
        match *fact {
            Fact::Connected { client, told_at, seq, flaps, properties, receive_maximum, noticed } => {
                self.topics.note_node(client.node());
                let (at, last_heard) = (client.connected_at, client.connected_at);
                let before = self.followed.before(&client.client_id);
                let happened = Happened { client, seq, at, flaps, last_heard, reason: None };
                let number = self.history.record(happened, &self.records, moment);
                let event = Event { client, number, told_at, seq, flaps, properties, receive_maximum, end: None };
                self.announce(&event, noticed, moment);
                let state = State::of(client, number, seq, at);
                self.tell_state(&state, moment);
                self.followed.came(client, before.as_ref(), State { flaps: Some(flaps), ..state }, moment);
            }
            Fact::Disconnected {
                client,
                reason,
                reason_string,
                properties,
                at,
                told_at,
                seq,
                flaps,
                last_heard,
                noticed,
            } => {
                self.topics.note_node(client.node());
                let happened = Happened { client, seq, at, flaps, last_heard, reason: Some(reason) };
                let number = self.history.record(happened, &self.records, moment);
                let end = Some(Gone { reason, reason_string, at });
                let event = Event { client, number, told_at, seq, flaps, properties, receive_maximum: 0, end };
                self.announce(&event, noticed, moment);
                let gone = WhyGone { reason: Some(reason.name()), last_heard: Some(last_heard) };
                let state = State { gone: Some(gone), ..State::of(client, number, seq, at) };
                self.tell_state(&state, moment);
                self.followed.went(client, reason, State { flaps: Some(flaps), ..state }, moment);
            }
            _ => {}
        }
    }
}

impl ObserveDrops for Announcer {
    /// Whoever watches and misses an event is wrong about a client from then on.
    fn dropped(&self, delivery: &Delivery<'_>, reason: DropReason) {
        // Who watches with QoS 0 knows that nothing is kept for it while it is away, and whose session has ended is told so when it
        // comes back.
        let is_expected = matches!(reason, DropReason::Offline | DropReason::SessionEnded);
        if !is_expected && self.profiles.is_event(&delivery.message.topic) {
            self.history.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}
