//! One broker, the probe beside it, and what an attack does to both.

use std::net::SocketAddr;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::client::{Client, PATIENCE};
use super::probe::{Probe, Window};
use super::report::{Memory, Row};
use super::wire::Connect;
use crate::broker::Broker;
use crate::shell::{command, output};

/// How long each part takes, and what is asked of the broker.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    /// The short form: no time is asserted.
    pub(super) is_quick: bool,
    warm_up: Duration,
    quiet: Duration,
    attack: Duration,
    /// From the end of an attack on memory until it is looked what was given back.
    pub(super) memory_after: Duration,
    /// The same for other attacks.
    after: Duration,
    /// For the probe's messages to arrive when all is over.
    pub(super) arrive: Duration,
    /// For the whole, before the broker is killed.
    limit: Duration,
}

impl Pace {
    pub(super) const FULL: Self = Self {
        is_quick: false,
        warm_up: Duration::from_secs(1),
        quiet: Duration::from_secs(8),
        attack: Duration::from_secs(10),
        memory_after: Duration::from_secs(10),
        after: Duration::from_secs(2),
        arrive: Duration::from_secs(60),
        limit: Duration::from_secs(240),
    };
    pub(super) const QUICK: Self = Self {
        is_quick: true,
        warm_up: Duration::from_millis(200),
        quiet: Duration::from_millis(500),
        attack: Duration::from_secs(2),
        memory_after: Duration::from_secs(2),
        after: Duration::from_millis(500),
        arrive: Duration::from_secs(20),
        limit: Duration::from_secs(90),
    };

    pub(super) fn pick<T>(self, full: T, quick: T) -> T {
        if self.is_quick { quick } else { full }
    }
}

/// Until when an attack goes on.
#[derive(Clone, Copy)]
pub(super) struct Going(Instant);

impl Going {
    pub(super) fn goes_on(&self) -> bool {
        Instant::now() < self.0
    }

    /// Keeps what the attack holds until it is over.
    pub(super) fn hold<T>(&self, held: T) {
        thread::sleep(self.0.saturating_duration_since(Instant::now()));
        drop(held);
    }
}

pub(super) struct Stage<'a> {
    pub(super) pace: Pace,
    broker: &'a Broker,
    probe: Probe,
    row: Row,
    /// [`Self::after`] has been.
    is_after: bool,
    /// Kills the broker when all takes too long, unless it is dropped before.
    _watch: Sender<()>,
}

impl<'a> Stage<'a> {
    /// Starts the probe.
    pub(super) fn new(broker: &'a Broker, pace: Pace, row: Row) -> Result<Self> {
        let watch = watch(broker.pid(), pace.limit);
        let probe = Probe::start(broker.addr()).context("the probe does not start")?;
        thread::sleep(pace.warm_up);
        Ok(Self { pace, broker, probe, row, is_after: false, _watch: watch })
    }

    pub(super) const fn addr(&self) -> SocketAddr {
        self.broker.addr()
    }

    /// Of the admin port.
    pub(super) fn admin(&self) -> Result<SocketAddr> {
        self.broker.admin().context("the broker has no admin port")
    }

    /// Of a listener that the attack's broker was given.
    pub(super) fn listener(&self, name: &str) -> Result<SocketAddr> {
        self.broker.listener(name).with_context(|| format!("the broker has no listener {name}"))
    }

    /// A broker that was told a limit of memory.
    pub(super) fn is_limited(&self) -> bool {
        self.row.broker != super::MOSQUITTO
    }

    /// Bytes of the broker's memory before the attack.
    pub(super) const fn memory_before(&self) -> u64 {
        self.row.memory.before
    }

    pub(super) const fn memory_peak(&self) -> u64 {
        self.row.memory.peak
    }

    /// Some time after the attack.
    pub(super) const fn memory_after(&self) -> u64 {
        self.row.memory.after
    }

    pub(super) const fn log(&self) -> u64 {
        self.row.log
    }

    /// Something that must not be.
    pub(super) fn fault(&mut self, what: impl Into<String>) {
        self.row.faults.push(what.into());
    }

    /// Something to know.
    pub(super) fn note(&mut self, what: impl Into<String>) {
        self.row.notes.push(what.into());
    }

    /// The probe alone: what the attack is compared with.
    pub(super) fn quiet(&mut self) -> Result<()> {
        let from = self.probe.now();
        thread::sleep(self.pace.quiet);
        self.row.quiet = self.probe.between(from, self.probe.now());
        let before = self.broker.resident()?;
        self.row.memory = Memory { before, peak: before, after: before };
        Ok(())
    }

    /// Runs the attack, and for as long as it or its time takes looks what it does.
    pub(super) fn under<T: Send>(&mut self, attack: impl FnOnce(&Going) -> Result<T> + Send) -> Result<T> {
        let (from, log) = (self.probe.now(), super::size(self.broker.log()));
        let going = Going(Instant::now() + self.pace.attack);
        let done = thread::scope(|scope| {
            let attack = scope.spawn(|| attack(&going));
            while going.goes_on() || !attack.is_finished() {
                thread::sleep(Duration::from_millis(20));
                let peak = &mut self.row.memory.peak;
                // A broker that has died has no memory; that it has is seen at the end.
                *peak = self.broker.resident().map_or(*peak, |now| now.max(*peak));
            }
            attack.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        self.row.attacked = self.probe.between(from, self.probe.now());
        self.row.log = super::size(self.broker.log()).saturating_sub(log);
        done
    }

    /// All attackers have gone: waits, and looks what is left of it and whether newcomers are let in.
    pub(super) fn after(&mut self, wait: Duration) -> Result<()> {
        self.is_after = true;
        thread::sleep(wait);
        let from = self.probe.now();
        thread::sleep(self.pace.pick(Duration::from_secs(2), Duration::from_secs(1)));
        let Window { newcomers, refused, why_refused, .. } = self.probe.between(from, self.probe.now());
        if refused > 0 {
            let why = why_refused.unwrap_or_default();
            self.fault(format!("{refused} of {} newcomers not let in when it is over: {why}", newcomers.count));
        }
        if let Err(why) = Client::connect(self.addr(), &Connect::new("after")).and_then(|mut client| Ok(client.ping()?))
        {
            self.fault(format!("nobody is served when it is over: {why:#}"));
        }
        let memory = &mut self.row.memory;
        memory.after = self.broker.resident().context("the broker has died")?;
        memory.peak = memory.peak.max(memory.after);
        Ok(())
    }

    /// Ends the probe.
    pub(super) fn finish(mut self) -> Row {
        if !self.is_after
            && let Err(why) = self.after(self.pace.after)
        {
            self.fault(format!("{why:#}"));
        }
        let Self { pace, probe, mut row, _watch, .. } = self;
        row.totals = probe.finish(pace.arrive.max(PATIENCE));
        row
    }
}

/// Kills the process after so long, unless what is returned is dropped before.
fn watch(pid: u32, limit: Duration) -> Sender<()> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        if receiver.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            println!("{limit:?} are over: the broker is killed");
            // It may have died by itself.
            let _ = output(command("kill").args(["-KILL", &pid.to_string()]));
        }
    });
    sender
}
