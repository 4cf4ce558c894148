//! The release binary, killed a few times; `cargo xtask crash` does it for longer.

use anyhow::Result;

use super::{Args, Outcome};
use crate::crash;

const ROUNDS: u32 = 5;

pub(super) fn run(_: &Args) -> Result<Outcome> {
    crash::run(&crash::Args::new(ROUNDS, false))?;
    Ok(Outcome::Passed)
}
