//! Three nats-servers as one cluster, and the way there from each node, which can be cut.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::gate::Gate;
use crate::broker::signal;

pub(super) const SERVERS: usize = 3;

/// How long they may take until they are ready.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Servers {
    program: PathBuf,
    servers: Vec<Server>,
}

#[derive(Debug)]
struct Server {
    client: u16,
    monitor: u16,
    config: PathBuf,
    child: Option<Child>,
}

impl Servers {
    pub(super) fn start(program: &Path, home: &Path) -> Result<Self> {
        let ports = free_ports(3 * SERVERS)?;
        let routes: Vec<_> = ports[2 * SERVERS..].iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
        let mut servers = Vec::new();
        for number in 0..SERVERS {
            let [client, monitor, route] = [0, SERVERS, 2 * SERVERS].map(|first| ports[first + number]);
            let store = home.join(format!("nats{number}"));
            let mut text = format!("listen: 127.0.0.1:{client}\nhttp: 127.0.0.1:{monitor}\nserver_name: n{number}\n");
            writeln!(text, "jetstream {{ store_dir: \"{}\"\n sync_interval: always }}", store.display())?;
            // A node that is told of the servers themselves would go there past its gate.
            let routes = routes.join(", ");
            writeln!(
                text,
                "cluster {{ name: crash, listen: \"127.0.0.1:{route}\", no_advertise: true, routes: [{routes}] }}"
            )?;
            let config = store.with_extension("conf");
            fs::write(&config, text)?;
            servers.push(Server { client, monitor, config, child: None });
        }
        let mut servers = Self { program: program.to_owned(), servers };
        (0..SERVERS).try_for_each(|number| servers.start_one(number))?;
        servers.wait_until_ready()?;
        Ok(servers)
    }

    pub(super) fn start_one(&mut self, number: usize) -> Result<()> {
        let server = &mut self.servers[number];
        let log = File::options().create(true).append(true).open(server.config.with_extension("log"))?;
        let mut command = Command::new(&self.program);
        command.arg("-c").arg(&server.config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        server.child = Some(command.spawn().with_context(|| format!("{} does not start", self.program.display()))?);
        Ok(())
    }

    /// SIGKILL.
    pub(super) fn kill(&mut self, number: usize) -> Result<()> {
        let mut child = self.servers[number].child.take().context("it runs")?;
        ensure!(child.try_wait()?.is_none(), "nats-server {number} ended by itself");
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Sends a signal.
    pub(super) fn signal(&self, number: usize, name: &str) -> Result<()> {
        signal(self.servers[number].child.as_ref().context("it runs")?.id(), name)
    }

    /// Until one that was told to go has ended.
    pub(super) fn wait_for_end(&mut self, number: usize) -> Result<()> {
        self.servers[number].child.take().context("it runs")?.wait()?;
        Ok(())
    }

    /// Until each says that it is healthy: JetStream has a leader, and all streams are up to date.
    pub(super) fn wait_until_ready(&self) -> Result<()> {
        let began = Instant::now();
        for server in &self.servers {
            while !get(server.monitor, "/healthz").is_ok_and(|answer| answer.contains("200 OK")) {
                ensure!(began.elapsed() < PATIENCE, "a nats-server is not ready: see {}", server.config.display());
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        Ok(())
    }

    /// Which one leads the log.
    pub(super) fn leader(&self) -> Result<usize> {
        let answer = get(self.servers[0].monitor, "/jsz?streams=true")?;
        let leader = answer.split_once("\"leader\": \"n").and_then(|(_, rest)| rest.get(..1));
        leader.and_then(|number| number.parse().ok()).context("no server says who leads")
    }

    /// `host:port,...`, where they say how they are.
    pub(super) fn monitors(&self) -> String {
        self.servers.iter().map(|server| format!("127.0.0.1:{}", server.monitor)).collect::<Vec<_>>().join(",")
    }

    /// A way of its own to each of them.
    pub(super) fn gates(&self) -> Result<Vec<Gate>> {
        self.servers.iter().map(|server| Gate::open(([127, 0, 0, 1], server.client).into())).collect()
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for child in self.servers.iter_mut().filter_map(|server| server.child.as_mut()) {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Ports that nobody has now.
fn free_ports(count: usize) -> Result<Vec<u16>> {
    // Held together, so that none comes twice.
    let held = (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<std::io::Result<Vec<_>>>()?;
    Ok(held.iter().map(|port| Ok(port.local_addr()?.port())).collect::<std::io::Result<_>>()?)
}

fn get(port: u16, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
