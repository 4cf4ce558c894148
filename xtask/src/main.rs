//! The project's chores: `cargo xtask ci`, `bench`, `crash`, `attack`, `cluster` and `dist`.
#![expect(clippy::print_stdout, reason = "a command line program talks to its terminal")]

mod attack;
mod bench;
mod broker;
mod certificate;
mod ci;
mod cluster;
mod crash;
mod dist;
mod shell;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's chores")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Everything a change must pass
    Ci(ci::Args),
    /// Measures rollcall beside Debian's mosquitto
    Bench(bench::Args),
    /// Kills the broker again and again, and looks what became of its promises
    Crash(crash::Args),
    /// Keeps the broker under a load of all kinds for hours, and watches its memory too
    Soak(crash::SoakArgs),
    /// Makes what is given to others: an archive, a Debian package, checksums, a bill of materials
    Dist(dist::Args),
    /// Starts three nodes and three nats-servers on loopback, and shows what each tells
    Cluster(cluster::Args),
    /// Lets clients loose that mean harm, and looks what others see of it
    Attack(attack::Args),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Ci(args) => ci::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Crash(args) => crash::run(&args),
        Command::Soak(args) => crash::soak(&args),
        Command::Dist(args) => dist::run(&args),
        Command::Cluster(args) => cluster::run(&args),
        Command::Attack(args) => attack::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why:#}");
            ExitCode::FAILURE
        }
    }
}
