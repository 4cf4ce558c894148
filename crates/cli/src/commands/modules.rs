//! `rollcall modules`

use clap::Subcommand;
use serde_json::Value;

use crate::columns::{Cell, Columns, Paint};
use crate::failure::Failure;
use crate::output::{Output, field};
use crate::remote::{Remote, encoded};

/// What to do with modules.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub enum Verb {
    /// All modules and whether they run
    List,
    /// Start a module; it stays started over restarts
    #[command(visible_alias = "load")]
    Start(Name),
    /// Stop a module; it stays stopped over restarts
    #[command(visible_alias = "unload")]
    Stop(Name),
    /// Stop and start a module
    #[command(visible_alias = "reload")]
    Restart(Name),
    /// Add a module that is known, and start it
    Add(Name),
    /// Stop a module and take it from the list
    Remove(Name),
}

/// A module.
#[derive(Debug, PartialEq, Eq, clap::Args)]
pub struct Name {
    /// Such as presence or emqx_mod_presence
    name: String,
}

pub(crate) async fn run(verb: &Verb, remote: &Remote, out: &mut Output) -> Result<(), Failure> {
    let (name, answer, done) = match verb {
        Verb::List => return list(remote, out).await,
        Verb::Start(Name { name }) => (name, remote.put(&path(name, "load"), None).await, "started"),
        Verb::Stop(Name { name }) => (name, remote.put(&path(name, "unload"), None).await, "stopped"),
        Verb::Restart(Name { name }) => (name, remote.put(&path(name, "reload"), None).await, "restarted"),
        Verb::Add(Name { name }) => (name, remote.post(&path(name, "add"), None).await, "added"),
        Verb::Remove(Name { name }) => (name, remote.post(&path(name, "remove"), None).await, "removed"),
    };
    let answer = answer.map_err(|failure| explained(failure, name))?;
    Ok(out.done(&format!("{} is {done}", short(name)), &answer)?)
}

async fn list(remote: &Remote, out: &mut Output) -> Result<(), Failure> {
    let answer = remote.get("/modules").await?;
    let nodes = answer["data"].as_array().into_iter().flatten();
    let modules: Vec<_> = nodes.flat_map(|node| node["modules"].as_array().into_iter().flatten()).cloned().collect();
    Ok(out.rows(&mut Columns::new(&["NAME", "STATE", "DESCRIPTION"]), &modules, row)?)
}

fn row(module: &Value) -> Vec<Cell> {
    let state = if module["active"] == true {
        Cell::painted("running", Paint::Green)
    } else {
        Cell::painted("stopped", Paint::Dim)
    };
    vec![short(&field(module, "name")).into(), state, field(module, "description").into()]
}

fn path(name: &str, change: &str) -> String {
    format!("/modules/{}/{change}", encoded(name))
}

/// The name without what EMQ X puts before it.
pub(crate) fn short(name: &str) -> &str {
    name.strip_prefix("emqx_mod_").unwrap_or(name)
}

/// EMQ X's words with what they are about.
fn explained(failure: Failure, name: &str) -> Failure {
    match failure {
        Failure::Refused(why) => Failure::Refused(match &*why {
            "already_started" => format!("{name} runs already (already_started)"),
            "not_started" => format!("{name} does not run (not_started)"),
            "not_found" => format!("there is no module {name:?} (not_found); see `rollcall modules list`"),
            _ => format!("{name}: {why}"),
        }),
        other => other,
    }
}
