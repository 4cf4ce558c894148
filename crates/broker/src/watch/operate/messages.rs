//! What an operator publishes, and subscribes for others.

use std::io;
use std::sync::Arc;

use mqtt_codec::{Filter, Message, Qos, SubscribeFilter};
use mqtt_hooks::{Fact, Publisher};
use mqtt_operate::SubscribeError;

use super::Operator;
use crate::broker::Broker;
use crate::client::ClientRef;
use crate::client::connection::Connection;
use crate::delivery::batch::Batch;
use crate::delivery::replay;
use crate::delivery::wanted::Wish;
use crate::packets::subscribe;

impl Operator {
    pub(super) fn publish_for(&self, client_id: &str, message: Message) -> io::Result<()> {
        if message.qos > Qos::AtMostOnce && self.broker.durable.is_failing() {
            return Err(io::Error::other("the store can't be written to"));
        }
        let mut batch = Batch::begin(&self.broker);
        self.broker.announce(Publisher::Operator { client_id }, message, &mut batch);
        batch.finish().map_err(io::Error::other)
    }
}

impl Broker {
    pub(crate) fn subscribe_for(
        self: &Arc<Self>,
        client_id: &str,
        wishes: &[SubscribeFilter],
    ) -> Result<(), SubscribeError> {
        let (client, connection) = self.connected(client_id).ok_or(SubscribeError::Offline)?;
        let mut batch = Batch::begin(self);
        let group = self.durable.group();
        let mut wanted = Vec::new();
        let subscribed = wishes.iter().try_for_each(|wish| {
            wanted.extend(self.subscribe_one(&client, &connection, wish, &mut batch)?);
            Ok(())
        });
        drop(group);
        replay::begin(wanted, None, &client, &connection, self.clock.now(), &mut batch);
        // What is not stored yet is tried again every second; the subscription holds until then all the same.
        let _ = batch.finish();
        subscribed
    }

    fn subscribe_one(
        &self,
        client: &ClientRef,
        connection: &Arc<Connection>,
        wish: &SubscribeFilter,
        batch: &mut Batch<'_>,
    ) -> Result<Option<Wish>, SubscribeError> {
        let added =
            subscribe::add_subscription(client, connection, wish, None, batch).map_err(|_| SubscribeError::Offline)?;
        let existed = added.map_err(SubscribeError::Refused)?;
        let fact = Fact::Subscribed { client: &connection.info, filter: &wish.filter, options: wish.options };
        self.hooks.observe(&fact, batch);
        Ok(Wish::new(wish, existed))
    }

    pub(crate) fn unsubscribe_for(self: &Arc<Self>, client_id: &str, filter: &Filter) -> bool {
        let Some((client, connection)) = self.connected(client_id) else { return false };
        let mut batch = Batch::begin(self);
        let group = self.durable.group();
        let removed = subscribe::remove_subscription(&client, &connection, filter, &mut batch);
        drop(group);
        let _ = batch.finish();
        removed.is_ok()
    }

    /// `None`: it is not online.
    fn connected(&self, client_id: &str) -> Option<(ClientRef, Arc<Connection>)> {
        let client = self.clients.get(client_id)?;
        let connection = client.state.lock().connection.clone()?;
        Some((client, connection))
    }
}
