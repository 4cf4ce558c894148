//! `cargo xtask dist`: what is given to others, with checksums and a list of what is in it.

mod bill;
mod debian;
mod files;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::shell::{cargo, command, find, output, root, run as run_command, target};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where to put it
    #[arg(long, value_name = "DIR", default_value = "target/dist")]
    out: PathBuf,
    /// The profile to build with
    #[arg(long, value_name = "PROFILE", default_value = "dist")]
    profile: String,
}

/// What is made.
pub(crate) struct Made {
    /// All of it in a folder of that name.
    pub(crate) archive: PathBuf,
    /// `None`: there is no dpkg-deb here.
    pub(crate) package: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let out = root().join(&args.out);
    make(&args.profile, &out)?;
    println!("all of it is in {}", args.out.display());
    Ok(())
}

/// Builds the program, and makes everything of it.
pub(crate) fn make(profile: &str, out: &Path) -> Result<Made> {
    run_command(cargo().args(["build", "--locked", "--package", "server", "--profile", profile]))?;
    let program = target().join(profile).join("rollcall");
    // What an earlier run has left would be in the checksums.
    if out.exists() {
        std::fs::remove_dir_all(out).with_context(|| format!("{}", out.display()))?;
    }
    let stage = out.join("stage");
    files::stage(&program, &stage)?;
    let name = format!("rollcall-{}-{}", version(), machine()?);
    let archive = out.join(format!("{name}.tar.gz"));
    run_command(
        command("tar")
            .args(["--create", "--gzip", "--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--file"])
            .arg(&archive)
            .arg("--directory")
            .arg(&stage)
            .arg(format!("--transform=s,^\\.,{name},"))
            .arg("."),
    )?;
    let package = match find("dpkg-deb") {
        Some(_) => Some(debian::package(&program, &stage, out)?),
        None => {
            println!("no Debian package is made: dpkg-deb is missing");
            None
        }
    };
    std::fs::write(out.join(format!("{name}.cdx.json")), bill::of_materials()?)?;
    std::fs::remove_dir_all(&stage)?;
    checksums(out)?;
    Ok(Made { archive, package })
}

/// As `sha256sum --check SHA256SUMS` reads it.
fn checksums(out: &Path) -> Result<()> {
    let mut names: Vec<_> =
        std::fs::read_dir(out)?.map(|entry| Ok(entry?.file_name())).collect::<Result<_, std::io::Error>>()?;
    names.sort();
    let sums = output(command("sha256sum").current_dir(out).arg("--").args(&names))?;
    ensure!(sums.lines().count() == names.len(), "sha256sum has left something out");
    std::fs::write(out.join("SHA256SUMS"), sums)?;
    Ok(())
}

/// Of the workspace, and so of this program.
const fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// As `uname` calls it.
fn machine() -> Result<String> {
    Ok(output(command("uname").args(["-s", "-m"]))?.trim().to_lowercase().replace(' ', "-"))
}
