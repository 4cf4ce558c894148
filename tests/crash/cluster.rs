//! `crash --nats-server FILE`: three nodes as one cluster, to which all is done that may happen to them and their log.

mod check;
mod gate;
mod harm;
mod line;
mod nodes;
mod pair;
mod publisher;
mod servers;
mod visitor;
mod watcher;

use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use mqtt_codec::{Ack, Packet, ReasonCode, Version};
use serde_json::Value;

use self::harm::Harm;
use self::line::{Line, Terms};
use self::nodes::{Map, NODES, Nodes};
use self::pair::Pair;
use self::publisher::Publisher;
use self::servers::Servers;
use self::visitor::Visitors;
use self::watcher::Watcher;
use crate::random::Random;
use crate::report::{Count, Fault, Report};
use crate::socket::Gone;

/// Nothing of what is watched is dropped by a limit.
const SETTINGS: [&str; 3] =
    ["modules.presence.extended=true", "session.max_queued=10000000", "session.max_queued_bytes=4GiB"];

/// Everything that was under way has come when nothing came for so long.
const QUIET: Duration = Duration::from_secs(2);

/// How long nodes may take to agree on what they have read, of which there is always more.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a run is given.
pub(crate) struct Plan<'a> {
    pub(crate) program: &'a Path,
    pub(crate) server: &'a Path,
    pub(crate) rounds: u32,
    pub(crate) settings: &'a [String],
}

/// All clients.
struct Crew {
    watchers: Vec<Watcher>,
    visitors: Vec<Visitors>,
    publishers: Vec<Publisher>,
    pairs: Vec<Pair>,
    reader: Line,
    random: Random,
    /// Nodes that were lost at some time.
    down: HashSet<usize>,
    found_after: Vec<Duration>,
}

/// True if every promise was kept.
pub(crate) fn run(plan: &Plan<'_>, home: &Path, random: Random) -> Result<bool> {
    let mut servers = Servers::start(plan.server, home)?;
    let settings = SETTINGS.iter().map(ToString::to_string).chain(plan.settings.iter().cloned()).collect();
    let mut nodes = Nodes::start(plan.program, home, settings, &servers)?;
    nodes.wait_until_whole()?;
    let map = Map::new(&nodes)?;
    let mut crew = Crew::new(random);
    crew.begin(&map).map_err(|why| anyhow::anyhow!("the first connections: {why}"))?;
    for round in 0..plan.rounds {
        let harm = crew.choose(round);
        println!("round {}: {harm:?}", round + 1);
        crew.round(harm, &mut nodes, &mut servers, &map).with_context(|| format!("round {}: {harm:?}", round + 1))?;
        // What is wrong once is found again in each round that follows.
        if !map.report.is_clean() {
            break;
        }
    }
    print(plan.rounds, &crew, &map.report);
    Ok(map.report.is_clean())
}

impl Crew {
    /// Each client has a number of its own, which is part of its address.
    fn new(mut random: Random) -> Self {
        Self {
            publishers: (0..4).map(|number| Publisher::new(number, random.fork())).collect(),
            watchers: (0..NODES).map(|node| Watcher::new(node, 10 + node as u8)).collect(),
            pairs: (0..2).map(|number| Pair::new(20 + 2 * number, random.fork())).collect(),
            visitors: (0..8).map(|number| Visitors::new(100 + 6 * number, 6, random.fork())).collect(),
            reader: Line::new("reader".to_owned(), 30, Version::V5),
            down: HashSet::new(),
            found_after: Vec::new(),
            random,
        }
    }

    fn begin(&mut self, map: &Map) -> Result<(), Gone> {
        self.watchers.iter_mut().try_for_each(|watcher| watcher.begin(map))
    }

    /// One after the other, and then at random.
    fn choose(&mut self, round: u32) -> Harm {
        let at = Harm::ALL.get(round as usize).copied();
        at.unwrap_or_else(|| Harm::ALL[self.random.below(Harm::ALL.len() as u64) as usize])
    }

    fn round(&mut self, harm: Harm, nodes: &mut Nodes, servers: &mut Servers, map: &Map) -> Result<()> {
        map.end(false);
        self.watchers.iter_mut().for_each(|watcher| watcher.first_down = None);
        let before = Duration::from_millis(500 + self.random.below(2_000));
        let mut random = self.random.fork();
        let began = std::thread::scope(|scope| {
            self.watchers.iter_mut().for_each(|one| drop(scope.spawn(|| one.load(map))));
            self.publishers.iter_mut().for_each(|one| drop(scope.spawn(|| one.load(map))));
            self.visitors.iter_mut().for_each(|one| drop(scope.spawn(|| one.load(map))));
            self.pairs.iter_mut().for_each(|one| drop(scope.spawn(|| one.load(map))));
            let mut inflict = || {
                std::thread::sleep(before);
                let began = Instant::now();
                let down = harm.inflict(nodes, servers, map, &mut random)?;
                nodes.wait_until_whole()?;
                map.heal()?;
                std::thread::sleep(Duration::from_millis(500));
                Ok((began, down))
            };
            let outcome: Result<_> = inflict();
            map.end(true);
            outcome
        });
        let (began, down) = began?;
        if let Some(down) = down {
            self.down.insert(down);
            let told =
                self.watchers.iter().filter(|watcher| watcher.node != down).filter_map(|watcher| watcher.first_down);
            let after: Vec<_> = told.map(|told| told.saturating_duration_since(began)).collect();
            println!("  node {} is lost, which is told after {after:?}", down + 1);
            self.found_after.extend(after);
        }
        self.settle(nodes, map)
    }

    /// Everyone was told what happened, and the same.
    fn settle(&mut self, nodes: &Nodes, map: &Map) -> Result<()> {
        let report = &map.report;
        for line in self.visitors.iter_mut().flat_map(|visitors| &mut visitors.lines) {
            if line.is_online() {
                line.is_alive();
            }
        }
        std::thread::scope(|scope| {
            self.watchers.iter_mut().for_each(|one| drop(scope.spawn(|| one.hear_out(map, QUIET))));
        });
        check::agree(&self.watchers, report);
        for line in self.visitors.iter().flat_map(|visitors| &visitors.lines) {
            check::visits(line, self.watchers[0].of(&line.id), &self.down, report);
        }
        check::messages(&self.watchers, &self.publishers, map);
        self.publishers.iter_mut().for_each(Publisher::forget);
        self.watchers.iter_mut().for_each(|watcher| watcher.messages.clear());
        map.forget();
        self.check_retained(map);
        check_nodes(nodes, report)
    }

    /// The same at each node.
    fn check_retained(&mut self, map: &Map) {
        let mut found = Vec::new();
        for node in 0..NODES {
            match read_retained(&mut self.reader, map, node) {
                Ok(read) => found.push(read),
                Err(why) => map.report.fault(Fault::Protocol, &format!("retained messages of node {node}: {why}")),
            }
        }
        map.report.add(Count::Retained, found.iter().map(|found| found.len() as u64).sum());
        for other in found.iter().skip(1).filter(|other| **other != found[0]) {
            let what: Vec<_> = found[0].symmetric_difference(other).collect();
            map.report.fault(Fault::Retained, &format!("nodes differ: {what:?}"));
        }
    }
}

fn read_retained(reader: &mut Line, map: &Map, node: usize) -> Result<BTreeSet<(String, Vec<u8>)>, Gone> {
    reader.come(map, node, Terms { keeps: false, will: None })?;
    reader.push_subscribe(&["retained/#"]);
    let mut found = BTreeSet::new();
    // They come behind SUBACK, as the reader takes them; there is no word that these were all.
    let mut heard = Instant::now();
    while heard.elapsed() < QUIET {
        reader.read(QUIET / 4)?;
        while let Some(packet) = reader.poll()? {
            heard = Instant::now();
            match packet {
                Packet::Publish(publish) => {
                    let topic = publish.topic.map_or_else(String::new, |topic| topic.as_str().to_owned());
                    found.insert((topic, publish.payload.to_vec()));
                    let packet_id = publish.packet_id.ok_or_else(|| Gone::new("something at QoS 0"))?;
                    reader.push(&Packet::PubAck(Ack::new(packet_id, ReasonCode::Success)));
                }
                Packet::SubAck(_) => {}
                other => return Err(Gone::new(format!("{other:?} for a reader"))),
            }
        }
    }
    Ok(found)
}

/// What nodes say of themselves and of each other is the same.
fn check_nodes(nodes: &Nodes, report: &Report) -> Result<()> {
    let began = Instant::now();
    loop {
        let ask = |words: &[&str]| -> Result<Vec<Value>> {
            (0..NODES).map(|node| nodes.ask(node, words)?.pop().context("it answers")).collect()
        };
        let states = ask(&["cluster", "status"])?;
        ensure!(
            states.iter().all(|state| state["differs"] == Value::Null),
            "nodes have read different things: {states:?}"
        );
        let same = |key: &str| states.iter().all(|state| state[key] == states[0][key]);
        // The log grows all the time, so they must be asked at one moment.
        if same("position") {
            if !same("digest") {
                report.fault(Fault::Different, &format!("digests: {states:?}"));
            }
            let online = states[0]["online"].as_u64();
            let attached = ask(&["stats"])?.iter().filter_map(|stats| stats["connections.count"].as_u64()).sum();
            if online != Some(attached) {
                report.fault(Fault::EventState, &format!("{attached} clients are connected, and {states:?} is said"));
            }
            return Ok(());
        }
        ensure!(began.elapsed() < PATIENCE, "nodes do not come to one position: {states:?}");
    }
}

fn print(rounds: u32, crew: &Crew, report: &Report) {
    let mut found = crew.found_after.clone();
    found.sort();
    let at = |place: usize| found.get(place).map_or(0, Duration::as_millis);
    println!(
        "\n{rounds} rounds; a node's end was told after: median {} ms, worst {} ms\n",
        at(found.len() / 2),
        at(found.len().saturating_sub(1))
    );
    println!("| checked | | broken | |");
    println!("| --- | ---: | --- | ---: |");
    let (count, fault) = (|count| report.count(count), |fault| report.faults(fault));
    let visits: usize = crew.visitors.iter().flat_map(|visitors| &visitors.lines).map(|line| line.visits.len()).sum();
    let rows = [
        ("connections tried by visitors", visits as u64, "not the same at all nodes", fault(Fault::Different)),
        ("events told", count(Count::Events), "events missing", fault(Fault::EventMissing)),
        ("of them node_down", count(Count::NodeDown), "doubled", fault(Fault::EventDoubled)),
        ("wills told", count(Count::Wills), "wills not once and in time", fault(Fault::Will)),
        ("told again with DUP", count(Count::Repeated), "events swapped", fault(Fault::EventSwapped)),
        ("QoS 1 messages acknowledged", count(Count::AcknowledgedQos1), "lost", fault(Fault::Lost)),
        ("lost with a node, as is told", count(Count::LostWithNode), "wrong numbers", fault(Fault::EventNumber)),
        ("came twice", count(Count::Duplicates), "wrong state", fault(Fault::EventState)),
        ("subscribed, then published elsewhere", count(Count::Delivered), "never asked for", fault(Fault::Unasked)),
        ("retained topics", count(Count::Retained), "wrong", fault(Fault::Retained)),
        ("", 0, "sessions lost", fault(Fault::Session)),
    ];
    for (checked, number, broken, faults) in rows {
        let number = if checked.is_empty() { String::new() } else { number.to_string() };
        println!("| {checked} | {number} | {broken} | {faults} |");
    }
}
