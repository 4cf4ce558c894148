//! A connection's task: the handshake, then reading and handling packets until the end.

use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use mqtt_hooks::Reason;
use mqtt_net::Accepted;

use crate::broker::Broker;
use crate::client::ending::Ending;
use crate::client::seat::Seat;
use crate::coming::arrival::{Arrival, First, Origin};
use crate::coming::door;
use crate::coming::farewell::linger;
use crate::coming::handshake::{self, Boxed, Next};
use crate::coming::reader::Reader;
use crate::coming::ticket::Ticket;

/// How long a peer that was told to go may take to read that, and to close.
const LINGER: Duration = Duration::from_secs(2);

/// The task of a socket, from accept to close.
///
/// A future written by hand: an async block would keep room for all its phases at once, and an idle connection is to
/// cost no more than it needs.
pub(crate) struct Task {
    broker: Arc<Broker>,
    phase: Phase,
}

/// Every one is a pointer of 8 bytes: the runtime takes memory for a task in steps of 128, and adds 104 itself.
enum Phase {
    /// There is something before MQTT: TLS, WebSocket, a proxy's word. `None`: nobody came through.
    Opening(Alone<Option<Arrival>>),
    /// CONNECT has not come yet.
    Arriving(Box<Arrival>),
    /// It has, and it is not decided yet, or refused.
    Waiting(Alone<Option<(Seat, Reader)>>),
    Serving(Box<Serving>),
    /// The client is reported gone; what is left is written.
    Lingering(Alone<()>),
    Closed,
}

/// In one more box, as a future is a pointer of 16 bytes.
type Alone<T> = Box<Boxed<T>>;

struct Serving {
    seat: Seat,
    reader: Reader,
}

impl Task {
    /// `ticket` is the place that it takes: until a client is let in it is with what is waited for, and given back when that ends,
    /// whatever ends it.
    pub(crate) fn new(broker: &Arc<Broker>, accepted: Accepted, origin: Origin, ticket: Ticket) -> Self {
        broker.doors.note_socket();
        let deadline = broker.clock.patient().after(broker.terms().mqtt.connect_timeout);
        let phase = match accepted {
            Accepted::Open(transport) => Phase::Arriving(Box::new(Arrival::new(transport, origin, ticket, deadline))),
            Accepted::Closed(opening) => {
                let broker = Arc::clone(broker);
                let mut ticket = ticket;
                Phase::Opening(alone(async move {
                    let (transport, origin) = door::open(broker, opening, origin, &mut ticket, deadline).await?;
                    Some(Arrival::new(transport, origin, ticket, deadline))
                }))
            }
        };
        Self { broker: Arc::clone(broker), phase }
    }
}

fn alone<T>(future: impl Future<Output = T> + Send + 'static) -> Alone<T> {
    Box::new(Box::pin(future))
}

impl Future for Task {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let task = &mut *self;
        loop {
            let next = match &mut task.phase {
                Phase::Opening(opening) => match ready!(opening.as_mut().as_mut().poll(context)) {
                    Some(arrival) => Phase::Arriving(Box::new(arrival)),
                    None => Phase::Closed,
                },
                Phase::Arriving(arrival) => {
                    let first = ready!(arrival.poll(&task.broker, context));
                    task.receive(first)
                }
                Phase::Waiting(waiting) => match ready!(waiting.as_mut().as_mut().poll(context)) {
                    Some((seat, reader)) => task.serve(seat, reader),
                    None => Phase::Closed,
                },
                Phase::Serving(serving) => {
                    let Serving { seat, reader } = &mut **serving;
                    let ending = ready!(reader.poll(seat, context));
                    // Told at once. What is left to be written may take the peer some time, and nobody waits for that
                    // to hear that it is gone.
                    seat.leave(ending);
                    task.after(ending)
                }
                Phase::Lingering(lingering) => {
                    ready!(lingering.as_mut().as_mut().poll(context));
                    task.broker.doors.note_served_out();
                    Phase::Closed
                }
                Phase::Closed => return Poll::Ready(()),
            };
            task.phase = next;
        }
    }
}

impl Task {
    fn receive(&mut self, first: First) -> Phase {
        let Phase::Arriving(arrival) = mem::replace(&mut self.phase, Phase::Closed) else {
            // It was just polled in that phase.
            return Phase::Closed;
        };
        // CONNECT and all that is asked about it have one deadline, so a module that never answers holds no socket for
        // ever.
        let deadline = arrival.deadline;
        match handshake::receive(&self.broker, arrival, first) {
            Next::Serve(seat, reader) => self.serve(seat, reader),
            Next::Wait(wait) => {
                let broker = Arc::clone(&self.broker);
                Phase::Waiting(alone(async move { broker.clock.wait_for(wait, deadline).await.flatten() }))
            }
            Next::Close => Phase::Closed,
        }
    }

    fn serve(&self, seat: Seat, reader: Reader) -> Phase {
        self.broker.doors.note_served();
        Phase::Serving(Box::new(Serving { seat, reader }))
    }

    /// A client that left needs no more; one that was told to go is given time to read that.
    fn after(&mut self, ending: Ending) -> Phase {
        let Phase::Serving(serving) = mem::replace(&mut self.phase, Phase::Closed) else {
            return Phase::Closed;
        };
        let client_left = matches!(ending.reason, Reason::Client(_) | Reason::Closed(_) | Reason::Socket(_));
        if client_left {
            serving.seat.connection.transport().say_goodbye();
            self.broker.doors.note_served_out();
            return Phase::Closed;
        }
        let lingering = tokio::time::timeout(LINGER, linger(Arc::clone(&serving.seat.connection)));
        Phase::Lingering(alone(async {
            // Whoever has not closed by now is closed on.
            let _ = lingering.await;
        }))
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.broker.doors.note_socket_closed();
        // It panicked, or the runtime ends.
        if matches!(self.phase, Phase::Serving(_) | Phase::Lingering(_)) {
            self.broker.doors.note_served_out();
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
