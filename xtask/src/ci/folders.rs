//! What folders of the broker never use of each other.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::shell::root;

/// In whose source to look.
const SOURCE: &str = "crates/broker/src";

/// Modules by their paths, each with those it never names, nor anything in them. What the broker is made of comes first: it
/// knows no broker.
const NEVERS: &[(&str, &[&str])] = &[
    ("time::clock", ABOVE_PARTS),
    ("time::patience", ABOVE_PARTS),
    ("time::timers", ABOVE_PARTS),
    ("time::deadlines", ABOVE_PARTS),
    ("time::watched", ABOVE_PARTS),
    ("time::faults", ABOVE_PARTS),
    ("store::durable", ABOVE_PARTS),
    ("store::serials", ABOVE_PARTS),
    ("store::online", ABOVE_PARTS),
    ("store::past", ABOVE_PARTS),
    ("store::notes", ABOVE_PARTS),
    ("watch::metrics", ABOVE_PARTS),
    ("watch::memory", ABOVE_PARTS),
    ("watch::highest", ABOVE_PARTS),
    ("watch::trace", ABOVE_PARTS),
    ("watch::refusals", ABOVE_PARTS),
    ("watch::alarms::tell", ABOVE_PARTS),
    ("watch::alarms::watch", ABOVE_PARTS),
    ("client::clients", ABOVE_PARTS),
    ("client::variety", ABOVE_PARTS),
    ("coming::banned", ABOVE_DOORS),
    ("coming::doors", ABOVE_DOORS),
    ("coming::guests", ABOVE_DOORS),
    ("coming::line", ABOVE_DOORS),
    ("delivery::retained", ABOVE_ROUTES),
    ("delivery::routes", ABOVE_ROUTES),
    ("client", &["coming", "packets", "hosting", "loopback", "running", "watch::operate"]),
    (
        "delivery",
        &["coming", "packets", "store::records", "store::recovery", "hosting", "loopback", "running", "watch::operate"],
    ),
    ("packets", &["coming", "store::recovery", "hosting", "loopback", "running", "watch::operate"]),
    ("coming", &["hosting", "loopback", "running", "watch::operate"]),
    ("store", &["coming", "packets", "hosting", "loopback", "running", "watch::operate"]),
    ("time", &["coming", "packets", "hosting", "loopback", "running", "watch::operate"]),
    ("watch", &["running"]),
    ("hosting", &["running"]),
];

/// What the parts of a broker do not know.
const ABOVE_PARTS: &[&str] =
    &["broker", "delivery", "coming", "packets", "hosting", "loopback", "running", "watch::operate"];

/// What the tables of a publication's way know nothing of: how it goes.
const ABOVE_ROUTES: &[&str] =
    &["broker", "coming", "delivery::batch", "packets", "hosting", "loopback", "running", "watch::operate"];

/// What those know nothing of who decide whether a socket has a place.
const ABOVE_DOORS: &[&str] =
    &["broker", "client", "delivery", "packets", "hosting", "loopback", "running", "watch::operate"];

/// Adds what is wrong, with the file's name.
pub(super) fn check(faults: &mut Vec<String>) -> Result<()> {
    let source = root().join(SOURCE);
    for file in files(&source)? {
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let name = file.strip_prefix(&source).unwrap_or(&file);
        for wrong in wrong_uses(&module(name), &text) {
            faults.push(format!("{SOURCE}/{}: {wrong}", name.display()));
        }
    }
    Ok(())
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(self::files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// `client/connection.rs` is `client::connection`.
fn module(file: &Path) -> String {
    file.with_extension("").to_string_lossy().replace('/', "::")
}

fn wrong_uses(module: &str, text: &str) -> Vec<String> {
    // Tests may look at everything.
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let nevers = NEVERS.iter().filter(|(place, _)| is_in(module, place)).flat_map(|(_, nevers)| *nevers);
    let used: Vec<&str> = code.split("crate::").skip(1).map(path).collect();
    let wrong = nevers.filter(|never| used.iter().any(|used| is_in(used, never)));
    let mut wrong: Vec<_> = wrong.map(|never| format!("{module} never uses {never}")).collect();
    wrong.dedup();
    wrong
}

/// The path that the text begins with.
fn path(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':').unwrap_or(text.len());
    &text[..end]
}

fn is_in(path: &str, place: &str) -> bool {
    path.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_never_used_is_told_with_the_module() {
        let text =
            "use crate::broker::Broker;\nuse crate::time::patience::Patient;\n#[cfg(test)]\nuse crate::running::X;";
        assert_eq!(wrong_uses("time::clock", text), ["time::clock never uses broker"]);
        assert!(wrong_uses("time::due", text).is_empty());
        assert!(wrong_uses("clients", "crate::coming::door").is_empty(), "that is another name");
        assert_eq!(wrong_uses("client::seat", "crate::coming::{door}"), ["client::seat never uses coming"]);
    }

    #[test]
    fn a_file_is_a_module() {
        assert_eq!(module(Path::new("client/connection.rs")), "client::connection");
        assert_eq!(module(Path::new("lib.rs")), "lib");
    }
}
