//! `load --addr HOST:PORT --pid PID --case NAME`: runs one case against a broker and prints its outcome as JSON.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::net::SocketAddr;

use anyhow::Result;
use benches::case::{CASES, Case};
use clap::Parser;

#[derive(Parser)]
#[command(about = "Runs one case against an MQTT broker on this machine and prints its outcome as JSON")]
struct Args {
    /// Where the broker listens; on loopback only
    #[arg(long, required_unless_present = "list")]
    addr: Option<SocketAddr>,
    /// The broker's process
    #[arg(long, required_unless_present = "list")]
    pid: Option<u32>,
    /// Which case
    #[arg(long, required_unless_present = "list")]
    case: Option<String>,
    /// Print the cases: name, unit and what it does, with tabs between
    #[arg(long)]
    list: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    if args.list {
        for case in CASES {
            println!("{}\t{}\t{}", case.name, case.unit, case.what);
        }
        return Ok(());
    }
    let (Some(addr), Some(pid), Some(case)) = (args.addr, args.pid, args.case) else { return Ok(()) };
    anyhow::ensure!(addr.ip().is_loopback(), "{addr} is not on this machine");
    let outcome = Case::named(&case)?.run(addr, pid)?;
    println!("{}", serde_json::to_string(&outcome)?);
    Ok(())
}
