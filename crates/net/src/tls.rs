//! TLS over a socket, sealed and written by whoever has bytes.

use std::io::{self, ErrorKind, IoSlice};
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::BytesMut;
use parking_lot::Mutex;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus, WriteTraffic,
};
use tokio::net::TcpStream;

use crate::carrier::{self, Carrier, Taken};
use crate::tls::trust::Trust;

mod certificate;
mod handshake;
mod identity;
mod ports;
#[cfg(test)]
mod tests;
mod tickets;
mod trust;

pub use certificate::{Named, subject_of};
pub(crate) use certificate::{end_of, name_of};
pub(crate) use handshake::shake_hands;
pub use identity::{Certificates, Files, Refreshed, TlsError, Verify};
pub use ports::{CertificatesSeen, PortCertificates};
pub use tickets::TicketKeys;

/// Plain bytes that are sealed for one write: two records, so that what a full socket leaves behind stays small.
const SEALED_AT_ONCE: usize = 32 * 1024;

/// What a record adds to what is in it, at most: head, nonce, type and tag.
const RECORD_OVERHEAD: usize = 5 + 8 + 1 + 16;

/// Plain bytes in a record, at most.
const RECORD: usize = 16 * 1024;

/// TLS over a socket. An idle one holds no buffer: what is read is opened in the reader's buffer, what is written is sealed in
/// memory that is gone when the socket has taken it.
#[derive(Debug)]
pub struct Tls {
    stream: TcpStream,
    state: Mutex<State>,
}

struct State {
    machine: UnbufferedServerConnection,
    /// It has found an error, which `end` tells, or said goodbye: it is not asked any more.
    is_over: bool,
    /// The beginning of a record, and of a message that needs more of them. The machine remembers places in it, so whenever it is
    /// asked it is shown this and nothing else.
    partial: Vec<u8>,
    /// Plain bytes that came with the end of the handshake.
    early: Vec<u8>,
    /// Nothing more comes; what was opened with that is read first.
    end: Option<End>,
    /// Sealed bytes that the socket has not taken.
    pending: Vec<u8>,
    /// Plain bytes that are in `pending`, which who offered them does not know yet: they are said to be taken when they have
    /// left, so that a full socket looks to them as one without TLS does.
    owed: usize,
    /// Of who has shown a certificate.
    standing: Option<Standing>,
}

/// How what the peer sends has ended.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// It has said so, or has given up with an alert.
    Closed,
    /// What came is no TLS, or not by its keys. Boxed, as few are so.
    Wrong(Box<rustls::Error>),
}

/// By what a client's certificate was good.
pub(crate) struct Standing {
    certificates: Arc<Certificates>,
    /// When it was last looked at.
    trust: Arc<Trust>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("pending", &self.pending.len()).finish_non_exhaustive()
    }
}

impl Tls {
    fn new(
        stream: TcpStream,
        machine: UnbufferedServerConnection,
        partial: Vec<u8>,
        early: Vec<u8>,
        end: Option<End>,
        standing: Option<Standing>,
    ) -> Self {
        let state = State { machine, is_over: false, partial, early, end, pending: Vec::new(), owed: 0, standing };
        Self { stream, state: Mutex::new(state) }
    }

    /// What is known without another read: what came with the end of the handshake, or that nothing more comes. A peer that has said
    /// so may wait for the same word from here with its socket open, so that another read would wait for it.
    fn take_known(&self, input: &mut BytesMut) -> Option<io::Result<usize>> {
        let mut state = self.state.lock();
        if state.early.is_empty() {
            return state.end.as_ref().map(|end| end.result().map(|_| 0));
        }
        let early = mem::take(&mut state.early);
        input.extend_from_slice(&early);
        Some(Ok(early.len()))
    }

    /// Opens what stands in `input` from `start` on, and puts there what was in it.
    fn open(&self, input: &mut BytesMut, start: usize) -> io::Result<Taken> {
        let mut state = self.state.lock();
        let opened = state.open(input, start);
        // An answer to what was read, an alert that says what is wrong with it. If there is no room, it leaves with what is
        // written next.
        match state.write_pending(&self.stream) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => opened,
        }
    }
}

impl Carrier for Tls {
    fn poll_receive(&self, context: &mut Context<'_>, input: &mut BytesMut) -> Poll<io::Result<usize>> {
        if let Some(known) = self.take_known(input) {
            return Poll::Ready(known);
        }
        carrier::poll_receive_through(&self.stream, context, input, |input, start| self.open(input, start))
    }

    fn receive_now(&self, input: &mut BytesMut, room: usize) -> Option<io::Result<usize>> {
        let known = self.take_known(input);
        if known.is_some() {
            return known;
        }
        carrier::receive_through_now(&self.stream, input, room, |input, start| self.open(input, start))
    }

    fn try_send(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.state.lock();
        state.write_pending(&self.stream)?;
        // What was sealed before has left: now it is said. Who has thrown it away meanwhile is told of no more than it offers.
        if state.owed > 0 {
            let offered: usize = slices.iter().map(|slice| slice.len()).sum();
            let said = state.owed.min(offered);
            state.owed -= said;
            return Ok(said);
        }
        let sealed = state.seal(slices)?;
        state.owed = sealed;
        state.write_pending(&self.stream)?;
        Ok(mem::take(&mut state.owed))
    }

    fn poll_sendable(&self, context: &mut Context<'_>) -> Poll<()> {
        self.stream.poll_sendable(context)
    }

    fn is_trusted(&self) -> bool {
        let mut state = self.state.lock();
        let State { machine, standing: Some(standing), .. } = &mut *state else { return true };
        let trust = standing.certificates.trust();
        if !Arc::ptr_eq(&trust, &standing.trust) {
            // The machine keeps it, of a session that was resumed too.
            if !trust.accepts(machine.peer_certificates().unwrap_or_default()) {
                return false;
            }
            standing.trust = trust;
        }
        true
    }

    fn finish(&self) {
        let mut state = self.state.lock();
        // If the socket takes no more, the peer misses a courtesy.
        let _ = state.say_goodbye().and_then(|()| state.write_pending(&self.stream));
        self.stream.finish();
    }

    fn held(&self) -> usize {
        let state = self.state.lock();
        state.partial.capacity() + state.early.capacity() + state.pending.capacity()
    }
}

impl End {
    fn of(error: rustls::Error) -> Self {
        match error {
            rustls::Error::AlertReceived(_) => Self::Closed,
            error => Self::Wrong(Box::new(error)),
        }
    }

    /// As whoever reads is told.
    fn result(&self) -> io::Result<Taken> {
        match self {
            Self::Closed => Ok(Taken::End),
            Self::Wrong(error) => Err(io::Error::new(ErrorKind::InvalidData, error.clone())),
        }
    }
}

impl State {
    /// Writes what is sealed, all of it.
    fn write_pending(&mut self, stream: &TcpStream) -> io::Result<()> {
        let mut written = 0;
        let result = loop {
            if written == self.pending.len() {
                break Ok(());
            }
            match Carrier::try_send(stream, &[IoSlice::new(&self.pending[written..])]) {
                Ok(taken) => written += taken,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        if written == self.pending.len() {
            self.pending = Vec::new();
        } else if written > 0 {
            self.pending.drain(..written);
        }
        result
    }

    fn open(&mut self, input: &mut BytesMut, start: usize) -> io::Result<Taken> {
        if self.is_over {
            // Goodbye is said, and who waits for the peer to close wants nothing else of it.
            input.truncate(start);
            return Ok(Taken::Nothing);
        }
        let mut joined = mem::take(&mut self.partial);
        let records = if joined.is_empty() {
            &mut input[start..]
        } else {
            joined.extend_from_slice(&input[start..]);
            &mut joined
        };
        let mut plain = Vec::with_capacity(records.len());
        let mut used = 0;
        self.end = loop {
            let UnbufferedStatus { discard, state } = self.machine.process_tls_records(&mut records[used..]);
            let step = match state {
                Ok(state) => step(state, &mut plain, &mut self.pending),
                Err(error) => Err(error),
            };
            used += discard;
            match step {
                Ok(Step::Go) => {}
                Ok(Step::Wait) => break None,
                Ok(Step::End) => break Some(End::Closed),
                Err(error) => {
                    self.is_over = true;
                    encode_alerts(&mut self.machine, &mut records[used..], &mut self.pending);
                    break Some(End::of(error));
                }
            }
        };
        self.partial = if self.is_over { Vec::new() } else { records[used..].to_vec() };
        input.truncate(start);
        input.extend_from_slice(&plain);
        match (plain.len(), &self.end) {
            (0, None) => Ok(Taken::Nothing),
            (0, Some(end)) => end.result(),
            (bytes, _) => Ok(Taken::Bytes(bytes)),
        }
    }

    /// Seals some of the bytes, and returns how many.
    fn seal(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        // One record for many small pieces: each has its price.
        let mut joined = Vec::new();
        let plain = match slices {
            [] => return Ok(0),
            [one] => &one[..one.len().min(SEALED_AT_ONCE)],
            [one, ..] if one.len() >= SEALED_AT_ONCE => &one[..SEALED_AT_ONCE],
            many => {
                let total: usize = many.iter().map(|slice| slice.len()).sum();
                joined.reserve(total.min(SEALED_AT_ONCE));
                for slice in many {
                    let room = SEALED_AT_ONCE - joined.len();
                    joined.extend_from_slice(&slice[..room.min(slice.len())]);
                }
                &joined
            }
        };
        self.ask(|traffic, pending| {
            let records = plain.len().div_ceil(RECORD).max(1);
            append(pending, plain.len() + records * RECORD_OVERHEAD, |room| {
                traffic.encrypt(plain, room).map_err(|error| match error {
                    EncryptError::InsufficientSize(wanted) => Some(wanted),
                    EncryptError::EncryptExhausted => None,
                })
            })
        })?;
        Ok(plain.len())
    }

    fn say_goodbye(&mut self) -> io::Result<()> {
        self.ask(|traffic, pending| {
            append(pending, 2 + RECORD_OVERHEAD, |room| traffic.queue_close_notify(room).map_err(|_| None))
        })?;
        self.is_over = true;
        Ok(())
    }

    /// Asks the machine to seal something, once it has nothing else to say.
    fn ask(
        &mut self,
        seal: impl FnOnce(&mut WriteTraffic<'_, ServerConnectionData>, &mut Vec<u8>) -> io::Result<()>,
    ) -> io::Result<()> {
        if self.is_over {
            return Err(ErrorKind::BrokenPipe.into());
        }
        loop {
            let UnbufferedStatus { discard, state } = self.machine.process_tls_records(&mut self.partial);
            let step = match state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => return seal(&mut traffic, &mut self.pending),
                // The peer says that it sends no more; it may well read.
                Ok(ConnectionState::PeerClosed) => Ok(Step::Go),
                // What could be read was read before: there is no whole record here.
                Ok(state) => step(state, &mut self.early, &mut self.pending),
                Err(error) => Err(error),
            };
            self.partial.drain(..discard);
            if !matches!(step, Ok(Step::Go)) {
                self.is_over = true;
                self.end.get_or_insert(End::Closed);
                return Err(ErrorKind::BrokenPipe.into());
            }
        }
    }
}

/// What follows after a state of the machine.
enum Step {
    Go,
    /// For bytes from the peer.
    Wait,
    /// It sends no more.
    End,
}

/// Takes from the machine what it has: plain bytes, and bytes that are to leave.
fn step<Data>(
    state: ConnectionState<'_, '_, Data>,
    plain: &mut Vec<u8>,
    pending: &mut Vec<u8>,
) -> Result<Step, rustls::Error> {
    match state {
        ConnectionState::ReadTraffic(mut traffic) => {
            while let Some(record) = traffic.next_record() {
                plain.extend_from_slice(record?.payload);
            }
        }
        ConnectionState::EncodeTlsData(mut data) => {
            encode(pending, &mut data).map_err(|error| rustls::Error::General(error.to_string()))?;
        }
        ConnectionState::TransmitTlsData(data) => data.done(),
        ConnectionState::PeerClosed | ConnectionState::Closed => return Ok(Step::End),
        ConnectionState::WriteTraffic(_) | ConnectionState::BlockedHandshake => return Ok(Step::Wait),
        // Early data is not offered, so none comes.
        _ => return Err(rustls::Error::General("an unknown state".to_owned())),
    }
    Ok(Step::Go)
}

/// What the machine still has to say about an error, and no more: what it has not read yet it would stumble over again.
fn encode_alerts(machine: &mut UnbufferedServerConnection, rest: &mut [u8], pending: &mut Vec<u8>) {
    while machine.wants_write() {
        let Ok(ConnectionState::EncodeTlsData(mut data)) = machine.process_tls_records(rest).state else { return };
        if encode(pending, &mut data).is_err() {
            return;
        }
    }
}

fn encode<Data>(pending: &mut Vec<u8>, data: &mut rustls::unbuffered::EncodeTlsData<'_, Data>) -> io::Result<()> {
    append(pending, 0, |room| {
        data.encode(room).map_err(|error| match error {
            EncodeError::InsufficientSize(wanted) => Some(wanted),
            EncodeError::AlreadyEncoded => None,
        })
    })
}

/// Appends what `write` puts into the room it gets, once it has as much as it wants.
fn append(
    pending: &mut Vec<u8>,
    guess: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, Option<InsufficientSizeError>>,
) -> io::Result<()> {
    let start = pending.len();
    let mut room = guess;
    loop {
        pending.resize(start + room, 0);
        match write(&mut pending[start..]) {
            Ok(written) => {
                pending.truncate(start + written);
                return Ok(());
            }
            Err(Some(InsufficientSizeError { required_size })) if required_size > room => room = required_size,
            Err(_) => {
                pending.truncate(start);
                return Err(ErrorKind::BrokenPipe.into());
            }
        }
    }
}
