//! `scale --sessions N`: what a session, a connection, a connect, a publish and a presence event cost when there are
//! so many, as JSON.
//!
//! The broker runs in this process and its clients are connected in memory: a process may have fewer open files than
//! it can have sessions. The clients' own work is done by one thread, whose CPU time is taken off.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use anyhow::{Result, ensure};
use benches::clients::{AT_ONCE, Clients, Watcher};
use benches::process::{cpu_ns, resident, thread_cpu_ns};
use clap::Parser;

use mimalloc::MiMalloc;
use mqtt_config::Config;
use rollcall::Pipe;
use serde::Serialize;

/// As in the broker's own program.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Sessions that come and go, and messages that are published, while it is measured.
const MEASURED: usize = 200_000;

#[derive(Parser)]
#[command(about = "Measures the broker with so many sessions, connected in memory, and prints the outcome as JSON")]
struct Args {
    /// How many sessions
    #[arg(long)]
    sessions: usize,
}

/// Bytes are of resident memory, microseconds of the broker's CPU time.
#[derive(Debug, Serialize)]
struct Outcome {
    sessions: usize,
    /// A kept session with one subscription whose client is away.
    session_bytes: f64,
    /// A connection, beyond its session and its pipe.
    connection_bytes: f64,
    /// The pipe that stands for a socket.
    pipe_bytes: f64,
    /// A new client connects, subscribes and leaves, while the sessions grow to so many.
    create_us: f64,
    /// One of the sessions' clients connects and leaves, while the others are away.
    connect_us: f64,
    /// The same with a watcher, who gets both events.
    presence_us: f64,
    /// A message to one of the sessions, all of them online.
    publish_us: f64,
}

fn main() -> Result<()> {
    let args = Args::parse();
    ensure!(args.sessions >= AT_ONCE, "--sessions {AT_ONCE} is the least");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(measure(args.sessions))?;
    println!("{}", serde_json::to_string(&outcome)?);
    // Taking down so many connections tells nothing more.
    std::process::exit(0);
}

async fn measure(sessions: usize) -> Result<Outcome> {
    let server = rollcall::start(config(sessions)).await?;
    let mut clients = Clients::new(&server, sessions);
    // What the first clients bring about for all that follow.
    clients.visit_new(1000).await?;
    let empty = memory()?;
    let create_us = cost(sessions, clients.create()).await?;
    let offline = memory()?;
    let connect_us = cost(MEASURED, clients.visit(MEASURED, None)).await?;
    let mut watcher = Watcher::start(&server).await?;
    let presence_us = cost(MEASURED, clients.visit(MEASURED, Some(&mut watcher))).await?;
    drop(watcher);
    let before = memory()?;
    clients.come_online().await?;
    let online = memory()?;
    let publish_us = cost(MEASURED, clients.publish(MEASURED)).await?;
    let full = memory()?;
    // A few would fit into what was free before.
    let count = sessions.max(100_000);
    let pipes: Vec<_> = (0..count).map(|_| Pipe::pair().0).collect();
    let pipe_bytes = (memory()? - full) / count as f64;
    drop(pipes);
    Ok(Outcome {
        sessions,
        session_bytes: (offline - empty) / sessions as f64,
        connection_bytes: (online - before) / sessions as f64 - pipe_bytes,
        pipe_bytes,
        create_us,
        connect_us,
        presence_us,
        publish_us,
    })
}

fn config(sessions: usize) -> Config {
    // Kept in memory, like the cases of the load driver.
    let mut config = Config { data_dir: None, ..Config::default() };
    config.use_free_ports();
    config.admin.bind = None;
    config.mqtt.max_connections = sessions + 1000;
    config.limits.memory = Some(usize::MAX);
    config
}

/// Microseconds of CPU that other threads spend on each of `count` while `work` is done.
async fn cost(count: usize, work: impl Future<Output = Result<()>>) -> Result<f64> {
    let others = || anyhow::Ok(cpu_ns(std::process::id())? - thread_cpu_ns()?);
    let before = others()?;
    work.await?;
    Ok((others()? - before) as f64 / 1000.0 / count as f64)
}

/// Once nothing moves any more.
fn memory() -> Result<f64> {
    std::thread::sleep(std::time::Duration::from_millis(700));
    Ok(resident(std::process::id())? as f64)
}
