//! The broker as a node of a cluster: what `mqtt-broker` knows as a roll is a node of `mqtt-cluster`.
//!
//! [`connect`] finds where the nodes agree, and [`join`] makes a broker that is opened and does not serve yet one of them.

use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use mqtt_broker::{Ears, Home, KICK, Opened, Roll, Seated, Teller, write_kick};
use mqtt_cluster::nats::{NatsConfig, NatsLog, NatsWire};
use mqtt_cluster::{Config, Ended, Links, Log, Node, Phase, Tell, Wire};
use mqtt_config as said;
use mqtt_operate::{ClusterNode, ClusterState};
use mqtt_roll::{Down, Effect, Life, MAX_SETTING, MAX_SETTINGS, Record, Up};
use tokio::sync::watch;
use tokio::time::timeout;

mod hearing;

use hearing::Hearing;

/// The broker can't be a node of its cluster.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct NoNode(String);

/// How often it is told, while it takes long, that the node has not joined yet.
const REMINDER: Duration = Duration::from_secs(5);

/// How long it is waited for what other nodes have to tell, before clients are let in here.
const HEARING: Duration = Duration::from_secs(10);

/// How often it is looked whether they have.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A node, as the broker holds it.
struct Member {
    node: Node,
    links: Links,
    /// It has what it missed while it was no part of the cluster, and others know what is wanted here.
    caught_up: watch::Sender<bool>,
}

struct Telling {
    teller: Teller,
    /// There once the node is.
    member: Arc<OnceLock<Weak<Member>>>,
    /// A node has come or gone.
    has_news: bool,
    /// This node was cut off, and has not joined again.
    was_cut_off: bool,
    ears: Ears,
}

/// Where the nodes of this cluster agree.
///
/// # Errors
/// No server answers, or those that do are not fit.
pub async fn connect(said: &said::Cluster) -> Result<(NatsLog, NatsWire), NoNode> {
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
    let no_node = |why: mqtt_cluster::LogError| NoNode(why.to_string());
    let log = NatsLog::connect(&config).await.map_err(no_node)?;
    Ok((log, NatsWire::connect(&config).await.map_err(no_node)?))
}

/// Makes the broker a node, and returns when it is part of the cluster.
///
/// # Errors
/// It never will be.
pub async fn join(opened: &Opened, said: &said::Node, (log, wire): (impl Log, impl Wire)) -> Result<(), NoNode> {
    let node = &*said.name;
    let (teller, ears) = (opened.teller(), opened.ears());
    let addr = said.reference.as_deref().unwrap_or_default().into();
    let config = Config { told: teller.told(), addr, ..Config::new(node) };
    let links = Links::start(wire, node.into(), Hearing(ears.clone()));
    let member = Arc::new(OnceLock::new());
    let telling =
        Telling { teller, member: Arc::clone(&member), has_news: true, was_cut_off: false, ears: ears.clone() };
    let node =
        Arc::new(Member { node: Node::start(log, config, telling), links, caught_up: watch::Sender::new(false) });
    // It is set once.
    let _ = member.set(Arc::downgrade(&node));
    let member = node;
    opened.join(Arc::clone(&member) as _);
    loop {
        match timeout(REMINDER, member.node.joined()).await {
            Ok(Ok(())) => {
                member.note_lives();
                if timeout(HEARING, member.catch_up(&ears)).await.is_err() {
                    tracing::error!(
                        "other nodes do not tell what is subscribed to and retained there: it is gone on without"
                    );
                }
                member.caught_up.send_replace(true);
                ears.settle_bans();
                ears.settle_homes().await;
                return Ok(());
            }
            Ok(Err(why)) => return Err(NoNode(why.to_string())),
            Err(_) => {
                let status = member.node.status();
                tracing::warn!(read = status.position, end = status.end, "waiting to be part of the cluster");
            }
        }
    }
}

impl Tell for Telling {
    fn tell(&mut self, position: u64, effect: Effect) {
        self.has_news |= matches!(effect, Effect::Joined { .. } | Effect::Gone { .. });
        if let Some(member) = self.member.get().and_then(Weak::upgrade) {
            match &effect {
                // What is retained here then may be older than what others have.
                Effect::Gone { node, .. } if node == member.node.name() => {
                    member.caught_up.send_replace(false);
                    self.ears.note_cut_off();
                    self.was_cut_off = true;
                }
                Effect::Joined { node, .. } if node == member.node.name() && std::mem::take(&mut self.was_cut_off) => {
                    let ears = self.ears.clone();
                    tokio::spawn(async move {
                        // What could not be heard in that time is gone on without.
                        let _ = timeout(HEARING, member.catch_up(&ears)).await;
                        member.caught_up.send_replace(true);
                        ears.settle_bans();
                        ears.settle_homes().await;
                    });
                }
                _ => {}
            }
        }
        self.teller.tell(position, effect);
    }

    fn flush(&mut self) {
        self.teller.flush();
    }

    fn told(&mut self, position: u64) {
        let Some(member) = self.member.get().and_then(Weak::upgrade) else { return };
        member.links.note_told(position);
        if std::mem::take(&mut self.has_news) {
            member.note_lives();
        }
    }

    fn missed(&mut self, from: u64, to: u64) {
        self.teller.missed(from, to);
    }
}

impl Member {
    /// Whom it can be spoken with, by what has been read.
    fn note_lives(&self) {
        let lives = self.node.look(|fold| {
            let own = fold.node(self.node.name()).filter(|own| own.is_live())?;
            let others = fold.nodes().filter(|node| node.is_live() && node.name != own.name);
            Some((own.epoch, others.map(|node| (node.name.clone(), node.epoch)).collect()))
        });
        self.links.note_lives(lives);
    }

    /// Waits until it is known what all other nodes want, they know what is wanted here, and all is here that is retained at those that
    /// were there before.
    async fn catch_up(&self, ears: &Ears) {
        let others = |fold: &mqtt_roll::Fold, is_meant: fn(u64, u64) -> bool| {
            let own = fold.node(self.node.name()).map_or(0, |own| own.epoch);
            let others = fold.nodes().filter(|node| node.is_live() && is_meant(node.epoch, own));
            others.map(|node| node.name.clone()).collect::<Vec<_>>()
        };
        while self.node.look(|fold| others(fold, |epoch, own| epoch != own)).iter().any(|name| !ears.knows(name)) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        ears.ask_for_retained(&self.node.look(|fold| others(fold, |epoch, own| epoch < own)));
        while !ears.knows_retained() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

impl Roll for Member {
    fn up(&self, up: Up) -> Option<Pin<Box<dyn Future<Output = bool> + Send>>> {
        let ticket = self.node.up(up).ok()?;
        Some(Box::pin(async { ticket.applied().await.is_ok() }))
    }

    fn catching_up(&self) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
        let mut caught_up = self.caught_up.subscribe();
        if *caught_up.borrow() {
            return None;
        }
        // Where it can't be told any more, the node is gone, and so is who waits.
        Some(Box::pin(async move { drop(caught_up.wait_for(|caught_up| *caught_up).await) }))
    }

    fn down(&self, down: Down) {
        self.node.down(down);
    }

    fn seat(&self, client: &str, conn: u64) -> Option<Seated> {
        self.node.seat(client, conn).map(|(seq, at)| Seated { seq, at })
    }

    fn elsewhere(&self, client: &str) -> Option<(ByteString, u64)> {
        self.node.look(|fold| {
            let client = fold.client(client).filter(|client| client.node.name != *self.node.name())?;
            Some((client.node.name.clone(), client.conn))
        })
    }

    fn references(&self) -> Vec<(ByteString, ByteString)> {
        self.node.look(|fold| {
            let others = fold.nodes().filter(|node| node.is_live() && node.name != *self.node.name());
            let others = others.filter(|node| !node.addr.is_empty());
            others.map(|node| (node.name.clone(), node.addr.clone())).collect()
        })
    }

    fn kick(&self, client: &str) -> bool {
        let Some((_, conn)) = self.elsewhere(client) else { return false };
        // Told by the one, and taken back by the other, so that nothing of it stays.
        [Some(write_kick(client, conn)), None]
            .into_iter()
            .all(|value| self.node.stage(&Record::Setting { key: KICK.into(), value }).is_ok())
    }

    fn will_is_due(&self, client: ByteString, event: u64) {
        // Where it is not taken, another node says it.
        drop(self.node.stage(&Record::WillDue { client, event }));
    }

    fn home(&self, client: &str) -> Option<Home> {
        self.node.look(|fold| {
            let home = fold.home(client)?;
            Some(match (home.name == *self.node.name(), home.is_live()) {
                (true, _) => Home::Here,
                (false, true) => Home::At(home.name.clone()),
                (false, false) => Home::Down(home.name.clone()),
            })
        })
    }

    fn take_home(&self, client: ByteString) -> Option<Pin<Box<dyn Future<Output = bool> + Send>>> {
        let ticket = self.node.stage(&Record::Home { client, is_here: true }).ok()?;
        Some(Box::pin(async { ticket.applied().await.is_ok() }))
    }

    fn give_up_home(&self, client: &str) {
        // Where it is not taken, it is found when this node joins again.
        if self.home(client) == Some(Home::Here) {
            drop(self.node.stage(&Record::Home { client: client.into(), is_here: false }));
        }
    }

    fn forget(&self, node: &str) -> Option<Pin<Box<dyn Future<Output = bool> + Send>>> {
        let ticket = self.node.stage(&Record::Forget { node: node.into() }).ok()?;
        Some(Box::pin(async { ticket.applied().await.is_ok() }))
    }

    fn homes_here(&self) -> Vec<ByteString> {
        self.node.look(|fold| fold.homes_at(self.node.name()).map(ByteString::from).collect())
    }

    fn is_first(&self) -> bool {
        self.node.look(|fold| fold.first().is_some_and(|first| first.name == *self.node.name()))
    }

    fn waiting_wills(&self) -> Vec<(ByteString, u64, u64)> {
        self.node.look(|fold| fold.waiting_wills().map(|(id, event, due)| (id.into(), event, due)).collect())
    }

    fn leave(&self, reason: Bytes) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let ticket = self.node.stage(&Record::Left { reason });
        let end_links = self.links.end();
        Box::pin(async {
            if let Ok(ticket) = ticket {
                // An error says that the node was cut off before.
                let _ = ticket.applied().await;
            }
            // They hold the broker, which holds them.
            end_links();
        })
    }

    fn set(&self, key: ByteString, value: Option<Bytes>) -> Result<(), String> {
        let size = key.len() + value.as_ref().map_or(0, Bytes::len);
        let held = || self.node.look(|fold| fold.settings().map(|(key, value)| key.len() + value.len()).sum::<usize>());
        // What does not fit is ignored by all, without a word.
        if value.is_some() && (size > MAX_SETTING || held() + size > MAX_SETTINGS) {
            return Err("what holds in all the cluster is too long".to_owned());
        }
        self.node.stage(&Record::Setting { key, value }).map(drop).map_err(|why| why.to_string())
    }

    fn settings(&self, prefix: &str) -> Vec<(ByteString, Bytes)> {
        self.node.look(|fold| {
            let all = fold.settings().filter(|(key, _)| key.starts_with(prefix));
            all.map(|(key, value)| (key.into(), value.clone())).collect()
        })
    }

    fn state(&self) -> ClusterState {
        let status = self.node.status();
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
                    sessions: node.sessions,
                    reference: node.addr.to_string(),
                    is_draining: false,
                })
                .collect(),
        }
    }
}
