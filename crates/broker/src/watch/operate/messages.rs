//! What an operator publishes, and subscribes for others.

use std::io;
use std::sync::Arc;

use mqtt_codec::{Filter, Message, Qos, SubscribeFilter};
use mqtt_hooks::{Fact, Publisher};
use mqtt_operate::SubscribeError;

use super::Operator;
use crate::client::ClientRef;
use crate::client::clients::Clients;
use crate::client::connection::Connection;
use crate::delivery::batch::Batch;
use crate::delivery::replay;
use crate::delivery::wanted::Wish;
use crate::packets::subscribe;

impl Operator {
    pub(super) fn publish_for(&self, client_id: &str, message: Message) -> io::Result<()> {
        let (levels, most) = (message.topic.levels_len(), self.broker.terms().limits.max_topic_levels);
        if levels > most {
            let why = format!("limits.max_topic_levels is {most}, and this topic has {levels}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        if message.qos > Qos::AtMostOnce && self.broker.durable.is_failing() {
            return Err(io::Error::other("the store can't be written to"));
        }
        let mut batch = Batch::begin(&self.broker);
        self.broker.announce(Publisher::Operator { client_id }, message, &mut batch);
        batch.finish().map_err(io::Error::other)
    }
}

/// Subscribes for a client that is online.
pub(crate) fn subscribe_for(
    clients: &Clients<ClientRef>,
    client_id: &str,
    wishes: &[SubscribeFilter],
    batch: &mut Batch<'_>,
) -> Result<(), SubscribeError> {
    let (client, connection) = connected(clients, client_id).ok_or(SubscribeError::Offline)?;
    let bundle = batch.durable().bundle();
    let mut wanted = Vec::new();
    let subscribed = wishes.iter().try_for_each(|wish| {
        wanted.extend(subscribe_one(&client, &connection, wish, batch)?);
        Ok(())
    });
    drop(bundle);
    replay::begin(wanted, None, &client, &connection, connection.now(), batch);
    subscribed
}

fn subscribe_one(
    client: &ClientRef,
    connection: &Arc<Connection>,
    wish: &SubscribeFilter,
    batch: &mut Batch<'_>,
) -> Result<Option<Wish>, SubscribeError> {
    let added =
        subscribe::add_subscription(client, connection, wish, None, batch).map_err(|_| SubscribeError::Offline)?;
    let existed = added.map_err(SubscribeError::Refused)?;
    let fact = Fact::Subscribed { client: &connection.info, filter: &wish.filter, options: wish.options };
    batch.hooks().observe(&fact, batch);
    Ok(Wish::new(wish, existed))
}

/// False: it is not online.
pub(crate) fn unsubscribe_for(
    clients: &Clients<ClientRef>,
    client_id: &str,
    filter: &Filter,
    batch: &mut Batch<'_>,
) -> bool {
    let Some((client, connection)) = connected(clients, client_id) else { return false };
    let bundle = batch.durable().bundle();
    let removed = subscribe::remove_subscription(&client, &connection, filter, batch);
    drop(bundle);
    removed.is_ok()
}

/// `None`: it is not online.
fn connected(clients: &Clients<ClientRef>, client_id: &str) -> Option<(ClientRef, Arc<Connection>)> {
    let client = clients.get(client_id)?;
    let connection = client.state.lock().connection().cloned()?;
    Some((client, connection))
}
