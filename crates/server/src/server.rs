//! Wiring: starts everything, stops everything.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use mqtt_admin::Local;
use mqtt_broker::{ModulesSeen, Opened, Running, wrong_certificates};
use mqtt_cluster::nats::{NatsLog, NatsWire};
use mqtt_cluster::{Log, Wire};
use mqtt_config::{Config, Current};
use mqtt_modules::{ChangeError, MemoryStates, Modules, Registry, States as _};
use mqtt_net::{Address, ListenError, Opener, Pipe, PortCertificates, TlsError};
use mqtt_operate::Configured as _;
use mqtt_storage::StoreError;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::reload::{Live, Source};
use crate::sections::modules;
use crate::{admin, settings};

/// Why the broker did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address can't be listened on.
    #[error("cannot listen on {address} for {what}: {source}; give another with {flag}")]
    Bind {
        /// As configured.
        address: String,
        /// What for.
        what: &'static str,
        /// What changes it: a flag or a key.
        flag: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// TLS at a port can't begin with what it was given.
    #[error("{whose}: {source}")]
    Tls {
        /// What the configuration calls the port.
        whose: String,
        /// What is wrong.
        source: Box<TlsError>,
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
    /// It can't be a node of its cluster.
    #[error("cluster: {0}")]
    Cluster(#[from] mqtt_member::NoNode),
    /// Others could come in, and nobody would ask them who they are.
    #[error("{0}")]
    Unguarded(String),
}

impl From<ListenError> for StartError {
    fn from(error: ListenError) -> Self {
        match error {
            ListenError::Bind { listener, address, source } => {
                let flag = match &*listener {
                    "mqtt" => "--bind".to_owned(),
                    "ws" => "--ws-bind".to_owned(),
                    _ => format!("{}.bind", port(&listener)),
                };
                Self::Bind { address: address.to_string(), what: "MQTT", flag, source }
            }
            ListenError::Tls { listener, source } => Self::Tls { whose: port(&listener), source },
        }
    }
}

/// What the configuration calls the port of a listener.
pub(crate) fn port(name: &str) -> String {
    format!("listeners.{name}")
}

/// Where the broker listens.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// Of each listener that was open at the start by its name, in the configuration's order, with the port the system chose if it was to choose.
    pub listeners: Vec<(String, Address)>,
    /// The dashboard and the REST API; `None`: off, or the default address is another program's.
    pub admin: Option<SocketAddr>,
    /// It speaks https.
    pub admin_tls: bool,
}

impl Addresses {
    /// Of the listener of this name, if it is an IP address and a port.
    pub fn listener(&self, name: &str) -> Option<SocketAddr> {
        self.listeners.iter().find(|(known, _)| known == name).and_then(|(_, address)| address.ip())
    }
}

/// A running broker. Dropping it leaves it running until the runtime ends; [`Self::shutdown`] ends it in order.
pub struct Server {
    running: Running,
    registry: Arc<Registry>,
    configured: Arc<Current>,
    addresses: Addresses,
    password: Option<String>,
    data_dir: Option<PathBuf>,
    /// Answers until all else has ended, so that probes can see it end.
    admin: Option<AdminTask>,
}

struct AdminTask {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// Binds, starts the wanted modules and serves. Once this returns, clients can connect.
pub async fn start(config: Config) -> Result<Server, StartError> {
    start_from(config, None).await
}

/// [`start`], with what the configuration can be read from anew.
pub async fn start_from(config: Config, source: Option<Source>) -> Result<Server, StartError> {
    // Before anything is taken or made: a node that can't agree with others is none.
    match &config.cluster {
        Some(cluster) => {
            let ways = mqtt_member::connect(cluster).await?;
            start_in(config, source, Some(ways)).await
        }
        None => start_in(config, source, None::<(NatsLog, NatsWire)>).await,
    }
}

/// [`start`] as a node of the cluster that agrees by this log and speaks by this wire, whatever the configuration says of one.
pub async fn start_node(config: Config, ways: impl Log + Wire + Clone) -> Result<Server, StartError> {
    start_in(config, None, Some((ways.clone(), ways))).await
}

async fn start_in(
    config: Config,
    source: Option<Source>,
    ways: Option<(impl Log, impl Wire)>,
) -> Result<Server, StartError> {
    let opener = Opener::new(config.data_dir.as_deref());
    // Bound first, for a taken port is found out at once; opened last, when everything is there.
    let bound = config.listeners.iter().map(|listener| opener.prepare(&listener.into())?.bind());
    let bound = bound.collect::<Result<Vec<_>, _>>()?;
    let admin_port = admin::bind(&config)?;
    let folder = config.data_dir.clone().unwrap_or_default();
    if let Some(why) = config.surely_unguarded() {
        // So no store is left behind by a start that can't be.
        return Err(StartError::Unguarded(why.to_owned()));
    }
    let opened = Opened::open(settings::broker(&config));
    let mut opened = opened.map_err(|source| StartError::Store { folder, source })?;
    let registry = Arc::new(registry(&mut opened, &config));
    registry.restore().map_err(StartError::Module)?;
    if let Some(error) = registry.start_wanted().await.into_iter().next() {
        return Err(StartError::Module(error));
    }
    if let Some(why) = config.auth.unguarded.as_ref().filter(|_| !opened.hooks().has_authenticators()) {
        return Err(StartError::Unguarded(why.clone()));
    }
    let admin_tls = admin_port.as_ref().map(|_| admin::certificates(&config, &opener)).transpose()?.flatten();
    let certificates = Arc::<PortCertificates>::default();
    certificates.set(admin::PORT, admin_tls.clone());
    let hooks = opened.hooks();
    let listeners = bound.into_iter().map(|taken| opener.listen(taken)).collect::<Result<Vec<_>, _>>()?;
    for listener in &listeners {
        certificates.set(&port(listener.name()), listener.certificates());
    }
    let listening = listeners.iter().filter(|listener| listener.is_open());
    let listening = listening.map(|listener| (listener.name().to_owned(), listener.address().clone()));
    let mut addresses = Addresses { listeners: listening.collect(), admin: None, admin_tls: admin_tls.is_some() };
    if let Some(ways) = ways {
        // Modules are there: they see all that has happened since this node was there last.
        mqtt_member::join(&opened, &config.node, ways).await?;
    }
    let mut running = opened.run(modules_seen(&registry, &certificates));
    let watched = Arc::clone(&certificates);
    let review = Arc::new(running.certificate_review());
    running.watch("certificates", move || Arc::clone(&watched).watch(Arc::clone(&review)));
    listeners.into_iter().for_each(|listener| running.serve(listener));
    let (read, set_log_level) = source.map(|Source { read, set_log_level }| (read, set_log_level)).unzip();
    let (entrances, kept) = (running.entrances(), Arc::clone(&certificates));
    let live = Live { set_log_level, entrances, opener, certificates: kept, hooks };
    let configured = Arc::new(Current::new(config.clone(), read, Box::new(live)));
    let (mut password, mut admin_task) = (None, None);
    if let Some(bound) = admin_port {
        let operator = running.operator(Arc::clone(&configured) as _);
        let (admin, made) =
            admin::open(operator, &config, &registry, &bound, admin_tls, &certificates).map_err(StartError::Admin)?;
        (addresses.admin, password) = (Some(bound.address()), made);
        let (stop, stopping) = watch::channel(false);
        let task = admin::serve(&running, admin, bound, stopping).map_err(StartError::Admin)?;
        admin_task = Some(AdminTask { stop, task });
    }
    Ok(Server { running, registry, configured, addresses, password, data_dir: config.data_dir, admin: admin_task })
}

/// The modules that ship, wanted as the configuration says.
fn registry(opened: &mut Opened, config: &Config) -> Registry {
    let records = Arc::new(opened.take_module_records());
    let written = Arc::clone(&records);
    let write = move |name: &str, record: &[u8]| written.keep(name, record);
    let states = MemoryStates::written(records.found(), Box::new(write));
    for (name, module) in &config.modules {
        if let Some(on) = module.enabled {
            // What is configured holds for this process whatever the store says.
            if let Err(error) = states.keep(name, on) {
                tracing::warn!(module = name, %error, "its configured state can't be kept");
            }
        }
    }
    let registry = Registry::new(opened.host(), opened.hooks(), Arc::new(states));
    for module in modules(&(&config.auth).into()) {
        let info = module.info();
        let settings = config.modules.get(info.name).map(|module| module.settings.clone()).filter(|all| !all.is_null());
        registry.register(module, settings.unwrap_or_else(|| info.default_settings()));
    }
    registry
}

/// How the modules are, for the broker's alarms.
fn modules_seen(registry: &Arc<Registry>, certificates: &Arc<PortCertificates>) -> impl Fn() -> ModulesSeen + use<> {
    let (registry, certificates) = (Arc::clone(registry), Arc::clone(certificates));
    move || {
        let beside = wrong_certificates(&certificates.seen(), SystemTime::now());
        ModulesSeen { states: registry.list(), numbers: registry.numbers(), beside }
    }
}

impl Server {
    /// Where it listens.
    pub const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The password of the admin port's user `admin`, if this start has made one: it is kept nowhere.
    pub fn made_password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// Reads the configuration anew, in a while, and changes what can change while it runs; the log tells what. Certificates are
    /// looked at too, as they are every few seconds anyway.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn reload(&self) {
        let configured = Arc::clone(&self.configured);
        // It reads files.
        drop(tokio::task::spawn_blocking(move || configured.reload()));
    }

    /// Its modules.
    pub const fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Connects a client without a socket; see [`Running::connect_in_memory`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn connect_in_memory(&self, peer: SocketAddr) -> Pipe {
        self.running.connect_in_memory(peer)
    }

    /// Ends a client's connection and its session as an operator does; false if it has neither.
    pub fn kick(&self, client_id: &str) -> bool {
        self.running.kick(client_id)
    }

    /// Returns the name of a background task that panics however often it is started; see [`Running::broken`].
    pub async fn broken(&self) -> &'static str {
        self.running.broken().await
    }

    /// Stops accepting, tells every client, publishes what is left to publish, and returns when all are gone or some
    /// seconds have passed.
    pub async fn shutdown(self) {
        self.running.drain().await;
        self.registry.stop_all().await;
        if let Some(AdminTask { stop, task }) = self.admin {
            // Nobody receiving means that it has ended already; so does an error of the task.
            let _ = stop.send(true);
            let _ = task.await;
        }
        self.running.close().await;
        if let Some(folder) = &self.data_dir {
            Local::forget(folder);
        }
    }
}
