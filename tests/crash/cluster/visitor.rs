//! Clients that come to any node and go in every way.

use std::time::Duration;

use mqtt_codec::{Disconnect, Packet, Properties, ReasonCode, Version};

use super::line::{Line, Terms};
use super::nodes::{Map, NODES};
use crate::client::End;
use crate::random::Random;

/// Some clients, and the thread that moves them.
#[derive(Debug)]
pub(super) struct Visitors {
    pub(super) lines: Vec<Line>,
    random: Random,
}

impl Visitors {
    /// `number` is the first one's own among all clients.
    pub(super) fn new(number: u8, count: u8, mut random: Random) -> Self {
        let mut one = |number: u8| {
            let version = [Version::V3_1_1, Version::V5][random.below(2) as usize];
            Line::new(format!("visitor-{number}"), number, version)
        };
        Self { lines: (number..number + count).map(&mut one).collect(), random }
    }

    /// Moves them until the storm ends.
    pub(super) fn load(&mut self, map: &Map) {
        while !map.is_ending() {
            let at = self.random.below(self.lines.len() as u64) as usize;
            step(&mut self.lines[at], &mut self.random, map);
            std::thread::sleep(Duration::from_millis(self.random.below(20)));
        }
    }
}

fn step(line: &mut Line, random: &mut Random, map: &Map) {
    if line.is_online() {
        leave(line, End::any(random));
        // It may be back at once.
        if !line.is_online() && random.once_in(2) {
            return;
        }
    }
    let node = random.below(NODES as u64) as usize;
    let will = random.once_in(2).then_some(line.visits.len() as u64);
    // Whatever comes of it: a node may be away, and the other events tell.
    let _ = line.come(map, node, Terms { keeps: random.once_in(2), will });
}

fn leave(line: &mut Line, end: End) {
    if end == End::TakeOver {
        return;
    }
    let Some(mut socket) = line.take() else { return };
    match end {
        End::Disconnect => {
            socket.push(&Packet::Disconnect(Disconnect { reason: ReasonCode::Success, properties: Properties::EMPTY }));
            // Its node may be gone, which the events tell.
            let _ = socket.flush();
        }
        End::Cut => socket.cut(),
        End::Close | End::TakeOver => {}
    }
}
