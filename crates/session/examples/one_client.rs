//! A broker for one client at a time, which gets back what it publishes and has subscribed to, and on its return
//! what was published to `news` while it was away. Its session outlives its connections.
//!
//! ```text
//! cargo run -p mqtt-session --example one_client -- 127.0.0.1:1884
//! mosquitto_rr  -p 1884 -q 2 -t echo -e echo -m hello           # hello
//! mosquitto_sub -p 1884 -i me -c -q 1 -t news -W 1              # nothing yet
//! mosquitto_sub -p 1884 -i me -c -q 1 -t news -W 1              # the client left
//! ```

use std::error::Error;
use std::io::{IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::BytesMut;
use mqtt_codec::{
    ConnAck, Connect, Decoder, Disconnect, Message, Packet, Properties, Qos, ReasonCode, Role, SubAck, Subscribe,
    Topic, UnsubAck, Version,
};
use mqtt_session::{Attach, Config, DeliveryOptions, Event, Fanout, Outbox, Publication, Session, Timestamp};

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".into());
    let listener = TcpListener::bind(address)?;
    eprintln!("listening on {}", listener.local_addr()?);
    let mut broker = Broker { config: Arc::default(), session: Session::new(Arc::default()), out: Outbox::new() };
    for socket in listener.incoming() {
        if let Err(error) = broker.serve(socket?) {
            eprintln!("{error}");
        }
        broker.out.clear();
        let detached = broker.session.detach(now());
        if let Some(will) = detached.will {
            eprintln!("its will, to {}: {:?}", will.message.topic, will.message.payload);
        }
        let message = Message {
            topic: Topic::new("news")?,
            payload: "the client left".into(),
            qos: Qos::AtLeastOnce,
            retain: false,
            properties: Properties::EMPTY,
        };
        broker.route(&Publication::new(message, now()));
        eprintln!("gone; {} messages wait", broker.session.inflight_len() + broker.session.queue_len());
    }
    Ok(())
}

struct Broker {
    config: Arc<Config>,
    session: Session,
    out: Outbox,
}

impl Broker {
    fn serve(&mut self, mut socket: TcpStream) -> Result<(), Box<dyn Error>> {
        let mut decoder = Decoder::new(Role::Server, 1 << 20);
        let mut input = BytesMut::new();
        let mut chunk = [0; 4096];
        loop {
            let read = socket.read(&mut chunk)?;
            if read == 0 {
                return Ok(());
            }
            input.extend_from_slice(&chunk[..read]);
            while let Some(packet) = decoder.decode(&mut input)? {
                let goes_on = match packet {
                    Packet::Connect(connect) if !self.session.is_attached() => {
                        self.open(&connect);
                        true
                    }
                    packet => self.handle(packet),
                };
                self.flush(&mut socket)?;
                if !goes_on {
                    return Ok(());
                }
            }
            socket.set_read_timeout(self.session.silence_limit().map(Duration::from_millis))?;
        }
    }

    fn open(&mut self, connect: &Connect) {
        let session_present = !connect.clean_start && self.session.subscriptions_len() > 0;
        if connect.clean_start {
            self.session = Session::new(Arc::clone(&self.config));
        }
        self.session.attach(&Attach { connect, session_expiry: u32::MAX, keep_alive: connect.keep_alive });
        self.push(&Packet::ConnAck(ConnAck {
            session_present,
            reason: ReasonCode::Success,
            properties: Properties::EMPTY,
        }));
        self.session.resume(now(), &mut self.out);
    }

    /// False if the connection is to end.
    fn handle(&mut self, packet: Packet) -> bool {
        match self.session.handle_packet(packet, now(), &mut self.out) {
            Ok(Event::Nothing | Event::Auth(_)) => {}
            Ok(Event::Publish(publication, receipt)) => {
                self.route(&publication);
                self.session.acknowledge(receipt, ReasonCode::Success, &mut self.out);
            }
            Ok(Event::Subscribe(subscribe)) => self.subscribe(subscribe),
            Ok(Event::Unsubscribe(unsubscribe)) => {
                let reasons = unsubscribe.filters.iter().map(|filter| match self.session.unsubscribe(filter) {
                    true => ReasonCode::Success,
                    false => ReasonCode::NoSubscriptionExisted,
                });
                let reasons = reasons.collect();
                let packet_id = unsubscribe.packet_id;
                self.push(&Packet::UnsubAck(UnsubAck { packet_id, reasons, properties: Properties::EMPTY }));
            }
            Ok(Event::Disconnect(_)) => return false,
            Err(violation) => {
                eprintln!("{violation}");
                if self.session.version() == Version::V5 {
                    let reason = violation.reason_code();
                    self.push(&Packet::Disconnect(Disconnect { reason, properties: Properties::EMPTY }));
                }
                return false;
            }
        }
        true
    }

    fn subscribe(&mut self, subscribe: Subscribe) {
        let id = subscribe.properties.subscription_id();
        let mut reasons = Vec::new();
        for wish in &subscribe.filters {
            self.session.subscribe(&wish.filter, wish.options, id);
            reasons.push(ReasonCode::granted(wish.options.qos));
        }
        let packet_id = subscribe.packet_id;
        self.push(&Packet::SubAck(SubAck { packet_id, reasons, properties: Properties::EMPTY }));
    }

    fn route(&mut self, publication: &Publication) {
        let topic = &publication.message.topic;
        let matching = self.session.subscriptions().filter(|(filter, ..)| filter.matches(topic));
        let Some(qos) = matching.map(|(_, options, _)| options.qos).max() else {
            return;
        };
        let options = DeliveryOptions { qos, ..DeliveryOptions::default() };
        self.session.deliver(&mut Fanout::new(publication), options, now(), &mut self.out);
    }

    fn push(&mut self, packet: &Packet) {
        self.out.push(packet, self.session.version());
    }

    fn flush(&mut self, socket: &mut TcpStream) -> std::io::Result<()> {
        while !self.out.is_empty() {
            let mut slices = [IoSlice::new(&[]); 16];
            let filled = self.out.io_slices(&mut slices);
            let written = socket.write_vectored(&slices[..filled])?;
            self.out.advance(written);
            if self.session.has_backlog() {
                self.session.pump(now(), &mut self.out);
            }
        }
        Ok(())
    }
}

fn now() -> Timestamp {
    Timestamp(UNIX_EPOCH.elapsed().map_or(0, |elapsed| elapsed.as_millis() as u64))
}
