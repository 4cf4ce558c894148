//! The brokers, and what the clients know of them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::gate::{Cut, Gate};
use super::servers::{SERVERS, Servers};
use crate::broker::{Broker, signal};
use crate::report::Report;

pub(super) const NODES: usize = 3;

/// How long a cluster may take until all are in it again.
const PATIENCE: Duration = Duration::from_secs(60);

/// As in topics.
pub(super) fn name(node: usize) -> String {
    format!("node{}@127.0.0.1", node + 1)
}

#[derive(Debug)]
pub(super) struct Nodes {
    program: PathBuf,
    home: PathBuf,
    settings: Vec<String>,
    monitors: String,
    gates: Vec<Vec<Gate>>,
    brokers: Vec<Option<Broker>>,
    starts: u32,
}

/// What the clients know of the nodes.
#[derive(Debug)]
pub(super) struct Map {
    pub(super) report: Report,
    nodes: Mutex<Vec<Place>>,
    is_ending: AtomicBool,
    /// Whether the watcher of each is connected.
    watched: [AtomicBool; NODES],
}

#[derive(Clone, Debug)]
struct Place {
    addr: SocketAddr,
    /// From when to when what it said or was told may be lost with it.
    harms: Vec<(Instant, Option<Instant>)>,
}

impl Nodes {
    pub(super) fn start(program: &Path, home: &Path, settings: Vec<String>, servers: &Servers) -> Result<Self> {
        let gates = (0..NODES).map(|_| servers.gates()).collect::<Result<_>>()?;
        let brokers = (0..NODES).map(|_| None).collect();
        let monitors = servers.monitors();
        let (program, home) = (program.to_owned(), home.to_owned());
        let mut nodes = Self { program, home, settings, monitors, gates, brokers, starts: 0 };
        (0..NODES).try_for_each(|node| nodes.start_one(node))?;
        Ok(nodes)
    }

    pub(super) fn start_one(&mut self, node: usize) -> Result<()> {
        self.starts += 1;
        let home = self.home(node);
        std::fs::create_dir_all(&home)?;
        let urls: Vec<_> = self.gates[node].iter().map(|gate| format!("nats://{}", gate.addr)).collect();
        let mut settings = self.settings.clone();
        settings.push(format!("node.name={}", name(node)));
        settings.push("admin.bind=127.0.0.1:0".to_owned());
        settings.push(format!("cluster.nats={}", urls.join(",")));
        settings.push(format!("cluster.monitors={}", self.monitors));
        self.brokers[node] = Some(Broker::start(&self.program, &home, self.starts, &settings)?);
        Ok(())
    }

    pub(super) fn addr(&self, node: usize) -> Result<SocketAddr> {
        Ok(self.broker(node)?.addr)
    }

    /// SIGKILL.
    pub(super) fn kill(&mut self, node: usize) -> Result<()> {
        self.brokers[node].take().context("it runs")?.kill()
    }

    /// SIGTERM, until it has ended.
    pub(super) fn stop(&mut self, node: usize) -> Result<()> {
        self.signal(node, "TERM")?;
        self.brokers[node].take().context("it runs")?.wait()
    }

    pub(super) fn signal(&self, node: usize, name: &str) -> Result<()> {
        signal(self.broker(node)?.pid(), name)
    }

    /// Cuts all its ways to the servers.
    pub(super) fn cut(&self, node: usize, cut: Cut) {
        for server in 0..SERVERS {
            self.gates[node][server].set(cut);
        }
    }

    fn broker(&self, node: usize) -> Result<&Broker> {
        self.brokers[node].as_ref().context("it runs")
    }

    fn home(&self, node: usize) -> PathBuf {
        self.home.join(name(node))
    }

    /// What a node answers to a command: one thing, or some.
    pub(super) fn ask(&self, node: usize, words: &[&str]) -> Result<Vec<Value>> {
        let mut command = Command::new(&self.program);
        let output = command.args(words).args(["--json", "--data-dir"]).arg(self.home(node).join("data")).output()?;
        ensure!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        let answer = serde_json::Deserializer::from_slice(&output.stdout).into_iter().collect::<Result<_, _>>();
        answer.with_context(|| format!("what is answered to {words:?} is no JSON"))
    }

    /// Until each sees all of them live.
    pub(super) fn wait_until_whole(&self) -> Result<()> {
        let began = Instant::now();
        loop {
            let seen = (0..NODES).map(|node| self.ask(node, &["cluster", "nodes"])).collect::<Result<Vec<_>>>();
            if seen.as_ref().is_ok_and(|seen| seen.iter().all(|nodes| is_whole(nodes))) {
                return Ok(());
            }
            ensure!(began.elapsed() < PATIENCE, "the nodes do not see each other: {seen:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn is_whole(nodes: &[Value]) -> bool {
    nodes.len() == NODES && nodes.iter().all(|node| node["state"] == "live")
}

impl Map {
    pub(super) fn new(nodes: &Nodes) -> Result<Self> {
        let place = |node| Ok(Place { addr: nodes.addr(node)?, harms: Vec::new() });
        let places = (0..NODES).map(place).collect::<Result<_>>()?;
        let (nodes, is_ending) = (Mutex::new(places), AtomicBool::new(false));
        Ok(Self { report: Report::default(), nodes, is_ending, watched: Default::default() })
    }

    pub(super) fn addr(&self, node: usize) -> SocketAddr {
        self.places()[node].addr
    }

    /// It was started anew.
    pub(super) fn move_to(&self, node: usize, addr: SocketAddr) {
        self.places()[node].addr = addr;
    }

    /// From now on what it says and is told may be lost.
    pub(super) fn harm(&self, node: usize) {
        self.places()[node].harms.push((Instant::now(), None));
    }

    /// The watcher of a node has come there, or is gone.
    pub(super) fn note_watched(&self, node: usize, is_watched: bool) {
        self.watched[node].store(is_watched, SeqCst);
    }

    /// All are as before: from when somebody who was away from any of them is told that it has its session again.
    pub(super) fn heal(&self) -> Result<()> {
        let began = Instant::now();
        while !self.watched.iter().all(|watched| watched.load(SeqCst)) {
            ensure!(began.elapsed() < PATIENCE, "a watcher is not let in again");
            std::thread::sleep(Duration::from_millis(10));
        }
        for (_, until) in self.places().iter_mut().flat_map(|place| &mut place.harms) {
            until.get_or_insert_with(Instant::now);
        }
        Ok(())
    }

    /// What was harmed is checked.
    pub(super) fn forget(&self) {
        self.places().iter_mut().for_each(|place| place.harms.clear());
    }

    /// Nothing was wrong with a node between these.
    pub(super) fn was_well(&self, node: usize, from: Instant, until: Instant) -> bool {
        let overlaps =
            |(begun, ended): &(Instant, Option<Instant>)| *begun <= until && ended.is_none_or(|ended| ended >= from);
        !self.places()[node].harms.iter().any(overlaps)
    }

    /// The storm ends.
    pub(super) fn end(&self, is_ending: bool) {
        self.is_ending.store(is_ending, SeqCst);
    }

    pub(super) fn is_ending(&self) -> bool {
        self.is_ending.load(SeqCst)
    }

    fn places(&self) -> MutexGuard<'_, Vec<Place>> {
        self.nodes.lock().expect("nobody panics with the map in hand")
    }
}
