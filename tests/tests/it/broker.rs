//! The broker under test.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::Stdio,
};

use mqtt_config::{Config, HomeDown};
use tempfile::TempDir;
use tokio::{net::TcpStream, process::Command};

/// Names another broker's command line, `{port}` in it standing for the port.
const COMMAND: &str = "ROLLCALL_TEST_COMMAND";

/// If it is there, each broker is the only node of a cluster: what it promises is the same.
const ALONE: &str = "ROLLCALL_TEST_CLUSTER";

/// True under another broker, which is not held to what only Rollcall promises.
pub(crate) fn outside() -> bool {
    std::env::var(COMMAND).is_ok()
}

/// True where each broker is a node of a cluster of its own: what that leaves out is not asked for.
pub(crate) fn alone() -> bool {
    std::env::var(ALONE).is_ok()
}

/// A broker of the test's own.
pub(crate) struct Broker {
    pub(crate) addr: SocketAddr,
    running: Running,
    /// Its store.
    _folder: Option<TempDir>,
}

enum Running {
    Here(rollcall::Server),
    Outside { _process: tokio::process::Child },
}

impl Broker {
    /// On defaults; another broker if the environment asks for one.
    pub(crate) async fn start() -> Self {
        match std::env::var(COMMAND) {
            Ok(command) => Self::outside(&command).await,
            Err(_) => Self::with(|_| ()).await.expect("Rollcall itself"),
        }
    }

    /// Rollcall with other settings; `None` under another broker, where the test has nothing to say.
    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Option<Self> {
        if outside() {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config { data_dir: Some(folder.path().to_owned()), ..Config::default() };
        config.admin.bind = None;
        change(&mut config);
        Some(Self { _folder: Some(folder), ..Self::here(config).await })
    }

    /// A node of this cluster. It keeps what it keeps in `folder`.
    pub(crate) async fn node(name: &str, folder: &std::path::Path, log: mqtt_cluster::memory::Line) -> Self {
        Self::node_that(name, folder, log, HomeDown::Fresh).await
    }

    /// The same, with what becomes of who comes while the node of its session is down.
    pub(crate) async fn node_that(
        name: &str,
        folder: &std::path::Path,
        log: mqtt_cluster::memory::Line,
        on_home_down: HomeDown,
    ) -> Self {
        let mut config = Config { data_dir: Some(folder.to_owned()), ..Config::default() };
        config.admin.bind = Some(([127, 0, 0, 1], 0).into());
        config.admin.password = Some("open sesame".to_owned());
        name.clone_into(&mut config.node.name);
        config.node.reference = Some(format!("{name}:1883"));
        let unused = mqtt_config::Cluster {
            name: "rollcall".to_owned(),
            nats: Vec::new(),
            monitors: Vec::new(),
            user: None,
            password: None,
            ca: None,
            shown: None,
            on_home_down,
            is_unsafe: false,
        };
        config.cluster = Some(unused);
        config.use_free_ports();
        let server = rollcall::start_node(config, log).await.expect("a free port and good settings");
        let addr = server.addresses().listener("mqtt").expect("it is on");
        Self { addr, running: Running::Here(server), _folder: None }
    }

    async fn here(mut config: Config) -> Self {
        config.use_free_ports();
        let started = if alone() {
            rollcall::start_node(config, mqtt_cluster::memory::Memory::default().line()).await
        } else {
            rollcall::start(config).await
        };
        let server = started.expect("a free port and good settings");
        let addr = server.addresses().listener("mqtt").expect("it is on");
        Self { addr, running: Running::Here(server), _folder: None }
    }

    async fn outside(command: &str) -> Self {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let addr = free.local_addr().unwrap();
        drop(free);
        let command = command.replace("{port}", &addr.port().to_string());
        let mut words = command.split_whitespace();
        let mut process = Command::new(words.next().expect("a program"))
            .args(words)
            // Rollcall itself would take it for a setting.
            .env_remove(COMMAND)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the program starts");
        while TcpStream::connect(addr).await.is_err() {
            assert!(process.try_wait().unwrap().is_none(), "{command} ended at once");
            tokio::task::yield_now().await;
        }
        Self { addr, running: Running::Outside { _process: process }, _folder: None }
    }

    /// Rollcall's handle.
    #[track_caller]
    pub(crate) fn server(&self) -> &rollcall::Server {
        match &self.running {
            Running::Here(server) => server,
            Running::Outside { .. } => panic!("another broker has no handle"),
        }
    }

    /// As SIGTERM does.
    pub(crate) async fn shutdown(self) {
        if let Running::Here(server) = self.running {
            server.shutdown().await;
        }
    }

    /// Another client comes in and gets its answer.
    #[track_caller]
    pub(crate) fn lives(&self) -> impl Future<Output = ()> {
        let addr = self.addr;
        async move {
            let mut client = crate::client::Client::connect(addr, mqtt_codec::Version::V3_1_1, "lives").await;
            client.ping().await;
            client.leave().await;
        }
    }
}
