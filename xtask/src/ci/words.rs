//! Names of modules, which what stands on no module does not know.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::shell::root;

/// Where modules are told apart by nothing but what they say of themselves.
const CRATES: &[&str] = &[
    "admin",
    "auth",
    "broker",
    "cluster",
    "codec",
    "config",
    "fetch",
    "jetstream",
    "member",
    "net",
    "operate",
    "process",
    "roll",
    "router",
    "server",
    "session",
    "storage",
];

/// What is looked at there.
const KINDS: &[&str] = &["rs", "html", "js", "css"];

/// Where the modules that ship are listed.
const LIST: &str = "crates/modules/src/lib.rs";

/// Adds each line that names a module.
pub(super) fn check(faults: &mut Vec<String>) -> Result<()> {
    let list = fs::read_to_string(root().join(LIST)).with_context(|| format!("cannot read {LIST}"))?;
    let modules = modules(&list);
    ensure!(!modules.is_empty(), "{LIST} lists no module");
    for source in CRATES.iter().map(|name| format!("crates/{name}/src")) {
        let mut files = Vec::new();
        find(&root().join(&source), &mut files)?;
        for file in files {
            let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            let name = file.strip_prefix(root()).unwrap_or(&file);
            for (line, module) in named(&text, &modules) {
                faults.push(format!("{}:{line} names the module {module}", name.display()));
            }
        }
    }
    Ok(())
}

fn find(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        // Tests may look at everything.
        if path.file_stem().is_some_and(|stem| stem == "tests") {
            continue;
        }
        if path.is_dir() {
            find(&path, files)?;
        } else if path.extension().is_some_and(|kind| KINDS.iter().any(|known| kind == *known)) {
            files.push(path);
        }
    }
    files.sort();
    Ok(())
}

/// Each is a public module of Rust's.
fn modules(list: &str) -> Vec<&str> {
    list.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect()
}

/// The numbers of lines, each with the module it names.
fn named<'a>(text: &str, modules: &[&'a str]) -> Vec<(usize, &'a str)> {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let named = code.lines().zip(1..).flat_map(|(line, number)| {
        let said = words(line);
        let is_said = move |module: &&str| {
            let name = words(module);
            said.windows(name.len()).any(|some| some == name)
        };
        modules.iter().copied().filter(is_said).map(move |module| (number, module))
    });
    named.collect()
}

/// `emqx_mod_presence`, `DelayedPublish` and `a delayed publish` are told apart by no more than their words.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for letter in text.chars() {
        if !letter.is_alphanumeric() || (letter.is_uppercase() && before.is_lowercase()) {
            words.push(String::new());
        }
        if let (true, Some(word)) = (letter.is_alphanumeric(), words.last_mut()) {
            word.extend(letter.to_lowercase());
        }
        before = letter;
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_however_it_is_written() {
        let modules = ["presence", "delayed_publish"];
        for (text, found) in [
            ("let it;\nif name == \"presence\"", &[(2, "presence")][..]),
            ("`emqx_mod_presence`", &[(1, "presence")]),
            ("use x::DelayedPublish;", &[(1, "delayed_publish")]),
            ("const PRESENCE: u8", &[(1, "presence")]),
            ("a delayed will, a publish", &[]),
            ("omnipresence", &[]),
            ("fn a() {}\n#[cfg(test)]\nmod tests { \"presence\" }", &[]),
        ] {
            assert_eq!(named(text, &modules), found, "{text}");
        }
    }

    #[test]
    fn what_ships_is_listed() {
        assert_eq!(modules("pub mod presence;\nmod registry;\npub use x;\n"), ["presence"]);
    }
}
