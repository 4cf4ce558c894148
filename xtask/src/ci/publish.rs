//! What is of use without the broker could be published: each such crate is packed as a registry would get it.
//!
//! Nothing is uploaded, and nothing compiled: what is in a package is what the other steps have built, but for what was left out of
//! it. `cargo package` without `--no-verify` builds each from its package alone.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::{Args, Outcome};
use crate::shell::{cargo, output};

/// They and nothing else may be published. In an order in which each comes after what it uses.
const CRATES: [&str; 5] = ["mqtt-codec", "mqtt-session", "mqtt-router", "mqtt-roll", "mqtt-hooks"];

/// Files that who looks at a crate begins with.
const FILES: [&str; 3] = ["README.md", "Cargo.toml", "src/lib.rs"];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: String,
    description: Option<String>,
    license: Option<String>,
    readme: Option<String>,
    keywords: Vec<String>,
    categories: Vec<String>,
    /// To where; `None`: anywhere.
    publish: Option<Vec<String>>,
}

pub(super) fn run(_: &Args) -> Result<Outcome> {
    let metadata = output(cargo().args(["metadata", "--format-version", "1", "--no-deps"]))?;
    let Metadata { packages } = serde_json::from_str(&metadata)?;
    for package in &packages {
        let is_listed = CRATES.contains(&&*package.name);
        let may_be = package.publish.as_ref().is_none_or(|places| !places.is_empty());
        ensure!(may_be == is_listed, "{}: publish = false, or a place in the list of this step", package.name);
    }
    for name in CRATES {
        let package = packages.iter().find(|package| package.name == name);
        let package = package.with_context(|| format!("there is no crate {name}"))?;
        let is_said = package.description.is_some() && package.license.is_some() && package.readme.is_some();
        let is_found = !package.keywords.is_empty() && !package.categories.is_empty();
        ensure!(is_said && is_found, "{name} wants a description, license, readme, keywords and categories");
        let listed = output(cargo().args(["package", "--list", "--allow-dirty", "-p", name]))?;
        for file in FILES {
            ensure!(listed.lines().any(|line| line == file), "{file} is not in the package of {name}");
        }
        let library = Path::new(&package.manifest_path).with_file_name("src/lib.rs");
        // The step `test` runs it.
        ensure!(fs::read_to_string(library)?.contains("\n//! ```\n"), "{name} has no example in its docs");
    }
    let named = CRATES.iter().flat_map(|name| ["-p", name]);
    crate::shell::run(cargo().args(["package", "--no-verify", "--allow-dirty"]).args(named))?;
    Ok(Outcome::Passed)
}
