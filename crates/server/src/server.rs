//! Wiring: starts everything, stops everything.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use mqtt_config::Config;
use mqtt_modules::presence::History;
use mqtt_modules::{ChangeError, Registry, States};
use mqtt_storage::StoreError;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::broker::Broker;
use crate::host::Hosting;
use crate::pipe::Pipe;
use crate::sections::default_settings;
use crate::watched::Tasks;
use crate::{admin, alarms, due, listener, patience, recovery, shutdown, store, sys};

/// Why the broker did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address can't be listened on.
    #[error("cannot listen on {address} for {what}: {source}; give another with {flag}")]
    Bind {
        /// As configured.
        address: SocketAddr,
        /// What for.
        what: &'static str,
        /// What changes it.
        flag: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
    /// What is to outlive the process can't be kept.
    #[error("cannot use {folder:?} for sessions and messages: {source}; give another with --data-dir, or \"memory\"")]
    Store {
        /// As configured.
        folder: PathBuf,
        /// What is wrong with it.
        source: StoreError,
    },
    /// The passwords and keys of the admin port can't be kept or read.
    #[error("cannot open the admin port: {0}; do without with --admin off")]
    Admin(std::io::Error),
    /// A module that is wanted does not start.
    #[error(transparent)]
    Module(ChangeError),
}

/// Where the broker listens.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// MQTT over TCP, with the port the system chose if it was to choose; `None`: off.
    pub mqtt: Option<SocketAddr>,
    /// The dashboard and the REST API; `None`: off, or the default address is another program's.
    pub admin: Option<SocketAddr>,
}

/// A running broker. Dropping it leaves it running until the runtime ends; [`Self::shutdown`] ends it in order.
pub struct Server {
    broker: Arc<Broker>,
    registry: Arc<Registry>,
    history: Arc<History>,
    addresses: Addresses,
    password: Option<String>,
    stop: watch::Sender<bool>,
    tasks: Tasks,
    /// Answers until all else has ended, so that probes can see it end.
    admin: Option<AdminTask>,
}

struct AdminTask {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// Binds, starts the wanted modules and serves. Once this returns, clients can connect.
pub async fn start(config: Config) -> Result<Server, StartError> {
    let (address, backlog, grace) = (config.mqtt.bind, config.mqtt.backlog, config.recovery_grace);
    let cannot_bind = |source| StartError::Bind { address, what: "MQTT", flag: "--bind", source };
    // Bound first, for a taken port is found out at once; opened last, when everything is there.
    let socket = listener::bind(address).map_err(cannot_bind)?;
    let admin_port = admin::bind(&config).map_err(|source| StartError::Bind {
        address: config.admin.bind.unwrap_or(address),
        what: "the admin port",
        flag: "--admin",
        source,
    })?;
    let folder = config.data_dir.clone().unwrap_or_default();
    let opened = store::open(config);
    let cannot_read = |source| StartError::Store { folder: folder.clone(), source };
    let (broker, loaded, past) = opened.map_err(cannot_read)?;
    let states = store::module_states(&broker, &loaded.modules);
    let fallen: Arc<[_]> = broker.restore(loaded, past).map_err(cannot_read)?.into();
    let history = History::new();
    let registry = Arc::new(registry(&broker, states, &history));
    registry.restore().map_err(StartError::Module)?;
    if let Some(error) = registry.start_wanted().await.into_iter().next() {
        return Err(StartError::Module(error));
    }
    let listener = socket.listen(backlog).and_then(|listener| listener::open(&broker, listener, "tcp"));
    let listener = listener.map_err(cannot_bind)?;
    let mqtt = listener.address();
    let (stop, stopping) = watch::channel(false);
    let mut tasks = Tasks::new(&broker);
    tasks.run("accept", move |broker| listener::accept(broker, Arc::clone(&listener), stopping.clone()));
    tasks.run("beat", patience::beat);
    tasks.run("timers", due::run);
    tasks.run("sys", sys::publish);
    tasks.run("store", store::keep_alive);
    tasks.run("recovery", move |broker| recovery::tell(broker, Arc::clone(&fallen), grace));
    let watched = (Arc::clone(&registry), Arc::clone(&history));
    tasks.run("alarms", move |broker| alarms::watch(broker, Arc::clone(&watched.0), Arc::clone(&watched.1)));
    let mut addresses = Addresses { mqtt: Some(mqtt), admin: None };
    let (mut password, mut admin_task) = (None, None);
    if let Some(bound) = admin_port {
        let (admin, made) = admin::open(&broker, &registry, &history, &bound).map_err(StartError::Admin)?;
        (addresses.admin, password) = (Some(bound.address), made);
        let (stop, stopping) = watch::channel(false);
        admin_task = Some(AdminTask { stop, task: tokio::spawn(admin::serve(admin, bound, stopping)) });
    }
    Ok(Server { broker, registry, history, addresses, password, stop, tasks, admin: admin_task })
}

/// The modules that ship, wanted as the configuration says.
fn registry(broker: &Arc<Broker>, states: Arc<dyn States>, history: &Arc<History>) -> Registry {
    let host = Arc::new(Hosting(Arc::clone(broker)));
    let configured = &broker.config.modules;
    for (name, module) in configured {
        if let Some(on) = module.enabled {
            // What is configured holds for this process whatever the store says.
            if let Err(error) = states.keep(name, on) {
                tracing::warn!(module = name, %error, "its configured state can't be kept");
            }
        }
    }
    let registry = Registry::new(host, Arc::clone(&broker.hooks), states);
    for module in mqtt_modules::shipped(Arc::clone(history)) {
        let info = module.info();
        let settings = configured.get(info.name).map(|module| module.settings.clone()).filter(|all| !all.is_null());
        registry.register(module, settings.unwrap_or_else(|| default_settings(&info)));
    }
    registry
}

impl Server {
    /// Where it listens.
    pub const fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// The password of the admin port's user `admin`, if this start has made one: it is kept nowhere.
    pub fn made_password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// Its modules.
    pub const fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// What presence told lately.
    pub const fn history(&self) -> &Arc<History> {
        &self.history
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
        listener::connect_in_memory(&self.broker, peer)
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
    pub async fn shutdown(self) {
        // Nobody receiving means that the listener has stopped already.
        let _ = self.stop.send(true);
        shutdown::drain(&self.broker).await;
        self.registry.stop_all().await;
        if let Some(AdminTask { stop, task }) = self.admin {
            // Nobody receiving means that it has ended already; so does an error of the task.
            let _ = stop.send(true);
            let _ = task.await;
        }
        self.tasks.abort().await;
        store::finish(&self.broker);
        admin::forget(self.broker.config.data_dir.as_ref());
    }
}
