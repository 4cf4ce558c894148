//! Stores of earlier schemas.

use std::borrow::Cow;
use std::convert::Infallible;
use std::net::SocketAddr;

use minicbor::Encoder;
use minicbor::encode::Error;
use serde::Deserialize;

use super::unreadable::each;
use crate::record::{self, OnlineRecord, SessionRecord, WillRecord};
use crate::stage::{SCHEMA_KEY, record_key};
use crate::{Steps, Store, StoreError, Table};

/// What can't be read stays as it is, and is left out when the rest is read.
fn each_readable(
    store: &dyn Store,
    table: Table,
    visit: impl FnMut(&[u8], &[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    each(store, table, &mut Vec::new(), visit)
}

/// Sessions did not say when they began: that is taken to be the last fact of coming or going. All or nothing is written.
pub(super) fn from_1(store: &dyn Store) -> Result<(), StoreError> {
    let mut steps = Steps::default();
    each_readable(store, Table::Sessions, |number, value| {
        // `created_at` is the last field, and a number below 128 is one byte.
        let with_zero = [value, &[0]].concat();
        let mut session: SessionRecord<'_> = record::read(&with_zero)?;
        session.created_at = session.last_fact_ms;
        steps.put_with(Table::Sessions, number, |out| record::write(&session, out));
        Ok(())
    })?;
    steps.put(Table::Meta, SCHEMA_KEY, &2_u32.to_le_bytes());
    store.write(&steps)
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

/// An event of coming or going as schema 2 had it.
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

/// Connections had records with a fixed place for each field, which a new field would have broken. All or nothing is
/// written.
pub(super) fn from_2(store: &dyn Store) -> Result<(), StoreError> {
    let mut steps = Steps::default();
    each_readable(store, Table::Online, |number, value| {
        let online: Online<'_> = record::read(value)?;
        let info = record::read_number(number).map(|number| bytes(|out| connection(number, &online, out)))?;
        let Online { session, seq, will, .. } = online;
        let online = OnlineRecord { session, info: info.into(), seq, will };
        steps.put_with(Table::Online, number, |out| record::write(&online, out));
        Ok(())
    })?;
    steps.put(Table::Meta, SCHEMA_KEY, &3_u32.to_le_bytes());
    store.write(&steps)
}

/// Up to schema 2, events of coming and going had a table of their own. Those that are still there become records of the
/// module that tells such events now, all of them or none; to be done once [`Loaded::read`](super::Loaded::read) has
/// found that this version can read the store.
pub fn hand_over_events(store: &dyn Store, module: &str) -> Result<(), StoreError> {
    let mut steps = Steps::default();
    each_readable(store, Table::Retired, |place, value| {
        let old: Event<'_> = record::read(value)?;
        steps.put(Table::Records, &record_key(module, place), &bytes(|out| event(&old, out)));
        steps.remove(Table::Retired, place);
        Ok(())
    })?;
    if steps.is_empty() { Ok(()) } else { store.write(&steps) }
}

/// A connection as its keeper writes it: each field has a number.
fn connection(number: u64, online: &Online<'_>, out: &mut Encoder<Vec<u8>>) -> Result<(), Error<Infallible>> {
    out.map(12 + u64::from(online.username.is_some()))?;
    out.u8(0)?.str(&online.client_id)?;
    if let Some(username) = &online.username {
        out.u8(1)?.str(username)?;
    }
    out.u8(2)?.u8(online.level)?;
    out.u8(3)?.encode(online.peer)?;
    out.u8(4)?.str(&online.listener)?;
    out.u8(5)?.u16(online.port)?;
    out.u8(6)?.u16(online.keep_alive)?;
    out.u8(7)?.bool(online.clean_start)?;
    out.u8(8)?.u32(online.expiry_interval)?;
    out.u8(9)?.u64(online.connected_at)?;
    out.u8(10)?.bool(online.session_present)?;
    out.u8(11)?.u64(online.epoch)?;
    out.u8(12)?.u64(number)?;
    Ok(())
}

/// An event, likewise.
fn event(event: &Event<'_>, out: &mut Encoder<Vec<u8>>) -> Result<(), Error<Infallible>> {
    let code = event.end.as_ref().and_then(|end| end.code);
    out.map(4 + 2 * u64::from(event.end.is_some()) + u64::from(code.is_some()))?;
    out.u8(0)?.u64(event.number)?;
    out.u8(1)?.u64(event.at)?;
    out.u8(2)?.u64(event.client.seq)?;
    if let Some(code) = code {
        out.u8(4)?.u8(code)?;
    }
    if let Some(end) = &event.end {
        out.u8(3)?.str(&end.reason)?;
        out.u8(5)?.str(match end.initiator {
            0 => "client",
            2 => "admin",
            _ => "server",
        })?;
    }
    out.u8(6)?;
    connection(event.connection, &event.client, out)
}

fn bytes(write: impl FnOnce(&mut Encoder<Vec<u8>>) -> Result<(), Error<Infallible>>) -> Vec<u8> {
    let mut out = Encoder::new(Vec::new());
    write(&mut out).expect("a Vec takes all bytes");
    out.into_writer()
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;
    use crate::{Loaded, Memory, read_records};

    #[derive(Serialize)]
    struct OldOnline(
        Option<u64>,
        &'static str,
        Option<&'static str>,
        u8,
        SocketAddr,
        u16,
        &'static str,
        u16,
        bool,
        u32,
        u64,
        bool,
        u64,
        u64,
        Option<()>,
    );

    const fn online() -> OldOnline {
        let peer = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5);
        OldOnline(Some(3), "c", None, 4, peer, 1883, "tcp", 60, false, 100, 5_000, true, 1, 9, None)
    }

    #[derive(Serialize)]
    struct OldEvent(u64, u64, u64, Option<(&'static str, Option<u8>, u8)>, OldOnline);

    #[test]
    fn a_store_of_schema_2_is_brought_to_this_one() {
        let store = Memory::default();
        let mut steps = Steps::default();
        steps.put(Table::Meta, SCHEMA_KEY, &2_u32.to_le_bytes());
        steps.put_with(Table::Online, &7_u64.to_be_bytes(), |out| record::write(&online(), out));
        let event = OldEvent(11, 6_000, 7, Some(("normal", Some(0), 0)), online());
        steps.put_with(Table::Retired, &0_u64.to_be_bytes(), |out| record::write(&event, out));
        store.write(&steps).unwrap();
        for _ in 0..2 {
            let loaded = Loaded::read(&store).unwrap();
            hand_over_events(&store, "teller").unwrap();
            let record = &loaded.online[&7];
            assert_eq!((record.session, record.seq, record.will.as_ref()), (Some(3), 9, None));
            let mut decoder = minicbor::Decoder::new(&record.info);
            assert_eq!(decoder.map().unwrap(), Some(12), "all but the user name");
            assert_eq!((decoder.u8().unwrap(), decoder.str().unwrap()), (0, "c"));
            let mut events = Vec::new();
            read_records(&store, "teller", |place, event| {
                let mut decoder = minicbor::Decoder::new(event);
                assert_eq!(decoder.map().unwrap(), Some(7));
                events.push((place.to_vec(), decoder.u8().unwrap(), decoder.u64().unwrap()));
                Ok(())
            })
            .unwrap();
            assert_eq!(events, [(0_u64.to_be_bytes().to_vec(), 0, 11)]);
        }
    }

    #[test]
    fn events_of_schema_2_wait_for_the_module_that_gets_them() {
        let store = Memory::default();
        let mut steps = Steps::default();
        steps.put(Table::Meta, SCHEMA_KEY, &2_u32.to_le_bytes());
        let event = OldEvent(11, 6_000, 7, None, online());
        steps.put_with(Table::Retired, &0_u64.to_be_bytes(), |out| record::write(&event, out));
        steps.put(Table::Retired, &1_u64.to_be_bytes(), b"damaged");
        store.write(&steps).unwrap();
        let count = |module| {
            let mut count = 0;
            read_records(&store, module, |_, _| {
                count += 1;
                Ok(())
            })
            .unwrap();
            count
        };
        // Who opens it to change a password hands nothing over.
        Loaded::read(&store).unwrap();
        assert_eq!(count("teller"), 0);
        Loaded::read(&store).unwrap();
        hand_over_events(&store, "teller").unwrap();
        assert_eq!(count("teller"), 1);
        hand_over_events(&store, "other").unwrap();
        assert_eq!((count("teller"), count("other")), (1, 0));
    }
}
