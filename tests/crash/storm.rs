//! Clients that come and go in every way, some of them with a session that they end.

use std::time::Duration;

use mqtt_codec::{Packet, Qos, Version};

use crate::client::{Client, End};
use crate::random::Random;
use crate::report::{Fault, World};
use crate::socket::Gone;

/// Some clients and the thread that moves them.
#[derive(Debug)]
pub(crate) struct Storm {
    pub(crate) clients: Vec<Client>,
    random: Random,
}

impl Storm {
    /// `number` is the first client's own among all clients.
    pub(crate) fn new(number: u8, clients: u8, mut random: Random) -> Self {
        let mut one = |n: u8| {
            let version = [Version::V3_1, Version::V3_1_1, Version::V5][random.below(3) as usize];
            Client::new(format!("storm-{}", number + n), number + n, version)
        };
        Self { clients: (0..clients).map(&mut one).collect(), random }
    }

    /// Moves them until the broker is gone.
    pub(crate) fn load(&mut self, world: &World<'_>) {
        // Of whose last CONNECT it is not known when the broker reads it.
        let mut retired = vec![false; self.clients.len()];
        while !world.is_ending() {
            let at = self.random.below(self.clients.len() as u64) as usize;
            if retired[at] {
                continue;
            }
            if !world.lives_long && self.random.once_in(60) {
                retired[at] = true;
                self.clients[at].leave(End::Disconnect);
                // It fails when the broker has just died.
                let _ = self.clients[at].come_and_go(world, self.random.once_in(2));
            } else if let Err(why) = step(&mut self.clients[at], &mut self.random, world) {
                self.clients[at].broke(world, &why);
            }
            std::thread::sleep(Duration::from_micros(self.random.below(8_000)));
        }
        self.clients.iter_mut().for_each(Client::fall);
    }

    /// Some of them come, and stay.
    pub(crate) fn settle(&mut self, world: &World<'_>) {
        for client in &mut self.clients {
            if (client.is_online() || self.random.once_in(2))
                && let Err(why) = client.come(world, self.random.once_in(2))
            {
                client.broke(world, &why);
            }
        }
    }
}

/// Comes, goes, or both.
fn step(client: &mut Client, random: &mut Random, world: &World<'_>) -> Result<(), Gone> {
    if client.is_online() {
        client.leave(End::any(random));
        // It may be back at once.
        if !client.is_online() && random.once_in(2) {
            return Ok(());
        }
    }
    client.come(world, random.once_in(2)).map(drop)
}

/// A client that has a session, ends it, and looks whether it has ended.
#[derive(Debug)]
pub(crate) struct Ender {
    pub(crate) client: Client,
    random: Random,
}

impl Ender {
    pub(crate) fn new(number: u8, version: Version, random: Random) -> Self {
        Self { client: Client::new(format!("ender-{number}"), number, version), random }
    }

    /// Goes on until the broker is gone.
    pub(crate) fn load(&mut self, world: &World<'_>) {
        while !world.is_ending() {
            if let Err(why) = self.turn(world) {
                self.client.broke(world, &why);
            }
            std::thread::sleep(Duration::from_millis(self.random.below(40)));
        }
        self.client.fall();
    }

    fn turn(&mut self, world: &World<'_>) -> Result<(), Gone> {
        if self.random.once_in(3) {
            self.client.come(world, true)?;
        } else if !self.client.come(world, false)? {
            self.look(world)?;
            self.client.subscribe(&["message/#"], Qos::AtLeastOnce)?;
        }
        if self.random.once_in(2) {
            self.client.leave(End::any(&mut self.random));
        }
        Ok(())
    }

    /// A new session has nothing.
    fn look(&mut self, world: &World<'_>) -> Result<(), Gone> {
        self.client.push(&Packet::PingReq);
        match self.client.next()? {
            Packet::PingResp => {}
            other => {
                world.report.fault(Fault::Session, &format!("{} has ended it, and gets {other:?}", self.client.id))
            }
        }
        Ok(())
    }
}
