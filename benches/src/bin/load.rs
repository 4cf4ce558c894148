//! `load --addr HOST:PORT --pid PID --case NAME`: runs one case against a broker and prints its outcome as JSON.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;
use benches::case::{CASES, Case};
use benches::door::Door;
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
    /// The broker's certificate, for cases over TLS
    #[arg(long)]
    certificate: Option<PathBuf>,
    /// Print the cases: name, unit, kind of listener and what it does, with tabs between
    #[arg(long)]
    list: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    if args.list {
        for case in CASES {
            println!("{}\t{}\t{}\t{}", case.name, case.unit, case.over.name(), case.what);
        }
        return Ok(());
    }
    let (Some(addr), Some(pid), Some(case)) = (args.addr, args.pid, args.case) else { return Ok(()) };
    anyhow::ensure!(addr.ip().is_loopback(), "{addr} is not on this machine");
    let case = Case::named(&case)?;
    let door = Door::new(addr, case.over, args.certificate.as_deref())?;
    let outcome = case.run(&door, pid)?;
    println!("{}", serde_json::to_string(&outcome)?);
    Ok(())
}
