//! A connection's task once a client is in: reading and handling packets until the end.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use mqtt_codec::Decoder;
use mqtt_modules::Reason;
use tokio::net::tcp::OwnedReadHalf;
use tokio_util::io::poll_read_buf;

use crate::batch::{self, Batch};
use crate::broker::Broker;
use crate::client::ClientRef;
use crate::connection::{Connection, Ending};
use crate::metrics::Metric;
use crate::{packets, socket};

/// Bytes of the read buffer that the connections of a worker thread share.
const READ_SIZE: usize = 64 * 1024;

/// A half packet up to this size is copied into the shared buffer for the next read; a bigger one is read into a
/// buffer of its own.
const SMALL_PARTIAL: usize = 8 * 1024;

/// Reads that one connection may do before others on its thread have their turn.
const READS_IN_A_ROW: usize = 4;

/// How long a peer that was told to go may take to read that, and to close.
const LINGER: Duration = Duration::from_secs(2);

thread_local! {
    static READ_BUFFER: Cell<BytesMut> = Cell::new(BytesMut::new());
}

/// A client's place at the broker. When it is dropped the client is reported gone, whatever ended the task, a panic
/// included.
pub(crate) struct Seat {
    pub(crate) broker: Arc<Broker>,
    pub(crate) client: ClientRef,
    pub(crate) connection: Arc<Connection>,
    ending: Ending,
}

impl Seat {
    pub(crate) const fn new(broker: Arc<Broker>, client: ClientRef, connection: Arc<Connection>) -> Self {
        Self { broker, client, connection, ending: Ending::gone(Reason::InternalError) }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.connection.stop_timer();
        self.broker.leave(&self.client, &self.connection, self.ending);
    }
}

/// Counts a client's socket until it is closed.
struct Served(Arc<Broker>);

impl Served {
    fn new(broker: &Arc<Broker>) -> Self {
        broker.served.fetch_add(1, Relaxed);
        Self(Arc::clone(broker))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.0.served.fetch_sub(1, Relaxed);
    }
}

/// The reading half, and what of a packet has come.
pub(crate) struct Reader {
    pub(crate) socket: OwnedReadHalf,
    pub(crate) decoder: Decoder,
    /// Bytes read and not yet decoded: a half packet, or what came with CONNECT.
    pub(crate) partial: BytesMut,
    /// What came with CONNECT is still to be handled.
    pub(crate) fresh: bool,
}

/// Serves a client until its connection ends.
pub(crate) async fn serve(mut seat: Seat, mut reader: Reader) {
    let _served = Served::new(&seat.broker);
    seat.ending = std::future::poll_fn(|context| reader.poll(&seat, context)).await;
    let (connection, ending) = (Arc::clone(&seat.connection), seat.ending);
    drop(seat);
    let client_left = matches!(ending.reason, Reason::Client(_) | Reason::Closed(_) | Reason::Socket(_));
    if !client_left {
        // In a box, so that its timer is no part of every connection's memory.
        let lingering = Box::pin(linger(connection, reader.socket));
        // Whoever has not closed by now is closed on.
        let _ = tokio::time::timeout(LINGER, lingering).await;
    }
}

impl Reader {
    fn poll(&mut self, seat: &Seat, context: &mut Context<'_>) -> Poll<Ending> {
        seat.connection.register(context);
        if std::mem::take(&mut self.fresh) && !self.partial.is_empty() {
            let mut input = std::mem::take(&mut self.partial);
            if let Err(ending) = self.handle(seat, &mut input) {
                return Poll::Ready(ending);
            }
            self.partial = input;
        }
        for _ in 0..READS_IN_A_ROW {
            if let Some(ending) = seat.connection.ending() {
                return Poll::Ready(ending);
            }
            seat.connection.poll_write(&seat.client, context);
            if let Err(ending) = ready!(self.poll_read(seat, context)) {
                return Poll::Ready(ending);
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// One read, and all whole packets that are there then.
    fn poll_read(&mut self, seat: &Seat, context: &mut Context<'_>) -> Poll<Result<(), Ending>> {
        let own = self.partial.len() > SMALL_PARTIAL;
        let mut input = if own { std::mem::take(&mut self.partial) } else { READ_BUFFER.take() };
        input.reserve(READ_SIZE + self.partial.len());
        input.extend_from_slice(&self.partial);
        let result = match poll_read_buf(Pin::new(&mut self.socket), context, &mut input) {
            Poll::Ready(Ok(0)) => {
                let reason = seat.connection.write_error().map_or(Reason::Closed("tcp_closed"), Reason::Socket);
                Poll::Ready(Err(Ending::gone(reason)))
            }
            Poll::Ready(Ok(read)) => {
                batch::count(Metric::BytesReceived, read as u64);
                batch::note_traffic(read);
                Poll::Ready(self.handle(seat, &mut input))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(Ending::gone(Reason::Socket(socket::error_name(&error))))),
            Poll::Pending => match seat.connection.write_error() {
                Some(name) => Poll::Ready(Err(Ending::gone(Reason::Socket(name)))),
                None => Poll::Pending,
            },
        };
        if own {
            self.partial = input;
        } else {
            if input[..] != self.partial[..] {
                self.partial = BytesMut::from(&input[..]);
            }
            input.clear();
            READ_BUFFER.set(input);
        }
        if self.partial.is_empty() {
            self.partial = BytesMut::new();
        }
        result
    }

    /// Handles every whole packet in `input`; what they bring about leaves when all are handled.
    fn handle(&mut self, seat: &Seat, input: &mut BytesMut) -> Result<(), Ending> {
        let now = seat.broker.clock.now();
        seat.connection.heard(now);
        let batch = Batch::begin(&seat.broker);
        loop {
            match self.decoder.decode(input) {
                Ok(Some(packet)) => packets::handle(seat, packet, now)?,
                Ok(None) => return Ok(()),
                Err(error) => {
                    tracing::debug!(client_id = %seat.client.id, %error, "not a packet");
                    return Err(Ending::refused(error.reason_code()));
                }
            }
            batch.relieve();
        }
    }
}

/// Writes what is left, says that nothing more comes and waits for the peer to close: a socket closed with unread
/// bytes would take back what was just sent.
async fn linger(connection: Arc<Connection>, mut socket: OwnedReadHalf) {
    std::future::poll_fn(|context| connection.poll_tail(context)).await;
    connection.shut_down();
    let mut ignored = BytesMut::new();
    loop {
        ignored.clear();
        ignored.reserve(4096);
        match std::future::poll_fn(|context| poll_read_buf(Pin::new(&mut socket), context, &mut ignored)).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}
