//! Who may depend on whom.

use std::collections::HashMap;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::{Args, Outcome, folders, words};
use crate::shell::{cargo, output, root};

/// What each crate may use of this workspace. A crate that is not listed is refused: it needs a line here.
const EDGES: &[(&str, &[&str])] = &[
    ("mqtt-codec", &[]),
    ("mqtt-session", &["mqtt-codec"]),
    ("mqtt-router", &["mqtt-codec"]),
    ("mqtt-storage", &["mqtt-codec", "mqtt-session"]),
    ("mqtt-roll", &[]),
    ("mqtt-cluster", &["mqtt-roll"]),
    ("mqtt-hooks", &["mqtt-codec"]),
    ("mqtt-fetch", &[]),
    ("mqtt-jetstream", &[]),
    // Of the last one only what is said to it, unless who builds it wants the client of NATS: that brings 50 crates along.
    ("mqtt-modules", &["mqtt-codec", "mqtt-fetch", "mqtt-hooks", "mqtt-jetstream"]),
    ("mqtt-auth", &["mqtt-codec", "mqtt-fetch", "mqtt-hooks"]),
    ("mqtt-bridge", &["mqtt-codec", "mqtt-fetch", "mqtt-hooks"]),
    ("mqtt-operate", &["mqtt-codec"]),
    ("mqtt-admin", &["mqtt-codec", "mqtt-hooks", "mqtt-operate"]),
    ("mqtt-config", &["mqtt-auth", "mqtt-hooks", "mqtt-net", "mqtt-operate"]),
    ("mqtt-migrate", &["mqtt-auth"]),
    ("mqtt-cli", &["mqtt-admin", "mqtt-codec", "mqtt-config", "mqtt-migrate", "mqtt-session", "mqtt-storage"]),
    ("mqtt-net", &[]),
    ("mqtt-process", &[]),
    (
        "mqtt-broker",
        &[
            "mqtt-codec",
            "mqtt-session",
            "mqtt-router",
            "mqtt-storage",
            "mqtt-hooks",
            "mqtt-operate",
            "mqtt-net",
            "mqtt-roll",
        ],
    ),
    ("mqtt-member", &["mqtt-broker", "mqtt-cluster", "mqtt-config", "mqtt-fetch", "mqtt-operate", "mqtt-roll"]),
    (
        "server",
        &[
            "mqtt-storage",
            "mqtt-hooks",
            "mqtt-modules",
            "mqtt-auth",
            "mqtt-bridge",
            "mqtt-operate",
            "mqtt-net",
            "mqtt-process",
            "mqtt-broker",
            "mqtt-admin",
            "mqtt-config",
            "mqtt-cli",
            "mqtt-cluster",
            "mqtt-member",
        ],
    ),
];

/// These see no sockets, so no runtime may come in with any dependency of theirs.
const SANS_IO: &[&str] = &["mqtt-codec", "mqtt-session", "mqtt-router", "mqtt-roll"];
const RUNTIMES: &[&str] = &["tokio", "tokio-util", "mio", "async-std", "smol", "async-io"];

/// The codec's optional adapter for tokio's framing: off by default and the only exception.
const EXCEPTION: (&str, &str) = ("mqtt-codec", "tokio-util");

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: String,
    dependencies: Vec<Dependency>,
    features: HashMap<String, Vec<String>>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
    path: Option<String>,
}

pub(super) fn run(_: &Args) -> Result<Outcome> {
    let metadata = output(cargo().args(["metadata", "--format-version", "1", "--no-deps"]))?;
    let metadata: Metadata = serde_json::from_str(&metadata)?;
    let crates = root().join("crates").to_string_lossy().into_owned();
    let mut faults = Vec::new();
    for package in metadata.packages.iter().filter(|package| package.manifest_path.starts_with(&crates)) {
        check_edges(package, &mut faults);
    }
    for name in SANS_IO {
        let package = metadata.packages.iter().find(|package| package.name == *name);
        let package = package.with_context(|| format!("{name} is not in the workspace"))?;
        check_runtimes(package, &mut faults)?;
    }
    folders::check(&mut faults)?;
    words::check(&mut faults)?;
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    println!(
        "{} crates, no edge too many, also between folders of the broker, and no module known by its name",
        metadata.packages.len()
    );
    Ok(Outcome::Passed)
}

fn check_edges(package: &Package, faults: &mut Vec<String>) {
    let Some((_, allowed)) = EDGES.iter().find(|(name, _)| *name == package.name) else {
        faults.push(format!("{} is new: say in xtask/src/ci/edges.rs what it may depend on", package.name));
        return;
    };
    // Development dependencies count too: a crate whose tests need a broker is not usable alone.
    for dependency in package.dependencies.iter().filter(|dependency| dependency.path.is_some()) {
        if !allowed.contains(&dependency.name.as_str()) {
            let kind = dependency.kind.as_deref().unwrap_or("normal");
            faults.push(format!("{} must not depend on {} ({kind})", package.name, dependency.name));
        }
    }
}

fn check_runtimes(package: &Package, faults: &mut Vec<String>) -> Result<()> {
    let mut check = |feature: Option<&str>| -> Result<()> {
        if feature.is_some_and(|feature| EXCEPTION == (package.name.as_str(), feature)) {
            return Ok(());
        }
        let mut tree = cargo();
        tree.args(["tree", "--package", &package.name, "--edges", "normal", "--prefix", "none", "--format", "{p}"]);
        if let Some(feature) = feature {
            tree.args(["--features", feature]);
        }
        for line in output(&mut tree)?.lines() {
            let name = line.split(' ').next().unwrap_or_default();
            if RUNTIMES.contains(&name) {
                let with = feature.map(|feature| format!(" with its feature {feature}")).unwrap_or_default();
                faults.push(format!("{}{with} has {name} in its dependency tree", package.name));
            }
        }
        Ok(())
    };
    check(None)?;
    package.features.keys().filter(|feature| *feature != "default").try_for_each(|feature| check(Some(feature)))
}
