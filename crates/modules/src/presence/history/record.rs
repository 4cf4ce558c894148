//! An event as it is kept, in memory and in the store.

use std::net::SocketAddr;
use std::sync::Arc;

use minicbor::{Decode, Decoder, decode};
use mqtt_codec::ReasonCode;
#[cfg(test)]
use mqtt_hooks::ConnectionInfo;
use mqtt_hooks::{ConnectionRecord, Fields};

use super::Happened;

/// The record of what has happened, without what is [known](complete) only when it gets its number.
pub(super) fn draft(happened: &Happened<'_>) -> Arc<[u8]> {
    let Happened { client, seq, at, flaps, last_heard, reason } = *happened;
    let peer = SocketAddr::new(client.peer.ip().to_canonical(), client.peer.port());
    // No event tells whether it is a bridge's.
    write(&Kept {
        number: 0,
        at,
        seq,
        reason: reason.map(|reason| reason.name()),
        code: reason.and_then(|reason| reason.code()).map(ReasonCode::as_u8),
        initiator: reason.map(|reason| reason.initiator().name()),
        client: ConnectionRecord { peer, is_bridge: false, ..client.as_record() },
        flaps,
        silent: at.saturating_sub(last_heard),
        known: Some(0),
    })
}

/// A record of which nobody else knows yet.
pub(super) fn write(kept: &Kept<'_>) -> Arc<[u8]> {
    // All numbers at their longest.
    let [username, tags] = [kept.client.username, kept.client.tags].map(|text| text.map_or(0, str::len));
    let texts = kept.client.client_id.len() + username + tags;
    let mut record = Vec::with_capacity(192 + texts);
    kept.write(&mut record);
    record.into()
}

/// Fills in the event's number, and for how long the client had been known by then, in ms; `None`: nobody knows.
pub(super) fn complete(record: &mut Arc<[u8]>, number: u64, known: Option<u64>) {
    let record = Arc::get_mut(record).expect("nobody else has it yet");
    let tail = record.last_chunk_mut::<TAIL>().expect("each record ends so");
    *tail = tail_of(number, known);
}

/// Longer than anything.
const UNKNOWN: u64 = u64::MAX;

/// Bytes of the last two fields, each a key and a number at its longest, so that they can be filled in.
const TAIL: usize = 2 * FIELD;
const FIELD: usize = 10;

fn tail_of(number: u64, known: Option<u64>) -> [u8; TAIL] {
    let mut tail = [0; TAIL];
    for (field, (key, value)) in tail.chunks_exact_mut(FIELD).zip([(0, number), (9, known.unwrap_or(UNKNOWN))]) {
        // A number of eight bytes follows.
        field[..2].copy_from_slice(&[key, 0x1b]);
        field[2..].copy_from_slice(&value.to_be_bytes());
    }
    tail
}

/// Whether a record that this version wrote is about this client. Nothing but the id is read.
pub(super) fn is_of(record: &[u8], client_id: &str) -> bool {
    /// The head of the map, the key of the connection, the head of its map, the key of the client id.
    const BEFORE: usize = 4;
    let [_, _, high, low] = (client_id.len() as u32).to_be_bytes();
    let Some(text) = record.get(BEFORE..) else { return false };
    let text = match (client_id.len(), text) {
        (0..24, [head, text @ ..]) if *head == 0x60 | low => text,
        (24..256, [0x78, len, text @ ..]) if *len == low => text,
        (256.., [0x79, one, other, text @ ..]) if [*one, *other] == [high, low] => text,
        _ => return false,
    };
    text.starts_with(client_id.as_bytes())
}

/// The number of the event that a record of this version is about, where [`complete`] has put it. Nothing else is read.
pub(super) fn number_of(record: &[u8]) -> Option<u64> {
    let tail = record.last_chunk::<TAIL>()?;
    Some(u64::from_be_bytes(*tail[2..].first_chunk()?))
}

/// A look at an event as it is kept, without making it one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Glance<'a> {
    pub(super) client_id: &'a str,
    pub(super) username: Option<&'a str>,
    pub(super) number: u64,
    pub(super) at: u64,
}

impl<'a> Glance<'a> {
    /// `None`: it can't be read.
    pub(super) fn at(record: &'a [u8]) -> Option<Self> {
        let kept: Kept<'a> = minicbor::decode(record).ok()?;
        Some(Self {
            client_id: kept.client.client_id,
            username: kept.client.username,
            number: kept.number,
            at: kept.at,
        })
    }
}

/// As it is kept: each field with a number that is never used for something else.
pub(super) struct Kept<'a> {
    pub(super) number: u64,
    pub(super) at: u64,
    pub(super) seq: u64,
    pub(super) reason: Option<&'a str>,
    pub(super) code: Option<u8>,
    pub(super) initiator: Option<&'a str>,
    pub(super) client: ConnectionRecord<'a>,
    pub(super) flaps: u32,
    /// How long nothing had been heard by then, in ms.
    pub(super) silent: u64,
    /// How long the client had been known by then, in ms.
    pub(super) known: Option<u64>,
}

impl Kept<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        let there =
            [self.reason.is_some(), self.code.is_some(), self.initiator.is_some(), self.flaps > 0, self.silent > 0];
        let mut fields = Fields::map(out, 5 + there.into_iter().map(u8::from).sum::<u8>());
        // First, so that the client id is where `is_of` looks for it.
        fields.inner(6, |out| self.client.write(out));
        fields.number(1, self.at);
        fields.number(2, self.seq);
        if let Some(reason) = self.reason {
            fields.text(3, reason);
        }
        if let Some(code) = self.code {
            fields.number(4, code);
        }
        if let Some(initiator) = self.initiator {
            fields.text(5, initiator);
        }
        if self.flaps > 0 {
            fields.number(7, self.flaps);
        }
        if self.silent > 0 {
            fields.number(8, self.silent);
        }
        out.extend_from_slice(&tail_of(self.number, self.known));
    }
}

impl<'b, C> Decode<'b, C> for Kept<'b> {
    fn decode(input: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let (mut number, mut at, mut seq) = (0, 0, 0);
        let (mut reason, mut code, mut initiator, mut client) = (None, None, None, None);
        let (mut flaps, mut silent, mut known) = (0, 0, None);
        for _ in 0..input.map()?.unwrap_or_default() {
            match input.u8()? {
                0 => number = input.u64()?,
                1 => at = input.u64()?,
                2 => seq = input.u64()?,
                3 => reason = Some(input.str()?),
                4 => code = Some(input.u8()?),
                5 => initiator = Some(input.str()?),
                6 => client = Some(input.decode()?),
                7 => flaps = input.u32()?,
                8 => silent = input.u64()?,
                9 => known = Some(input.u64()?),
                // Of a later version.
                _ => input.skip()?,
            }
        }
        let client = client.ok_or_else(|| decode::Error::message("nobody's event"))?;
        Ok(Self { number, at, seq, reason, code, initiator, client, flaps, silent, known })
    }
}

/// One that nothing happened for.
#[cfg(test)]
pub(super) fn made_up(client: &ConnectionInfo, number: u64, at: u64, reason: Option<mqtt_hooks::Reason>) -> Arc<[u8]> {
    let mut record = draft(&Happened { client, seq: number, at, flaps: 0, last_heard: at, reason });
    complete(&mut record, number, Some(0));
    record
}

#[cfg(test)]
mod tests {
    use mqtt_hooks::testing::foo;
    use mqtt_hooks::{ConnectionInfo, Reason};

    use super::*;

    #[test]
    fn whose_a_record_is_can_be_seen_without_reading_it() {
        let ids = [0, 1, 22, 23, 24, 25, 255, 256, 257, 65_535].map(|len| "x".repeat(len));
        for id in &ids {
            for reason in [None, Some(Reason::Kicked)] {
                let client = ConnectionInfo { client_id: id.as_str().into(), ..foo() };
                let record = made_up(&client, 3, 1, reason);
                for other in &ids {
                    assert_eq!(is_of(&record, other), id == other, "{} {}", id.len(), other.len());
                }
                assert_eq!(number_of(&record), Some(3));
                assert!(id.is_empty() || !is_of(&record, &id.replacen('x', "y", 1)));
                assert!((0..4).all(|len| !is_of(&record[..len], id)));
            }
        }
    }
}
