//! Clients that others wrote against the release binary: the scripts of `tests/clients/`, a fresh broker for each, with a
//! REST API for those whose name begins with `rest_`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{Args, Outcome};
use crate::broker::{Broker, build};
use crate::shell::{command, debian, find, python, root, run as run_command, target};

/// For scripts of the REST API.
const ADMIN: &[&str] = &["--admin", "127.0.0.1:0", "--set", "admin.password=open sesame"];

pub(super) fn run(_: &Args) -> Result<Outcome> {
    debian("mosquitto_sub", "mosquitto-clients")?;
    debian("mosquitto", "mosquitto")?;
    let folder = root().join("tests/clients");
    let requirements = folder.join("requirements.txt");
    let python = python(&["--requirement", &requirements.to_string_lossy()])?.join("python3");
    let modules = node(&folder)?;
    let program = build()?;
    for script in scripts(&folder)? {
        let name = script.file_name().unwrap_or_default().to_string_lossy().into_owned();
        println!("--- {name}");
        let broker = Broker::rollcall(&program, None, if name.starts_with("rest_") { ADMIN } else { &[] })?;
        let mut client = if name.ends_with(".mjs") { command("node") } else { command(&python) };
        client.arg(&script).env("NODE_PATH", &modules).env("PYTHONDONTWRITEBYTECODE", "1");
        let outcome = run_command(with_broker(&mut client, &broker));
        if let Err(why) = outcome {
            bail!("{why:#}\nthe broker said:\n{}", broker.said());
        }
        let status = broker.stop()?;
        if !status.success() {
            bail!("after {name} the broker ended with {status}");
        }
    }
    Ok(Outcome::Passed)
}

fn with_broker<'a>(client: &'a mut Command, broker: &Broker) -> &'a mut Command {
    client.arg("--host").arg(broker.addr().ip().to_string()).arg("--port").arg(broker.addr().port().to_string());
    if let Some(admin) = broker.admin() {
        client.arg("--admin").arg(format!("http://{admin}")).args(["--user", "admin", "open sesame"]);
    }
    client
}

/// The scripts, by name; what only other scripts import stands in a folder.
fn scripts(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut scripts = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "py" || extension == "mjs") {
            scripts.push(path);
        }
    }
    scripts.sort();
    Ok(scripts)
}

/// The folder with the npm packages of `package.json`, installed when they changed.
fn node(folder: &Path) -> Result<PathBuf> {
    find("npm").context("npm is missing")?;
    let home = target().join("ci/node");
    let wanted = std::fs::read(folder.join("package.json"))?;
    let there = home.join("package.json");
    // Written last, so that an install that broke off is done again.
    let done = home.join("installed");
    if !done.is_file() || std::fs::read(&there).ok() != Some(wanted.clone()) {
        std::fs::create_dir_all(&home)?;
        std::fs::write(&there, &wanted)?;
        run_command(command("npm").args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]).arg(&home))?;
        std::fs::write(&done, "")?;
    }
    Ok(home.join("node_modules"))
}
