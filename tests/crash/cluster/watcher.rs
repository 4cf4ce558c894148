//! Follows presence, wills and messages at one node, with a session that node keeps.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use mqtt_codec::{Ack, Packet, Publish, ReasonCode, Version};
use serde::Deserialize;

use super::line::{Line, Terms};
use super::nodes::{Map, name};
use crate::report::{Count, Fault, Report};
use crate::socket::Gone;

const FILTERS: [&str; 4] =
    ["$SYS/brokers/+/clients/+/connected", "$SYS/brokers/+/clients/+/disconnected", "will/#", "message/#"];

/// What an extended event says, as far as it is checked.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Event {
    #[serde(skip)]
    pub(super) is_connected: bool,
    pub(super) clientid: String,
    pub(super) node: String,
    pub(super) peerport: u16,
    pub(super) seq: u64,
    pub(super) reason: Option<String>,
}

/// What was told of a client, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Event(Event),
    /// By its payload.
    Will(u64),
}

#[derive(Debug)]
pub(super) struct Watcher {
    pub(super) line: Line,
    pub(super) node: usize,
    pub(super) told: HashMap<String, Vec<Told>>,
    /// Publisher and number of each message.
    pub(super) messages: Vec<(usize, u64)>,
    /// When it was first told that somebody went with their node, since this was taken.
    pub(super) first_down: Option<Instant>,
    heard: Instant,
}

impl Watcher {
    pub(super) fn new(node: usize, number: u8) -> Self {
        let line = Line::new(format!("watcher-{node}"), number, Version::V5);
        Self { line, node, told: HashMap::new(), messages: Vec::new(), first_down: None, heard: Instant::now() }
    }

    /// The first connection, before any other client comes.
    pub(super) fn begin(&mut self, map: &Map) -> Result<(), Gone> {
        self.come(map)?;
        match self.line.subscribe(&FILTERS)? {
            true => Ok(()),
            false => Err(Gone::new("a watcher may not subscribe")),
        }
    }

    fn come(&mut self, map: &Map) -> Result<bool, Gone> {
        self.line.come(map, self.node, Terms { keeps: true, will: None })
    }

    /// Reads until the storm has ended, and comes again where its node lets it.
    pub(super) fn load(&mut self, map: &Map) {
        while !map.is_ending() {
            self.watch(map);
        }
    }

    fn watch(&mut self, map: &Map) {
        let heard = match self.line.is_online() {
            true => self.hear(&map.report),
            false => match self.come(map) {
                Ok(true) => Ok(()),
                Ok(false) => {
                    map.report.fault(Fault::Session, &format!("{} has lost its session", self.line.id));
                    self.line.subscribe(&FILTERS).map(drop)
                }
                Err(why) => Err(why),
            },
        };
        map.note_watched(self.node, heard.is_ok());
        if heard.is_err() {
            self.line.take();
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn hear(&mut self, report: &Report) -> Result<(), Gone> {
        self.line.read(Duration::from_millis(50))?;
        while let Some(packet) = self.line.poll()? {
            match packet {
                Packet::Publish(publish) => {
                    let packet_id = publish.packet_id.ok_or_else(|| Gone::new("something at QoS 0"))?;
                    self.heard = Instant::now();
                    self.note(report, &publish);
                    self.line.push(&Packet::PubAck(Ack::new(packet_id, ReasonCode::Success)));
                }
                other => return Err(Gone::new(format!("{other:?} for a watcher"))),
            }
        }
        Ok(())
    }

    fn note(&mut self, report: &Report, publish: &Publish) {
        let topic = publish.topic.as_ref().map_or("", |topic| topic.as_str());
        let text = String::from_utf8_lossy(&publish.payload);
        if topic.starts_with("message/") {
            let mut words = text.split(' ').map(|word| word.parse::<u64>());
            match (words.next(), words.next()) {
                (Some(Ok(publisher)), Some(Ok(number))) => self.messages.push((publisher as usize, number)),
                _ => report.fault(Fault::Unasked, &format!("{}: {publish:?} was never sent", self.line.id)),
            }
            return;
        }
        let (client, told) = if let Some(client) = topic.strip_prefix("will/") {
            (client.to_owned(), text.parse().ok().map(Told::Will))
        } else {
            let event = serde_json::from_slice::<Event>(&publish.payload).ok();
            let event = event.map(|event| Event { is_connected: topic.ends_with("/connected"), ..event });
            let client = event.as_ref().map_or_else(String::new, |event| event.clientid.clone());
            (client, event.map(Told::Event))
        };
        let Some(told) = told else {
            report.fault(Fault::EventNumber, &format!("{}: {publish:?} is no event", self.line.id));
            return;
        };
        if let Told::Event(Event { reason: Some(reason), .. }) = &told
            && reason == "node_down"
        {
            report.add(Count::NodeDown, 1);
            self.first_down.get_or_insert_with(Instant::now);
        }
        let of_client = self.told.entry(client).or_default();
        if publish.dup && of_client.contains(&told) {
            report.add(Count::Repeated, 1);
            return;
        }
        report.add(if matches!(told, Told::Will(_)) { Count::Wills } else { Count::Events }, 1);
        of_client.push(told);
    }

    /// Reads on, until nothing has come for so long.
    pub(super) fn hear_out(&mut self, map: &Map, quiet: Duration) {
        self.heard = Instant::now();
        while self.heard.elapsed() < quiet {
            self.watch(map);
        }
    }

    /// What was told of a client.
    pub(super) fn of(&self, client: &str) -> &[Told] {
        self.told.get(client).map_or(&[], Vec::as_slice)
    }
}

impl Event {
    pub(super) fn is_at(&self, node: usize) -> bool {
        self.node == name(node)
    }
}
