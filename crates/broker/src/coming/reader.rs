//! Reads what a client sends, and handles it packet by packet.

use std::pin::pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use std::{io, mem};

use bytes::BytesMut;
use mqtt_codec::{Decoder, Packet, ReasonCode};
use mqtt_hooks::Reason;

use crate::client::ending::Ending;
use crate::client::seat::Seat;
use crate::cluster::peers::owed::Owing;
use crate::coming::line::Place;
use crate::coming::pace::Pace;
use crate::delivery::batch::{Batch, Flushing};
use crate::delivery::replay;
use crate::packets;
use crate::watch::memory::Claim;
use crate::watch::metrics::Metric;
use crate::watch::refusals::Kind;

/// Bytes of the read buffer that the connections of a worker thread share.
const READ_SIZE: usize = 64 * 1024;

/// A half packet up to this size is copied into the shared buffer for the next read; a bigger one is read into a
/// buffer of its own.
const SMALL_PARTIAL: usize = 8 * 1024;

/// Bytes that are asked for where the system has not told this process that there are any.
const UNTOLD_READ: usize = 4096;

/// Reads that one connection may do before others on its thread have their turn.
const READS_IN_A_ROW: usize = 4;

/// How long its packets may be handled before that. A read may bring 32,000 of the smallest ones.
const TURN: Duration = Duration::from_micros(500);

/// How much longer that may be while nobody else has more than fits a turn, and there is another thread for all the others: what
/// leaves for one receiver leaves in fewer writes.
const OVERTIME: Duration = Duration::from_millis(2);

/// Who has taken no longer goes on as any other.
const SHORT: Duration = Duration::from_micros(75);

/// The clock is looked at after so many of them; each filter of a SUBSCRIBE or UNSUBSCRIBE counts as one.
const LOOK_EVERY: usize = 32;

/// Deliveries after which a turn is over whatever they took: some milliseconds. A burst to a thousand is not cut by that.
const DELIVERIES: usize = 1 << 15;

mod held_back;
mod owing;
mod partial;

/// What of a packet has come.
pub(crate) struct Reader {
    decoder: Decoder,
    /// Bytes read and not yet decoded. Seldom there, so in a box.
    partial: Option<Box<BytesMut>>,
    /// Whether `partial` may begin with a whole packet.
    unhandled: Unhandled,
    /// Bytes of a half packet that its client has been heard by.
    heard_by: u32,
    /// What is in `partial`, as long as that is much.
    held: Option<Claim>,
    /// Where the last turn was over. Seldom there, so in a box.
    place: Option<Box<Place>>,
    /// `None`: the client may send as fast as it can.
    pace: Option<Box<Pace>>,
    /// What is left of the fan-out that the last packets led to.
    flushing: Option<Flushing>,
    /// What other nodes have to say before the last packets are answered. Seldom there, so in a box.
    owing: Option<Box<Owing>>,
}

/// Packets that have been read and not handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unhandled {
    None,
    /// They came with CONNECT.
    New,
    /// The turn in which they were read was over.
    Rest,
}

/// How far the packets of a read were handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Handled {
    All,
    /// It was read what amounts to nothing, such as pings of WebSocket, and there may be more.
    Nothing,
    /// There may be more, and it is the others' turn.
    TurnOver,
    /// There may be more, and the client was too fast.
    HeldBack,
}

/// How a turn ends.
enum Turn {
    /// With the connection.
    Ended(Ending),
    /// All that has come is handled, or the task is woken to go on.
    Waits,
    /// There may be more, and it is the others' turn.
    Over,
    /// There may be more, and the client was too fast.
    HeldBack,
}

impl From<Turn> for Poll<Ending> {
    fn from(turn: Turn) -> Self {
        match turn {
            Turn::Ended(ending) => Self::Ready(ending),
            Turn::Waits | Turn::Over | Turn::HeldBack => Self::Pending,
        }
    }
}

impl Reader {
    /// `rest` is what came with CONNECT.
    pub(crate) fn new(decoder: Decoder, rest: BytesMut, pace: Option<Box<Pace>>) -> Self {
        let is_there = !rest.is_empty();
        let unhandled = if is_there { Unhandled::New } else { Unhandled::None };
        let partial = is_there.then(|| Box::new(rest));
        Self { decoder, partial, unhandled, heard_by: 0, held: None, place: None, pace, flushing: None, owing: None }
    }
}

impl Reader {
    /// Reads and handles what comes. Ready when the connection ends.
    pub(crate) fn poll(&mut self, seat: &Seat, context: &mut Context<'_>) -> Poll<Ending> {
        let mut batch = Batch::begin(seat.broker());
        let mut polled = self.poll_packets(seat, context, &mut batch);
        if polled.is_pending() && replay::go_on(&seat.client, &seat.connection, &mut batch) {
            context.waker().wake_by_ref();
        }
        if polled.is_pending() {
            seat.client.go_on(&seat.connection, &mut batch);
        }
        if polled.is_pending()
            && let Err(ending) = self.count_partial(seat)
        {
            polled = Poll::Ready(ending);
        }
        // What could not be stored has kept those waiting who were to be told; each client's flush has seen to that.
        let _ = batch.settle();
        self.flushing = batch.take_flushing().or_else(|| self.flushing.take());
        self.take_owed(context, &mut batch);
        let _ = batch.finish();
        polled
    }

    fn poll_packets(&mut self, seat: &Seat, context: &mut Context<'_>, batch: &mut Batch<'_>) -> Poll<Ending> {
        seat.connection.register(context);
        let waits = self.is_flushing(context, batch);
        let waits = waits
            || match self.answer_owing(seat, context, batch) {
                Ok(waits) => waits,
                Err(ending) => return Poll::Ready(ending),
            };
        if waits {
            seat.connection.poll_write(&seat.client, context, batch);
            return seat.connection.ending().map_or(Poll::Pending, Poll::Ready);
        }
        if self.is_held_back(context) {
            seat.connection.poll_write(&seat.client, context, batch);
            return self.wait_unread(seat).into();
        }
        // In the line nothing is read. What others have for this client leaves all the same, and it can be ended.
        if let Some(place) = &mut self.place
            && place.poll(&seat.broker().doors.line, context).is_pending()
        {
            seat.connection.poll_write(&seat.client, context, batch);
            return seat.connection.ending().map_or(Poll::Pending, Poll::Ready);
        }
        match self.take_turn(seat, context, batch) {
            Turn::Over => {
                let line = &seat.broker().doors.line;
                self.place.get_or_insert_with(|| Box::new(Place::new(line)));
                Place::yield_turn(line, context);
                Poll::Pending
            }
            Turn::HeldBack => {
                self.place = None;
                // Its timer is polled first there.
                context.waker().wake_by_ref();
                Poll::Pending
            }
            turn => {
                self.place = None;
                turn.into()
            }
        }
    }

    fn take_turn(&mut self, seat: &Seat, context: &mut Context<'_>, batch: &mut Batch<'_>) -> Turn {
        let began = Instant::now();
        let turn = began + TURN;
        for _ in 0..READS_IN_A_ROW {
            // Before anything is read: who was told to go has nothing more to say.
            if let Some(ending) = seat.connection.ending() {
                return Turn::Ended(ending);
            }
            seat.connection.poll_write(&seat.client, context, batch);
            // Behind the attempt to write, which may have made room.
            let is_behind = seat.connection.transport().is_behind();
            if is_behind {
                seat.client.block(&seat.connection, batch);
            }
            if seat.connection.is_blocked() && (is_behind || seat.client.is_stuffed()) {
                return self.wait_unread(seat);
            }
            match self.handle_unhandled(seat, turn, batch) {
                Ok(Handled::All | Handled::Nothing) => {}
                Ok(Handled::TurnOver) => return Turn::Over,
                Ok(Handled::HeldBack) => return Turn::HeldBack,
                Err(ending) => return Turn::Ended(ending),
            }
            if self.is_flushing(context, batch) {
                return Turn::Waits;
            }
            if self.pace.is_some() && self.hold_bytes(seat) {
                return Turn::HeldBack;
            }
            let transport = seat.connection.transport();
            let mut read = self.read(seat, turn, batch, |input| transport.poll_read(context, input));
            let is_fruitless = matches!(read, Poll::Ready(Ok(Handled::Nothing)));
            let is_doubted = seat.connection.is_doubted();
            if (read.is_pending() || is_fruitless) && (is_doubted || seat.connection.is_listened_to()) {
                // What has come may not have been told to this task yet.
                let read_now = |input: &mut BytesMut| transport.read_now(input, UNTOLD_READ);
                read = self.read(seat, turn, batch, |input| read_now(input).map_or(Poll::Pending, Poll::Ready));
                if read.is_pending() {
                    seat.connection.tell_heard_out();
                }
            }
            match read {
                Poll::Ready(Err(ending)) => return Turn::Ended(ending),
                Poll::Ready(Ok(Handled::TurnOver)) => return Turn::Over,
                Poll::Ready(Ok(Handled::HeldBack)) => return Turn::HeldBack,
                Poll::Ready(Ok(Handled::All | Handled::Nothing)) | Poll::Pending => {}
            }
            // Only now, when all that had come was read: a broker that was late has not made anyone silent.
            if is_doubted && let Some(ending) = seat.connection.patience_ends() {
                return Turn::Ended(ending);
            }
            // A transport has had several reads for that.
            if is_fruitless {
                break;
            }
            if read.is_pending() {
                return Turn::Waits;
            }
        }
        // Many short reads cost others little. Only who takes the processor's time goes to the line.
        if began.elapsed() >= SHORT {
            return Turn::Over;
        }
        context.waker().wake_by_ref();
        Turn::Waits
    }

    /// What the last packets led to is still being flushed, and the task is woken when that is done. Whoever publishes to many
    /// publishes no faster than these are written to.
    fn is_flushing(&mut self, context: &mut Context<'_>, batch: &mut Batch<'_>) -> bool {
        self.flushing = batch.take_flushing().or_else(|| self.flushing.take());
        let is_flushing = self.flushing.as_mut().is_some_and(|flushing| pin!(flushing).poll(context).is_pending());
        if !is_flushing {
            self.flushing = None;
        }
        is_flushing
    }

    /// Nothing is read. The client sends and takes nothing: what it asks for would only add to what waits for it, and reading
    /// goes on when it has taken some; what tells whether it is still there meanwhile is that it takes, not that it is heard. Or
    /// it sends faster than it may, and is not silent either.
    fn wait_unread(&self, seat: &Seat) -> Turn {
        if seat.connection.is_listened_to() {
            seat.connection.tell_heard_out();
        }
        if seat.connection.is_doubted() {
            seat.connection.heard(seat.broker().clock.patient());
            if let Some(ending) = seat.connection.patience_ends() {
                return Turn::Ended(ending);
            }
        }
        seat.connection.ending().map_or(Turn::Waits, Turn::Ended)
    }

    /// Goes on where the last turn was over.
    fn handle_unhandled(&mut self, seat: &Seat, turn: Instant, batch: &mut Batch<'_>) -> Result<Handled, Ending> {
        let unhandled = mem::replace(&mut self.unhandled, Unhandled::None);
        // A beginning of a packet that is only that stays where it is: the next read goes on behind it.
        let Some(mut input) = self.partial.take_if(|_| unhandled != Unhandled::None) else { return Ok(Handled::All) };
        if unhandled == Unhandled::New {
            self.trace(seat, &input);
        }
        let handled = self.handle(seat, &mut input, turn, batch);
        let _ = batch.settle();
        match handled {
            Ok(Handled::TurnOver) => self.leave(*input),
            Ok(Handled::HeldBack) => self.keep_for_later(&input),
            _ => self.keep(&input),
        }
        handled
    }

    /// One read, and the whole packets that are there then, as many as there is time for.
    fn read(
        &mut self,
        seat: &Seat,
        turn: Instant,
        batch: &mut Batch<'_>,
        read: impl FnOnce(&mut BytesMut) -> Poll<io::Result<usize>>,
    ) -> Poll<Result<Handled, Ending>> {
        // A big beginning of a packet is read on where it is, for to copy it with each read would cost its length
        // squared.
        let own = self.partial.take_if(|partial| partial.len() > SMALL_PARTIAL);
        let is_own = own.is_some();
        // What is read of who may be held back is kept meanwhile, so it is little, and not in memory that others use.
        let (room, is_lent) = if self.pace.is_some() { (SMALL_PARTIAL, false) } else { (READ_SIZE, !is_own) };
        let mut input = own.map_or_else(|| if is_lent { batch.lend_input() } else { BytesMut::new() }, |own| *own);
        let kept = self.partial.as_ref().map_or(&[][..], |partial| partial);
        input.reserve(room + kept.len());
        input.extend_from_slice(kept);
        let before = input.len();
        let result = match read(&mut input) {
            Poll::Ready(Ok(0)) => {
                let name_of_close = seat.connection.transport().name_of_close();
                // Who failed to write to it knows better why it is gone.
                let reason = seat.connection.write_error().map_or(Reason::Closed(name_of_close), Reason::Socket);
                Poll::Ready(Err(Ending::gone(reason)))
            }
            Poll::Ready(Ok(read)) => {
                seat.connection.traffic.note_read(read);
                batch.count(Metric::BytesReceived, read as u64);
                batch.note_traffic(read);
                if let Some(pace) = &mut self.pace {
                    pace.note_read(read, seat.broker().clock.uptime());
                }
                self.trace(seat, &input);
                let handled = self.handle(seat, &mut input, turn, batch);
                // One write per receiver for all that one read has brought.
                let _ = batch.settle();
                Poll::Ready(handled)
            }
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => Poll::Ready(Ok(Handled::Nothing)),
            // It breaks the rules of what carries MQTT (TLS, WebSocket), and has been told so in their words. [MQTT-6.0.0-1]
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                Poll::Ready(Err(Ending { reason: Reason::Refused(ReasonCode::ProtocolError), code: None }))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(Ending::gone(Reason::Socket(mqtt_net::error_name(&error))))),
            Poll::Pending => match seat.connection.write_error() {
                // Nothing more has come, and nothing can leave: a DISCONNECT that came before the error has been
                // handled by now.
                Some(name) => Poll::Ready(Err(Ending::gone(Reason::Socket(name)))),
                None => Poll::Pending,
            },
        };
        if let Poll::Ready(Ok(Handled::TurnOver)) = result {
            self.leave(input);
        } else if let Poll::Ready(Ok(Handled::HeldBack)) = result {
            self.keep_for_later(&input);
        } else if is_own {
            self.partial = (!input.is_empty()).then(|| Box::new(input));
        } else {
            // Nothing came: what is kept stays as it is.
            if input.len() != before || result.is_ready() {
                self.keep(&input);
            }
            if is_lent {
                batch.return_input(input);
            }
        }
        result
    }

    fn trace(&self, seat: &Seat, input: &[u8]) {
        if seat.broker().watched.traces.are_running() {
            seat.broker().watched.traces.note_read(&seat.client.id, &self.decoder, input);
        }
    }

    /// Handles the whole packets in `input` until the turn is over; what they bring about leaves when the batch is settled.
    fn handle(
        &mut self,
        seat: &Seat,
        input: &mut BytesMut,
        turn: Instant,
        batch: &mut Batch<'_>,
    ) -> Result<Handled, Ending> {
        let (now, heard) = seat.broker().clock.both();
        let (mut received, mut messages, mut pings, mut unlooked) = (0, 0, 0, 0);
        let line = &seat.broker().doors.line;
        let handled = loop {
            if self.place.is_none() && partial::is_long(input) {
                break Ok(Handled::TurnOver);
            }
            if self.pace.is_some() && self.hold_message(seat, input) {
                break Ok(Handled::HeldBack);
            }
            match self.decoder.decode(input) {
                Ok(Some(packet)) => {
                    received += 1;
                    let is_message = matches!(packet, Packet::Publish(_));
                    messages += u64::from(is_message);
                    pings += u64::from(matches!(packet, Packet::PingReq));
                    if is_message && let Some(pace) = &mut self.pace {
                        pace.note_message(seat.broker().clock.uptime());
                    }
                    unlooked += match &packet {
                        Packet::Subscribe(subscribe) => subscribe.filters.len(),
                        Packet::Unsubscribe(unsubscribe) => unsubscribe.filters.len(),
                        _ => 1,
                    };
                    if let Err(ending) = packets::handle(seat, packet, now, batch) {
                        break Err(ending);
                    }
                }
                Ok(None) => break Ok(Handled::All),
                Err(error) => {
                    let reason = error.reason_code();
                    seat.tell_refused(Kind::Packet, reason, &error, "");
                    break Err(Ending::refused(reason));
                }
            }
            // What one read brings may lead to more than is to be held until it is used up.
            batch.relieve();
            if batch.is_flushing() || batch.deliveries() >= DELIVERIES {
                break Ok(Handled::TurnOver);
            }
            if unlooked >= LOOK_EVERY {
                let now = Instant::now();
                if now >= turn && (now >= turn + OVERTIME || !line.is_alone(self.place.as_deref())) {
                    break Ok(Handled::TurnOver);
                }
                unlooked = 0;
            }
        };
        self.note_heard(seat, heard, received == 0 && matches!(handled, Ok(Handled::All)), input.len());
        // Before the batch is settled: what is answered is counted.
        seat.connection.traffic.note_received(received, messages);
        if received > pings {
            seat.connection.heard_more(heard);
        }
        handled
    }
}
