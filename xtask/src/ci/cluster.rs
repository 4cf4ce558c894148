//! Nodes of a cluster on three nats-servers, killed and stopped: `crates/cluster/tests/nats.rs`; and brokers as such nodes,
//! harmed in a few ways; `cargo xtask crash --cluster` does it in more.

use anyhow::Result;

use super::{Args, Outcome};
use crate::cluster::{self, SERVER};
use crate::crash;
use crate::shell::{cargo, python, run as run_command};

/// The first three kinds of harm.
const ROUNDS: u32 = 3;

pub(super) fn run(_: &Args) -> Result<Outcome> {
    let server = python(&[SERVER])?.join("nats-server");
    run_command(cargo().args(["build", "--package", "mqtt-cluster", "--example", "node"]))?;
    run_command(
        cargo()
            .args(["test", "--package", "mqtt-cluster", "--test", "nats", "--", "--nocapture"])
            .env("ROLLCALL_NATS_SERVER", &server),
    )?;
    // Events for a stream that is not the cluster's.
    run_command(
        cargo()
            .args(["test", "--package", "tests", "--test", "it", "--", "sinks_nats::"])
            .env("ROLLCALL_NATS_SERVER", &server),
    )?;
    // Brokers that agree so, as users start them.
    cluster::run(&cluster::Args { nodes: 3, release: false, check: true })?;
    // Killed, cut off, and with the log's leader gone, all in a storm of clients.
    crash::run(&crash::Args::new(ROUNDS, true))?;
    // What a broker promises it also promises as a node.
    run_command(
        cargo()
            .args(["test", "--package", "tests", "--test", "it", "--", "presence", "takeover", "will::"])
            .env("ROLLCALL_TEST_CLUSTER", "alone"),
    )?;
    Ok(Outcome::Passed)
}
