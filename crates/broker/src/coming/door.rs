//! Where connections come in.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use mqtt_codec::ReasonCode;
use mqtt_hooks::Listener;
use mqtt_net::{Accepted, Opening, Pipe, Transport};

use crate::broker::Broker;
use crate::coming::arrival::Origin;
use crate::coming::entrance::{Entrance, Over};
use crate::coming::serve::Task;
use crate::coming::ticket::Ticket;
use crate::config::ListenerLimits;
use crate::time::patience::Patient;
use crate::watch::metrics::Metric;
use crate::watch::refusals::{Kind, Refused};

/// Where connections come in, known to the broker by its name.
#[derive(Debug)]
pub(crate) struct Door(Arc<Entrance>);

impl Door {
    pub(crate) fn new(broker: &Broker, open: &Arc<mqtt_net::Listener>, own: &ListenerLimits) -> Self {
        Self(broker.add_listener(open, own))
    }

    pub(crate) fn take(&self, broker: &Arc<Broker>, accepted: Accepted, peer: SocketAddr) {
        let listener = Arc::clone(&self.0.listener);
        take(broker, &self.0, accepted, Origin { peer, listener, identity: None, is_own: false });
    }
}

/// The other end is served like an accepted socket, from no port.
pub(crate) fn connect_in_memory(broker: &Arc<Broker>, peer: SocketAddr) -> Pipe {
    let (ours, theirs) = Pipe::pair();
    let entrance = broker.doors.memory();
    let origin = Origin { peer, listener: Arc::clone(&entrance.listener), identity: None, is_own: false };
    take(broker, entrance, Accepted::Open(Transport::Memory(ours)), origin);
    theirs
}

/// The same for a module, which gives it a name.
pub(crate) fn open_own(broker: &Arc<Broker>, listener: &str) -> Pipe {
    let (ours, theirs) = Pipe::pair();
    let listener = Arc::new(Listener::new(listener, 0));
    let origin = Origin { peer: (Ipv4Addr::LOCALHOST, 0).into(), listener, identity: None, is_own: true };
    take(broker, broker.doors.own(), Accepted::Open(Transport::Memory(ours)), origin);
    theirs
}

fn take(broker: &Arc<Broker>, entrance: &Arc<Entrance>, accepted: Accepted, origin: Origin) {
    let (of_proxy, is_socket, peer) = (accepted.is_of_proxy(), accepted.is_socket(), origin.peer);
    let ticket =
        Ticket::take(broker, entrance, peer.ip(), is_socket, of_proxy).and_then(|ticket| match ticket.over() {
            // To tell it so would cost the handshake, which is what the limit is there to save.
            Some(over) if accepted.has_tls() => Err(over),
            _ => Ok(ticket),
        });
    match ticket {
        Ok(ticket) => {
            tokio::spawn(Task::new(broker, accepted, origin, ticket));
        }
        Err(over) => tell_over(broker, peer, over),
    }
}

/// Goes through what stands before MQTT at this listener, until `deadline`; `None`: it is not let through. Where a proxy has said
/// whose connection it is, the place that its own address had is given to that one.
pub(crate) async fn open(
    broker: Arc<Broker>,
    opening: Opening,
    mut origin: Origin,
    ticket: &mut Ticket,
    deadline: Patient,
) -> Option<(Transport, Origin)> {
    if opening.has_tls()
        && let Err(over) = wait_while_late(&broker).await
    {
        tell_over(&broker, origin.peer, over);
        return None;
    }
    // Given back when it is open: what a client holds then is counted to it.
    let mut claim = broker.watched.memory.arriving().claim();
    let opening = opening.open(|bytes| claim.grow_to(bytes));
    let opened = match broker.clock.wait_for(opening, deadline).await {
        Some(Ok(opened)) => opened,
        Some(Err(error)) => {
            if !error.is_silent() {
                tell_refused(&broker, origin.peer, ReasonCode::ProtocolError, &error);
            }
            return None;
        }
        None => {
            let rule = &"TLS, WebSocket or PROXY not through within mqtt.connect_timeout";
            tell_refused(&broker, origin.peer, ReasonCode::MaximumConnectTime, rule);
            return None;
        }
    };
    origin.peer = opened.peer;
    origin.identity = opened.identity.map(Box::new);
    if let Err(over) = ticket.pass_on(opened.peer.ip()) {
        tell_over(&broker, origin.peer, over);
        return None;
    }
    Some((opened.transport, origin))
}

/// Who comes while the broker is late waits.
pub(super) async fn wait_while_late(broker: &Broker) -> Result<(), Over> {
    if !broker.doors.lateness.is_closed() {
        return Ok(());
    }
    broker.watched.metrics.count(Metric::WaitedLate);
    // By the system's time, and half of it: who is refused is to be told before it has given up.
    let longest = broker.terms().mqtt.connect_timeout / 2;
    broker.doors.lateness.wait(longest).await
}

fn tell_over(broker: &Broker, peer: SocketAddr, over: Over) {
    broker.watched.metrics.count(over.metric);
    tell_refused(broker, peer, over.code, &over.rule);
}

fn tell_refused(broker: &Broker, peer: SocketAddr, reason: ReasonCode, rule: &dyn std::fmt::Display) {
    broker.tell_refused(&Refused { kind: Kind::Socket, peer: Some(peer), client_id: "", reason, rule, about: "" });
}
