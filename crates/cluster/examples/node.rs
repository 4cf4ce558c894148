//! A node on NATS, told by lines on stdin and telling by lines on stdout.
//!
//! ```text
//! $ cargo run -p mqtt-cluster --example node -- attic nats://127.0.0.1:4222
//! joined attic
//! up anna
//! 1 +anna attic
//! up anna: seated after 612µs
//! down anna
//! 2 -anna attic normal
//! ```
//!
//! Other lines: `status`, `leave`. Environment: `UNSAFE=1` takes any server, `REPLICAS=1` makes a stream of one,
//! `MONITORS=host:port,..` has the servers' settings checked, `LOG_BYTES` bounds the log, `KEEP_EVERY` is after how many bytes of it
//! what it comes to is kept.

use std::collections::HashMap;
use std::env::var;
use std::fmt::Display;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mqtt_cluster::nats::{NatsConfig, NatsLog};
use mqtt_cluster::{Config, Node};
use mqtt_roll::{Connected, Disconnected, Down, Effect, Reason, Up};
use tokio::io::{AsyncBufReadExt, BufReader};

fn say(line: impl Display) {
    let mut out = std::io::stdout().lock();
    // Who does not listen any more is not told.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn tell(_position: u64, effect: Effect) {
    match effect {
        Effect::Connected(Connected { event, client, node, .. }) => say(format_args!("{event} +{client} {node}")),
        Effect::Disconnected(Disconnected { event, client, node, reason, .. }) => {
            let reason = match &reason {
                Reason::Said(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                Reason::TakenOver => "takeovered".into(),
                Reason::Discarded => "discarded".into(),
                Reason::NodeDown => "node_down".into(),
            };
            say(format_args!("{event} -{client} {node} {reason}"));
        }
        Effect::Joined { node, .. } => say(format_args!("joined {node}")),
        Effect::Gone { node, end, .. } => say(format_args!("gone {node} {end:?}")),
        other => say(format_args!("{other:?}")),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().ok_or("who is this?")?;
    let mut config = NatsConfig::new("example", arguments.collect());
    config.is_unsafe = var("UNSAFE").is_ok();
    config.replicas = var("REPLICAS").map_or(Ok(3), |replicas| replicas.parse())?;
    config.monitors = var("MONITORS").map_or(Vec::new(), |list| list.split(',').map(Into::into).collect());
    config.max_bytes = var("LOG_BYTES").map_or(Ok(config.max_bytes), |bytes| bytes.parse())?;
    let mut own = Config::new(name);
    own.snapshot_every = var("KEEP_EVERY").map_or(Ok(own.snapshot_every), |bytes| bytes.parse())?;
    let log = NatsLog::connect(&config).await?;
    let node = Arc::new(Node::start(log, own, tell));
    node.joined().await?;

    let mut conns = HashMap::new();
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    for conn in 1.. {
        let Some(line) = lines.next_line().await? else { break };
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("up", client) => {
                conns.insert(client.to_owned(), conn);
                let (node, client) = (Arc::clone(&node), client.to_owned());
                tokio::spawn(async move { say(up(&node, &client, conn).await) });
            }
            ("down", client) => node.down(Down {
                client: client.into(),
                conn: conns.remove(client).unwrap_or_default(),
                at: 0,
                with_will: false,
                reason: Bytes::from_static(b"normal"),
            }),
            ("status", _) => {
                let status = node.status();
                say(format_args!("{:?} {} {} fenced {}", status.phase, status.position, status.digest, status.fenced));
            }
            _ => break,
        }
    }
    let node = Arc::into_inner(node).ok_or("somebody is on the way")?;
    let has_left = node.leave(Bytes::from_static(b"server_shutting_down"), Duration::from_secs(5)).await;
    say(if has_left { "left" } else { "could not leave" });
    Ok(())
}

async fn up(node: &Node, client: &str, conn: u64) -> String {
    let began = Instant::now();
    let up = Up { client: client.into(), conn, is_clean: false, is_kept: false, at: 0, info: Bytes::new(), will: None };
    let ticket = match node.up(up) {
        Ok(ticket) => ticket,
        Err(why) => return format!("up {client}: {why}"),
    };
    match ticket.applied().await {
        Err(why) => format!("up {client}: {why}"),
        Ok(()) if node.is_seated(client, conn) => {
            format!("up {client}: seated after {:?}", began.elapsed())
        }
        Ok(()) => format!("up {client}: taken over already"),
    }
}
