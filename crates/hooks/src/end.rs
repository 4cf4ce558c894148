//! An end of a connection as it is stored, or told to another node.

use minicbor::encode::{Error, Write};
use minicbor::{Decode, Decoder, Encode, Encoder, decode};
use mqtt_codec::ReasonCode;

use crate::{Reason, RecordError};

/// How connections end without DISCONNECT.
const CLOSED: [&str; 5] = ["tcp_closed", "ssl_closed", "ws_closed", "quic_closed", "memory_closed"];

/// What sockets have for errors; the last one stands for all others.
const SOCKET: [&str; 10] = [
    "econnreset",
    "econnaborted",
    "etimedout",
    "epipe",
    "enotconn",
    "ehostunreach",
    "enetunreach",
    "enetdown",
    "enomem",
    "eio",
];

/// Why a connection ended, as it is stored: each field with a number of its own, as in [`ConnectionRecord`](crate::ConnectionRecord).
/// A kind of reason that is not known is an error, for whoever guessed would tell something else than others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndRecord<'a> {
    /// Why.
    pub reason: Reason,
    /// What the client said about that in DISCONNECT.
    pub reason_string: Option<&'a str>,
    /// When bytes last came from the client: milliseconds since the Unix epoch.
    pub last_heard: u64,
}

impl<'a> EndRecord<'a> {
    /// Its bytes.
    pub fn to_record(&self) -> Vec<u8> {
        let mut record = Vec::with_capacity(24 + self.reason_string.map_or(0, str::len));
        minicbor::encode(self, &mut record).expect("a Vec takes all bytes");
        record
    }

    /// From those bytes.
    ///
    /// # Errors
    /// Nobody can have written them, or only a later version.
    pub fn from_record(record: &'a [u8]) -> Result<Self, RecordError> {
        minicbor::decode(record).map_err(RecordError::of)
    }
}

impl<C> Encode<C> for EndRecord<'_> {
    fn encode<W: Write>(&self, out: &mut Encoder<W>, _: &mut C) -> Result<(), Error<W::Error>> {
        let (kind, name, code) = parts(self.reason);
        let has = [name.is_some(), code.is_some(), self.reason_string.is_some()];
        out.map(2 + has.into_iter().filter(|has| *has).count() as u64)?;
        out.u8(0)?.u8(kind)?;
        if let Some(name) = name {
            out.u8(1)?.str(name)?;
        }
        if let Some(code) = code {
            out.u8(2)?.u8(code.as_u8())?;
        }
        if let Some(text) = self.reason_string {
            out.u8(3)?.str(text)?;
        }
        out.u8(4)?.u64(self.last_heard)?;
        Ok(())
    }
}

impl<'b, C> Decode<'b, C> for EndRecord<'b> {
    fn decode(input: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let (mut kind, mut name, mut code, mut reason_string, mut last_heard) = (None, "", None, None, 0);
        for _ in 0..input.map()?.unwrap_or_default() {
            match input.u8()? {
                0 => kind = Some(input.u8()?),
                1 => name = input.str()?,
                2 => code = ReasonCode::from_u8(input.u8()?),
                3 => reason_string = Some(input.str()?),
                4 => last_heard = input.u64()?,
                // Of a later version.
                _ => input.skip()?,
            }
        }
        let reason = kind.and_then(|kind| reason_of(kind, name, code));
        let reason = reason.ok_or_else(|| decode::Error::message("an unknown reason"))?;
        Ok(Self { reason, reason_string, last_heard })
    }
}

/// Its kind, which is never used for something else, and what belongs to it.
const fn parts(reason: Reason) -> (u8, Option<&'static str>, Option<ReasonCode>) {
    match reason {
        Reason::Client(code) => (0, None, Some(code)),
        Reason::Closed(name) => (1, Some(name), None),
        Reason::Socket(name) => (2, Some(name), None),
        Reason::KeepAliveTimeout => (3, None, None),
        Reason::Kicked => (4, None, None),
        Reason::TakenOver => (5, None, None),
        Reason::Discarded => (6, None, None),
        Reason::Refused(code) => (7, None, Some(code)),
        Reason::SlowConsumer => (8, None, None),
        Reason::ServerShuttingDown => (9, None, None),
        Reason::NodeDown => (10, None, None),
        Reason::ListenerStopped => (11, None, None),
        Reason::AuthExpired => (12, None, None),
        Reason::InternalError => (13, None, None),
    }
}

fn reason_of(kind: u8, name: &str, code: Option<ReasonCode>) -> Option<Reason> {
    let known = |names: &[&'static str]| names.iter().copied().find(|known| *known == name);
    Some(match kind {
        0 => Reason::Client(code?),
        1 => Reason::Closed(known(&CLOSED)?),
        2 => Reason::Socket(known(&SOCKET)?),
        3 => Reason::KeepAliveTimeout,
        4 => Reason::Kicked,
        5 => Reason::TakenOver,
        6 => Reason::Discarded,
        7 => Reason::Refused(code?),
        8 => Reason::SlowConsumer,
        9 => Reason::ServerShuttingDown,
        10 => Reason::NodeDown,
        11 => Reason::ListenerStopped,
        12 => Reason::AuthExpired,
        13 => Reason::InternalError,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Reason> {
        let codes = (0..=u8::MAX).filter_map(ReasonCode::from_u8);
        let mut all: Vec<_> = codes.flat_map(|code| [Reason::Client(code), Reason::Refused(code)]).collect();
        all.extend(CLOSED.map(Reason::Closed));
        all.extend(SOCKET.map(Reason::Socket));
        all.extend((3..=13).filter(|kind| *kind != 7).filter_map(|kind| reason_of(kind, "", None)));
        all
    }

    #[test]
    fn every_end_comes_back_as_it_was() {
        assert!(all().len() > 60);
        for reason in all() {
            for reason_string in [None, Some("it is late")] {
                let end = EndRecord { reason, reason_string, last_heard: 1_700_000_000_000 };
                assert_eq!(EndRecord::from_record(&end.to_record()), Ok(end));
            }
        }
    }

    #[test]
    fn a_reason_that_is_not_known_is_an_error() {
        let mut record = EndRecord { reason: Reason::Kicked, reason_string: None, last_heard: 0 }.to_record();
        assert_eq!(record, [0xa2, 0, 4, 4, 0]);
        record[2] = 14;
        assert!(EndRecord::from_record(&record).is_err());
        // One without what belongs to it, too.
        record[2] = 0;
        assert!(EndRecord::from_record(&record).is_err());
    }

    #[test]
    fn what_nobody_wrote_is_an_error() {
        let whole =
            EndRecord { reason: Reason::Closed("tcp_closed"), reason_string: Some("x"), last_heard: 5 }.to_record();
        for len in 0..whole.len() {
            assert!(EndRecord::from_record(&whole[..len]).is_err(), "{len} bytes");
        }
    }
}
