//! What the program is made of, as CycloneDX 1.5 has it.

use std::collections::{BTreeSet, HashMap};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::version;
use crate::shell::{cargo, output};

/// Of the program as it is built on this kind of machine: what only tests and tools need is not in it.
pub(super) fn of_materials() -> Result<String> {
    let compiler = output(crate::shell::command("rustc").arg("-vV"))?;
    let host = compiler.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    let metadata = output(cargo().args(["metadata", "--format-version", "1", "--locked", "--filter-platform", host]))?;
    let bill = from_metadata(&serde_json::from_str(&metadata)?)?;
    Ok(format!("{bill:#}\n"))
}

fn from_metadata(metadata: &Value) -> Result<Value> {
    let list = |value: &'_ Value| value.as_array().cloned().unwrap_or_default();
    let packages = list(&metadata["packages"]);
    let by_id: HashMap<&str, &Value> =
        packages.iter().filter_map(|package| Some((package["id"].as_str()?, package))).collect();
    let nodes = list(&metadata["resolve"]["nodes"]);
    let needs: HashMap<&str, &Value> = nodes.iter().filter_map(|node| Some((node["id"].as_str()?, node))).collect();
    let named = |package: &&Value| package["name"] == "server";
    let server = packages.iter().find(named).context("there is no package server")?;
    let mut open = vec![server["id"].as_str().context("a package without an id")?];
    let mut found = BTreeSet::new();
    while let Some(id) = open.pop() {
        if !found.insert(id) {
            continue;
        }
        for need in needs[id]["deps"].as_array().into_iter().flatten() {
            let kinds = need["dep_kinds"].as_array();
            // What only tests need is of kind "dev"; what builds it is told, for it has a say in what comes out.
            if kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind["kind"] != "dev")) {
                open.extend(need["pkg"].as_str());
            }
        }
    }
    let components: Vec<_> = found.iter().map(|id| component(by_id[id])).collect();
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": { "type": "application", "name": "rollcall", "version": version() } },
        "components": components,
    }))
}

fn component(package: &Value) -> Value {
    let (name, version) = (&package["name"], &package["version"]);
    let mut component = json!({ "type": "library", "name": name, "version": version });
    if let Some(licence) = package["license"].as_str() {
        component["licenses"] = json!([{ "expression": licence.replace('/', " OR ") }]);
    }
    // Crates of this workspace come from nowhere.
    if !package["source"].is_null() {
        let (name, version) = (name.as_str().unwrap_or_default(), version.as_str().unwrap_or_default());
        component["purl"] = json!(format!("pkg:cargo/{name}@{version}"));
    }
    component
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_tests_need_is_no_part_of_the_program() {
        let package = |name: &str, source: Value| json!({ "id": name, "name": name, "version": "1.0.0", "license": "MIT/Apache-2.0", "source": source });
        let needs = |name: &str, kind: Value| json!({ "pkg": name, "dep_kinds": [{ "kind": kind }] });
        let metadata = json!({
            "packages": [
                package("server", Value::Null),
                package("bytes", json!("registry")),
                package("cc", json!("registry")),
                package("proptest", json!("registry")),
                package("xtask", Value::Null),
            ],
            "resolve": { "nodes": [
                { "id": "server", "deps": [needs("bytes", Value::Null), needs("proptest", json!("dev"))] },
                { "id": "bytes", "deps": [needs("cc", json!("build"))] },
                { "id": "cc", "deps": [] },
                { "id": "proptest", "deps": [] },
                { "id": "xtask", "deps": [] },
            ] },
        });
        let bill = from_metadata(&metadata).unwrap();
        let names: Vec<_> = bill["components"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
        assert_eq!(names, ["bytes", "cc", "server"]);
        assert_eq!(bill["components"][0]["purl"], "pkg:cargo/bytes@1.0.0");
        assert_eq!(bill["components"][0]["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert!(bill["components"][2]["purl"].is_null());
    }
}
