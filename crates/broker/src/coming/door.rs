//! Where connections come in.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock};

use mqtt_codec::ReasonCode;
use mqtt_hooks::Listener;
use mqtt_net::{Accepted, Opening, Pipe, Transport};

use crate::broker::Broker;
use crate::coming::arrival::Origin;
use crate::coming::doors::{Doors, Entrance};
use crate::coming::serve::Task;
use crate::time::patience::Patient;
use crate::watch::refusals::{Kind, Refused};

/// Where connections come in, known to the broker by its name.
#[derive(Debug)]
pub(crate) struct Door(Arc<Listener>);

impl Door {
    pub(crate) fn new(doors: &Doors, open: &Arc<mqtt_net::Listener>) -> Self {
        let listener = Arc::new(Listener { name: open.name().into(), port: open.address().port() });
        doors.add(Entrance::new(Arc::clone(&listener), open));
        Self(listener)
    }

    pub(crate) fn take(&self, broker: &Arc<Broker>, accepted: Accepted, peer: SocketAddr) {
        take(broker, accepted, Origin { peer, listener: Arc::clone(&self.0), identity: None });
    }
}

/// The other end is served like an accepted socket, from no port.
pub(crate) fn connect_in_memory(broker: &Arc<Broker>, peer: SocketAddr) -> Pipe {
    static MEMORY: LazyLock<Arc<Listener>> = LazyLock::new(|| Arc::new(Listener { name: "memory".into(), port: 0 }));
    let (ours, theirs) = Pipe::pair();
    take(
        broker,
        Accepted::Open(Transport::Memory(ours)),
        Origin { peer, listener: Arc::clone(&MEMORY), identity: None },
    );
    theirs
}

fn take(broker: &Arc<Broker>, accepted: Accepted, origin: Origin) {
    if let Err(rule) = broker.doors.enter(origin.peer.ip(), accepted.is_socket()) {
        tell_refused(broker, origin.peer, ReasonCode::ServerBusy, &rule);
        return;
    }
    // Its place is given back by the task, whatever ends that.
    tokio::spawn(Task::new(broker, accepted, origin));
}

/// Goes through what stands before MQTT at this listener, until `deadline`. Where a proxy has said whose connection it is, the
/// place that its own address had is given to that one.
pub(crate) async fn open(
    broker: Arc<Broker>,
    opening: Opening,
    mut origin: Origin,
    deadline: Patient,
) -> Result<(Transport, Origin), IpAddr> {
    let address = origin.peer.ip();
    // Given back when it is open: what a client holds then is counted to it.
    let mut claim = broker.watched.memory.arriving().claim();
    let opening = opening.open(|bytes| claim.grow_to(bytes));
    let opened = match broker.clock.wait_for(opening, deadline).await {
        Some(Ok(opened)) => opened,
        Some(Err(error)) => {
            if !error.is_silent() {
                tell_refused(&broker, origin.peer, ReasonCode::ProtocolError, &error);
            }
            return Err(address);
        }
        None => {
            let rule = &"TLS, WebSocket or PROXY not through within mqtt.connect_timeout";
            tell_refused(&broker, origin.peer, ReasonCode::MaximumConnectTime, rule);
            return Err(address);
        }
    };
    origin.peer = opened.peer;
    origin.identity = opened.identity.map(Box::new);
    if opened.peer.ip() != address {
        if let Err(rule) = broker.doors.enter(opened.peer.ip(), true) {
            tell_refused(&broker, origin.peer, ReasonCode::ServerBusy, &rule);
            return Err(address);
        }
        broker.doors.leave(address);
    }
    Ok((opened.transport, origin))
}

fn tell_refused(broker: &Broker, peer: SocketAddr, reason: ReasonCode, rule: &dyn std::fmt::Display) {
    broker.tell_refused(&Refused { kind: Kind::Socket, peer: Some(peer), client_id: "", reason, rule, about: "" });
}
