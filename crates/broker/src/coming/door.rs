//! Where connections come in.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use mqtt_codec::ReasonCode;
use mqtt_hooks::Listener;
use mqtt_net::{Pipe, Transport};

use crate::broker::Broker;
use crate::coming::arrival::Origin;
use crate::coming::doors::Doors;
use crate::coming::serve::Task;
use crate::watch::refusals::{Kind, Refused};

/// Where connections come in, known to the broker by its name.
#[derive(Debug)]
pub(crate) struct Door(Arc<Listener>);

impl Door {
    pub(crate) fn new(doors: &Doors, name: &str, address: SocketAddr) -> Self {
        let listener = Arc::new(Listener { name: name.into(), port: address.port() });
        doors.open(Arc::clone(&listener), address);
        Self(listener)
    }

    pub(crate) fn take(&self, broker: &Arc<Broker>, transport: Transport, peer: SocketAddr) {
        take(broker, transport, Origin { peer, listener: Arc::clone(&self.0) });
    }
}

/// The other end is served like an accepted socket, from no port.
pub(crate) fn connect_in_memory(broker: &Arc<Broker>, peer: SocketAddr) -> Pipe {
    static MEMORY: LazyLock<Arc<Listener>> = LazyLock::new(|| Arc::new(Listener { name: "memory".into(), port: 0 }));
    let (ours, theirs) = Pipe::pair();
    take(broker, Transport::Memory(ours), Origin { peer, listener: Arc::clone(&MEMORY) });
    theirs
}

fn take(broker: &Arc<Broker>, transport: Transport, origin: Origin) {
    if let Err(rule) = broker.doors.enter(origin.peer.ip(), transport.is_socket()) {
        broker.tell_refused(&Refused {
            kind: Kind::Socket,
            peer: Some(origin.peer),
            client_id: "",
            reason: ReasonCode::ServerBusy,
            rule: &rule,
            about: "",
        });
        return;
    }
    tokio::spawn(Task::new(broker, transport, origin));
}
