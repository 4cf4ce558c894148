//! `cargo xtask ci`: everything a change must pass, step by step; the first failure ends it.

mod browser;
mod clients;
mod cluster;
mod crash;
mod deny;
mod edges;
mod folders;
mod fuzz;
mod package;
mod publish;
mod words;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::shell::{cargo, debian, run as run_command};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run only this step (may be repeated)
    #[arg(long, value_name = "STEP")]
    only: Vec<String>,
    /// Leave this step out (may be repeated)
    #[arg(long, value_name = "STEP")]
    skip: Vec<String>,
    /// Only what takes a minute or two: fmt, clippy, edges and the unit tests
    #[arg(long, conflicts_with_all = ["only", "skip"])]
    quick: bool,
    /// List the steps and end
    #[arg(long)]
    list: bool,
    /// How long each fuzz target runs
    #[arg(long, value_name = "N", default_value_t = 30)]
    fuzz_seconds: u32,
}

struct Step {
    name: &'static str,
    about: &'static str,
    /// Part of `--quick`.
    is_quick: bool,
    run: fn(&Args) -> Result<Outcome>,
}

enum Outcome {
    Passed,
    Skipped(String),
}

const STEPS: &[Step] = &[
    Step { name: "fmt", about: "rustfmt leaves every file as it is", is_quick: true, run: fmt },
    Step { name: "clippy", about: "no warning in any target", is_quick: true, run: clippy },
    Step { name: "doc", about: "the documentation builds without warnings", is_quick: false, run: doc },
    Step { name: "deny", about: "licences, bans and sources of all dependencies", is_quick: false, run: deny::run },
    Step {
        name: "edges",
        about: "crates and folders depend only on what the architecture allows",
        is_quick: true,
        run: edges::run,
    },
    Step { name: "test", about: "unit, property, documentation and integration tests", is_quick: true, run: test },
    Step {
        name: "clients",
        about: "mosquitto, paho, MQTT.js, requests and schemathesis against the release binary",
        is_quick: false,
        run: clients::run,
    },
    Step {
        name: "publish",
        about: "the crates that are of use alone are packed as a registry would get them",
        is_quick: false,
        run: publish::run,
    },
    Step {
        name: "package",
        about: "the archive and the Debian package, installed where this machine lets it",
        is_quick: false,
        run: package::run,
    },
    Step {
        name: "browser",
        about: "the dashboard in headless Chromium, where it is at hand",
        is_quick: false,
        run: browser::run,
    },
    Step {
        name: "cluster",
        about: "three nodes on three nats-servers, which are killed and stopped: all are told the same",
        is_quick: false,
        run: cluster::run,
    },
    Step { name: "crash", about: "five rounds of kill -9: no promise is broken", is_quick: false, run: crash::run },
    Step {
        name: "attack",
        about: "the short form of every attack: others are served, and nothing grows without a bound",
        is_quick: false,
        run: attack,
    },
    Step {
        name: "fuzz",
        about: "each fuzz target for a while, where nightly is at hand",
        is_quick: false,
        run: fuzz::run,
    },
];

pub(crate) fn run(args: &Args) -> Result<()> {
    if args.list {
        for step in STEPS {
            println!("{:8} {}", step.name, step.about);
        }
        return Ok(());
    }
    if let Some(unknown) = args.only.iter().chain(&args.skip).find(|name| STEPS.iter().all(|step| step.name != **name))
    {
        bail!("no step is called {unknown}; `cargo xtask ci --list` names them");
    }
    let start = Instant::now();
    let mut table = Vec::new();
    for step in STEPS {
        let wanted = match &args.only[..] {
            [] => step.is_quick || !args.quick,
            only => only.iter().any(|name| name == step.name),
        };
        if !wanted || args.skip.iter().any(|name| name == step.name) {
            continue;
        }
        println!("\n=== {}: {}", step.name, step.about);
        let began = Instant::now();
        let outcome = (step.run)(args).with_context(|| format!("step {} failed", step.name))?;
        let line = match outcome {
            Outcome::Passed => format!("{:8} ok       {}", step.name, seconds(began.elapsed())),
            Outcome::Skipped(why) => format!("{:8} skipped  {} ({why})", step.name, seconds(began.elapsed())),
        };
        println!("=== {line}");
        table.push(line);
    }
    println!("\n{}\nall in {}", table.join("\n"), seconds(start.elapsed()));
    Ok(())
}

fn fmt(_: &Args) -> Result<Outcome> {
    run_command(cargo().args(["fmt", "--all", "--check"]))?;
    Ok(Outcome::Passed)
}

fn clippy(_: &Args) -> Result<Outcome> {
    run_command(cargo().args(["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"]))?;
    Ok(Outcome::Passed)
}

fn doc(_: &Args) -> Result<Outcome> {
    run_command(
        cargo().args(["doc", "--no-deps", "--workspace", "--all-features"]).env("RUSTDOCFLAGS", "-D warnings"),
    )?;
    Ok(Outcome::Passed)
}

fn test(args: &Args) -> Result<Outcome> {
    if args.quick {
        run_command(cargo().args(["test", "--workspace", "--all-features", "--lib", "--bins"]))?;
        return Ok(Outcome::Passed);
    }
    if let Err(why) = debian("faketime", "faketime") {
        println!("no test moves the system clock: {why:#}");
    }
    run_command(cargo().args(["test", "--workspace", "--all-features"]))?;
    Ok(Outcome::Passed)
}

fn attack(_: &Args) -> Result<Outcome> {
    crate::attack::quick()?;
    Ok(Outcome::Passed)
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
