//! Nodes that write a log together, as badly as they may.

use bytes::{Bytes, BytesMut};

use crate::{Dead, Down, Head, Join, READS, Record, Up, Will};

const NAMES: [&str; 3] = ["a", "b", "c"];
const CLIENTS: [&str; 4] = ["anna", "ben", "carl", "dora"];

/// Numbers that depend on a seed alone.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(super) fn up_to(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize) % (most + 1)
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> Option<T> {
        (!all.is_empty()).then(|| all[self.up_to(all.len() - 1)])
    }

    fn one_in(&mut self, number: usize) -> bool {
        self.up_to(number - 1) == 0
    }
}

/// A process that is a node.
struct Process {
    name: &'static str,
    /// `None`: it does not run.
    epoch: Option<u64>,
    n: u64,
    beat: u64,
    conn: u64,
    staged: Vec<Record>,
    /// The one batch that is on its way.
    flying: Option<Bytes>,
    /// Connections that it has had in this life, over or not.
    had: Vec<(&'static str, u64)>,
}

pub(super) struct World {
    pub(super) log: Vec<Bytes>,
    processes: Vec<Process>,
    /// Batches of those who don't wait for them any more. They land some time, or never.
    late: Vec<Bytes>,
    now: u64,
}

impl World {
    /// After so many steps.
    pub(super) fn after(steps: usize, dice: &mut Dice) -> Self {
        let process = |name| Process {
            name,
            epoch: None,
            n: 0,
            beat: 0,
            conn: 0,
            staged: Vec::new(),
            flying: None,
            had: Vec::new(),
        };
        let mut world = Self { log: Vec::new(), processes: NAMES.map(process).into(), late: Vec::new(), now: 1000 };
        for _ in 0..steps {
            let which = dice.up_to(NAMES.len() - 1);
            world.now += dice.up_to(3) as u64;
            if world.processes[which].epoch.is_none() {
                world.start(which, dice);
            } else {
                world.step(which, dice);
            }
        }
        world
    }

    fn start(&mut self, which: usize, dice: &mut Dice) {
        // It has read to the end, or nearly.
        let read = self.log.len().saturating_sub(dice.up_to(1));
        let process = &mut self.processes[which];
        process.epoch = Some(read as u64 + 1);
        (process.n, process.staged, process.had) = (0, Vec::new(), Vec::new());
        let nonce = dice.up_to(1000) as u64;
        process.staged.push(Record::Join(Join { nonce, addr: "".into(), versions: READS }));
        process.fly(self.now);
    }

    fn step(&mut self, which: usize, dice: &mut Dice) {
        let dead = self.dead(which, dice);
        let event = dice.up_to(30) as u64;
        let (log, late) = (&mut self.log, &mut self.late);
        let process = &mut self.processes[which];
        match dice.up_to(29) {
            0..10 => process.come(self.now, dice),
            10..15 => process.go(self.now, dice),
            15..22 => process.land(self.now, log),
            // It lands, and the answer is lost, so it is sent again.
            22 => log.extend(process.flying.clone()),
            // It lands a second time, later.
            23 => late.extend(process.flying.clone()),
            24 => {
                if let Some(batch) = dice.up_to(late.len()).checked_sub(1) {
                    log.push(late.swap_remove(batch));
                }
            }
            25 => process.staged.extend(dead),
            26 => match dice.up_to(6) {
                // Killed: what was on its way may land yet.
                0 | 1 => {
                    late.extend(process.flying.take());
                    process.epoch = None;
                }
                // Fenced, or it thinks so: it begins a new life at once.
                2 => self.start(which, dice),
                // The log lost one that it had acknowledged.
                3 => {
                    process.flying = None;
                    process.fly(self.now);
                }
                4 => {
                    process.staged.push(Record::Left { reason: Bytes::from_static(b"bye") });
                    process.land(self.now, log);
                    process.land(self.now, log);
                    process.epoch = None;
                }
                _ => {}
            },
            27 => {
                let client = dice.one_of(&CLIENTS).unwrap_or_default();
                process.staged.push(Record::WillDue { client: client.into(), event });
            }
            28 if dice.one_in(4) => {
                let node = dice.one_of(&NAMES).unwrap_or_default();
                process.staged.push(Record::Forget { node: node.into() });
            }
            28 => {
                let client = dice.one_of(&CLIENTS).unwrap_or_default();
                process.staged.push(Record::Home { client: client.into(), is_here: !dice.one_in(3) });
            }
            _ => {
                let value = (!dice.one_in(3)).then(|| Bytes::from(vec![event as u8]));
                process.staged.push(Record::Setting { key: "x".into(), value });
            }
        }
    }

    /// Somebody else is found dead, by who may not have read all.
    fn dead(&self, which: usize, dice: &mut Dice) -> Option<Record> {
        let other = &self.processes[(which + 1 + dice.up_to(1)) % NAMES.len()];
        let read = self.log.len().saturating_sub(if dice.one_in(2) { dice.up_to(5) } else { 0 });
        let heads = self.log[..read].iter().map(|batch| crate::Batch::decode(batch.clone()).unwrap().head);
        let (position, head) = heads.enumerate().filter(|(_, head)| *head.node == *other.name).last()?;
        Some(Record::Dead(Dead { node: head.node, epoch: head.epoch, last: position as u64 + 1 }))
    }
}

impl Process {
    fn come(&mut self, now: u64, dice: &mut Dice) {
        let client = dice.one_of(&CLIENTS).unwrap_or_default();
        self.conn += 1;
        self.had.push((client, self.conn));
        let will = match dice.up_to(5) {
            0 => Some(Will { delay: 0, message: Bytes::from_static(b"will") }),
            1 => Some(Will { delay: 7, message: Bytes::from_static(b"late will") }),
            _ => None,
        };
        // Its clock is not that of others.
        let at = now.saturating_sub(dice.up_to(9) as u64);
        let (is_clean, info) = (dice.one_in(4), Bytes::from(format!("{}{}", self.name, self.conn)));
        let (client, conn, is_kept) = (client.into(), self.conn, dice.one_in(2));
        self.staged.push(Record::Up(Up { client, conn, is_clean, is_kept, at, info, will }));
    }

    /// Some connection ends, be it one that others know to have ended long ago.
    fn go(&mut self, now: u64, dice: &mut Dice) {
        let Some((client, conn)) = dice.one_of(&self.had) else { return };
        let with_will = !dice.one_in(2);
        let reason = Bytes::from_static(b"bye");
        self.staged.push(Record::Down(Down { client: client.into(), conn, at: now, with_will, reason }));
    }

    fn fly(&mut self, now: u64) {
        let mut body = BytesMut::new();
        self.staged.drain(..).for_each(|record| record.encode(&mut body));
        let epoch = self.epoch.unwrap_or_default();
        let head = Head { node: self.name.into(), epoch, n: self.n, beat: self.beat, at: now };
        self.flying = Some(head.encode(&body));
        self.n += 1;
        self.beat += 1;
    }

    /// What is on its way arrives, and the next batch sets off.
    fn land(&mut self, now: u64, log: &mut Vec<Bytes>) {
        log.extend(self.flying.take());
        self.fly(now);
    }
}
