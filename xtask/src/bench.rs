//! `cargo xtask bench`: rollcall beside Debian's mosquitto.

use anyhow::{Result, bail};

#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args) -> Result<()> {
    bail!("not yet")
}
