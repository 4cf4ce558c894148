//! The broker as a node of a cluster: what `mqtt-broker` knows as a roll is a node of `mqtt-cluster`.
//!
//! [`connect`] finds where the nodes agree, and [`join`] makes a broker that is opened and does not serve yet one of them.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use mqtt_broker::{KICK, Opened, Roll, Seated, Teller, write_kick};
use mqtt_cluster::nats::{NatsConfig, NatsLog};
use mqtt_cluster::{Config, Ended, Log, Node, Phase, Tell};
use mqtt_config as said;
use mqtt_operate::{ClusterNode, ClusterState};
use mqtt_roll::{Down, Effect, Life, Record, Up};
use tokio::time::timeout;

/// The broker can't be a node of its cluster.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct NoNode(String);

/// How often it is told, while it takes long, that the node has not joined yet.
const REMINDER: Duration = Duration::from_secs(5);

/// A node, as the broker holds it.
struct Member(Node);

struct Telling(Teller);

/// Where the nodes of this cluster agree.
///
/// # Errors
/// No server answers, or those that do are not fit.
pub async fn connect(said: &said::Cluster) -> Result<NatsLog, NoNode> {
    let has_tls = said.ca.is_some() || said.shown.is_some() || said.nats.iter().any(|url| url.starts_with("tls://"));
    let tls = has_tls.then(|| {
        let shown = said.shown.as_ref().map(|(cert, key)| mqtt_fetch::Shown { cert, key });
        mqtt_fetch::client_config(said.ca.as_deref().map(Path::new), "cluster.ca", shown)
    });
    let tls = tls.transpose().map_err(NoNode)?;
    let config = NatsConfig {
        monitors: said.monitors.clone(),
        login: said.user.clone().zip(said.password.clone()),
        tls,
        is_unsafe: said.is_unsafe,
        ..NatsConfig::new(&said.name, said.nats.clone())
    };
    NatsLog::connect(&config).await.map_err(|why| NoNode(why.to_string()))
}

/// Makes the broker a node, and returns when it is part of the cluster.
///
/// # Errors
/// It never will be.
pub async fn join(opened: &Opened, node: &str, log: impl Log) -> Result<(), NoNode> {
    let teller = opened.teller();
    let config = Config { told: teller.told(), ..Config::new(node) };
    let member = Arc::new(Member(Node::start(log, config, Telling(teller))));
    opened.join(Arc::clone(&member) as _);
    loop {
        match timeout(REMINDER, member.0.joined()).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(why)) => return Err(NoNode(why.to_string())),
            Err(_) => {
                let status = member.0.status();
                tracing::warn!(read = status.position, end = status.end, "waiting to be part of the cluster");
            }
        }
    }
}

impl Tell for Telling {
    fn tell(&mut self, position: u64, effect: Effect) {
        self.0.tell(position, effect);
    }

    fn flush(&mut self) {
        self.0.flush();
    }

    fn missed(&mut self, from: u64, to: u64) {
        self.0.missed(from, to);
    }
}

impl Roll for Member {
    fn up(&self, up: Up) -> Option<Pin<Box<dyn Future<Output = bool> + Send>>> {
        let ticket = self.0.up(up).ok()?;
        Some(Box::pin(async { ticket.applied().await.is_ok() }))
    }

    fn down(&self, down: Down) {
        self.0.down(down);
    }

    fn seat(&self, client: &str, conn: u64) -> Option<Seated> {
        self.0.seat(client, conn).map(|(seq, at)| Seated { seq, at })
    }

    fn kick(&self, client: &str) -> bool {
        let conn = self.0.look(|fold| {
            let client = fold.client(client).filter(|client| client.node.name != *self.0.name())?;
            Some(client.conn)
        });
        let Some(conn) = conn else { return false };
        // Told by the one, and taken back by the other, so that nothing of it stays.
        [Some(write_kick(client, conn)), None]
            .into_iter()
            .all(|value| self.0.stage(&Record::Setting { key: KICK.into(), value }).is_ok())
    }

    fn will_is_due(&self, client: ByteString, event: u64) {
        // Where it is not taken, another node says it.
        drop(self.0.stage(&Record::WillDue { client, event }));
    }

    fn is_first(&self) -> bool {
        self.0.look(|fold| fold.first().is_some_and(|first| first.name == *self.0.name()))
    }

    fn waiting_wills(&self) -> Vec<(ByteString, u64, u64)> {
        self.0.look(|fold| fold.waiting_wills().map(|(id, event, due)| (id.into(), event, due)).collect())
    }

    fn leave(&self, reason: Bytes) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let ticket = self.0.stage(&Record::Left { reason });
        Box::pin(async {
            if let Ok(ticket) = ticket {
                // An error says that the node was cut off before.
                let _ = ticket.applied().await;
            }
        })
    }

    fn state(&self) -> ClusterState {
        let status = self.0.status();
        ClusterState {
            is_live: status.phase == Phase::Live,
            phase: match &status.phase {
                Phase::CatchingUp => "catching up".to_owned(),
                Phase::Joining => "joining".to_owned(),
                Phase::Live => "live".to_owned(),
                Phase::Ended(why @ Ended::Left) => why.to_string(),
                Phase::Ended(why) => format!("ended: {why}"),
            },
            position: status.position,
            behind: status.end.saturating_sub(status.position),
            on_its_way_ms: status.on_its_way.map_or(0, |since| since.as_millis() as u64),
            fenced: status.fenced,
            digest: status.digest.to_string(),
            differs: status.differs.map(|(node, _)| node.to_string()),
            online: status.online as u64,
            nodes: status
                .nodes
                .into_iter()
                .map(|node| ClusterNode {
                    name: node.name.to_string(),
                    is_live: node.life == Life::Live,
                    has_left: node.life == Life::Left,
                    since: node.since,
                    heard: node.heard,
                    clients: node.clients,
                })
                .collect(),
        }
    }
}
