//! Clients that publish numbered messages at any node, and again elsewhere what was not acknowledged.

use std::time::{Duration, Instant};

use mqtt_codec::Version;

use super::line::{Line, Terms, message};
use super::nodes::{Map, NODES};
use crate::random::Random;
use crate::report::Count;
use crate::socket::Gone;

/// Retained topics of each.
const RETAINED: u64 = 4;

/// What was sent once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) number: u64,
    /// Where it was acknowledged.
    pub(super) node: usize,
    /// There.
    pub(super) from: Instant,
    pub(super) until: Instant,
}

#[derive(Debug)]
pub(super) struct Publisher {
    line: Line,
    number: usize,
    node: usize,
    random: Random,
    last: u64,
    /// Since the last [`Self::forget`].
    pub(super) acknowledged: Vec<Sent>,
}

impl Publisher {
    pub(super) fn new(number: usize, random: Random) -> Self {
        let line = Line::new(format!("publisher-{number}"), number as u8, Version::V5);
        Self { line, number, node: 0, random, last: 0, acknowledged: Vec::new() }
    }

    /// Publishes until the storm has ended and all of it is acknowledged.
    pub(super) fn load(&mut self, map: &Map) {
        while !map.is_ending() {
            self.last += 1;
            let retained = self.random.once_in(8).then(|| self.random.below(RETAINED));
            // Again and again, for that is what QoS 1 asks of it.
            while self.publish(map, retained).is_err() {
                self.line.take();
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    fn publish(&mut self, map: &Map, retained: Option<u64>) -> Result<(), Gone> {
        if !self.line.is_online() || self.random.once_in(100) {
            self.node = self.random.below(NODES as u64) as usize;
            self.line.come(map, self.node, Terms { keeps: false, will: None })?;
        }
        let topic = match retained {
            Some(topic) => format!("retained/{}/{topic}", self.number),
            None => format!("message/{}", self.number),
        };
        let from = Instant::now();
        let payload = format!("{} {}", self.number, self.last);
        self.line.publish(message(&topic, payload, retained.is_some()))?;
        if retained.is_none() {
            map.report.add(Count::AcknowledgedQos1, 1);
            let (number, node, until) = (self.last, self.node, Instant::now());
            self.acknowledged.push(Sent { number, node, from, until });
        }
        Ok(())
    }

    /// Everything has been checked.
    pub(super) fn forget(&mut self) {
        self.acknowledged.clear();
    }
}
