//! `crash --program rollcall --rounds N`: kills the broker again and again, and looks what became of its promises.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

mod broker;
mod client;
mod cluster;
mod messages;
mod publisher;
mod random;
mod report;
mod soak;
mod socket;
mod storm;
mod subscriber;
mod table;
mod watcher;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use bytes::Bytes;
use clap::Parser;
use mqtt_codec::{Ack, Packet, Properties, Publish, Qos, ReasonCode, Topic, Version};

use crate::broker::Broker;
use crate::client::{Client, End, packet_id};
use crate::publisher::Publisher;
use crate::random::Random;
use crate::report::{Report, World};
use crate::socket::Gone;
use crate::storm::{Ender, Storm};
use crate::subscriber::{FENCE, Subscriber};
use crate::watcher::Watcher;

/// The broker may have to keep what several rounds have left.
const SETTINGS: [&str; 5] = [
    "admin.bind=off",
    "modules.presence.extended=true",
    "modules.presence.recovery_grace=500ms",
    "session.max_queued=10000000",
    "session.max_queued_bytes=4GiB",
];

#[derive(Parser)]
#[command(about = "Kills the broker again and again, and looks what became of its promises")]
struct Args {
    /// The broker
    #[arg(long, value_name = "FILE")]
    program: PathBuf,
    /// Three of them as one cluster on three of these
    #[arg(long, value_name = "FILE")]
    nats_server: Option<PathBuf>,
    /// How often it is killed
    #[arg(long, default_value_t = 50)]
    rounds: u32,
    /// How long it lives each time, in seconds, while its configuration is read again and again and its memory is watched; without it no
    /// more than 1.5 s
    #[arg(long, value_name = "SECONDS")]
    life: Option<u64>,
    /// Repeats the choices of an earlier run, though not its timing
    #[arg(long)]
    seed: Option<u64>,
    /// More settings of the broker
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// True if every promise was kept.
fn run(args: &Args) -> Result<bool> {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64);
    let seed = args.seed.unwrap_or(clock);
    println!("seed {seed}");
    let home = tempfile::tempdir().context("no temporary folder")?;
    if let Some(server) = &args.nats_server {
        let Args { program, rounds, settings, .. } = args;
        let plan = cluster::Plan { program, server, rounds: *rounds, settings };
        let outcome = cluster::run(&plan, home.path(), Random::new(seed));
        if !matches!(outcome, Ok(true)) {
            println!("folders and logs are kept in {}", home.keep().display());
        }
        return outcome;
    }
    let report = Report::default();
    let settings = SETTINGS.iter().map(ToString::to_string).chain(args.settings.iter().cloned()).collect();
    let mut crew = Crew::new(Random::new(seed));
    let outcome = crew.run(args, home.path(), settings, &report);
    if outcome.is_err() || !report.is_clean() {
        println!("the broker's folder and logs are kept in {}", home.keep().display());
    }
    let opened = outcome?;
    table::print(args.rounds, &opened, crew.clients().len(), &report);
    Ok(report.is_clean())
}

/// How long the broker lives until it is killed.
#[derive(Clone, Copy)]
enum Life {
    Short(Duration),
    /// Watched all the time.
    Long(Duration),
}

/// All clients.
struct Crew {
    random: Random,
    watcher: Watcher,
    publishers: Vec<Publisher>,
    subscribers: Vec<Subscriber>,
    storms: Vec<Storm>,
    enders: Vec<Ender>,
    /// For what is looked at or said once.
    visitor: Client,
    fence: u64,
}

impl Crew {
    /// Each client has a number of its own, which is part of its address.
    fn new(mut random: Random) -> Self {
        let kinds = [(Version::V3_1_1, false), (Version::V5, false)].repeat(2);
        let kinds = kinds.into_iter().chain([(Version::V3_1_1, true), (Version::V5, true)]);
        let publishers: Vec<_> =
            kinds.enumerate().map(|(n, (version, clean))| Publisher::new(n, version, clean, random.fork())).collect();
        let subscribers = (0..8).map(|n| {
            let version = if n % 2 == 0 { Version::V3_1_1 } else { Version::V5 };
            let qos = if n % 4 == 3 { Qos::AtLeastOnce } else { Qos::ExactlyOnce };
            Subscriber::new(20 + n, version, qos, n < 4, publishers.len(), random.fork())
        });
        let subscribers = subscribers.collect();
        let storms = (0..4).map(|n| Storm::new(100 + 12 * n, 12, random.fork())).collect();
        let enders = [Version::V3_1_1, Version::V5].into_iter().zip(40..);
        Self {
            publishers,
            subscribers,
            storms,
            enders: enders.map(|(version, n)| Ender::new(n, version, random.fork())).collect(),
            watcher: Watcher::new(50, random.fork()),
            visitor: Client::new("visitor".to_owned(), 51, Version::V5),
            fence: 0,
            random,
        }
    }

    /// Returns how long the broker took to start each time.
    fn run(&mut self, args: &Args, home: &Path, settings: Vec<String>, report: &Report) -> Result<Vec<Duration>> {
        let mut broker = Broker::start(&args.program, home, 0, &settings)?;
        let mut world = World::new(broker.addr, 0, report, args.life.is_some());
        self.begin(&world).map_err(|why| anyhow::anyhow!("the first connections: {why}"))?;
        let mut opened = Vec::new();
        for round in 1..=args.rounds {
            let short = Duration::from_micros(match self.random.below(3) {
                0 => 5_000 + self.random.below(100_000),
                _ => 5_000 + self.random.below(1_495_000),
            });
            let life = args.life.map_or(Life::Short(short), |seconds| Life::Long(Duration::from_secs(seconds)));
            self.load(&world, life, broker).with_context(|| format!("round {round}"))?;
            if self.random.once_in(4) {
                // Killed while it opens its store, or right after.
                let early = Broker::spawn(&args.program, home, round, &settings)?;
                std::thread::sleep(Duration::from_millis(self.random.below(300)));
                early.kill().with_context(|| format!("round {round}, early"))?;
            }
            broker = Broker::start(&args.program, home, round, &settings).with_context(|| format!("round {round}"))?;
            opened.push(broker.opened);
            world = World::new(broker.addr, round, report, args.life.is_some());
            publisher::check_retained(&mut self.visitor, &self.publishers, &world);
            if round == args.rounds || self.random.once_in(2) {
                self.settle(&world);
            }
        }
        broker.kill()?;
        Ok(opened)
    }

    fn begin(&mut self, world: &World<'_>) -> Result<(), Gone> {
        self.watcher.begin(world)?;
        self.subscribers.iter_mut().try_for_each(|subscriber| subscriber.begin(world))
    }

    /// Everyone at once, until the broker is killed.
    fn load(&mut self, world: &World<'_>, life: Life, broker: Broker) -> Result<()> {
        std::thread::scope(|scope| {
            scope.spawn(|| self.watcher.load(world));
            self.publishers.iter_mut().for_each(|one| drop(scope.spawn(|| one.load(world))));
            self.subscribers.iter_mut().for_each(|one| drop(scope.spawn(|| one.load(world))));
            self.storms.iter_mut().for_each(|one| drop(scope.spawn(|| one.load(world))));
            self.enders.iter_mut().for_each(|one| drop(scope.spawn(|| one.load(world))));
            match life {
                Life::Short(life) => std::thread::sleep(life),
                Life::Long(life) => soak::watch(&broker, life, world.report)?,
            }
            world.end();
            broker.kill()
        })
    }

    /// Everyone gets what it was promised.
    fn settle(&mut self, world: &World<'_>) {
        std::thread::scope(|scope| {
            self.publishers.iter_mut().for_each(|one| drop(scope.spawn(|| one.settle(world))));
            self.storms.iter_mut().for_each(|one| drop(scope.spawn(|| one.settle(world))));
        });
        self.fence += 1;
        if let Err(why) = self.raise_fence(world) {
            self.visitor.broke(world, &why);
        }
        let fence = self.fence;
        std::thread::scope(|scope| {
            self.subscribers.iter_mut().for_each(|one| drop(scope.spawn(|| one.settle(world, fence))));
        });
        messages::check(&mut self.publishers, &mut self.subscribers, world.report);
        let others = clients(&self.publishers, &self.subscribers, &self.storms, &self.enders, &self.visitor);
        self.watcher.settle(world, &others);
    }

    /// Says that everything before is sent: sessions send in order.
    fn raise_fence(&mut self, world: &World<'_>) -> Result<(), Gone> {
        self.visitor.come(world, true)?;
        self.visitor.push(&Packet::Publish(Publish {
            dup: false,
            qos: Qos::AtLeastOnce,
            retain: false,
            topic: Topic::new(FENCE).ok(),
            packet_id: Some(packet_id(1)),
            properties: Properties::EMPTY,
            payload: Bytes::from(self.fence.to_string()),
        }));
        match self.visitor.next()? {
            Packet::PubAck(Ack { reason: ReasonCode::Success, .. }) => self.visitor.leave(End::Disconnect),
            other => return Err(Gone::new(format!("{other:?} for the fence"))),
        }
        Ok(())
    }

    fn clients(&self) -> Vec<&Client> {
        clients(&self.publishers, &self.subscribers, &self.storms, &self.enders, &self.visitor)
    }
}

/// All but the watcher.
fn clients<'a>(
    publishers: &'a [Publisher],
    subscribers: &'a [Subscriber],
    storms: &'a [Storm],
    enders: &'a [Ender],
    visitor: &'a Client,
) -> Vec<&'a Client> {
    let publishers = publishers.iter().map(|one| &one.client);
    let subscribers = subscribers.iter().map(|one| &one.client);
    let storms = storms.iter().flat_map(|storm| &storm.clients);
    publishers.chain(subscribers).chain(storms).chain(enders.iter().map(|one| &one.client)).chain([visitor]).collect()
}
