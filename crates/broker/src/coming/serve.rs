//! A connection's task: the handshake, then reading and handling packets until the end.

use std::mem;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use mqtt_hooks::Reason;
use mqtt_net::Accepted;

use crate::broker::Broker;
use crate::client::connection::Ending;
use crate::client::seat::Seat;
use crate::coming::arrival::{Arrival, First, Origin};
use crate::coming::door;
use crate::coming::doors::Doors;
use crate::coming::farewell::linger;
use crate::coming::handshake::{self, Boxed, Next};
use crate::coming::reader::Reader;

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
    /// There is something before MQTT: TLS, WebSocket, a proxy's word.
    Opening(Box<Of<Result<Arrival, IpAddr>>>),
    /// CONNECT has not come yet.
    Arriving(Box<Arrival>),
    /// It has, and it is not decided yet, or refused.
    Waiting(Box<Of<Option<(Seat, Reader)>>>),
    Serving(Box<Serving>),
    /// The client is reported gone; what is left is written.
    Lingering(Box<Of<()>>),
    Closed,
}

/// Something that is waited for, and whose it is.
struct Of<T> {
    future: Boxed<T>,
    address: IpAddr,
}

struct Serving {
    seat: Seat,
    reader: Reader,
}

impl Task {
    pub(crate) fn new(broker: &Arc<Broker>, accepted: Accepted, origin: Origin) -> Self {
        broker.doors.note_socket();
        let deadline = broker.clock.patient().after(broker.config.mqtt.connect_timeout);
        let phase = match accepted {
            Accepted::Open(transport) => Phase::Arriving(Box::new(Arrival::new(broker, transport, origin, deadline))),
            Accepted::Closed(opening) => {
                let (broker, address) = (Arc::clone(broker), origin.peer.ip());
                let future = Box::pin(async move {
                    let (transport, origin) = door::open(Arc::clone(&broker), opening, origin, deadline).await?;
                    Ok(Arrival::new(&broker, transport, origin, deadline))
                });
                Phase::Opening(Box::new(Of { future, address }))
            }
        };
        Self { broker: Arc::clone(broker), phase }
    }
}

impl Future for Task {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let task = &mut *self;
        loop {
            let next = match &mut task.phase {
                Phase::Opening(opening) => match ready!(opening.future.as_mut().poll(context)) {
                    Ok(arrival) => Phase::Arriving(Box::new(arrival)),
                    Err(address) => task.close(address),
                },
                Phase::Arriving(arrival) => {
                    let first = ready!(arrival.poll(&task.broker, context));
                    let address = arrival.origin.peer.ip();
                    task.receive(first, address)
                }
                Phase::Waiting(waiting) => match ready!(waiting.future.as_mut().poll(context)) {
                    Some((seat, reader)) => task.serve(seat, reader),
                    None => {
                        let address = waiting.address;
                        task.close(address)
                    }
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
                    ready!(lingering.future.as_mut().poll(context));
                    let address = lingering.address;
                    task.broker.doors.note_served_out();
                    task.close(address)
                }
                Phase::Closed => return Poll::Ready(()),
            };
            task.phase = next;
        }
    }
}

impl Task {
    fn receive(&mut self, first: First, address: IpAddr) -> Phase {
        let Phase::Arriving(arrival) = mem::replace(&mut self.phase, Phase::Closed) else {
            // It was just polled in that phase.
            return Phase::Closed;
        };
        // CONNECT and all that is asked about it have one deadline, so a module that never answers holds no socket for
        // ever.
        let deadline = arrival.deadline;
        let _given_back = GivenBack { doors: &self.broker.doors, address };
        match handshake::receive(&self.broker, arrival, first) {
            Next::Serve(seat, reader) => self.serve(seat, reader),
            Next::Wait(wait) => {
                let broker = Arc::clone(&self.broker);
                let wait = async move { broker.clock.wait_for(wait, deadline).await.flatten() };
                Phase::Waiting(Box::new(Of { future: Box::pin(wait), address }))
            }
            Next::Close => self.close(address),
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
        let address = serving.seat.connection.info.peer.ip();
        let client_left = matches!(ending.reason, Reason::Client(_) | Reason::Closed(_) | Reason::Socket(_));
        if client_left {
            self.broker.doors.note_served_out();
            return self.close(address);
        }
        let lingering = tokio::time::timeout(LINGER, linger(Arc::clone(&serving.seat.connection)));
        let future = Box::pin(async {
            // Whoever has not closed by now is closed on.
            let _ = lingering.await;
        });
        Phase::Lingering(Box::new(Of { future, address }))
    }

    fn close(&self, address: IpAddr) -> Phase {
        self.broker.doors.leave(address);
        Phase::Closed
    }

    /// Of who is still to be [closed](Self::close).
    fn address(&self) -> Option<IpAddr> {
        match &self.phase {
            Phase::Opening(opening) => Some(opening.address),
            Phase::Arriving(arrival) => Some(arrival.origin.peer.ip()),
            Phase::Waiting(waiting) => Some(waiting.address),
            Phase::Serving(serving) => Some(serving.seat.connection.info.peer.ip()),
            Phase::Lingering(lingering) => Some(lingering.address),
            Phase::Closed => None,
        }
    }
}

/// Gives the place of an address back should what is done meanwhile panic: the task is in no phase then that would tell whose it
/// was.
struct GivenBack<'a> {
    doors: &'a Doors,
    address: IpAddr,
}

impl Drop for GivenBack<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.doors.leave(self.address);
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.broker.doors.note_socket_closed();
        // It panicked, or the runtime ends.
        if let Some(address) = self.address() {
            self.broker.doors.leave(address);
        }
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
