//! A connection's task: the handshake, then reading and handling packets until the end.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use std::{io, mem};

use bytes::BytesMut;
use mqtt_codec::{Decoder, Packet};
use mqtt_hooks::Reason;
use mqtt_net::Transport;

use crate::broker::Broker;
use crate::client::ClientRef;
use crate::client::connection::{Connection, Ending};
use crate::coming::arrival::{Arrival, First, Origin};
use crate::coming::handshake::{self, Next};
use crate::delivery::batch::Batch;
use crate::packets;
use crate::watch::metrics::Metric;

/// Bytes of the read buffer that the connections of a worker thread share.
const READ_SIZE: usize = 64 * 1024;

/// A half packet up to this size is copied into the shared buffer for the next read; a bigger one is read into a
/// buffer of its own.
const SMALL_PARTIAL: usize = 8 * 1024;

/// Bytes that are read at once from a peer that was told to go.
const IGNORED_READ: usize = 4096;

/// Reads that one connection may do before others on its thread have their turn.
const READS_IN_A_ROW: usize = 4;

/// How long a peer that was told to go may take to read that, and to close.
const LINGER: Duration = Duration::from_secs(2);

/// The task of a socket, from accept to close.
///
/// A future written by hand: an async block would keep room for all its stages at once, and an idle connection is to
/// cost no more than it needs.
pub(crate) struct Task {
    broker: Arc<Broker>,
    stage: Stage,
}

/// A stage that seldom lasts, so its memory is its own.
pub(crate) type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Every one is a pointer of 8 bytes: the runtime takes memory for a task in steps of 128, and adds 104 itself.
enum Stage {
    /// CONNECT has not come yet.
    Arriving(Box<Arrival>),
    /// It has, and it is not decided yet, or refused.
    Waiting(Box<Boxed<Option<(Seat, Reader)>>>),
    Serving(Box<Serving>),
    /// The client is reported gone; what is left is written.
    Lingering(Box<Boxed<()>>),
    Closed,
}

struct Serving {
    seat: Seat,
    reader: Reader,
}

impl Task {
    pub(crate) fn new(broker: &Arc<Broker>, transport: Transport, origin: Origin) -> Self {
        broker.sockets.fetch_add(1, Relaxed);
        let arrival = Arrival::new(broker, transport, origin);
        Self { broker: Arc::clone(broker), stage: Stage::Arriving(Box::new(arrival)) }
    }
}

impl Future for Task {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let task = &mut *self;
        loop {
            let next = match &mut task.stage {
                Stage::Arriving(arrival) => {
                    let first = ready!(arrival.poll(&task.broker, context));
                    task.judge(first)
                }
                Stage::Waiting(waiting) => match ready!(Pin::new(waiting).poll(context)) {
                    Some((seat, reader)) => task.serve(seat, reader),
                    None => Stage::Closed,
                },
                Stage::Serving(serving) => {
                    let Serving { seat, reader } = &mut **serving;
                    let ending = ready!(reader.poll(seat, context));
                    seat.leave(ending);
                    task.after(ending)
                }
                Stage::Lingering(lingering) => {
                    ready!(Pin::new(lingering).poll(context));
                    task.broker.served.fetch_sub(1, Relaxed);
                    Stage::Closed
                }
                Stage::Closed => return Poll::Ready(()),
            };
            task.stage = next;
        }
    }
}

impl Task {
    fn judge(&mut self, first: First) -> Stage {
        let Stage::Arriving(arrival) = mem::replace(&mut self.stage, Stage::Closed) else {
            return Stage::Closed;
        };
        let deadline = arrival.deadline;
        match handshake::judge(&self.broker, arrival, first) {
            Next::Serve(seat, reader) => self.serve(seat, reader),
            Next::Wait(wait) => {
                let broker = Arc::clone(&self.broker);
                let wait = async move { broker.clock.wait_for(wait, deadline).await.flatten() };
                Stage::Waiting(Box::new(Box::pin(wait)))
            }
            Next::Close => Stage::Closed,
        }
    }

    fn serve(&self, seat: Seat, reader: Reader) -> Stage {
        self.broker.served.fetch_add(1, Relaxed);
        Stage::Serving(Box::new(Serving { seat, reader }))
    }

    /// A client that left needs no more; one that was told to go is given time to read that.
    fn after(&mut self, ending: Ending) -> Stage {
        let Stage::Serving(serving) = mem::replace(&mut self.stage, Stage::Closed) else {
            return Stage::Closed;
        };
        let client_left = matches!(ending.reason, Reason::Client(_) | Reason::Closed(_) | Reason::Socket(_));
        if client_left {
            self.broker.served.fetch_sub(1, Relaxed);
            return Stage::Closed;
        }
        let lingering = tokio::time::timeout(LINGER, linger(Arc::clone(&serving.seat.connection)));
        Stage::Lingering(Box::new(Box::pin(async {
            // Whoever has not closed by now is closed on.
            let _ = lingering.await;
        })))
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.broker.sockets.fetch_sub(1, Relaxed);
        if matches!(self.stage, Stage::Serving(_) | Stage::Lingering(_)) {
            self.broker.served.fetch_sub(1, Relaxed);
        }
    }
}

/// A client's place at the broker. When it is dropped the client is reported gone, whatever ended the task, a panic
/// included.
pub(crate) struct Seat {
    pub(crate) client: ClientRef,
    pub(crate) connection: Arc<Connection>,
}

impl Seat {
    pub(crate) fn broker(&self) -> &Arc<Broker> {
        self.connection.broker()
    }

    fn leave(&self, ending: Ending) {
        self.connection.stop_timer();
        self.broker().leave(&self.client, &self.connection, ending, None);
        self.connection.stop_listening();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if !self.connection.is_over() {
            self.leave(Ending::gone(Reason::InternalError));
        }
    }
}

/// What of a packet has come.
pub(crate) struct Reader {
    decoder: Decoder,
    /// Bytes read and not yet decoded. Seldom there, so in a box.
    partial: Option<Box<BytesMut>>,
    /// `partial` came with CONNECT and is still to be looked at.
    fresh: bool,
}

impl Reader {
    /// `rest` is what came with CONNECT.
    pub(crate) fn new(decoder: Decoder, rest: BytesMut) -> Self {
        let fresh = !rest.is_empty();
        Self { decoder, partial: fresh.then(|| Box::new(rest)), fresh }
    }
}

impl Reader {
    /// Reads and handles what comes. Ready when the connection ends.
    fn poll(&mut self, seat: &Seat, context: &mut Context<'_>) -> Poll<Ending> {
        let mut batch = Batch::begin(seat.broker());
        let polled = self.poll_packets(seat, context, &mut batch);
        // What could not be stored has kept those waiting who were to be told; each client's flush has seen to that.
        let _ = batch.finish();
        polled
    }

    fn poll_packets(&mut self, seat: &Seat, context: &mut Context<'_>, batch: &mut Batch<'_>) -> Poll<Ending> {
        seat.connection.register(context);
        if mem::take(&mut self.fresh)
            && let Some(mut input) = self.partial.take()
        {
            let handled = self.handle(seat, &mut input, batch);
            let _ = batch.settle();
            if let Err(ending) = handled {
                return Poll::Ready(ending);
            }
            self.keep(&input);
        }
        for _ in 0..READS_IN_A_ROW {
            if let Some(ending) = seat.connection.ending() {
                return Poll::Ready(ending);
            }
            seat.connection.poll_write(&seat.client, context, batch);
            let transport = seat.connection.transport();
            let mut read = self.read(seat, batch, |input| transport.poll_read(context, input));
            let is_doubted = seat.connection.is_doubted();
            if read.is_pending() && (is_doubted || seat.connection.is_listened_to()) {
                // What has come may not have been told to this task yet.
                let read_now = |input: &mut BytesMut| transport.read_now(input, IGNORED_READ);
                read = self.read(seat, batch, |input| read_now(input).map_or(Poll::Pending, Poll::Ready));
                if read.is_pending() {
                    seat.connection.tell_heard_out();
                }
            }
            if let Poll::Ready(Err(ending)) = read {
                return Poll::Ready(ending);
            }
            if is_doubted && let Some(ending) = seat.connection.judge() {
                return Poll::Ready(ending);
            }
            if read.is_pending() {
                return Poll::Pending;
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// One read, and all whole packets that are there then.
    fn read(
        &mut self,
        seat: &Seat,
        batch: &mut Batch<'_>,
        read: impl FnOnce(&mut BytesMut) -> Poll<io::Result<usize>>,
    ) -> Poll<Result<(), Ending>> {
        let own = self.partial.take_if(|partial| partial.len() > SMALL_PARTIAL);
        let is_own = own.is_some();
        let mut input = own.map_or_else(|| batch.lend_input(), |own| *own);
        let kept = self.partial.as_ref().map_or(&[][..], |partial| partial);
        input.reserve(READ_SIZE + kept.len());
        input.extend_from_slice(kept);
        let before = input.len();
        let result = match read(&mut input) {
            Poll::Ready(Ok(0)) => {
                let name_of_close = seat.connection.transport().name_of_close();
                let reason = seat.connection.write_error().map_or(Reason::Closed(name_of_close), Reason::Socket);
                Poll::Ready(Err(Ending::gone(reason)))
            }
            Poll::Ready(Ok(read)) => {
                seat.connection.traffic.note_read(read);
                batch.count(Metric::BytesReceived, read as u64);
                batch.note_traffic(read);
                let handled = self.handle(seat, &mut input, batch);
                // One write per receiver for all that one read has brought.
                let _ = batch.settle();
                Poll::Ready(handled)
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(Ending::gone(Reason::Socket(mqtt_net::error_name(&error))))),
            Poll::Pending => match seat.connection.write_error() {
                Some(name) => Poll::Ready(Err(Ending::gone(Reason::Socket(name)))),
                None => Poll::Pending,
            },
        };
        if is_own {
            self.partial = (!input.is_empty()).then(|| Box::new(input));
        } else {
            // Nothing came: what is kept stays as it is.
            if input.len() != before || result.is_ready() {
                self.keep(&input);
            }
            batch.return_input(input);
        }
        result
    }

    /// Keeps the beginning of a packet, in memory of its own.
    fn keep(&mut self, rest: &[u8]) {
        self.partial = (!rest.is_empty()).then(|| Box::new(BytesMut::from(rest)));
    }

    /// Handles every whole packet in `input`; what they bring about leaves when the batch is settled.
    fn handle(&mut self, seat: &Seat, input: &mut BytesMut, batch: &mut Batch<'_>) -> Result<(), Ending> {
        let (now, heard) = seat.broker().clock.both();
        seat.connection.heard(heard);
        if seat.broker().traces.are_running() {
            seat.broker().traces.note_read(&seat.client.id, &self.decoder, input);
        }
        let (mut received, mut messages) = (0, 0);
        let handled = loop {
            match self.decoder.decode(input) {
                Ok(Some(packet)) => {
                    received += 1;
                    messages += u64::from(matches!(packet, Packet::Publish(_)));
                    if let Err(ending) = packets::handle(seat, packet, now, batch) {
                        break Err(ending);
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => {
                    tracing::debug!(client_id = %seat.client.id, %error, "not a packet");
                    break Err(Ending::refused(error.reason_code()));
                }
            }
            batch.relieve();
        };
        // Before the batch is settled: what is answered is counted.
        seat.connection.traffic.note_received(received, messages);
        handled
    }
}

/// Writes what is left, says that nothing more comes and waits for the peer to close: a socket closed with unread
/// bytes would take back what was just sent.
async fn linger(connection: Arc<Connection>) {
    std::future::poll_fn(|context| connection.poll_tail(context)).await;
    say_farewell(connection.transport()).await;
}

/// Says that nothing more comes and waits for the peer to close; the caller's time limit bounds it.
pub(crate) async fn say_farewell(transport: &Transport) {
    transport.shut_down();
    let mut ignored = BytesMut::new();
    loop {
        ignored.clear();
        match transport.read(&mut ignored, IGNORED_READ).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Task;

    #[test]
    fn an_idle_connection_costs_a_small_task() {
        assert!(size_of::<Task>() <= 24, "{}", size_of::<Task>());
    }
}
