//! What ends with the connection: limits, aliases, what is owed.

use mqtt_codec::{Connect, PublishHead, Topic, Version};

use crate::alias::{self, Alias, Aliases};
use crate::frame::{Oversized, write_publish};
use crate::queue::Delivery;
use crate::{Config, DeliveryOptions, Outbox, Publication, Timestamp, Violation};

/// What CONNECT says, resolved by the driver, for [`Session::attach`](crate::Session::attach).
#[derive(Clone, Debug)]
pub struct Attach<'a> {
    /// The packet.
    pub connect: &'a Connect,
    /// Seconds the session outlives the connection; `u32::MAX` is for ever.
    pub session_expiry: u32,
    /// Seconds; 0: none. The server's where it has its own.
    pub keep_alive: u16,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// There is none.
    Gone,
    /// CONNACK is still to come, and nothing may overtake it. [MQTT-3.2.0-1]
    Opening,
    /// Messages are sent.
    Open,
}

/// The current connection, or what is still asked about the last one.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) phase: Phase,
    pub(crate) version: Version,
    /// Seconds.
    pub(crate) keep_alive: u16,
    /// Seconds.
    pub(crate) session_expiry: u32,
    /// The client asked for a session that ends with the connection, so it can't change its mind at DISCONNECT.
    pub(crate) is_brief: bool,
    /// Unfinished messages towards the client.
    pub(crate) window: u16,
    pub(crate) max_packet_size: u32,
    /// QoS 1 messages that are accepted and wait for their PUBACK.
    pub(crate) owed: u16,
    /// Tells the connections of a session apart.
    pub(crate) serial: u32,
    alias_maximum: u16,
    aliases: Option<Box<Aliases>>,
}

/// A PUBLISH for this client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing<'a> {
    pub(crate) publication: &'a Publication,
    pub(crate) options: DeliveryOptions<'a>,
    pub(crate) dup: bool,
    pub(crate) packet_id: Option<mqtt_codec::PacketId>,
}

impl Default for Connection {
    fn default() -> Self {
        Self {
            phase: Phase::Gone,
            version: Version::V3_1_1,
            keep_alive: 0,
            session_expiry: 0,
            is_brief: false,
            window: u16::MAX,
            max_packet_size: u32::MAX,
            owed: 0,
            serial: 0,
            alias_maximum: 0,
            aliases: None,
        }
    }
}

impl Connection {
    pub(crate) fn new(attach: &Attach<'_>, serial: u32, config: &Config) -> Self {
        let &Attach { connect, session_expiry, keep_alive } = attach;
        let mut connection = Self {
            phase: Phase::Opening,
            version: connect.version,
            keep_alive,
            session_expiry,
            serial,
            ..Self::default()
        };
        if connect.version == Version::V5 {
            let properties = &connect.properties;
            connection.is_brief = properties.session_expiry().unwrap_or(0) == 0;
            connection.max_packet_size = properties.maximum_packet_size().unwrap_or(u32::MAX);
            // [MQTT-3.1.2-26] [MQTT-3.1.2-27]
            connection.alias_maximum = properties.topic_alias_maximum().unwrap_or(0).min(config.outgoing_aliases);
        }
        connection.window = config.window_of(connect);
        connection
    }

    /// The connection is gone; what is asked about it later stays.
    pub(crate) fn close(&mut self) {
        self.phase = Phase::Gone;
        self.owed = 0;
        self.aliases = None;
    }

    /// The largest packet the client takes.
    pub(crate) const fn packet_limit(&self) -> usize {
        self.max_packet_size as usize
    }

    /// Bytes that aliases take.
    pub(crate) fn aliases_held(&self) -> usize {
        self.aliases.as_ref().map_or(0, |aliases| aliases.held())
    }

    /// Bytes that this alias would take in addition; 0: it is known.
    pub(crate) fn cost_of_alias(&self, alias: u16, topic: &Topic) -> usize {
        let is_known = self.aliases.as_ref().is_some_and(|aliases| aliases.incoming.is_known(alias, topic));
        if is_known { 0 } else { alias::held(topic) }
    }

    /// The topic of a PUBLISH from the client.
    pub(crate) fn resolve(
        &mut self,
        topic: Option<Topic>,
        alias: Option<u16>,
        config: &Config,
    ) -> Result<Topic, Violation> {
        let Some(alias) = alias else {
            return topic.ok_or(Violation::NoTopic);
        };
        let maximum = config.topic_alias_maximum;
        if alias == 0 || alias > maximum {
            return Err(Violation::TopicAlias(alias, maximum));
        }
        self.aliases.get_or_insert_default().incoming.resolve(alias, topic)
    }

    /// True if the client's PUBLISH is the same as that of others with these subscription ids.
    pub(crate) fn is_plain(&self, subscription_ids: &[u32]) -> bool {
        self.version < Version::V5 || subscription_ids.is_empty() && self.alias_maximum == 0
    }

    /// Appends a PUBLISH.
    pub(crate) fn write(&mut self, outgoing: &Outgoing<'_>, now: Timestamp, out: &mut Outbox) -> Result<(), Oversized> {
        let &Outgoing { publication, options, dup, packet_id } = outgoing;
        let message = &publication.message;
        let mut head = PublishHead {
            dup,
            qos: options.qos,
            retain: options.retain,
            topic: message.topic.as_str(),
            packet_id,
            topic_alias: None,
            message_expiry: publication.expiry_left(now),
            subscription_ids: options.subscription_ids,
            properties: &message.properties,
            payload_len: message.payload.len(),
        };
        let limit = self.packet_limit();
        // [MQTT-3.1.2-26]: a client learns an alias with the first message that has it, and takes no more than it said.
        if self.alias_maximum > 0 {
            let aliases = &mut self.aliases.get_or_insert_default().outgoing;
            match aliases.of(&message.topic, self.alias_maximum) {
                Alias::Known(alias) => {
                    head.topic = "";
                    head.topic_alias = Some(alias);
                }
                Alias::New(alias) => {
                    let introduction = PublishHead { topic_alias: Some(alias), ..head };
                    if write_publish(&introduction, publication, self.version, limit, out).is_ok() {
                        // Only now: a later message may go by it alone.
                        aliases.learn(&message.topic, alias);
                        return Ok(());
                    }
                    // Without the alias it may just fit.
                }
                Alias::None => {}
            }
        }
        write_publish(&head, publication, self.version, limit, out)
    }
}

impl<'a> Outgoing<'a> {
    /// What is kept for the client, sent with the id that it has.
    pub(crate) fn kept(delivery: &'a Delivery, dup: bool) -> Self {
        Self {
            publication: &delivery.publication,
            options: DeliveryOptions {
                qos: delivery.qos,
                retain: delivery.retain,
                stored: false,
                subscription_ids: delivery.subscription_ids.as_slice(),
                by_group: delivery.by_group,
            },
            dup,
            packet_id: delivery.packet_id,
        }
    }
}
