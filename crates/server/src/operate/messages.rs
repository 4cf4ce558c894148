//! What an operator publishes, and subscribes for others.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use mqtt_codec::{Filter, Message, Qos, SubscribeFilter, Version};
use mqtt_hooks::{ConnectionInfo, Fact, Listener};
use mqtt_operate::SubscribeError;
use mqtt_session::Publication;

use crate::batch::{self, Batch};
use crate::broker::Broker;
use crate::client::ClientRef;
use crate::clock::wall_ms;
use crate::connection::Connection;
use crate::packets;

impl Broker {
    pub(super) fn publish_for(&self, client_id: &str, mut message: Message) -> io::Result<()> {
        if message.qos > Qos::AtMostOnce && self.is_failing() {
            return Err(io::Error::other("the store can't be written to"));
        }
        if self.hooks.has_interceptors() && !self.hooks.intercept_publish(&self.publisher(client_id), &mut message) {
            return Ok(());
        }
        let batch = Batch::begin(self);
        let now = self.clock.now();
        self.publish(&Publication::new(message, now), None, now, || {});
        let staged = batch::staged();
        drop(batch);
        self.commit(staged).map_err(io::Error::other)
    }

    /// Who modules are told it was.
    fn publisher(&self, client_id: &str) -> ConnectionInfo {
        let port = self.config.admin.bind.map_or(0, |address| address.port());
        ConnectionInfo {
            client_id: client_id.into(),
            username: None,
            version: Version::V5,
            peer: (Ipv4Addr::LOCALHOST, 0).into(),
            listener: Arc::new(Listener { name: "admin".into(), port }),
            keep_alive: 0,
            clean_start: true,
            expiry_interval: 0,
            connected_at: wall_ms(),
            session_present: false,
            epoch: self.numbers.epoch,
            conn_id: 0,
        }
    }

    pub(super) fn subscribe_for(&self, client_id: &str, wishes: &[SubscribeFilter]) -> Result<(), SubscribeError> {
        let (client, connection) = self.connected(client_id).ok_or(SubscribeError::Offline)?;
        let _batch = Batch::begin(self);
        let _group = self.group();
        let now = self.clock.now();
        for wish in wishes {
            let added =
                packets::add_subscription(&client, &connection, wish, None).map_err(|_| SubscribeError::Offline)?;
            let existed = added.map_err(SubscribeError::Refused)?;
            let fact = Fact::Subscribed { client: &connection.info, filter: &wish.filter, options: wish.options };
            self.hooks.observe(&fact);
            packets::send_retained(&client, self, wish, existed, None, now);
        }
        Ok(())
    }

    pub(super) fn unsubscribe_for(&self, client_id: &str, filter: &Filter) -> bool {
        let Some((client, connection)) = self.connected(client_id) else { return false };
        let _batch = Batch::begin(self);
        let _group = self.group();
        packets::remove_subscription(&client, &connection, filter).is_ok()
    }

    /// `None`: it is not online.
    fn connected(&self, client_id: &str) -> Option<(ClientRef, Arc<Connection>)> {
        let client = self.clients.get(client_id)?;
        let connection = client.state.lock().connection.clone()?;
        Some((client, connection))
    }
}
