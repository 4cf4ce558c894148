//! A broker from its start to its end, as who runs it sees it.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use mqtt_hooks::{Hooks, Host};
use mqtt_net::{Layers, Listener, Pipe};
use mqtt_operate::{Configured, ListenerError};
use mqtt_storage::StoreError;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::broker::Broker;
use crate::client::ClientRef;
use crate::cluster::{self, Ears, Roll, Teller};
use crate::coming::door::{self, Door};
use crate::coming::sending_away;
use crate::coming::shutdown;
use crate::config::{Anonymous, Config, ListenerLimits};
use crate::hosting::Hosting;
use crate::store::{self, recovery};
use crate::time::watched::{Tasks, Watcher};
use crate::time::{beat, due};
use crate::watch::alarms::{ModulesSeen, causes};
use crate::watch::operate::Operator;
use crate::watch::sys;

/// A broker whose store is open. Nobody comes in yet: what is to see everyone is started before.
pub struct Opened {
    broker: Arc<Broker>,
    /// Who was online when the last process died.
    fallen: Vec<ClientRef>,
    modules: BTreeMap<String, Vec<u8>>,
}

/// A broker that serves. Dropping it leaves it running until the runtime ends.
pub struct Running {
    broker: Arc<Broker>,
    tasks: Tasks,
    stop: watch::Sender<bool>,
}

/// Where clients come in, for who changes that while the broker runs.
#[derive(Clone)]
pub struct Entrances {
    broker: Arc<Broker>,
    watcher: Watcher,
    stop: watch::Sender<bool>,
}

impl Entrances {
    /// Takes who comes in by this listener too, until [`Self::remove`] or the end; it has these bounds of its own.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn add(&self, listener: Listener, own: &ListenerLimits) {
        drop(self.watcher.watch("accept", accept(&self.broker, listener, own, &self.stop)));
    }

    /// Closes the listener of this name; false if it was closed.
    pub fn close(&self, name: &str) -> bool {
        self.broker.doors.with_listener(name, |listener| Ok(listener.close())).unwrap_or(false)
    }

    /// Opens one again that was [closed](Self::close).
    ///
    /// # Errors
    /// Another program has its address by now.
    pub fn open(&self, name: &str) -> Result<(), ListenerError> {
        self.broker.doors.with_listener(name, |listener| {
            listener.open().map_err(|source| ListenerError::Bind { address: listener.address().to_string(), source })
        })
    }

    /// Closes the listener of this name for good; who has come in by it stays.
    pub fn remove(&self, name: &str) {
        self.broker.doors.remove(name);
    }

    /// Who comes in by the listener of this name from now on finds these before MQTT.
    pub fn change(&self, name: &str, layers: Layers) {
        self.broker.doors.change(name, layers);
    }

    /// Says anew who may come in and proves nothing.
    pub fn set_anonymous(&self, anonymous: Anonymous) {
        self.broker.doors.set_anonymous(anonymous);
    }

    /// Says anew what holds for clients: of `config` those are looked at, `mqtt`, `limits`, `session` and `deny_action`, and of those not
    /// how much is retained. What a client was told when it came stays as it was for its connection.
    pub fn set_terms(&self, config: &Config) {
        self.broker.set_terms(config);
    }
}

/// What is kept of modules by name, for the registry.
#[derive(Debug)]
pub struct ModuleRecords {
    broker: Arc<Broker>,
    found: BTreeMap<String, Vec<u8>>,
}

impl Opened {
    /// Opens the store, if there is to be one, and takes back what an earlier process has left.
    ///
    /// # Errors
    /// The folder can't be used, or what is in it can't be read.
    pub fn open(config: Config) -> Result<Self, StoreError> {
        let (broker, mut loaded, past) = store::open(config)?;
        let modules = std::mem::take(&mut loaded.modules);
        let fallen = broker.restore(loaded, past)?;
        Ok(Self { broker, fallen, modules })
    }

    /// Where modules' hooks are called from.
    pub fn hooks(&self) -> Arc<Hooks> {
        Arc::clone(&self.broker.hooks)
    }

    /// The broker as modules see it.
    pub fn host(&self) -> Arc<dyn Host> {
        Arc::new(Hosting(Arc::clone(&self.broker)))
    }

    /// What earlier processes have kept of modules, for once.
    pub fn take_module_records(&mut self) -> ModuleRecords {
        ModuleRecords { broker: Arc::clone(&self.broker), found: std::mem::take(&mut self.modules) }
    }

    /// Tells what the roll of a cluster comes to; for who reads it. Modules that are to see all of that are started before.
    pub fn teller(&self) -> Teller {
        Teller::new(Arc::clone(&self.broker))
    }

    /// Hears the other nodes of a cluster.
    pub fn ears(&self) -> Ears {
        Ears(Arc::clone(&self.broker))
    }

    /// Makes the broker a node of a cluster.
    pub fn join(&self, roll: Arc<dyn Roll>) {
        self.broker.membership.join(roll);
    }

    /// Begins to serve; `modules` tells how each module is whenever alarms are looked at.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn run(self, modules: impl Fn() -> ModulesSeen + Send + Sync + 'static) -> Running {
        let Self { broker, fallen, .. } = self;
        let mut tasks = Tasks::new(&broker.watched.faults);
        tasks.run("beat", of(&broker, beat::run));
        tasks.run("timers", of(&broker, due::run));
        tasks.run("sys", of(&broker, sys::publish));
        tasks.run("store", of(&broker, store::keep_alive));
        let (fallen, grace): (Arc<[_]>, _) = (fallen.into(), broker.config.recovery_grace);
        tasks.run("recovery", of(&broker, move |broker| recovery::tell(broker, Arc::clone(&fallen), grace)));
        tasks.run("drain", of(&broker, sending_away::run));
        if broker.membership.roll().is_some() {
            tasks.run("wills", of(&broker, cluster::due::run));
        }
        let modules = Arc::new(modules);
        tasks.run("alarms", of(&broker, move |broker| causes::watch(broker, Arc::clone(&modules))));
        Running { broker, tasks, stop: watch::Sender::new(false) }
    }
}

/// A task of the broker's, to be started as often as it takes.
fn of<S: Fn(Arc<Broker>) -> F, F>(broker: &Arc<Broker>, start: S) -> impl Fn() -> F + use<S, F> {
    let broker = Arc::clone(broker);
    move || start(Arc::clone(&broker))
}

/// A task that lets clients in by a listener.
fn accept(
    broker: &Arc<Broker>,
    listener: Listener,
    own: &ListenerLimits,
    stop: &watch::Sender<bool>,
) -> impl Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + use<> {
    let listener = Arc::new(listener);
    let (door, stop) = (Arc::new(Door::new(broker, &listener, own)), stop.subscribe());
    let broker = Arc::clone(broker);
    move || {
        let (broker, listener, door, stop) =
            (Arc::clone(&broker), Arc::clone(&listener), Arc::clone(&door), stop.clone());
        Box::pin(async move {
            let take = |transport, peer| door.take(&broker, transport, peer);
            listener.accept(take, || broker.watched.alarms.note_accept_failed(), stop).await;
        })
    }
}

impl Running {
    /// Takes who comes in by this listener, whenever it is open, until [`Self::drain`].
    pub fn serve(&mut self, listener: Listener) {
        let own = self.broker.config.listeners.get(listener.name()).cloned().unwrap_or_default();
        self.tasks.run("accept", accept(&self.broker, listener, &own, &self.stop));
    }

    /// For who adds, changes and removes listeners later.
    pub fn entrances(&self) -> Entrances {
        Entrances { broker: Arc::clone(&self.broker), watcher: self.tasks.watcher().clone(), stop: self.stop.clone() }
    }

    /// Runs a task of who runs the broker, watched as the broker's own are: if it panics that is logged, raised as an alarm,
    /// and `start` makes another; if it does so over and over, [`Self::broken`] tells. Its end is its owner's business.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn watch<F>(&self, name: &'static str, start: impl Fn() -> F + Send + Sync + 'static) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tasks.watcher().watch(name, start)
    }

    /// Connects a client without a socket: what it would send over TCP goes into the pipe, what it would get comes out.
    ///
    /// For programs that embed the broker, for tests, and for more clients than a process may have files. It takes
    /// `peer` for the client's address, in its rules and in what it tells about it; the port it came in by is 0.
    /// Over the limit of connections the pipe is closed at once.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn connect_in_memory(&self, peer: SocketAddr) -> Pipe {
        door::connect_in_memory(&self.broker, peer)
    }

    /// The broker as an operator sees it; `configured` tells what it was told, and changes that.
    pub fn operator(&self, configured: Arc<dyn Configured>) -> Arc<Operator> {
        Arc::new(Operator::new(&self.broker, configured))
    }

    /// For who replaces certificates: ends the connections of clients whose own are no longer good by what is asked of them now, and
    /// returns how many. It takes some 100 µs for each, and is to be called where it may block.
    pub fn certificate_review(&self) -> impl Fn() -> usize + Send + Sync + use<> {
        let broker = Arc::clone(&self.broker);
        move || {
            let all = broker.clients.all();
            let connections = all.iter().filter_map(|client| client.state.lock().connection().cloned());
            connections.filter(|connection| broker.look_at_certificate(connection)).count()
        }
    }

    /// Ends a client's connection and its session as an operator does; false if it has neither.
    pub fn kick(&self, client_id: &str) -> bool {
        self.broker.kick(client_id)
    }

    /// Returns the name of a background task that panics however often it is started, should there be one: the broker can't
    /// do all it is to do any more, and had better be ended.
    pub async fn broken(&self) -> &'static str {
        self.tasks.broken().await
    }

    /// Stops accepting, tells every client, publishes what is left to publish, and returns when all are gone or some
    /// seconds have passed.
    pub async fn drain(&self) {
        self.stop.send_replace(true);
        shutdown::drain(&self.broker).await;
    }

    /// Ends the background tasks and closes the store.
    pub async fn close(self) {
        self.tasks.abort().await;
        store::finish(&self.broker.durable);
    }
}

impl ModuleRecords {
    /// What earlier processes have kept, by the modules' names.
    pub const fn found(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.found
    }

    /// Keeps a module's record instead of the one before. It is in the store when this returns, if there is one.
    pub fn keep(&self, module: &str, record: &[u8]) -> io::Result<()> {
        self.broker.durable.store_now(|stage| stage.module(module, record)).map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_of_who_runs_the_broker_goes_on_after_a_panic_or_is_told_broken() {
        let running = Opened::open(Config::default()).unwrap().run(Default::default);
        let starts = Arc::new(AtomicU32::new(0));
        let seen = Arc::clone(&starts);
        let task = running.watch("twice", move || {
            let seen = Arc::clone(&seen);
            async move { assert!(seen.fetch_add(1, Relaxed) > 0, "the first") }
        });
        task.await.unwrap();
        assert_eq!(starts.load(Relaxed), 2);
        drop(running.watch("never", || async { panic!("on purpose") }));
        assert_eq!(running.broken().await, "never");
    }
}
