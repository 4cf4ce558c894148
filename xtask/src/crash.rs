//! `cargo xtask crash`: kills the release binary again and again, and looks what became of its promises.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::broker::build;
use crate::cluster::SERVER;
use crate::shell::{cargo, command, python, run as run_command, target};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How often the broker is killed, or harmed in another way
    #[arg(long, value_name = "N", default_value_t = 50)]
    rounds: u32,
    /// Repeats the choices of an earlier run, though not its timing
    #[arg(long)]
    seed: Option<u64>,
    /// Three brokers as one cluster on three nats-servers; each round does something else to them or to those
    #[arg(long)]
    cluster: bool,
    /// More settings of the broker (may be repeated)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
}

/// One life of the broker.
const LIFE: Duration = Duration::from_secs(300);

#[derive(clap::Args)]
pub(crate) struct SoakArgs {
    /// How long all of it takes; a fraction will do
    #[arg(long, value_name = "N", default_value_t = 1.0)]
    hours: f64,
}

/// All kinds of clients for hours, the configuration read anew every few seconds, and the broker killed every five minutes.
pub(crate) fn soak(args: &SoakArgs) -> Result<()> {
    let all = Duration::try_from_secs_f64(args.hours * 3600.0).context("--hours N is a number above 0")?;
    if all.is_zero() {
        bail!("--hours 0 shows nothing");
    }
    let rounds = all.as_secs().div_ceil(LIFE.as_secs()).max(1) as u32;
    let life = all / rounds;
    run_lives(&Args::new(rounds, false), Some(life))
}

impl Args {
    pub(crate) const fn new(rounds: u32, cluster: bool) -> Self {
        Self { rounds, seed: None, cluster, settings: Vec::new() }
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    run_lives(args, None)
}

fn run_lives(args: &Args, life: Option<Duration>) -> Result<()> {
    if args.rounds == 0 {
        bail!("--rounds 0 shows nothing");
    }
    let program = build()?;
    run_command(cargo().args(["build", "--release", "--package", "tests", "--bin", "crash"]))?;
    let mut crash = command(target().join("release/crash"));
    crash.arg("--program").arg(program).args(["--rounds", &args.rounds.to_string()]);
    if args.cluster {
        crash.arg("--nats-server").arg(python(&[SERVER])?.join("nats-server"));
    }
    if let Some(life) = life {
        crash.args(["--life", &life.as_secs().max(1).to_string()]);
    }
    if let Some(seed) = args.seed {
        crash.args(["--seed", &seed.to_string()]);
    }
    for setting in &args.settings {
        crash.args(["--set", setting]);
    }
    run_command(&mut crash)
}
