//! The project's chores: `cargo xtask ci`, `cargo xtask bench` and `cargo xtask crash`.
#![expect(clippy::print_stdout, reason = "a command line program talks to its terminal")]

mod bench;
mod broker;
mod ci;
mod crash;
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
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Ci(args) => ci::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Crash(args) => crash::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why:#}");
            ExitCode::FAILURE
        }
    }
}
