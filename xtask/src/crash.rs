//! `cargo xtask crash`: kills the release binary again and again, and looks what became of its promises.

use anyhow::{Result, bail};

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

impl Args {
    pub(crate) const fn new(rounds: u32, cluster: bool) -> Self {
        Self { rounds, seed: None, cluster, settings: Vec::new() }
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
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
    if let Some(seed) = args.seed {
        crash.args(["--seed", &seed.to_string()]);
    }
    for setting in &args.settings {
        crash.args(["--set", setting]);
    }
    run_command(&mut crash)
}
