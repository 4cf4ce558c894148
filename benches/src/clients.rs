//! Many clients on pipes, driven by one thread, so many at a time that waking costs little.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result, bail};
use mqtt_codec::Qos;
use rollcall::{Pipe, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::wire::{Seen, Template, connect, connect_kept, skim, subscribe};

/// Clients that are served at once.
pub const AT_ONCE: usize = 100;
const CONNACK: usize = 4;
const SUBACK: usize = 5;
const PUBACK: usize = 4;
const DISCONNECT: [u8; 2] = [0xE0, 0];
const PAYLOAD: usize = 64;

/// The sessions, by number.
pub struct Clients<'a> {
    server: &'a Server,
    sessions: usize,
    online: Vec<Pipe>,
    random: Random,
}

impl<'a> Clients<'a> {
    /// Of `sessions` that are still to be [created](Self::create).
    pub fn new(server: &'a Server, sessions: usize) -> Self {
        Self { server, sessions, online: Vec::with_capacity(sessions), random: Random(1) }
    }

    /// Clients without a session come and go.
    pub async fn visit_new(&mut self, count: usize) -> Result<()> {
        for start in (0..count).step_by(AT_ONCE) {
            let frames = (start..start + AT_ONCE).map(|number| connect(&format!("new-{number:07}")));
            let mut pipes = self.come(frames).await?;
            leave(&mut pipes).await?;
        }
        Ok(())
    }

    /// Every session is begun: its client connects, subscribes and leaves.
    pub async fn create(&mut self) -> Result<()> {
        for start in (0..self.sessions).step_by(AT_ONCE) {
            let numbers = start..self.sessions.min(start + AT_ONCE);
            let mut pipes = self.come(numbers.clone().map(|number| connect_kept(&id(number)))).await?;
            for (pipe, number) in pipes.iter_mut().zip(numbers) {
                pipe.write_all(&subscribe(&[topic(number)], Qos::AtLeastOnce)).await?;
            }
            for pipe in &mut pipes {
                pipe.read_exact(&mut [0; SUBACK]).await?;
            }
            leave(&mut pipes).await?;
        }
        Ok(())
    }

    /// Clients of sessions taken at random come and go; the watcher, if there is one, gets the events.
    pub async fn visit(&mut self, count: usize, mut watcher: Option<&mut Watcher>) -> Result<()> {
        for _ in 0..count / AT_ONCE {
            let first = self.random.below(self.sessions);
            // Far from each other, and never the same.
            let step = (self.sessions / AT_ONCE).max(1);
            let numbers = (0..AT_ONCE).map(|one| (first + one * step) % self.sessions);
            let mut pipes = self.come(numbers.map(|number| connect_kept(&id(number)))).await?;
            leave(&mut pipes).await?;
            if let Some(watcher) = &mut watcher {
                watcher.take(2 * AT_ONCE).await?;
            }
        }
        Ok(())
    }

    /// Every session's client connects, and stays.
    pub async fn come_online(&mut self) -> Result<()> {
        for start in (0..self.sessions).step_by(AT_ONCE) {
            let numbers = start..self.sessions.min(start + AT_ONCE);
            let pipes = self.come(numbers.map(|number| connect_kept(&id(number)))).await?;
            self.online.extend(pipes);
        }
        Ok(())
    }

    /// Messages to sessions taken at random, each of which reads its own.
    pub async fn publish(&mut self, count: usize) -> Result<()> {
        let mut publisher = self.come([connect("publisher")]).await?;
        let mut received = Vec::new();
        for _ in 0..count / AT_ONCE {
            let to: Vec<_> = (0..AT_ONCE).map(|_| self.random.below(self.sessions)).collect();
            let mut out = Vec::new();
            for &number in &to {
                Template::new(&topic(number), Qos::AtMostOnce, PAYLOAD, 0).write(0, &mut out);
            }
            publisher[0].write_all(&out).await?;
            received.resize(out.len() / AT_ONCE, 0);
            for &number in &to {
                self.online[number].read_exact(&mut received).await?;
            }
        }
        Ok(())
    }

    /// So many messages for each session whose client is away; back when all are acknowledged.
    pub async fn queue(&mut self, each: usize) -> Result<()> {
        let mut publisher = self.come([connect("publisher")]).await?;
        let mut out = Vec::new();
        for start in (0..self.sessions).step_by(AT_ONCE) {
            let numbers = start..self.sessions.min(start + AT_ONCE);
            out.clear();
            for _ in 0..each {
                for number in numbers.clone() {
                    Template::new(&topic(number), Qos::AtLeastOnce, PAYLOAD, 0).write(1, &mut out);
                }
            }
            publisher[0].write_all(&out).await?;
            publisher[0].read_exact(&mut vec![0; PUBACK * each * numbers.len()]).await?;
        }
        leave(&mut publisher).await
    }

    /// Connects one client for each of these CONNECTs.
    async fn come(&self, frames: impl IntoIterator<Item = Vec<u8>>) -> Result<Vec<Pipe>> {
        let mut pipes = Vec::with_capacity(AT_ONCE);
        for frame in frames {
            let mut pipe = self.server.connect_in_memory(peer());
            pipe.write_all(&frame).await?;
            pipes.push(pipe);
        }
        for pipe in &mut pipes {
            let mut answer = [0; CONNACK];
            pipe.read_exact(&mut answer).await.context("no CONNACK")?;
            if answer[3] != 0 {
                bail!("refused with {}", answer[3]);
            }
        }
        Ok(pipes)
    }
}

/// All leave; back once the broker has closed.
async fn leave(pipes: &mut [Pipe]) -> Result<()> {
    for pipe in pipes.iter_mut() {
        pipe.write_all(&DISCONNECT).await?;
    }
    for pipe in pipes {
        if pipe.read(&mut [0]).await? != 0 {
            bail!("more than was asked for");
        }
    }
    Ok(())
}

/// A client that is sent every presence event.
#[derive(Debug)]
pub struct Watcher {
    pipe: Pipe,
    half: Vec<u8>,
}

impl Watcher {
    /// Connects and subscribes.
    pub async fn start(server: &Server) -> Result<Self> {
        let mut pipe = server.connect_in_memory(peer());
        pipe.write_all(&connect("watcher")).await?;
        pipe.read_exact(&mut [0; CONNACK]).await?;
        pipe.write_all(&subscribe(&["$SYS/brokers/+/clients/#".to_owned()], Qos::AtLeastOnce)).await?;
        pipe.read_exact(&mut [0; SUBACK]).await?;
        Ok(Self { pipe, half: Vec::new() })
    }

    /// Reads and acknowledges so many events.
    async fn take(&mut self, events: usize) -> Result<()> {
        let mut seen = 0;
        while seen < events {
            let mut acknowledgements = Vec::new();
            if self.pipe.read_buf(&mut self.half).await? == 0 {
                bail!("the watcher was sent away");
            }
            let used = skim(&self.half, &mut acknowledgements, |what| {
                seen += usize::from(matches!(what, Seen::Message { .. }))
            });
            self.half.drain(..used);
            self.pipe.write_all(&acknowledgements).await?;
        }
        Ok(())
    }
}

fn id(number: usize) -> String {
    format!("scale-{number:07}")
}

fn topic(number: usize) -> String {
    format!("scale/{number:07}/cmd")
}

fn peer() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 1).into()
}

/// The same numbers each time.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        // Knuth's multiplier; the upper half is what varies.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}
