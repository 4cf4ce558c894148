//! A client subscribes at one node, and once it has its SUBACK another publishes at any other: it gets that.

use std::time::{Duration, Instant};

use mqtt_codec::{Packet, Version};

use super::line::{Line, Terms, message};
use super::nodes::{Map, NODES};
use crate::random::Random;
use crate::report::{Count, Fault};
use crate::socket::Gone;

const GUEST: Terms = Terms { keeps: false, will: None };

#[derive(Debug)]
pub(super) struct Pair {
    subscriber: Line,
    publisher: Line,
    random: Random,
    last: u64,
}

impl Pair {
    /// `number` and the next are of nobody else among all clients.
    pub(super) fn new(number: u8, random: Random) -> Self {
        let [subscriber, publisher] = [("hears", number), ("says", number + 1)]
            .map(|(role, number)| Line::new(format!("{role}-{number}"), number, Version::V5));
        Self { subscriber, publisher, random, last: 0 }
    }

    /// Goes on until the storm ends.
    pub(super) fn load(&mut self, map: &Map) {
        while !map.is_ending() {
            let [to, from] = [(); 2].map(|()| self.random.below(NODES as u64) as usize);
            self.last += 1;
            let began = Instant::now();
            let outcome = self.turn(map, to, from);
            let now = Instant::now();
            match outcome {
                Ok(true) => map.report.add(Count::Delivered, 1),
                // Where a node was lost, so may be what it was told.
                _ if !map.was_well(to, began, now) || !map.was_well(from, began, now) => {}
                Ok(false) => {
                    let what =
                        format!("node {from} acknowledged what node {to} does not bring, of {:?}", self.subscriber.id);
                    map.report.fault(Fault::Lost, &what);
                }
                // Nobody is let in while the log is away.
                Err(_) => {}
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// False: it has not come.
    fn turn(&mut self, map: &Map, to: usize, from: usize) -> Result<bool, Gone> {
        let topic = format!("pair/{}/{}", self.subscriber.id, self.last);
        self.subscriber.come(map, to, GUEST)?;
        self.publisher.come(map, from, GUEST)?;
        self.subscriber.subscribe(&[&topic])?;
        self.publisher.publish(message(&topic, "x", false))?;
        match self.subscriber.next() {
            Ok(Packet::Publish(publish)) => Ok(publish.topic.is_some_and(|found| found.as_str() == topic)),
            Ok(other) => Err(Gone::new(format!("{other:?} in place of a message"))),
            Err(_) => Ok(false),
        }
    }
}
