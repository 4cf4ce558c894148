//! `fill --data-dir DIR --sessions N --messages M`: a folder with so many kept sessions and messages for each, made by
//! the broker, in this process. `fill --data-dir DIR --expire-in SECONDS`: all of them end at one moment.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use benches::clients::Clients;
use clap::Parser;
use mimalloc::MiMalloc;
use mqtt_config::Config;
use mqtt_storage::{Disk, Durability, Journal, Loaded, Store};

/// As in the broker's own program.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[derive(Parser)]
#[command(about = "Makes a folder with kept sessions and messages for a broker to start with")]
struct Args {
    /// The folder
    #[arg(long)]
    data_dir: PathBuf,
    /// Sessions to begin, with one subscription each
    #[arg(long, default_value_t = 0)]
    sessions: usize,
    /// Messages for each of them
    #[arg(long, default_value_t = 0)]
    messages: usize,
    /// Afterwards, let every session that is there end so many seconds from then
    #[arg(long)]
    expire_in: Option<u64>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    if args.sessions > 0 {
        // Ends with all that has the folder open.
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(fill(&args))?;
    }
    args.expire_in.map_or(Ok(()), |seconds| expire(&args, Duration::from_secs(seconds)))
}

async fn fill(args: &Args) -> Result<()> {
    let mut config = Config { data_dir: Some(args.data_dir.clone()), ..Config::default() };
    config.use_free_ports();
    config.admin.bind = None;
    config.limits.memory = Some(usize::MAX);
    let server = rollcall::start(config).await?;
    let mut clients = Clients::new(&server, args.sessions);
    clients.create().await?;
    clients.queue(args.messages).await?;
    server.shutdown().await;
    Ok(())
}

/// In the store, for waiting until so many have come and gone would leave their ends as far apart.
fn expire(args: &Args, after: Duration) -> Result<()> {
    let at = (SystemTime::now().duration_since(UNIX_EPOCH)? + after).as_millis() as u64;
    let store: Arc<dyn Store> = Arc::new(Disk::open(&args.data_dir, Durability::Process)?);
    let loaded = Loaded::read(&*store)?;
    let journal = Journal::new(store, loaded.last_message);
    for mut session in loaded.sessions {
        session.record.expires_at = Some(at);
        journal.stage(|stage| stage.put_session(session.number, &session.record));
    }
    journal.retry()?;
    Ok(())
}
