//! Stores of earlier schemas.

use std::borrow::Cow;
use std::net::SocketAddr;

use serde::Deserialize;
use serde_json::{Value, json};

use super::each;
use crate::record::{self, OnlineRecord, SessionRecord, WillRecord};
use crate::stage::{SCHEMA_KEY, record_key};
use crate::{Batch, Store, StoreError, Table};

/// Sessions did not say when they began: that is taken to be the last fact of coming or going. All or nothing is written.
pub(super) fn from_1(store: &dyn Store) -> Result<(), StoreError> {
    let mut batch = Batch::default();
    each(store, Table::Sessions, |number, value| {
        // `created_at` is the last field, and a number below 128 is one byte.
        let with_zero = [value, &[0]].concat();
        let mut session: SessionRecord<'_> = record::read(&with_zero)?;
        session.created_at = session.last_fact_ms;
        batch.put_with(Table::Sessions, number, |out| record::write(&session, out));
        Ok(())
    })?;
    batch.put(Table::Meta, SCHEMA_KEY, &2_u32.to_le_bytes());
    store.write(&batch)
}

/// A connection as schema 2 had it.
#[derive(Deserialize)]
struct Online<'a> {
    session: Option<u64>,
    client_id: Cow<'a, str>,
    username: Option<Cow<'a, str>>,
    level: u8,
    peer: SocketAddr,
    port: u16,
    listener: Cow<'a, str>,
    keep_alive: u16,
    clean_start: bool,
    expiry_interval: u32,
    connected_at: u64,
    session_present: bool,
    epoch: u64,
    seq: u64,
    will: Option<WillRecord>,
}

/// A presence event as schema 2 had it.
#[derive(Deserialize)]
struct Event<'a> {
    number: u64,
    at: u64,
    connection: u64,
    end: Option<End<'a>>,
    client: Online<'a>,
}

#[derive(Deserialize)]
struct End<'a> {
    reason: Cow<'a, str>,
    code: Option<u8>,
    initiator: u8,
}

/// Connections and presence events had records with a fixed place for each field, which a new field would have broken. All
/// or nothing is written.
pub(super) fn from_2(store: &dyn Store) -> Result<(), StoreError> {
    let mut batch = Batch::default();
    each(store, Table::Online, |number, value| {
        let online: Online<'_> = record::read(value)?;
        let info = connection(record::read_number(number)?, &online).to_string();
        let Online { session, seq, will, .. } = online;
        let online = OnlineRecord { session, info: info.into_bytes().into(), seq, will };
        batch.put_with(Table::Online, number, |out| record::write(&online, out));
        Ok(())
    })?;
    each(store, Table::Retired, |place, value| {
        let event = event(&record::read(value)?).to_string();
        batch.put(Table::Records, &record_key("presence", place), event.as_bytes());
        batch.remove(Table::Retired, place);
        Ok(())
    })?;
    batch.put(Table::Meta, SCHEMA_KEY, &3_u32.to_le_bytes());
    store.write(&batch)
}

fn connection(number: u64, online: &Online<'_>) -> Value {
    json!({
        "client_id": online.client_id,
        "username": online.username,
        "version": online.level,
        "peer": online.peer,
        "listener": { "name": online.listener, "port": online.port },
        "keep_alive": online.keep_alive,
        "clean_start": online.clean_start,
        "expiry_interval": online.expiry_interval,
        "connected_at": online.connected_at,
        "session_present": online.session_present,
        "epoch": online.epoch,
        "conn_id": number,
    })
}

fn event(event: &Event<'_>) -> Value {
    let client = &event.client;
    let initiator = |initiator| match initiator {
        0 => "client",
        2 => "admin",
        _ => "server",
    };
    json!({
        "id": event.number,
        "clientid": client.client_id,
        "username": client.username,
        "at": event.at,
        "reason": event.end.as_ref().map(|end| &end.reason),
        "reason_code": event.end.as_ref().and_then(|end| end.code),
        "initiator": event.end.as_ref().map(|end| initiator(end.initiator)),
        "connected_at": client.connected_at,
        "ipaddress": client.peer.ip(),
        "port": client.peer.port(),
        "sockport": client.port,
        "listener": client.listener,
        "proto_ver": client.level,
        "keepalive": client.keep_alive,
        "clean_start": client.clean_start,
        "expiry_interval": client.expiry_interval,
        "session_present": client.session_present,
        "epoch": client.epoch,
        "conn_id": event.connection,
        "seq": client.seq,
    })
}
