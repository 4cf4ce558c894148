//! Traces: what one client id sends and gets, readable, over reconnects.
//!
//! While none runs, a batch and a write look at one number. While one runs they compare ids as well; only a client that is
//! traced has its bytes decoded a second time, beside those that the broker handles.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use bytes::BytesMut;
use mqtt_codec::{Connect, Decoder, Packet, Role};
use mqtt_hooks::ConnectionInfo;
use mqtt_operate::{Direction, Trace, TraceLine};
use parking_lot::Mutex;
use tokio::sync::mpsc::{self, Sender, error::TrySendError};

use crate::time::clock::wall_ms;

mod text;

/// Traces at once.
const MAX_TRACES: usize = 16;

/// Lines that wait for a reader; of more it is only told how many they were.
const MAX_LINES: usize = 1024;

#[derive(Debug, Default)]
pub(crate) struct Traces {
    /// How many there are.
    running: AtomicUsize,
    traces: Mutex<Vec<Arc<Traced>>>,
}

/// One trace.
#[derive(Debug)]
struct Traced {
    client_id: String,
    lines: Sender<TraceLine>,
    dropped: Arc<AtomicU64>,
    sent: Mutex<Sent>,
}

/// What leaves for the client.
#[derive(Debug, Default)]
struct Sent {
    /// Which connection it is.
    conn_id: u64,
    decoder: Option<Decoder>,
    /// The beginning of a packet.
    bytes: BytesMut,
}

impl Traces {
    /// False: there is nothing to be told to [`Self::note_read`] and [`Self::note_written`].
    pub(crate) fn are_running(&self) -> bool {
        self.running.load(Relaxed) > 0
    }

    fn of(&self, client_id: &str) -> Vec<Arc<Traced>> {
        self.traces.lock().iter().filter(|trace| trace.client_id == client_id).cloned().collect()
    }

    /// A client wants to come in.
    pub(crate) fn note_connect(&self, connect: &Connect) {
        self.note(&connect.client_id, Direction::In, || text::connect(connect));
    }

    /// A packet has come from a client that is not in, or was sent to it.
    pub(crate) fn note_before_entry(&self, client_id: &str, direction: Direction, packet: &Packet) {
        self.note(client_id, direction, || text::packet(packet));
    }

    fn note(&self, client_id: &str, direction: Direction, line: impl Fn() -> String) {
        if self.are_running() {
            self.of(client_id).iter().for_each(|trace| trace.send(direction, line()));
        }
    }

    /// Bytes have come; `input` begins with a packet, of which a part may have been there before.
    pub(crate) fn note_read(&self, client_id: &str, decoder: &Decoder, input: &[u8]) {
        let traces = self.of(client_id);
        if traces.is_empty() {
            return;
        }
        let (mut decoder, mut input) = (decoder.clone(), BytesMut::from(input));
        while let Some(line) = next_line(&mut decoder, &mut input) {
            let is_last = line.is_err();
            let (Ok(line) | Err(line)) = line;
            traces.iter().for_each(|trace| trace.send(Direction::In, line.clone()));
            if is_last {
                return;
            }
        }
    }

    /// The socket took these bytes.
    pub(crate) fn note_written(&self, info: &ConnectionInfo, bytes: &[&[u8]]) {
        for trace in self.of(&info.client_id) {
            trace.note_written(info, bytes);
        }
    }
}

/// `Err` is the last one: what follows can't be read.
fn next_line(decoder: &mut Decoder, input: &mut BytesMut) -> Option<Result<String, String>> {
    match decoder.decode(input) {
        Ok(Some(packet)) => Some(Ok(text::packet(&packet))),
        Ok(None) => None,
        Err(error) => Some(Err(format!("not a packet: {error}"))),
    }
}

impl Traced {
    fn send(&self, direction: Direction, packet: String) {
        match self.lines.try_send(TraceLine { at: wall_ms(), direction, packet }) {
            // A reader that is gone ends the trace.
            Ok(()) | Err(TrySendError::Closed(_)) => {}
            Err(TrySendError::Full(_)) => drop(self.dropped.fetch_add(1, Relaxed)),
        }
    }

    fn note_written(&self, info: &ConnectionInfo, bytes: &[&[u8]]) {
        let mut sent = self.sent.lock();
        if sent.conn_id != info.conn_id {
            let decoder = Decoder::new(Role::Client(info.version), u32::MAX);
            *sent = Sent { conn_id: info.conn_id, decoder: Some(decoder), bytes: BytesMut::new() };
        }
        let Sent { decoder: place, bytes: input, .. } = &mut *sent;
        let Some(decoder) = place else { return };
        bytes.iter().for_each(|bytes| input.extend_from_slice(bytes));
        while let Some(line) = next_line(decoder, input) {
            match line {
                Ok(line) => self.send(Direction::Out, line),
                Err(_) => {
                    self.send(Direction::Out, "the rest up to the next connection can't be read".to_owned());
                    *place = None;
                    return;
                }
            }
        }
    }
}

impl Traces {
    /// Traces a client id from now on; `None`: too many are. Of what leaves by the connection `amid_a_packet` nothing can
    /// be read. No write to the client may begin meanwhile.
    pub(crate) fn start(self: &Arc<Self>, client_id: &str, amid_a_packet: Option<u64>) -> Option<Trace> {
        let (lines, receiver) = mpsc::channel(MAX_LINES);
        let dropped = Arc::new(AtomicU64::new(0));
        let sent = Sent { conn_id: amid_a_packet.unwrap_or(0), ..Sent::default() };
        let trace = Arc::new(Traced {
            client_id: client_id.to_owned(),
            lines,
            dropped: Arc::clone(&dropped),
            sent: Mutex::new(sent),
        });
        let mut traces = self.traces.lock();
        if traces.len() >= MAX_TRACES {
            return None;
        }
        traces.push(Arc::clone(&trace));
        self.running.store(traces.len(), Relaxed);
        Some(Trace { lines: receiver, dropped, end: Box::new(End { traces: Arc::clone(self), trace }) })
    }
}

/// Ends a trace when it is dropped.
struct End {
    traces: Arc<Traces>,
    trace: Arc<Traced>,
}

impl Drop for End {
    fn drop(&mut self) {
        let mut traces = self.traces.traces.lock();
        traces.retain(|trace| !Arc::ptr_eq(trace, &self.trace));
        self.traces.running.store(traces.len(), Relaxed);
    }
}
