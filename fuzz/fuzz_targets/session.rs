//! A session under any client and any driver: what it writes must be packets that its client may get.
//!
//! The first bytes are its limits, the rest are steps: a byte for what to do, a byte for how much.
#![no_main]

use std::io::IoSlice;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use fuzz::{connected, version};
use libfuzzer_sys::fuzz_target;
use mqtt_codec::{
    Connect, Decoder, Message, Packet, Properties, Property, Qos, ReasonCode, Role, SubscribeFilter, Topic, Version,
};
use mqtt_session::{Attach, Config, DeliveryOptions, Event, Fanout, Outbox, Publication, Session, Timestamp};

fuzz_target!(|data: &[u8]| {
    let [limits, rest @ ..] = data else { return };
    let config = Config {
        receive_maximum: 1 + u16::from(limits & 3),
        topic_alias_maximum: u16::from(limits >> 2 & 3),
        outgoing_aliases: u16::from(limits >> 4 & 3),
        max_inflight: u16::from(limits >> 6),
        max_queued: 8,
        max_queued_bytes: 4096,
        max_stored: 16,
        max_outbox: 512,
        is_stored: true,
        ..Config::default()
    };
    let mut world = World::new(Arc::new(config));
    let mut steps = rest;
    while let [what, much, after @ ..] = steps {
        let (own, after) = after.split_at(after.len().min(usize::from(*much)));
        world.step(*what, *much, own);
        steps = after;
        assert!(world.session.queue_len() <= 8 + 16);
        world.session.take_changes();
    }
    world.detach();
});

struct World {
    session: Session,
    out: Outbox,
    now: Timestamp,
    client: Option<Decoder>,
    /// What the client's connection may carry.
    server: Decoder,
    max_packet_size: usize,
}

impl World {
    fn new(config: Arc<Config>) -> Self {
        let mut world = Self {
            session: Session::new(config),
            out: Outbox::new(),
            now: Timestamp(0),
            client: None,
            server: connected(Version::V5, 1 << 16),
            max_packet_size: usize::MAX,
        };
        world.attach(2, 0);
        world
    }

    fn step(&mut self, what: u8, much: u8, own: &[u8]) {
        match what % 8 {
            // The client sends what it likes.
            0..=3 => self.receive(own),
            4 => {
                self.detach();
                self.attach(what >> 3, much);
            }
            5 => self.now.0 += 1 << (much % 24),
            6 => self.deliver(what >> 3, own),
            _ => self.drain(),
        }
    }

    fn attach(&mut self, how: u8, much: u8) {
        let version = version(how);
        let mut connect = Connect::new(version, "c");
        connect.clean_start = false;
        if version == Version::V5 {
            connect.properties = Properties::from([
                Property::ReceiveMaximum(1 + u16::from(much & 7)),
                Property::TopicAliasMaximum(u16::from(much >> 3 & 3)),
                Property::MaximumPacketSize(16 << (much >> 5)),
            ]);
        }
        self.max_packet_size = connect.properties.maximum_packet_size().map_or(usize::MAX, |size| size as usize);
        self.server = connected(version, 1 << 16);
        self.client = Some(Decoder::new(Role::Client(version), u32::MAX));
        let session_expiry = u32::from(much) * 1000;
        self.session.attach(&Attach { connect: &connect, session_expiry, keep_alive: 60 });
        self.session.resume(self.now, &mut self.out);
    }

    fn detach(&mut self) {
        self.out.clear();
        if self.client.take().is_some() {
            let _ = self.session.detach(self.now);
        }
        let _ = self.session.take_will(self.now, false);
        assert!(!self.session.is_attached());
    }

    fn receive(&mut self, bytes: &[u8]) {
        let mut input = BytesMut::from(bytes);
        while self.client.is_some() {
            let Ok(Some(packet)) = self.server.decode(&mut input) else { return };
            match self.session.handle_packet(packet, self.now, &mut self.out) {
                Ok(event) => self.handle(event),
                Err(violation) => {
                    let _ = violation.reason_code();
                    self.detach();
                }
            }
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Nothing | Event::Auth(_) => {}
            Event::Publish(publication, receipt) => {
                self.session.acknowledge(receipt, ReasonCode::Success, &mut self.out);
                let options = DeliveryOptions { qos: Qos::ExactlyOnce, ..DeliveryOptions::default() };
                let _ = self.session.deliver(&mut Fanout::new(&publication), options, self.now, &mut self.out);
            }
            Event::Subscribe(subscribe) => {
                let id = subscribe.properties.subscription_id();
                for SubscribeFilter { filter, options } in &subscribe.filters {
                    self.session.subscribe(filter, *options, id);
                }
            }
            Event::Unsubscribe(unsubscribe) => {
                for filter in &unsubscribe.filters {
                    self.session.unsubscribe(filter);
                }
            }
            Event::Disconnect(_) => self.detach(),
        }
    }

    fn deliver(&mut self, how: u8, payload: &[u8]) {
        let message = Message {
            topic: Topic::new(["a", "b/c", "d/e/f", "g"][usize::from(how) % 4]).expect("it is one"),
            payload: Bytes::copy_from_slice(payload),
            qos: Qos::from_u8(how >> 2 & 3).unwrap_or_default(),
            retain: how & 0x10 != 0,
            properties: match payload.first() {
                Some(&expiry) if expiry < 64 => Properties::from([Property::MessageExpiry(u32::from(expiry))]),
                _ => Properties::EMPTY,
            },
        };
        let publication = Publication::new(message, self.now);
        let options =
            DeliveryOptions { qos: Qos::ExactlyOnce, retain: true, stored: how & 1 == 0, subscription_ids: &[7], by_group: false };
        let _ = self.session.deliver(&mut Fanout::new(&publication), options, self.now, &mut self.out);
    }

    /// The client takes all there is and understands it.
    fn drain(&mut self) {
        let mut input = BytesMut::new();
        while !self.out.is_empty() {
            let mut slices = [IoSlice::new(&[]); 4];
            let filled = self.out.io_slices(&mut slices);
            let before = input.len();
            slices[..filled].iter().for_each(|slice| input.extend_from_slice(slice));
            let written = input.len() - before;
            assert!(written > 0);
            self.out.advance(written);
        }
        let Some(client) = &mut self.client else {
            assert!(input.is_empty(), "written to nobody");
            return;
        };
        loop {
            let before = input.len();
            let packet = client.decode(&mut input).expect("a session writes what its client may read");
            let Some(packet) = packet else { break };
            assert!(before - input.len() <= self.max_packet_size, "{packet:?}");
            if let Packet::Publish(publish) = &packet {
                assert_eq!(publish.packet_id.is_some(), publish.qos > Qos::AtMostOnce);
            }
        }
        assert!(input.is_empty());
        self.session.pump(self.now, &mut self.out);
    }
}
