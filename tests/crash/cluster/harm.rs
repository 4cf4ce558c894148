//! What is done to the nodes, and to the servers that keep their log.

use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;

use super::gate::Cut;
use super::nodes::{Map, NODES, Nodes};
use super::servers::{SERVERS, Servers};
use crate::random::Random;

/// The others take a node for dead that says nothing for some 3 s.
const LONG_PAUSE: Duration = Duration::from_secs(9);
const SHORT_PAUSE: Duration = Duration::from_secs(2);

/// How long all servers are away.
const OUTAGE: Duration = Duration::from_secs(20);

/// One kind of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Harm {
    Kill,
    KillAndRestart,
    ShortPause,
    LongPause,
    Cut,
    CutToServers,
    CutFromServers,
    RollingRestart,
    LeaderKilled,
    ServerPaused,
    ServersAway,
    LameDuck,
}

impl Harm {
    /// In the order in which rounds take them, so that a few have the most telling ones.
    pub(super) const ALL: [Self; 12] = [
        Self::Kill,
        Self::Cut,
        Self::LeaderKilled,
        Self::LongPause,
        Self::ShortPause,
        Self::KillAndRestart,
        Self::ServersAway,
        Self::CutToServers,
        Self::RollingRestart,
        Self::CutFromServers,
        Self::ServerPaused,
        Self::LameDuck,
    ];

    /// Nobody may be told to be gone with its node by that.
    pub(super) const fn spares_nodes(self) -> bool {
        matches!(
            self,
            Self::ShortPause
                | Self::LeaderKilled
                | Self::ServerPaused
                | Self::ServersAway
                | Self::LameDuck
                | Self::RollingRestart
        )
    }

    /// Does it, and undoes it. Returns the node that is found dead by it, if any is.
    pub(super) fn inflict(
        self,
        nodes: &mut Nodes,
        servers: &mut Servers,
        map: &Map,
        random: &mut Random,
    ) -> Result<Option<usize>> {
        let node = random.below(NODES as u64) as usize;
        let server = random.below(SERVERS as u64) as usize;
        match self {
            Self::Kill | Self::KillAndRestart => {
                map.harm(node);
                nodes.kill(node)?;
                if self == Self::Kill {
                    sleep(Duration::from_millis(4_000 + random.below(3_000)));
                }
                restart(nodes, map, node)?;
            }
            Self::ShortPause | Self::LongPause => {
                let pause = if self == Self::LongPause { LONG_PAUSE } else { SHORT_PAUSE };
                if self == Self::LongPause {
                    map.harm(node);
                }
                nodes.signal(node, "STOP")?;
                sleep(pause);
                nodes.signal(node, "CONT")?;
            }
            Self::Cut | Self::CutToServers | Self::CutFromServers => {
                map.harm(node);
                nodes.cut(
                    node,
                    Cut { to_server: self != Self::CutFromServers, from_server: self != Self::CutToServers },
                );
                sleep(LONG_PAUSE);
                nodes.cut(node, Cut::default());
            }
            Self::RollingRestart => {
                for node in 0..NODES {
                    map.harm(node);
                    nodes.stop(node)?;
                    restart(nodes, map, node)?;
                    nodes.wait_until_whole()?;
                }
            }
            Self::LeaderKilled => {
                let leader = servers.leader()?;
                servers.kill(leader)?;
                sleep(Duration::from_secs(3));
                servers.start_one(leader)?;
                servers.wait_until_ready()?;
            }
            Self::ServerPaused => {
                servers.signal(server, "STOP")?;
                sleep(Duration::from_secs(4));
                servers.signal(server, "CONT")?;
                servers.wait_until_ready()?;
            }
            Self::ServersAway => {
                (0..SERVERS).try_for_each(|server| servers.kill(server))?;
                sleep(OUTAGE);
                (0..SERVERS).try_for_each(|server| servers.start_one(server))?;
                servers.wait_until_ready()?;
            }
            Self::LameDuck => {
                servers.signal(server, "USR2")?;
                servers.wait_for_end(server)?;
                servers.start_one(server)?;
                servers.wait_until_ready()?;
            }
        }
        Ok((!self.spares_nodes()).then_some(node))
    }
}

fn restart(nodes: &mut Nodes, map: &Map, node: usize) -> Result<()> {
    nodes.start_one(node)?;
    map.move_to(node, nodes.addr(node)?);
    Ok(())
}
